"""One flagged span on its way to an outcome: what was there, what was tried, what is tried now."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from ..events import Action, Mention, Trial, Verdict
from .deliberation import Deliberation, Failed, Outcome, Settle, collapsed
from .draft import Draft
from .policy import Intervention

Flagged = Sequence[tuple[Mention, Verdict]]
"""Mentions and their verdicts, all flagged."""

_LIKELY: Final = math.log(0.01)
"""Log-probability from which a full stop may end a sentence."""


@dataclass(slots=True)
class Episode:
    """A flagged span.

    Attributes:
        deliberation: decides what is next.
        sentence: the first token of the flagged sentence.
        cut: the first token that may be taken back: as a rule the same.
        start: the first token that is written again.
        original: the caption as it was when it was flagged.
        flagged: what was flagged in it.
        passes: tokens decoded for the caption until then.
        began: seconds, on the clock of ``time.perf_counter``.
        avoided: first sub-tokens of all that was flagged since.
        rejected: how the spans began that were not accepted, the original among them.
        trials: what was tried.
        intervention: what is tried now.
        guided: whether Eq. 4 is on.
        script: what must be said next: the full stop, or what was written under Eq. 4, while it is
            read again without it.
        closing: what is to come of it once the sentence has ended at ``cut``, while that is tried.
        trial_passes: tokens decoded for the caption until this try.
    """

    deliberation: Deliberation
    sentence: int
    cut: int
    start: int
    original: Draft
    flagged: Flagged
    passes: int
    began: float = field(default_factory=time.perf_counter)
    avoided: set[int] = field(default_factory=set)
    rejected: list[tuple[int, ...]] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    intervention: Intervention | None = None
    guided: bool = False
    script: tuple[int, ...] = ()
    closing: Settle | None = None
    trial_passes: int = 0

    def __post_init__(self) -> None:
        self.reject(self.original, self.flagged)

    @property
    def place(self) -> int:
        """The first token of what is tried now."""
        return self.start if self.closing is None else self.cut

    def stands(
        self, draft: Draft, *, flagged: bool, affordable: bool
    ) -> Literal["passed"] | Failed | None:
        """How what is tried now stands: passed, why it failed, or not known yet.

        Args:
            draft: the caption with it, so far.
            flagged: whether something in it is.
            affordable: whether the budget allows for more of it.
        """
        if self.closing is not None:
            evidence = draft.evidence[-1]
            known = None if evidence is None else evidence.log_prob
            return "passed" if known is not None and known >= _LIKELY else "unlikely"
        if flagged:
            return "flagged"
        if draft.ended or draft.sentences.end(self.sentence) is not None:
            return "passed"
        span = draft.tokens[self.start :]
        if self.guided and tuple(span) in self.rejected:
            return "same"
        if collapsed(span, before=len(self.original.tokens) - self.start):
            return "collapsed"
        return None if affordable else "budget"

    def seen_before(self, span: Sequence[int]) -> bool:
        """Whether a span begins as one that was rejected."""
        return any(tuple(span[: len(one)]) == one for one in self.rejected)

    def reject(self, draft: Draft, flagged: Flagged) -> None:
        """Remember how a span began that is not accepted, and what was flagged in it."""
        self.rejected.append(tuple(draft.tokens[self.start :]))
        self.avoided.update(draft.tokens[mention.first_token] for mention, _ in flagged)

    def tried(self, draft: Draft, result: str, *, end: int, passes: int) -> None:
        """Write down a try.

        Args:
            draft: the caption with it.
            result: ``passed``, or why not.
            end: the token after its last.
            passes: tokens decoded for the caption by now.
        """
        new = [mention for mention in draft.mentions if mention.first_token >= self.start]
        objects = {mention.index for mention in new if mention.object is not None}
        inside = {mention.index for mention in new}
        judged = [
            event
            for event in draft.events()
            if isinstance(event, Verdict)
            and (event.mention in objects or (event.flagged and event.mention in inside))
        ]
        self.trials.append(
            Trial(
                intervention=str(self.intervention if self.closing is None else "full stop"),
                text=draft.text[draft.offset(self.place) : draft.offset(end)].strip(),
                score=_highest(judged),
                tokens=passes - self.trial_passes,
                result=result,
            )
        )

    def settled(
        self, draft: Draft, outcome: Outcome, reason: str, *, end: int, passes: int
    ) -> Action:
        """What came of it.

        Args:
            draft: the caption now.
            outcome: kind of outcome.
            reason: why, in words.
            end: the token after the last of what stands there now.
            passes: tokens decoded for the caption by now.
        """
        gone = outcome in ("dropped", "stopped")
        start = self.cut if gone else self.start
        end = max(start, end)
        begins = self.original.offset(start)
        replaced = outcome == "replaced"
        return Action(
            row=draft.row,
            start=start,
            end=end,
            offset=begins,
            objects=tuple(mention.object or mention.lemma for mention, _ in self.flagged),
            old=self.original.text[begins:].strip(),
            new=draft.text[begins : draft.offset(end)].strip(),
            old_score=_highest(verdict for _, verdict in self.flagged),
            new_score=self.trials[-1].score if replaced else None,
            intervention=str(self.intervention) if replaced else None,
            trials=tuple(self.trials),
            extra_tokens=passes - self.passes + len(self.original.tokens) - end,
            milliseconds=1000 * (time.perf_counter() - self.began),
            outcome=outcome,
            reason=reason,
        )


def _highest(verdicts: Iterable[Verdict]) -> float | None:
    return max((one.score for one in verdicts if one.score is not None), default=None)
