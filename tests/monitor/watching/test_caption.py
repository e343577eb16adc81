"""Verdicts come when their evidence is there, on the mentions that may be judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal

import numpy as np
import pytest
from sightline.detectors.calibrated import CalibratedDetector
from sightline.detectors.evidence import Evidence
from sightline.detectors.mentions import MentionEvidence, Timing
from sightline.detectors.svar import LayerRange
from sightline.detectors.verdict import Judgement, Scope
from sightline.monitor.events import Event, Mention, Token, Verdict
from sightline.monitor.language.lexicon import Lexicon
from sightline.monitor.language.nouns import NounSpotter
from sightline.monitor.language.words import Detokenizer, WordSplitter
from sightline.monitor.watching.caption import Caption
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ..judges import judging

TEXT = " a dog sees the cat in the scene by a pebble"


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """One token for each word of the text, and none for anything else."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        [TEXT] * 9,
        trainers.BpeTrainer(
            vocab_size=400,
            min_frequency=1,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def evidence(index: int) -> Evidence:
    """Evidence that can be told from that of every other token."""
    masses = np.random.default_rng(index).dirichlet(np.ones(4), (6, 4)).astype(np.float32)
    return Evidence(tuple(range(6)), masses, -float(index), 1.0, 0.5)


class Recorder:
    """Judges as another calibration does, and keeps what it was asked."""

    def __init__(self, calibration: CalibratedDetector, timing: Timing) -> None:
        self.asked: list[MentionEvidence] = []
        self.timing = timing
        self._calibration = calibration

    def __getattr__(self, name: str) -> Any:
        return getattr(self._calibration, name)

    def judge(self, mentions: Sequence[MentionEvidence]) -> Sequence[Judgement]:
        """Remember, and pass on."""
        self.asked.extend(mentions)
        return self._calibration.judge(mentions)


def events(
    calibration: Any, *, text: str = TEXT, known: bool = True, together: bool = False
) -> list[Event]:
    """The events of the text, its last token ending it."""
    caption = Caption(
        row=0,
        stream=Detokenizer(tokenizer()).stream(0),
        words=WordSplitter(0),
        nouns=NounSpotter(Lexicon.load("coco"), row=0),
        layers=LayerRange(1, 3, "user"),
        calibration=calibration,
        together=together,
    )
    ids = tokenizer().encode(text)
    found: list[Event] = []
    for index, token in enumerate(ids):
        end: Literal["eos"] | None = "eos" if index == len(ids) - 1 else None
        found += caption.push(token, evidence(index) if known else None, end=end)
    return found


@pytest.mark.parametrize("timing", ["predicting", "naming"])
def test_every_confirmed_mention_gets_one_verdict(timing: Timing) -> None:
    """In the order of the mentions, each after its own, whichever row the detector reads."""
    judge = Recorder(judging(), timing)
    stream = events(judge)
    mentions = [e for e in stream if isinstance(e, Mention) and not e.provisional]
    verdicts = [e for e in stream if isinstance(e, Verdict)]
    assert [m.word for m in mentions] == ["dog", "cat", "scene", "pebble"]
    assert [v.mention for v in verdicts] == [m.index for m in mentions]
    for mention, verdict in zip(mentions, verdicts, strict=True):
        assert stream.index(mention) < stream.index(verdict)


@pytest.mark.parametrize("timing", ["predicting", "naming"])
def test_what_cannot_be_flagged_may_wait_for_what_can(timing: Timing) -> None:
    """Judged in one go with the next object, or at the end; the verdicts are the same."""
    calls: list[int] = []

    class Counting(Recorder):
        def judge(self, mentions: Sequence[MentionEvidence]) -> Sequence[Judgement]:
            calls.append(len(mentions))
            return super().judge(mentions)

    def verdicts(*, together: bool) -> list[Verdict]:
        found = events(Counting(judging(), timing), together=together)
        return [event for event in found if isinstance(event, Verdict)]

    alone = verdicts(together=False)
    assert sum(calls) == 4
    calls.clear()
    joined = verdicts(together=True)
    assert calls == [1, 1, 2]  # the scene is invisible, and the pebble no object
    for one, other in zip(alone, joined, strict=True):
        assert (one.mention, one.flagged) == (other.mention, other.flagged)
        assert one.probability == pytest.approx(other.probability, abs=1e-6)


def test_a_naming_detector_has_its_row_but_at_the_very_end() -> None:
    """The row after the mention's first sub-token is there, unless the caption ended with it."""
    judge = Recorder(judging(), "naming")
    stream = events(judge)
    tokens = [e for e in stream if isinstance(e, Token)]
    mentions = [e for e in stream if isinstance(e, Mention) and not e.provisional]
    assert len(judge.asked) == len(mentions)
    assert mentions[-1].first_token == len(tokens) - 1, "the text ends with the mention"
    for mention, asked in zip(mentions, judge.asked, strict=True):
        assert asked.predicting is tokens[mention.first_token].evidence
        if mention.first_token + 1 < len(tokens):
            assert asked.naming is tokens[mention.first_token + 1].evidence
        else:
            assert asked.naming is None
    assert [(a.object, a.index, a.repeats) for a in judge.asked][:2] == [
        ("dog", 0, 0),
        ("cat", 1, 0),
    ]


@pytest.mark.parametrize("scope", ["objects", "nouns"])
def test_only_what_the_calibration_is_about_is_flagged(scope: Scope) -> None:
    """Objects always, other visible nouns where it says so, nouns that name nothing visible never.

    The threshold is 0: everything would be flagged. All are scored.
    """
    stream = events(replace(judging(), scope=scope))
    flagged = {
        m.word: v.flagged
        for m in stream
        if isinstance(m, Mention) and not m.provisional
        for v in stream
        if isinstance(v, Verdict) and v.mention == m.index
    }
    assert flagged == {"dog": True, "cat": True, "scene": False, "pebble": scope == "nouns"}
    for verdict in stream:
        if isinstance(verdict, Verdict):
            assert verdict.score == verdict.probability is not None
            assert verdict.prior is not None
            assert verdict.evidence is not None


def test_without_a_threshold_everything_is_scored_and_nothing_flagged() -> None:
    """No valid threshold is a normal outcome."""
    stream = events(judging(threshold=None, guarantee=None))
    verdicts = [e for e in stream if isinstance(e, Verdict)]
    assert all(v.score is not None and v.threshold is None and not v.flagged for v in verdicts)


def test_tokens_without_evidence_are_not_judged() -> None:
    """A caption without evidence, and one without a calibration, have verdicts of nothing."""
    for stream in (events(judging(), known=False), events(None)):
        verdicts = [e for e in stream if isinstance(e, Verdict)]
        assert len(verdicts) == 4
        assert all(v.score is None and v.probability is None and not v.flagged for v in verdicts)
