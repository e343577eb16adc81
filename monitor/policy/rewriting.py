"""What a policy does about one caption, token by token: what is taken back, and why. No model.

It says what it needs: from where to decode again, what must be said, what must not be, under which
strength of Eq. 4 or of a contrast. :class:`.Redecoding` sees to it, for a whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ...detectors.evidence import Evidence
from ..decoding.forcing import Ban
from ..events import Event, Mention, Token, Verdict, Word
from .deliberation import Deliberation, Failed, Outcome, Redo, Settle
from .episode import Episode, Flagged
from .floor import floor
from .manuscript import Manuscript
from .policy import Policy
from .spans import SENTENCE_ENDS, span_start

Alert = Literal["flagged", "passed", "more", "over"] | Failed
"""Why a caption needs attention: something is ``flagged``; the span that is written again is
complete and ``passed``; it ended, and ``more`` was asked for; the sentence that it was to end with
is ``over``; or why a try failed."""


class Rewriting:
    """What was done about one caption, and what is to be done next.

    Args:
        page: the caption, empty.
        policy: what to do about flags.
        full_stop: the token that ends a sentence anywhere, if there is one.

    Attributes:
        page: the caption.
        alert: why it needs attention; ``None`` while it does not.
    """

    def __init__(self, page: Manuscript, policy: Policy, *, full_stop: int | None = None) -> None:
        self.page = page
        self.alert: Alert | None = None
        self._policy = policy
        self._full_stop = full_stop
        self._more = policy.more
        self._settled = 0  # what was written before this token is no longer acted on,
        self._kept: set[int] = set()  # nor are these sentences, by their first token
        self._last: int | None = None  # the sentence that the caption is to end with
        self._episode: Episode | None = None
        self._flagged: list[tuple[Mention, Verdict]] = []

    # --- what it needs --------------------------------------------------------------------------

    @property
    def script(self) -> list[int]:
        """All tokens that are known of the row, those that it is still to say included."""
        episode, page = self._episode, self.page
        if page.stopped or episode is None or not episode.script:
            return page.script
        return [*page.draft.tokens[: episode.place], *episode.script]

    def bans(self) -> list[Ban]:
        """What the row must not say from here on."""
        episode, page = self._episode, self.page
        if page.stopped or episode is None or episode.intervention is None:
            return page.bans
        if episode.script or not episode.intervention.avoid or not episode.avoided:
            return page.bans
        return [*page.bans, page.without(episode.avoided, episode.start)]

    def strength(self, token: int) -> float:
        """Alpha of Eq. 4 in the pass that predicts a token of this row."""
        episode = self._episode
        if episode is None or not episode.guided or episode.intervention is None:
            return 0.0
        return episode.intervention.alpha if token >= episode.start else 0.0

    def contrast(self, token: int) -> float:
        """How much the pass without the image counts for a token that is not known yet."""
        episode, draft = self._episode, self.page.draft
        if episode is None or episode.intervention is None or episode.script or draft.ended:
            return 0.0
        known = len(draft.tokens)
        return episode.intervention.contrast if token >= known >= episode.start else 0.0

    # --- a token --------------------------------------------------------------------------------

    def read(
        self,
        token: int,
        evidence: Evidence | None,
        *,
        end: Literal["eos", "length", "stopped"] | None,
    ) -> None:
        """Take in a token that was decoded for the first time; sets ``alert``."""
        page, draft = self.page, self.page.draft
        page.passes += 2 if self.contrast(len(draft.tokens)) else 1
        events = page.push(token, evidence, end=end)
        self._note_flags(events)
        if self._episode is not None:
            self.alert = self._episode.stands(
                draft,
                flagged=bool(self._flagged),
                affordable=self._affordable(self._episode.start),
            )
        elif self._flagged and self._policy.act in ("redecode", "drop", "stop"):
            self.alert = "flagged"
        else:
            self._flagged.clear()
            if any(isinstance(event, Word) for event in events):
                self._settled = max(self._settled, floor(draft, self._policy.release))
            last = len(draft.tokens) - 1
            if self._last is not None:
                over = not draft.ended and draft.sentences.end(self._last) is not None
                self.alert = "over" if over else None
            elif end == "eos" and self._more and last and draft.sentences.latest == last:
                self.alert = "more"

    def may_go_on(self, token: int) -> bool:
        """Whether more may be asked for, should the caption be about to end at a token."""
        draft = self.page.draft
        if not self._more or self._episode is not None or self._last is not None or draft.ended:
            return False
        if not token or token != len(draft.tokens):
            return False
        latest = draft.log[-1][0]
        return isinstance(latest, Token) and latest.text[-1:] in SENTENCE_ENDS

    def ends(self, token: int, evidence: Evidence) -> bool:
        """Take in an end token that is about to be picked; whether it must not be."""
        self.read(token, evidence, end="eos")
        if self.alert != "more":
            return False
        self.alert = None
        self._more -= 1
        self.page.go_on()
        return True

    def _note_flags(self, events: Sequence[Event]) -> None:
        draft = self.page.draft
        for event in events:
            if isinstance(event, Verdict) and event.flagged:
                mention = draft.mentions[event.mention]
                sentence = draft.sentences.start(mention.first_token)
                if mention.first_token >= self._settled and sentence not in self._kept:
                    self._flagged.append((mention, event))

    def _affordable(self, start: int) -> bool:
        return self.page.passes - start < self._policy.budget

    # --- what is done about it ------------------------------------------------------------------

    def attend(self, raw: Sequence[int]) -> int | None:
        """Do what the alert asks for.

        Args:
            raw: the tokens of the row in the batch, also past the caption's end.

        Returns:
            The token from which the row must be decoded again; ``None`` if it goes on from where
            it is.
        """
        alert, self.alert = self.alert, None
        flagged, self._flagged = self._flagged, []
        if alert is None:
            return None
        if alert == "more":
            self._more -= 1
            return self.page.go_on()
        if alert == "over":
            draft = self.page.draft
            self.page.stop(draft.upto(draft.sentences.latest), raw)
            return None
        if self._episode is None:
            return self._open(flagged, raw)
        if self._episode.closing is not None:
            return self._closed(self._episode, alert, self._episode.closing, raw)
        if alert == "passed":
            return self._passed(self._episode, raw)
        return self._failed(self._episode, alert, flagged, raw)

    def _open(self, flagged: Flagged, raw: Sequence[int]) -> int | None:
        draft, mention = self.page.draft, flagged[0][0]
        sentence = draft.sentences.start(mention.first_token)
        cut = max(sentence, self._settled)
        start = span_start(draft.words, mention, self._policy.back_to, sentence=cut)
        episode = self._episode = Episode(
            Deliberation(self._policy), sentence, cut, start, draft, flagged, self.page.passes
        )
        dropped = sum(action.outcome == "dropped" for action in self.page.actions)
        affordable = self._affordable(start)
        first = episode.deliberation.first(affordable=affordable, dropped=dropped)
        return self._move(episode, first, raw)

    def _passed(self, episode: Episode, raw: Sequence[int]) -> int | None:
        draft = self.page.draft
        end = draft.sentences.end(episode.sentence)
        end = len(draft.tokens) if end is None else end
        span = tuple(draft.tokens[episode.start : end])
        if episode.seen_before(span):
            return self._failed(episode, "same", (), raw)
        if episode.guided:
            # Judged without the intervention, on a cache that never saw it.
            episode.guided, episode.script = False, span
            return self.page.replace(draft.upto(episode.start), episode.start)
        back = None
        if self._last is not None:
            self.page.stop(draft.upto(end), raw)
        elif end < len(draft.tokens) and not episode.script:
            # The token that showed where the sentence ends was picked under the bans.
            back = self.page.replace(draft.upto(end), end)
        episode.tried(self.page.draft, "passed", end=end, passes=self.page.passes)
        self._settle(episode, "replaced", f"try {episode.deliberation.tried} passed", end)
        self._settled = max(self._settled, end)
        return back

    def _failed(
        self, episode: Episode, why: Failed, flagged: Flagged, raw: Sequence[int]
    ) -> int | None:
        draft = self.page.draft
        episode.tried(draft, why, end=len(draft.tokens), passes=self.page.passes)
        episode.reject(draft, flagged)
        affordable = self._affordable(episode.start)
        return self._move(episode, episode.deliberation.failed(why, affordable=affordable), raw)

    def _move(self, episode: Episode, move: Redo | Settle, raw: Sequence[int]) -> int | None:
        original = episode.original
        if isinstance(move, Redo):
            episode.intervention = move.intervention
            episode.guided = move.intervention.alpha > 0
            episode.script = ()
            episode.trial_passes = self.page.passes
            again = original.upto(episode.start, judged=not episode.guided)
            return self.page.replace(again, episode.start)
        if move.outcome in ("dropped", "stopped") and episode.cut > episode.sentence:
            return self._close(episode, move, raw)
        back: int | None = None
        match move.outcome:
            case "kept":
                back = self._restore(episode)
                end = len(original.tokens)
            case "dropped":
                end = episode.cut
                self.page.ban(episode.avoided, end)
                back = self.page.replace(original.upto(end), end)
            case _:
                end = episode.cut
                self.page.stop(original.upto(end), raw)
        self._settle(episode, move.outcome, move.reason, end)
        return back

    def _close(self, episode: Episode, move: Settle, raw: Sequence[int]) -> int | None:
        """End a sentence of which a part must stay."""
        if self._full_stop is None:
            return self._unclosed(episode, move, raw)
        episode.closing, episode.script = move, (self._full_stop,)
        episode.guided, episode.trial_passes = False, self.page.passes
        return self.page.replace(episode.original.upto(episode.cut), episode.cut)

    def _closed(
        self, episode: Episode, alert: Alert, move: Settle, raw: Sequence[int]
    ) -> int | None:
        """Whether the sentence may end as it does, and what then."""
        draft, end = self.page.draft, len(self.page.draft.tokens)
        episode.tried(draft, alert, end=end, passes=self.page.passes)
        episode.closing, episode.script = None, ()
        if alert != "passed":
            return self._unclosed(episode, move, raw)
        if move.outcome == "stopped":
            self.page.stop(draft, raw)
        else:
            self.page.ban(episode.avoided, end)
            self._settled = max(self._settled, end)
        self._settle(episode, move.outcome, move.reason, end)
        return None

    def _unclosed(self, episode: Episode, move: Settle, raw: Sequence[int]) -> int | None:
        if move.outcome == "stopped":
            self._last = episode.sentence
        affordable = self._affordable(episode.start)
        return self._move(episode, episode.deliberation.unclosed(affordable=affordable), raw)

    def _restore(self, episode: Episode) -> int | None:
        """Put the original back; its sentence is not acted on again."""
        self._kept.add(episode.sentence)
        if self.page.draft is episode.original:
            return None
        self.page.passes += len(episode.original.tokens) - episode.start
        return self.page.replace(episode.original, episode.start)

    def _settle(self, episode: Episode, outcome: Outcome, reason: str, end: int) -> None:
        page = self.page
        action = episode.settled(page.draft, outcome, reason, end=end, passes=page.passes)
        self._episode = None
        page.add(action)

    # --- what can go wrong ----------------------------------------------------------------------

    def dead_end(self, position: int, raw: Sequence[int]) -> bool:
        """Bans left no token: the try failed, or the caption ends. False if none was banned."""
        if self._episode is not None:
            self.alert = "dead end"
            return True
        page, draft = self.page, self.page.draft
        if not page.banned(position):
            return False
        page.stop(draft.upto(max(draft.sentences.latest, self._settled)), raw)
        return True

    def give_back(self, reason: str) -> int | None:
        """Put the original back after an error; the token to decode again from, or ``None``."""
        episode, draft = self._episode, self.page.draft
        if episode is None:
            return None
        self.alert = None
        self._flagged.clear()
        episode.tried(draft, "error", end=len(draft.tokens), passes=self.page.passes)
        self._restore(episode)
        self._settle(episode, "kept", reason, len(episode.original.tokens))
        return episode.start

    # --- what a reader sees ---------------------------------------------------------------------

    def show(self) -> None:
        """Send on what may be seen by now; of a span that is decided about, nothing new."""
        if self._episode is None:
            self.page.show(self._settled, settled=self.alert is None)
