"""A generation under a policy: what is flagged is taken back and written again, or left out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedModel

from .attention import AttentionTap
from .deliberation import Deliberation, Failed, Outcome, Redo, Settle, collapsed
from .draft import Draft, MakeCaption
from .errors import NonFiniteError, OptionError, WatchError
from .events import Action, Event, Mention, Trial, Verdict
from .forcing import Ban, DeadEndError
from .lens import Lens
from .measurement import PendingStep, StepMeter
from .options import DecodingOptions
from .policy import Intervention, Policy
from .release import Release, Show
from .report import Header, Report, ReportBuilder
from .resumable import ResumableGeneration, Step
from .spans import span_start
from .watch import CancelledError

_FOREVER: Final = 2**62


@dataclass(slots=True)
class _Episode:
    """A flagged span on its way to an outcome.

    Attributes:
        sentence: the first token of the flagged sentence.
        start: the first token that is written again.
        original: the caption as it was when it was flagged.
        objects: what was flagged in it.
        old_score: its highest score.
        avoided: tokens that tries are to avoid.
        rejected: how spans began that were not accepted.
        script: while a span that was written under an intervention is judged without it: its
            tokens.
    """

    deliberation: Deliberation
    sentence: int
    start: int
    original: Draft
    objects: tuple[str, ...]
    old_score: float | None
    began: float
    passes: int  # of the row when it was flagged
    avoided: set[int] = field(default_factory=set)
    rejected: list[tuple[int, ...]] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    intervention: Intervention | None = None
    guided: bool = False  # the intervention is on
    script: tuple[int, ...] = ()
    trial_passes: int = 0

    def seen_before(self, span: Sequence[int]) -> bool:
        return any(tuple(span[: len(one)]) == one for one in self.rejected)


_Alert = Literal["flagged", "passed", "more"] | Failed


@dataclass(slots=True)
class _Row:
    """A caption, what was done about it and what is to be done next."""

    draft: Draft
    more: int
    settled: int = 0  # sentences that begin before this token are no longer acted on
    kept: set[int] = field(default_factory=set)  # nor are these sentences, by their first token
    passes: int = 0  # tokens decoded for this row
    bans: list[Ban] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    episode: _Episode | None = None
    alert: _Alert | None = None
    flagged: list[tuple[Mention, Verdict]] = field(default_factory=list)
    scripted: list[int] | None = None  # all raw tokens of a row that was stopped
    natural: tuple[int, int, Any] | None = None  # where the model would have ended: token, evidence
    seconds: float | None = None
    release: Release | None = None


class Redecoding:
    """A context manager around one generation under a policy. Made by ``Monitor``.

    While nothing is flagged it is one call of ``generate`` with the tokens of plain ``generate``.
    What is flagged is settled as the policy says. In a batch only the flagged rows change: the
    others are decoded again with the tokens they had, bit for bit. A row that is stopped is
    written on behind the scenes until the others end, and cut in what is returned.

    What is raised while a span is decoded again gives the original back, flagged, with the error
    as the action's reason, and the caption goes on; an interrupt does the same and is raised on.

    Args:
        model: the model that decodes.
        tap: not open yet; with an intervention in it, at strength 0, if the policy has one.
        inputs: the processor's tensors.
        options: the other arguments of ``generate``.
        policy: what to do about flags.
        headers: one per prompt.
        caption: makes captions.
        lens: not open yet, if the calibration reads it.
        on_nonfinite: ``raise``, or ``record``.
        on_event: called with every event.
        show: whether events come at once or when nothing of them will be taken back.

    Raises:
        OptionError: options under which nothing could be taken back; before anything is decoded.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        tap: AttentionTap,
        inputs: Mapping[str, Any],
        options: Mapping[str, Any],
        known: DecodingOptions,
        policy: Policy,
        headers: Sequence[Header],
        caption: MakeCaption,
        lens: Lens | None = None,
        on_nonfinite: Literal["raise", "record"] = "raise",
        on_event: Callable[[Event], None] | None = None,
        show: Show = "hold",
    ) -> None:
        self.options = known
        self._processor = _Reader(self._on_scores)
        mine = [*(options.get("logits_processor") or ()), self._processor]
        self._generation = ResumableGeneration(model, inputs, {**options, "logits_processor": mine})
        if not known.eos and (policy.act != "redecode" or policy.otherwise != "keep"):
            raise OptionError(
                "A policy that ends captions needs a token that ends them, eos_token_id is None. "
                "Give one, or use Policy(act='redecode', otherwise='keep')."
            )
        self._model = model
        self._tap = tap
        self._lens = lens
        self._meter = StepMeter(model, tap, lens)
        self._policy = policy
        self._headers = tuple(headers)
        self._on_nonfinite = on_nonfinite
        rows = len(self._generation.sequences)
        self._rows = [_Row(Draft(row, caption), policy.more) for row in range(rows)]
        if on_event is not None:
            for index, row in enumerate(self._rows):
                row.release = Release(index, show, on_event)
        self._eos = min(known.eos, default=0)
        self._alpha: list[float] = []
        self._pending: PendingStep | None = None
        self._stack = ExitStack()
        self._cancelled = threading.Event()
        self._began = 0.0
        self._first_token: float | None = None
        self._cuts: list[int] = []

    # --- the block ------------------------------------------------------------------------------

    def __enter__(self) -> Redecoding:
        with ExitStack() as stack:
            stack.enter_context(self._tap)
            if self._lens is not None:
                stack.enter_context(self._lens)
            self._stack = stack.pop_all()
        self._meter.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._meter.__exit__(kind, error, trace)
        self._stack.close()

    def cancel(self) -> None:
        """Make the generation stop at its next step with ``CancelledError``; from any thread."""
        self._cancelled.set()

    # --- what came of it ------------------------------------------------------------------------

    @property
    def reports(self) -> tuple[Report, ...]:
        """One report per caption; those of unfinished captions say ``interrupted``."""
        return tuple(map(self._report, range(len(self._rows))))

    def header(self, row: int) -> Header:
        """What the report of a caption says before its first event."""
        return self._headers[row * len(self._headers) // max(len(self._rows), 1)]

    @property
    def texts(self) -> tuple[str, ...]:
        """The captions so far."""
        return tuple(row.draft.text for row in self._rows)

    def _report(self, index: int) -> Report:
        row = self._rows[index]
        builder = ReportBuilder(self.header(index), row=index)
        for event in (*row.draft.events(), *row.actions):
            builder.add(event)
        return builder.report(first_token=self._first_token, total=row.seconds)

    @property
    def output(self) -> Any:
        """What ``generate`` would have returned, cut where captions were stopped.

        Scores and the like of a stopped row describe what was written behind the scenes.
        """
        output: Any = self._generation.output
        if not any(row.scripted is not None for row in self._rows):
            return output
        prompt = self._generation.sequences[:, : self._generation.prompt_length]
        if isinstance(output, Tensor):
            return self._cut_sequences(prompt, fewest=0)
        fewest = self._generation.length - self._generation.prompt_length
        output.sequences = self._cut_sequences(prompt, fewest=fewest)
        return output

    def _cut_sequences(self, prompt: Tensor, *, fewest: int) -> Tensor:
        written = []
        for row in self._rows:
            tokens = row.draft.tokens
            stopped = row.scripted is not None and (
                not tokens or tokens[-1] not in self.options.eos
            )
            written.append([*tokens, self._eos] if stopped else tokens)
        longest = max(fewest, *map(len, written))
        pad = self._eos if self.options.pad is None else self.options.pad
        filled = [[*tokens, *[pad] * (longest - len(tokens))] for tokens in written]
        return torch.cat([prompt, torch.tensor(filled, device=prompt.device)], dim=1)

    # --- the loop -------------------------------------------------------------------------------

    def run(self) -> Any:
        """Decode all captions, and return what ``generate`` would have returned."""
        self._began = time.perf_counter()
        force: Tensor | None = None
        while True:
            self._cuts = []
            try:
                self._generation.advance(
                    self._on_step,
                    force=force,
                    bans=self._bans(),
                    before_pass=self._guide,
                )
            except CancelledError:
                raise
            except DeadEndError as error:
                self._dead_end(error)
            except Exception as error:
                if not self._give_back(error):
                    raise
            except BaseException as error:
                self._give_back(error)
                raise
            for row in self._rows:
                self._attend(row)
            self._show()
            if not self._cuts and all(row.draft.ended for row in self._rows):
                return self.output
            force = self._rewind()

    def _on_scores(self) -> None:
        if self._cancelled.is_set():
            raise CancelledError("Generation was cancelled by its consumer.")
        self._pending = self._meter.measure()

    def _on_step(self, step: Step) -> bool:
        """Read what a step added; True where a row needs attention."""
        if self._pending is None:
            raise WatchError("A token came without a forward pass of the watched model.")
        pending, self._pending = self._pending, None
        index = step.position - self._generation.prompt_length
        fresh = [
            (place, row)
            for place, row in enumerate(self._rows)
            if not row.draft.ended and index >= len(row.draft.tokens)
        ]
        if not fresh:
            return False
        ids = step.tokens.cpu()
        measured = self._meter.collect(pending, ids)
        if self._first_token is None:
            self._first_token = time.perf_counter() - self._began
        tokens, ended = ids.tolist(), step.ended.tolist()
        for place, row in fresh:
            if not measured.finite(place) and self._on_nonfinite == "raise":
                raise NonFiniteError(row=place, step=index)
            token = tokens[place]
            end: Literal["eos", "length", "stopped"] | None = None
            if ended[place]:
                limit = self.options.limit
                cut = limit is not None and index + 1 >= limit
                end = "eos" if token in self.options.eos else "length" if cut else "stopped"
            self._read(row, token, measured.evidence(place), end)
        self._show()
        return any(row.alert is not None for row in self._rows)

    def _read(
        self,
        row: _Row,
        token: int,
        evidence: Any,
        end: Literal["eos", "length", "stopped"] | None,
    ) -> None:
        draft, episode = row.draft, row.episode
        for event in draft.push(token, evidence, end=end):
            if isinstance(event, Verdict) and event.flagged:
                mention = self._mention(draft, event.mention)
                sentence = draft.sentences.start(mention.first_token)
                if sentence >= row.settled and sentence not in row.kept:
                    row.flagged.append((mention, event))
        row.passes += 1
        if end is not None:
            row.seconds = time.perf_counter() - self._began
        if episode is None:
            if row.flagged and self._policy.act in ("redecode", "drop", "stop"):
                row.alert = "flagged"
            else:
                row.flagged.clear()
                row.settled = max(row.settled, draft.sentences.latest)
                last = len(draft.tokens) - 1
                if end == "eos" and row.more and last and draft.sentences.latest == last:
                    row.alert = "more"
            return
        span = draft.tokens[episode.start :]
        if row.flagged:
            row.alert = "flagged"
        elif draft.ended or draft.sentences.end(episode.sentence) is not None:
            row.alert = "passed"
        elif episode.guided and tuple(span) in episode.rejected:
            row.alert = "same"
        elif collapsed(span, before=len(episode.original.tokens) - episode.start):
            row.alert = "collapsed"
        elif not self._affordable(row, episode.start):
            row.alert = "budget"

    @staticmethod
    def _mention(draft: Draft, index: int) -> Mention:
        return next(mention for mention in draft.mentions() if mention.index == index)

    # --- what is done about it ------------------------------------------------------------------

    def _attend(self, row: _Row) -> None:
        alert, row.alert = row.alert, None
        flagged, row.flagged = row.flagged, []
        if alert is None:
            return
        if alert == "more":
            self._go_on(row)
        elif row.episode is None:
            self._open(row, flagged)
        elif alert == "passed":
            self._passed(row, row.episode)
        else:
            self._failed(row, row.episode, alert, flagged)

    def _go_on(self, row: _Row) -> None:
        """Ask for one more sentence in place of the end."""
        row.more -= 1
        end = len(row.draft.tokens) - 1
        row.natural = (end, row.draft.tokens[-1], row.draft.evidence[-1])
        place = self._generation.prompt_length + end
        row.bans.append(Ban(row.draft.row, self.options.eos, place, place + 1))
        self._cut(row, row.draft.upto(end), end)

    def _open(self, row: _Row, flagged: Sequence[tuple[Mention, Verdict]]) -> None:
        draft, mention = row.draft, flagged[0][0]
        sentence = draft.sentences.start(mention.first_token)
        start = span_start(draft.words(), mention, self._policy.back_to, sentence=sentence)
        episode = row.episode = _Episode(
            deliberation=Deliberation(self._policy),
            sentence=sentence,
            start=start,
            original=draft,
            objects=tuple(m.object or m.lemma for m, _ in flagged),
            old_score=_highest(verdict for _, verdict in flagged),
            began=time.perf_counter(),
            passes=row.passes,
        )
        self._reject(episode, draft, flagged)
        self._move(
            row, episode, episode.deliberation.first(affordable=self._affordable(row, start))
        )

    def _passed(self, row: _Row, episode: _Episode) -> None:
        draft = row.draft
        end = draft.sentences.end(episode.sentence)
        end = len(draft.tokens) if end is None else end
        span = tuple(draft.tokens[episode.start : end])
        if episode.seen_before(span):
            self._failed(row, episode, "same", ())
        elif episode.guided:
            # Judged without the intervention, on a cache that never saw it.
            episode.guided, episode.script = False, span
            self._cut(row, draft.upto(episode.start), episode.start)
        else:
            if end < len(draft.tokens) and not episode.script:
                # The token that showed where the sentence ends was picked under the bans.
                self._cut(row, draft.upto(end), end)
            self._tried(row, episode, "passed", end=end)
            self._settle(row, episode, "replaced", f"try {episode.deliberation.tried} passed", end)

    def _failed(
        self,
        row: _Row,
        episode: _Episode,
        why: Failed,
        flagged: Sequence[tuple[Mention, Verdict]],
    ) -> None:
        self._tried(row, episode, why)
        self._reject(episode, row.draft, flagged)
        affordable = self._affordable(row, episode.start)
        self._move(row, episode, episode.deliberation.failed(why, affordable=affordable))

    def _move(self, row: _Row, episode: _Episode, move: Redo | Settle) -> None:
        original = episode.original
        if isinstance(move, Redo):
            episode.intervention = move.intervention
            episode.guided = move.intervention.alpha > 0
            episode.script = ()
            episode.trial_passes = row.passes
            again = original.upto(episode.start, judged=not episode.guided)
            self._cut(row, again, episode.start)
            return
        match move.outcome:
            case "kept":
                if row.draft is not original:
                    row.passes += len(original.tokens) - episode.start
                    self._cut(row, original, episode.start)
                row.kept.add(episode.sentence)
                end = len(original.tokens)
            case "dropped":
                end = episode.sentence
                place = self._generation.prompt_length + end
                row.bans.append(Ban(original.row, frozenset(episode.avoided), place, _FOREVER))
                self._cut(row, original.upto(end), end)
            case _:
                end = episode.sentence
                self._stop(row, original.upto(end))
        self._settle(row, episode, move.outcome, move.reason, end)

    def _stop(self, row: _Row, draft: Draft) -> None:
        """End a caption; its row goes on behind the scenes, where it costs nothing."""
        raw = self._generation.sequences[draft.row, self._generation.prompt_length :].tolist()
        if row.draft.ended:
            raw = raw[: len(row.draft.tokens)]
        else:
            raw.append(self._eos)
        row.scripted = raw
        self._retract(row, draft, len(draft.tokens))
        if row.natural is not None and row.natural[0] == len(draft.tokens):
            draft.push(row.natural[1], row.natural[2], end="eos")
        else:
            draft.finish("stopped")
        row.draft = draft
        row.seconds = time.perf_counter() - self._began

    def _settle(
        self, row: _Row, episode: _Episode, outcome: Outcome, reason: str, end: int
    ) -> None:
        draft, original = row.draft, episode.original
        begins = original.offset(episode.start if outcome == "replaced" else episode.sentence)
        if outcome == "kept":
            begins = original.offset(episode.start)
        start = episode.sentence if outcome in ("dropped", "stopped") else episode.start
        new = draft.text[begins : draft.offset(end)] if outcome in ("replaced", "kept") else ""
        replaced = outcome == "replaced"
        action = Action(
            row=draft.row,
            start=start,
            end=max(start, end),
            offset=begins,
            objects=episode.objects,
            old=original.text[begins:].strip(),
            new=new.strip(),
            old_score=episode.old_score,
            new_score=episode.trials[-1].score if replaced else None,
            intervention=str(episode.intervention) if replaced else None,
            trials=tuple(episode.trials),
            extra_tokens=row.passes - episode.passes + len(original.tokens) - max(start, end),
            milliseconds=1000 * (time.perf_counter() - episode.began),
            outcome=outcome,
            reason=reason,
        )
        row.actions.append(action)
        row.episode = None
        if replaced:
            row.settled = max(row.settled, end)
        if row.release is not None:
            row.release.action(action)

    def _reject(
        self, episode: _Episode, draft: Draft, flagged: Sequence[tuple[Mention, Verdict]]
    ) -> None:
        episode.rejected.append(tuple(draft.tokens[episode.start :]))
        episode.avoided.update(draft.tokens[mention.first_token] for mention, _ in flagged)

    def _tried(self, row: _Row, episode: _Episode, result: str, *, end: int | None = None) -> None:
        draft = row.draft
        end = len(draft.tokens) if end is None else end
        inside = {mention.index for mention in draft.mentions(episode.start)}
        verdicts = [
            event
            for event in draft.events()
            if isinstance(event, Verdict) and event.mention in inside
        ]
        named = {mention.index for mention in draft.mentions() if mention.object is not None}
        judged = [verdict for verdict in verdicts if verdict.flagged or verdict.mention in named]
        episode.trials.append(
            Trial(
                intervention=str(episode.intervention),
                text=draft.text[draft.offset(episode.start) : draft.offset(end)].strip(),
                score=_highest(judged),
                tokens=row.passes - episode.trial_passes,
                result=result,
            )
        )

    def _affordable(self, row: _Row, start: int) -> bool:
        return row.passes - start < self._policy.budget

    # --- back and forth -------------------------------------------------------------------------

    def _cut(self, row: _Row, draft: Draft, tokens: int) -> None:
        """Go on with another draft of the row, decoded anew from ``tokens`` on."""
        self._retract(row, draft, tokens)
        row.draft = draft
        self._cuts.append(tokens)
        if not draft.ended:
            row.seconds = None

    def _rewind(self) -> Tensor | None:
        """Take the generation back as far as any row needs it; what is known already is forced."""
        generation, prompt = self._generation, self._generation.prompt_length
        back = min([generation.length, *(prompt + tokens for tokens in self._cuts)])
        generation.rollback(back)
        scripts = [self._script(row)[back - prompt :] for row in self._rows]
        longest = max(map(len, scripts))
        if not longest:
            return None
        filled = [[*script, *[-1] * (longest - len(script))] for script in scripts]
        return torch.tensor(filled, dtype=torch.int64, device=generation.sequences.device)

    @staticmethod
    def _script(row: _Row) -> list[int]:
        """What is known of all the tokens that a row will have."""
        if row.scripted is not None:
            return row.scripted
        if row.episode is not None and row.episode.script:
            return [*row.draft.tokens[: row.episode.start], *row.episode.script]
        return row.draft.tokens

    def _bans(self) -> list[Ban]:
        bans = []
        for index, row in enumerate(self._rows):
            if row.scripted is not None:
                continue
            bans += row.bans
            episode = row.episode
            if episode is None or episode.script or episode.intervention is None:
                continue
            if episode.intervention.avoid and episode.avoided:
                start = self._generation.prompt_length + episode.start
                bans.append(Ban(index, frozenset(episode.avoided), start, _FOREVER))
        return bans

    def _guide(self, ids: Tensor) -> None:
        """Set the strength of Eq. 4 for the pass that predicts the next token of each row."""
        guide = self._tap.intervention
        if guide is None:
            return
        place = ids.shape[1] - self._generation.prompt_length
        alpha = [_strength(row.episode, place) for row in self._rows]
        if alpha != self._alpha:
            guide.alpha = torch.tensor(alpha) if any(alpha) else 0.0
            self._alpha = alpha

    # --- what a reader sees ---------------------------------------------------------------------

    def _show(self) -> None:
        """Send on what may be seen by now; of a span that is decided about, nothing new."""
        for row in self._rows:
            release, draft = row.release, row.draft
            if release is None or row.episode is not None:
                continue
            whole = release.show == "live" or (draft.ended and row.alert is None)
            release.upto(draft, len(draft.tokens) if whole else row.settled)

    @staticmethod
    def _retract(row: _Row, draft: Draft, tokens: int) -> None:
        if row.release is not None:
            row.release.retract(draft, tokens)

    # --- what can go wrong ----------------------------------------------------------------------

    def _dead_end(self, error: DeadEndError) -> None:
        """Bans left a row without any token: its try failed, or its caption ends there."""
        self._fresh_meter()
        row = self._rows[error.row]
        if row.episode is not None:
            row.alert = "dead end"
            return
        if not any(ban.start <= error.position < ban.stop for ban in row.bans):
            raise error
        row.bans.clear()
        self._stop(row, row.draft.upto(row.draft.sentences.latest))

    def _give_back(self, error: BaseException) -> bool:
        """Put the originals of all spans that are being decoded again back; whether there are."""
        found = False
        self._fresh_meter()
        for row in self._rows:
            episode = row.episode
            row.alert, row.flagged = None, []
            if episode is None:
                continue
            found = True
            row.flagged = []
            self._tried(row, episode, "error")
            original = episode.original
            row.passes += len(original.tokens) - episode.start
            self._cut(row, original, episode.start)
            row.kept.add(episode.sentence)
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            self._settle(row, episode, "kept", reason, len(original.tokens))
        return found

    def _fresh_meter(self) -> None:
        """A pass that broke off leaves half a measurement behind."""
        self._meter.__exit__(None, None, None)
        self._meter = StepMeter(self._model, self._tap, self._lens)
        self._meter.__enter__()
        self._pending = None


class _Reader(LogitsProcessor):
    """Lets the owner read each step; the scores go on as they are."""

    def __init__(self, read: Callable[[], None]) -> None:
        self._read = read

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        self._read()
        return scores


def _strength(episode: _Episode | None, place: int) -> float:
    if episode is None or not episode.guided or episode.intervention is None:
        return 0.0
    return episode.intervention.alpha if place >= episode.start else 0.0


def _highest(verdicts: Any) -> float | None:
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    return max(scores, default=None)
