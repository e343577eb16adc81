"""Answers as OpenAI's clients expect them, with the verdicts in a field of their own.

Each chunk may have a field ``sightline``, which clients that do not know it pass over:

- ``mentions``: verdicts on nouns of the text so far: ``index``, ``word``, ``object``, ``start`` and
  ``end`` (characters of the answer), ``flagged``, ``score``, ``threshold``, ``probability`` and
  ``svar``;
- ``retract``: under ``"show": "live"``, the answer is void from the character ``start`` on, and
  the verdicts from the mention ``mention`` on; the chunks that follow go on from there;
- ``actions``: what the policy did, as in the report;
- ``report``: with the last chunk, the whole report; with ``"inside": true`` in the request also
  what the model's inside was like, or the reason why that is not known in ``uninspected``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final
from uuid import uuid4

from ..events import Action, Event, Mention, Retract, Token, Verdict
from .engine import Finished
from .question import RefusedError

DONE: Final = "data: [DONE]\n\n"

_ENDS: Final = {"eos": "stop", "stopped": "stop", "length": "length", "interrupted": "length"}


class Answer:
    """One answer on the wire, in pieces or whole.

    Args:
        model: name of the model.
        usage: whether the last piece counts tokens.
    """

    def __init__(self, model: str, *, usage: bool = False) -> None:
        self._model = model
        self._usage = usage
        self._id = f"chatcmpl-{uuid4().hex}"
        self._created = int(time.time())
        self._mentions: dict[int, Mention] = {}
        self._text = ""

    def first(self) -> str:
        """What comes before any text."""
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, event: Event | Finished) -> str:
        """What an event adds, as server-sent events; empty where it adds nothing."""
        match event:
            case Finished():
                return "".join(self._last(event))
            case Token() if event.text:
                return self._chunk({"content": event.text})
            case Mention(provisional=False):
                self._mentions[event.index] = event
            case Verdict() if event.mention in self._mentions:
                mention = self._mentions[event.mention]
                return self._chunk({}, sightline={"mentions": [_judged(mention, event)]})
            case Retract():
                void = {"start": event.start, "mention": event.mention}
                self._mentions = {i: m for i, m in self._mentions.items() if i < event.mention}
                return self._chunk({}, sightline={"retract": void})
            case Action():
                return self._chunk({}, sightline={"actions": [_done(event)]})
            case _:
                pass
        return ""

    def _last(self, finished: Finished) -> Iterator[str]:
        report = finished.report
        yield self._chunk({}, finish=_ENDS[report.finish], sightline=_told(finished))
        if self._usage:
            yield _event({**self._head("chat.completion.chunk"), "choices": [], **_usage(finished)})
        yield DONE

    def whole(self, finished: Finished) -> dict[str, Any]:
        """The answer to a request that did not ask for pieces."""
        report = finished.report
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": report.text, "refusal": None},
            "logprobs": None,
            "finish_reason": _ENDS[report.finish],
        }
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            **_usage(finished),
            "sightline": _told(finished),
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
        }

    def _chunk(
        self,
        delta: dict[str, Any],
        *,
        finish: str | None = None,
        sightline: dict[str, Any] | None = None,
    ) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**self._head("chat.completion.chunk"), "choices": [choice]}
        return _event(chunk if sightline is None else {**chunk, "sightline": sightline})


def refusal(error: RefusedError) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    return {"error": {"message": str(error), "type": kind, "param": None, "code": error.code}}


def refusal_event(error: RefusedError) -> str:
    """The same, where an answer has begun."""
    return _event(refusal(error))


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _judged(mention: Mention, verdict: Verdict) -> dict[str, Any]:
    return {
        "index": mention.index,
        "word": mention.word,
        "object": mention.object,
        "visible": mention.visible,
        "start": mention.start,
        "end": mention.end,
        "flagged": verdict.flagged,
        "score": verdict.score,
        "threshold": verdict.threshold,
        "probability": verdict.probability,
        "svar": verdict.svar,
    }


def _done(action: Action) -> dict[str, Any]:
    known = asdict(action)
    del known["row"]
    return {**known, "start": known.pop("offset"), "first_token": action.start}


def _told(finished: Finished) -> dict[str, Any]:
    told: dict[str, Any] = {"report": finished.report.model_dump(mode="json")}
    return told if finished.uninspected is None else {**told, "uninspected": finished.uninspected}


def _usage(finished: Finished) -> dict[str, Any]:
    tokens = len(finished.report.tokens)
    return {
        "usage": {
            "prompt_tokens": finished.prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": finished.prompt_tokens + tokens,
        }
    }
