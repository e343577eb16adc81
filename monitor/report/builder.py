"""A report as the fold of its caption's events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Literal

import numpy as np
from pydantic import Field, JsonValue

from ...detectors.evidence import Evidence
from ...detectors.svar import LayerRange, svar
from ..events import Action, End, Event, Mention, Retract, Token, Verdict, Word
from .section import Section
from .sections import (
    ActionSection,
    CalibrationSection,
    ImageSection,
    LayersSection,
    MentionSection,
    ModelSection,
    Report,
    TimingsSection,
    TokenSection,
    TrialSection,
)


class Header(Section):
    """What is known of a caption before its first event."""

    model: ModelSection
    prompt: str
    image: ImageSection | None = None
    image_tokens: int
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    layers: LayersSection
    calibration: CalibrationSection | Literal["uncalibrated"] = "uncalibrated"
    policy: dict[str, JsonValue] | None = None


class ReportBuilder:
    """Folds the events of one row into its report; other rows' events are passed over."""

    def __init__(self, header: Header, *, row: int = 0) -> None:
        self._header = header
        self._row = row
        self._range = LayerRange(header.layers.first, header.layers.last, header.layers.source)
        self._tokens: list[Token] = []
        self._mentions: dict[int, Mention] = {}
        self._verdicts: dict[int, Verdict] = {}
        self._actions: list[Action] = []
        self._end: End | None = None

    def add(self, event: Event) -> None:
        """Take in one event. Words and provisional mentions leave no trace in a report."""
        if event.row != self._row:
            return
        match event:
            case Token():
                self._tokens.append(event)
            case Mention(provisional=False):
                self._mentions[event.index] = event
            case Verdict():
                self._verdicts[event.mention] = event
            case End():
                self._end = event
            case Action():
                self._actions.append(event)
            case Retract():
                self._retract(event)
            case Mention() | Word():
                pass

    def _retract(self, event: Retract) -> None:
        del self._tokens[event.token :]
        self._mentions = {i: m for i, m in self._mentions.items() if i < event.mention}
        self._verdicts = {i: v for i, v in self._verdicts.items() if i < event.mention}
        self._end = None

    def report(self, *, first_token: float | None = None, total: float | None = None) -> Report:
        """The report of the events so far; the arguments are seconds, where they were measured."""
        header, end = self._header, self._end
        text = end.text if end is not None else "".join(token.text for token in self._tokens)
        finish = end.reason if end is not None else "interrupted"
        return Report(
            **dict(header),
            text=text,
            tokens=tuple(self._token(token) for token in self._tokens),
            mentions=tuple(self._mention(m) for _, m in sorted(self._mentions.items())),
            actions=tuple(map(_action, self._actions)),
            finish=finish,
            truncated=finish in ("length", "interrupted"),
            timings=TimingsSection(first_token=first_token, total=total),
        )

    def _token(self, token: Token) -> TokenSection:
        evidence = token.evidence
        return TokenSection(
            id=token.id,
            text=token.text,
            start=token.start,
            end=token.end,
            log_prob=None if evidence is None else evidence.log_prob,
            entropy=None if evidence is None else evidence.entropy,
            svar=None if evidence is None else svar_of(evidence, self._range),
        )

    def _mention(self, mention: Mention) -> MentionSection:
        verdict = self._verdicts.get(mention.index)
        flagged = verdict is not None and verdict.flagged
        return MentionSection(
            word=mention.word,
            lemma=mention.lemma,
            object=mention.object,
            visible=mention.visible,
            start=mention.start,
            end=mention.end,
            first_token=mention.first_token,
            last_token=mention.last_token,
            svar=None if verdict is None else verdict.svar,
            score=None if verdict is None else verdict.score,
            threshold=None if verdict is None else verdict.threshold,
            flagged=flagged,
            action=self._what_was_done(mention, flagged=flagged),
            probability=None if verdict is None else verdict.probability,
            prior=None if verdict is None else verdict.prior,
            evidence=None if verdict is None else verdict.evidence,
        )

    def _what_was_done(
        self, mention: Mention, *, flagged: bool
    ) -> Literal["keep", "flag", "redecode"]:
        if self._header.policy is not None and self._header.policy.get("act") == "observe":
            return "keep"
        if flagged:
            return "flag"
        place = mention.first_token
        new = any(
            action.outcome == "replaced" and action.start <= place < action.end
            for action in self._actions
        )
        return "redecode" if new else "keep"


def _action(action: Action) -> ActionSection:
    return ActionSection(
        outcome=action.outcome,
        reason=action.reason,
        start=action.offset,
        first_token=action.start,
        end_token=action.end,
        objects=action.objects,
        old=action.old,
        new=action.new,
        old_score=action.old_score,
        new_score=action.new_score,
        intervention=action.intervention,
        tries=tuple(TrialSection(**asdict(trial)) for trial in action.trials),
        extra_tokens=action.extra_tokens,
        milliseconds=action.milliseconds,
    )


def fold(header: Header, events: Iterable[Event], *, row: int = 0) -> Report:
    """The report of one row from the events of a whole batch, in the order they happened."""
    builder = ReportBuilder(header, row=row)
    for event in events:
        builder.add(event)
    return builder.report()


def svar_of(evidence: Evidence, layers: LayerRange) -> float | None:
    """SVAR of one token from its evidence, ``None`` where its attention was not finite."""
    if not np.isfinite(evidence.masses).all():
        return None
    return float(svar(evidence.var, evidence.layers, layers))
