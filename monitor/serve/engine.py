"""The model behind the server: questions in a fair queue, answers as streams of events."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

import torch

from ..attention.lens import has_lens
from ..errors import SightlineError
from ..events import Event
from ..inspection import inspect
from ..report import Report
from ..session import Monitor
from ..watching.stream import EventStream
from .limits import Limits
from .question import Question, RefusedError


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer.

    Attributes:
        report: everything known of the caption.
        prompt_tokens: tokens of the prompt, image tokens among them.
        uninspected: why the report does not say what the model's inside was like, where that was
            asked for.
    """

    report: Report
    prompt_tokens: int
    uninspected: str | None = None


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


_LATE: Final = "An answer may take at most {:g} seconds here, this one was stopped. Ask for less."


class Engine:
    """Answers one question after the other, first come, first served.

    A client that reads slowly or goes away holds up nobody: its answer is written at the model's
    pace into a queue of its own, bounded by the length of a caption, or given up.

    Args:
        monitor: the model.
        limits: what may be asked.
    """

    def __init__(self, monitor: Monitor, limits: Limits) -> None:
        self.monitor = monitor
        self.limits = limits
        self._turns = asyncio.Semaphore(1)  # first come, first served
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Questions that wait for their turn."""
        return self._waiting

    async def answer(self, question: Question) -> AsyncGenerator[Event | Finished]:
        """The events of the caption, and at last its report.

        Raises:
            RefusedError: too many are waiting, it took too long, or the model cannot do it.
        """
        if self._turns.locked() and self._waiting >= self.limits.waiting:
            raise RefusedError(
                f"At most {self.limits.waiting} questions may wait here, and so many do. Try again "
                f"in a moment.",
                status=503,
                code="overloaded",
            )
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Event | Finished | _Failed] = asyncio.Queue()
        gone = threading.Event()

        def tell(item: Event | Finished | _Failed) -> None:
            loop.call_soon_threadsafe(told.put_nowait, item)

        def work() -> None:
            try:
                self._decode(question, tell, gone)
            except BaseException as error:
                tell(_Failed(error))
            finally:
                loop.call_soon_threadsafe(self._turns.release)

        threading.Thread(target=work, name="sightline-answer", daemon=True).start()
        try:
            while True:
                item = await told.get()
                if isinstance(item, _Failed):
                    raise _explained(item.error)
                yield item
                if isinstance(item, Finished):
                    return
        finally:
            gone.set()

    def _decode(self, question: Question, tell: Any, gone: threading.Event) -> None:
        inputs = self.monitor.prepare([list(question.images)], question.text)
        options: dict[str, Any] = {"max_new_tokens": question.max_new_tokens}
        if question.temperature:
            options |= {
                "do_sample": True,
                "temperature": question.temperature,
                "top_p": question.top_p,
            }
            if question.seed is not None:
                torch.manual_seed(question.seed)
        else:
            options["do_sample"] = False
        if question.stop:
            options |= {"stop_strings": list(question.stop), "tokenizer": self.monitor.tokenizer}
        until = time.monotonic() + self.limits.seconds
        stream: EventStream[Any] = self.monitor.stream(
            **inputs,
            images=[question.infos[0]],
            policy=question.policy,
            show=question.show,
            **options,
        )
        with stream:
            for event in stream:
                if gone.is_set():
                    return
                if time.monotonic() > until:
                    raise RefusedError(
                        _LATE.format(self.limits.seconds), status=504, code="timeout"
                    )
                tell(event)
        report, why = stream.watch.reports[0], None
        if question.inside and not gone.is_set():
            report, why = self._inspect(report, question, until)
        tell(Finished(report, int(inputs["input_ids"].shape[-1]), why))

    def _inspect(
        self, report: Report, question: Question, until: float
    ) -> tuple[Report, str | None]:
        """The report with its inside; as it is and the reason, where that cannot be had."""
        if time.monotonic() > until:
            return report, "The time for this answer went into the caption."
        images = list(question.images)
        try:
            return inspect(
                self.monitor,
                report,
                images[0] if len(images) == 1 else images,
                lens=has_lens(self.monitor.anatomy),
                question=question.text,
            ), None
        except SightlineError as error:
            return report, str(error)


def _explained(error: BaseException) -> BaseException:
    """What a client is told: the rules it broke, and of what broke here no more than its kind."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, (SightlineError, ValueError)):
        return RefusedError(str(error))
    refused = RefusedError(
        f"The model failed with {type(error).__name__}; the server's log has the details.",
        status=500,
        code="server_error",
    )
    refused.__cause__ = error
    return refused
