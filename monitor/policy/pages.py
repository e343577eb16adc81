"""What came of a batch under a policy: texts, reports, and the sequences with the captions cut."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..decoding.options import DecodingOptions
from ..report import Header, Report, ReportBuilder
from .manuscript import Manuscript


class Pages:
    """The captions of one generation.

    Args:
        rows: one for each row of the batch.
        headers: one per prompt.
        options: what ends and fills a row.

    Attributes:
        began: when decoding began, on the clock of ``time.perf_counter``.
        first_token: seconds to the first token; ``None`` before.
    """

    def __init__(
        self, rows: Sequence[Manuscript], headers: Sequence[Header], options: DecodingOptions
    ) -> None:
        self.began = 0.0
        self.first_token: float | None = None
        self._rows = tuple(rows)
        self._headers = tuple(headers)
        self._options = options

    @property
    def texts(self) -> tuple[str, ...]:
        """The captions so far."""
        return tuple(row.draft.text for row in self._rows)

    @property
    def reports(self) -> tuple[Report, ...]:
        """One report per caption; those of unfinished captions say ``interrupted``."""
        return tuple(map(self._report, range(len(self._rows))))

    @property
    def copies(self) -> int:
        """Captions of each prompt."""
        return len(self._rows) // len(self._headers)

    def header(self, row: int) -> Header:
        """What the report of a caption says before its first event."""
        return self._headers[row * len(self._headers) // max(len(self._rows), 1)]

    def _report(self, index: int) -> Report:
        row = self._rows[index]
        builder = ReportBuilder(self.header(index), row=index)
        row.draft.catch_up()
        for event in (*row.draft.events(), *row.actions):
            builder.add(event)
        total = None if row.ended_at is None else row.ended_at - self.began
        return builder.report(first_token=self.first_token, total=total)

    @property
    def cut(self) -> bool:
        """Whether a caption was stopped, and its row decoded on behind the scenes."""
        return any(row.stopped for row in self._rows)

    def sequences(self, prompt: Tensor, *, fewest: int) -> Tensor:
        """The sequences, int64 ``[rows, length]``, with the captions cut where they were stopped.

        Args:
            prompt: int64 ``[rows, prompt]``.
            fewest: tokens after the prompt, at the least; rows are filled up.
        """
        options, end = self._options, min(self._options.eos, default=0)
        written = []
        for row in self._rows:
            tokens = row.draft.tokens
            open_ended = row.stopped and (not tokens or tokens[-1] not in options.eos)
            written.append([*tokens, end] if open_ended else tokens)
        longest = max(fewest, *map(len, written))
        pad = end if options.pad is None else options.pad
        filled = [[*tokens, *[pad] * (longest - len(tokens))] for tokens in written]
        return torch.cat([prompt, torch.tensor(filled, device=prompt.device)], dim=1)
