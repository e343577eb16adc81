"""One image, written about in several ways, each timed and held against the truth."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BatchFeature

from ...monitor.attention.intervention import HeadGuided
from ...monitor.attention.tap import AttentionTap
from ...monitor.decoding.options import DecodingOptions
from ...monitor.models.images import MAX_PIXELS, open_image
from ...monitor.models.prompts import DEFAULT_PROMPT
from ...monitor.report import Report
from ...monitor.session import Monitor
from ..objects.labelling import label
from .gates import ChanceCalibration
from .outcome import Outcome
from .sentences import sentence_starts, sentence_texts
from .ways import Acting, DropAfterwards, FirstSentences, Guided, Plain, RandomGate, Watched, Way


@dataclass(frozen=True, slots=True)
class Subject:
    """An image with known objects.

    Attributes:
        image: its id.
        path: its file.
        truth: canonical names of the objects in it, sorted.
    """

    image: str
    path: Path
    truth: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the model is asked for: the same in all ways.

    Attributes:
        prompt: the question.
        max_new_tokens: where captions are cut.
        max_pixels: the largest image that is opened.
    """

    prompt: str = DEFAULT_PROMPT
    max_new_tokens: int = 512
    max_pixels: int = MAX_PIXELS


@dataclass(slots=True)
class _Measured:
    """What came of one call: a caption and what it took."""

    text: str
    tokens: int
    ended: bool
    report: Report | None = None
    passes: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Passes:
    count: int = field(default=0)


