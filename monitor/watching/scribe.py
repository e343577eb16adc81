"""What the rows of one call of ``generate`` write: tokens in, events and reports out."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...detectors.evidence import Evidence
from ..attention.measurement import Measurement
from ..decoding.options import DecodingOptions
from ..errors import NonFiniteError
from ..events import End, Event
from ..report import Header, Report, ReportBuilder
from .caption import Caption

_UNREAD = 32
"""Tokens a row that are read as text together, while nobody listens."""


@dataclass(slots=True)
class _Row:
    """A caption on its way, its report and the pad tokens whose meaning is still open."""

    caption: Caption
    builder: ReportBuilder
    held: list[tuple[int, Evidence]] = field(default_factory=list)
    seconds: float | None = None


class Scribe:
    """Turns what each row was measured to write into its events and its report.

    Args:
        options: what ends a caption.
        headers: one per prompt.
        caption: makes the caption of a row.
        on_nonfinite: what a row without a usable distribution does: ``raise``
            :class:`NonFiniteError`, or ``record`` it as a token without log-probability.
        on_event: called with every event, in order, in the thread that reads.
    """

    def __init__(
        self,
        *,
        options: DecodingOptions,
        headers: Sequence[Header],
        caption: Callable[[int], Caption],
        on_nonfinite: Literal["raise", "record"],
        on_event: Callable[[Event], None] | None,
    ) -> None:
        self._options = options
        self._headers = tuple(headers)
        self._caption = caption
        self._on_nonfinite = on_nonfinite
        self._on_event = on_event
        self._rows: list[_Row] = []
        self._began = 0.0
        self._now = 0.0  # when the token that is being read was picked
        self._first_token: float | None = None
        # Tokens that were measured and not yet read as text: see put.
        self._unread: deque[tuple[list[int], Measurement, float]] = deque()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        """How many rows there are; 0 before :meth:`begin`."""
        return len(self._rows)

    # --- what came of it ------------------------------------------------------------------------

    @property
    def reports(self) -> tuple[Report, ...]:
        """One report per caption; those of unfinished captions say ``interrupted``."""
        self.read()
        return tuple(
            row.builder.report(first_token=self._first_token, total=row.seconds)
            for row in self._rows
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """The captions so far."""
        self.read()
        return tuple(row.caption.text for row in self._rows)

    def header(self, row: int) -> Header:
        """What the report of a caption says before its first event."""
        return self._headers[row * len(self._headers) // max(len(self._rows), 1)]

    def ended(self, row: int) -> bool:
        """Whether the row's caption has ended, by what was read so far."""
        return self._rows[row].caption.ended

    # --- what is written ------------------------------------------------------------------------

    def begin(self, rows: int, *, began: float) -> None:
        """The prompts are known; each has the same number of captions, one after the other.

        Args:
            rows: how many captions there will be.
            began: when, by ``time.perf_counter``.
        """
        self._began = began
        copies = rows // len(self._headers)
        self._rows = [
            _Row(self._caption(row), ReportBuilder(self._headers[row // copies], row=row))
            for row in range(rows)
        ]

    def put(self, ids: list[int], measured: Measurement) -> None:
        """The next token of each row, and what they looked like, row by row."""
        now = time.perf_counter()
        if self._first_token is None:
            self._first_token = now - self._began
        # While nobody listens, words and nouns are found for many tokens in one go: between two
        # steps of the model every line of Python costs several times what it costs in a loop.
        self._unread.append((ids, measured, now))
        if self._on_event is not None or len(self._unread) >= _UNREAD or not measured.all_finite:
            self.read()

    def read(self) -> None:
        """Read the tokens that wait as text; in any thread, also in a listener's."""
        with self._lock:
            while self._unread:
                ids, measured, self._now = self._unread.popleft()
                for index, token in enumerate(ids):
                    self._token(index, token, measured)

    def end(self) -> None:
        """No further tokens: end the captions that are still open."""
        self.read()
        self._now = time.perf_counter()
        for row in self._rows:
            if row.caption.ended:
                continue
            limit = self._options.limit
            cut = not row.held and (limit is None or row.caption.tokens >= limit)
            row.held.clear()
            self._finish(row, "length" if cut else "stopped")

    def write(self, index: int, ids: Sequence[int], measured: Measurement) -> None:
        """A whole caption at once, known to its end.

        Args:
            index: its row.
            ids: its tokens, an end token included, nothing that fills it up.
            measured: one row for each of them.
        """
        self._now = time.perf_counter()
        row, options = self._rows[index], self._options
        for place, token in enumerate(ids):
            self._check(index, row, measured, place)
            end: Literal["eos", "length", "stopped"] | None = None
            if place + 1 == len(ids):
                cut = options.limit is None or place + 1 >= options.limit
                end = "eos" if token in options.eos else "length" if cut else "stopped"
            self._push(row, token, measured.evidence(place), end)
        if not ids:
            self._finish(row, "stopped")

    def _token(self, index: int, token: int, measured: Measurement) -> None:
        row, options = self._rows[index], self._options
        caption = row.caption
        if caption.ended:
            return  # generate fills a finished row with pad tokens
        self._check(index, row, measured, index)
        evidence = measured.evidence(index)
        if token in options.eos:
            if token == options.pad and self._stopped_by_string(caption):
                self._finish(row, "stopped")
                return
            self._release(row)
            self._push(row, token, evidence, "eos")
        elif token == options.pad:
            # Either the row was stopped by a rule and this is filling, or the model wrote it:
            # the next other token, or the end, will tell.
            row.held.append((token, evidence))
        else:
            self._release(row)
            last = options.limit is not None and caption.tokens + 1 >= options.limit
            self._push(row, token, evidence, "length" if last else None)

    def _check(self, index: int, row: _Row, measured: Measurement, place: int) -> None:
        if self._on_nonfinite == "raise" and not measured.finite(place):
            raise NonFiniteError(row=index, step=row.caption.tokens + len(row.held))

    def _release(self, row: _Row) -> None:
        for token, evidence in row.held:
            self._push(row, token, evidence, None)
        row.held.clear()

    def _push(
        self,
        row: _Row,
        token: int,
        evidence: Evidence,
        end: Literal["eos", "length", "stopped"] | None,
    ) -> None:
        for event in row.caption.push(token, evidence, end=end):
            self._emit(row, event)

    def _finish(self, row: _Row, reason: Literal["eos", "length", "stopped"]) -> None:
        for event in row.caption.finish(reason):
            self._emit(row, event)

    def _emit(self, row: _Row, event: Event) -> None:
        row.builder.add(event)
        if isinstance(event, End):
            row.seconds = self._now - self._began
        if self._on_event is not None:
            self._on_event(event)

    def _stopped_by_string(self, caption: Caption) -> bool:
        return any(text in caption.text for text in self._options.stop_strings)