class Writer:
    """Writes about images, one at a time, with one model.

    Args:
        monitor: with a calibration, where a way needs flags.
        asked: of the model.
        chances: of each random gate, by the name of its way.
    """

    def __init__(
        self, monitor: Monitor, asked: Asked, chances: Mapping[str, float] | None = None
    ) -> None:
        self._monitor = monitor
        self._asked = asked
        self._chances = dict(chances or {})
        self._gates: dict[str, tuple[Monitor, ChanceCalibration]] = {}
        self._warm = False

    def write(self, subject: Subject, ways: Sequence[Way], *, turn: int = 0) -> list[Outcome]:
        """Write about an image in all ways, one right after the other.

        Args:
            subject: the image.
            ways: what is only cut from the greedy caption is computed and not decoded.
            turn: which way is the first, counted around.

        Raises:
            ImageError: the image cannot be read.
        """
        opened = open_image(subject.path, max_pixels=self._asked.max_pixels)
        inputs = self._monitor.prepare([opened.image], self._asked.prompt)
        if not self._warm:
            # What is made once, such as a mask or a thread pool, is not the first way's to pay.
            self._watched(inputs)
            self._warm = True
        decoded = [way for way in ways if not isinstance(way, (FirstSentences, DropAfterwards))]
        if not any(isinstance(way, Watched) for way in decoded) and len(decoded) < len(ways):
            decoded.append(Watched(name="\0watched"))  # what is cut is cut from it
        measured: dict[str, _Measured] = {}
        source: _Measured | None = None
        start = turn % max(len(decoded), 1)
        for way in (*decoded[start:], *decoded[:start]):
            measured[way.name] = found = self._timed(way, inputs, subject)
            if isinstance(way, Watched):
                source = found
        for way in ways:
            if isinstance(way, (FirstSentences, DropAfterwards)):
                assert source is not None
                measured[way.name] = self._cut(way, source)
        return [self._outcome(way, subject, measured[way.name]) for way in ways]

    # --- with the model -------------------------------------------------------------------------

    def _timed(self, way: Way, inputs: BatchFeature, subject: Subject) -> _Measured:
        with _counted(self._monitor.anatomy.decoder) as passes:
            began = time.perf_counter()
            found = self._decoded(way, inputs, subject)
            found.seconds = time.perf_counter() - began
        found.passes = passes.count
        return found

    def _decoded(self, way: Way, inputs: BatchFeature, subject: Subject) -> _Measured:
        match way:
            case Plain():
                return self._plain(inputs)
            case Watched():
                return self._watched(inputs)
            case Guided():
                return self._guided(way, inputs)
            case Acting():
                return self._acting(self._monitor, way.policy, inputs)
            case RandomGate():
                monitor, gate = self._gate(way)
                gate.image = subject.image
                return self._acting(monitor, replace(way.policy, threshold=None), inputs)
            case _:
                raise TypeError(f"Nobody knows how to write in the way of a {type(way).__name__}.")

    @property
    def _options(self) -> dict[str, Any]:
        return {"do_sample": False, "max_new_tokens": self._asked.max_new_tokens}

    def _generate(self, inputs: BatchFeature) -> Tensor:
        model: Any = self._monitor.model  # a PreTrainedModel that generates has no type of its own
        with torch.inference_mode():
            written: Tensor = model.generate(**inputs, **self._options)
        return written

    def _plain(self, inputs: BatchFeature) -> _Measured:
        prompt = inputs["input_ids"].shape[1]
        tokens = self._generate(inputs)[0, prompt:].tolist()
        known = DecodingOptions.of(self._monitor.model, self._options, prompt_length=prompt)
        text = self._monitor.tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return _Measured(str(text), len(tokens), bool(tokens) and tokens[-1] in known.eos)

    def _guided(self, way: Guided, inputs: BatchFeature) -> _Measured:
        anatomy = self._monitor.anatomy
        first, last = (anatomy.layers[0], anatomy.layers[-1]) if way.layers is None else way.layers
        layers = anatomy.known_layers(layer for layer in anatomy.layers if first <= layer <= last)
        tap = AttentionTap(
            anatomy,
            anatomy.image_positions(inputs["input_ids"]),
            prompt_mask=inputs.get("attention_mask"),
            layers=layers[:1],
            intervention=HeadGuided(way.alpha, layers),
        )
        with tap:
            return self._plain(inputs)

    def _watched(self, inputs: BatchFeature) -> _Measured:
        with torch.inference_mode():
            captions = self._monitor.generate(**inputs, **self._options)
        return _reported(captions.reports[0])

    def _acting(self, monitor: Monitor, policy: Any, inputs: BatchFeature) -> _Measured:
        with torch.inference_mode():
            captions = monitor.generate(**inputs, **self._options, policy=policy)
        return _reported(captions.reports[0])

    def _gate(self, way: RandomGate) -> tuple[Monitor, ChanceCalibration]:
        if way.name not in self._gates:
            own = self._monitor
            assert own.calibration is not None
            gate = ChanceCalibration(own.calibration, self._chances[way.name], seed=way.seed)
            monitor = Monitor(
                own.model,
                own.processor,
                calibration=gate,
                layers=own.layers,
                lexicon=own.lexicon,
                spacy_pipeline=own.spacy_pipeline,
                anatomy=own.anatomy,
                name=own.name,
            )
            self._gates[way.name] = monitor, gate
        return self._gates[way.name]

    # --- without --------------------------------------------------------------------------------

    def _cut(self, way: FirstSentences | DropAfterwards, source: _Measured) -> _Measured:
        """What is left of the greedy caption; its report goes with it for the flags."""
        assert source.report is not None
        report, texts = source.report, sentence_texts(source.text)
        if isinstance(way, FirstSentences):
            text = "".join(texts[: way.count])
            if len(texts) <= way.count:
                return replace(source)
            tokens = sum(token.start < len(text.rstrip()) for token in report.tokens)
            # Whoever wants so many sentences stops there, one token later, and pays for no more.
            share = (tokens + 1) / source.tokens
            return _Measured(
                text.rstrip(), tokens + 1, True, None, tokens + 1, source.seconds * share
            )
        starts = sentence_starts(source.text)
        bad = {
            sum(start <= mention.start for start in starts) - 1
            for mention in flagged(report, way.threshold)
        }
        if not bad:
            return replace(source)
        ends = (*starts[1:], len(source.text))
        kept = [
            (start, end)
            for number, (start, end) in enumerate(zip(starts, ends, strict=True))
            if number not in bad
        ]
        tokens = sum(any(a <= token.start < b for a, b in kept) for token in report.tokens)
        return _Measured(
            "".join(source.text[a:b] for a, b in kept).rstrip(),
            tokens + 1,
            source.ended,
            report,
            source.passes,
            source.seconds,
        )

    def _outcome(self, way: Way, subject: Subject, found: _Measured) -> Outcome:
        held = label(found.text, frozenset(subject.truth), self._monitor.lexicon)
        flags, actions = 0, Counter[str]()
        if isinstance(way, DropAfterwards):
            assert found.report is not None
            flags = len(flagged(found.report, way.threshold))
            left = len(sentence_starts(found.text))
            dropped = len(sentence_starts(found.report.text)) - left
            actions = Counter({"dropped": dropped} if dropped else {})
        elif found.report is not None and not isinstance(way, FirstSentences):
            report = found.report
            actions = Counter(action.outcome for action in report.actions)
            flags = sum(mention.flagged for mention in report.mentions)
            flags += sum(len(one.objects) for one in report.actions if one.outcome != "kept")
        return Outcome(
            way=way.name,
            image=subject.image,
            text=found.text,
            mentions=held.mentions,
            truth=subject.truth,
            words=held.words,
            tokens=found.tokens,
            passes=found.passes,
            seconds=found.seconds,
            ended=found.ended,
            flagged=flags,
            actions=dict(sorted(actions.items())),
        )


def flagged(report: Report, threshold: float | None) -> list[Any]:
    """The mentions that a threshold flags; without one, those that the calibration flagged."""
    if threshold is None:
        return [mention for mention in report.mentions if mention.flagged]
    return [
        mention
        for mention in report.mentions
        # A calibration on objects says nothing of other nouns.
        if mention.object is not None
        and mention.visible
        and mention.score is not None
        and mention.score >= threshold
    ]


def _reported(report: Report) -> _Measured:
    ended = report.finish in ("eos", "stopped")
    return _Measured(report.text, len(report.tokens), ended, report)


@contextmanager
def _counted(decoder: nn.Module) -> Iterator[_Passes]:
    """Count the forward passes of a decoder."""
    passes = _Passes()

    def count(_module: nn.Module, _inputs: Any) -> None:
        passes.count += 1

    handle = decoder.register_forward_pre_hook(count)
    try:
        yield passes
    finally:
        handle.remove()
