"""Reports: a fold of events, JSON that validates, and nulls where numbers are not finite."""

from __future__ import annotations

import json
import math
from functools import cache
from itertools import pairwise
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sightline.detectors.evidence import Evidence
from sightline.detectors.svar import LayerRange
from sightline.detectors.threshold import SvarThreshold
from sightline.monitor.events import End, Event, Mention, Token, Verdict, Word
from sightline.monitor.language.lexicon import Lexicon
from sightline.monitor.language.nouns import NounSpotter
from sightline.monitor.language.words import Detokenizer, WordSplitter
from sightline.monitor.report import (
    CalibrationSection,
    Failure,
    Header,
    LayersSection,
    ModelSection,
    ReportBuilder,
    fold,
    parse_record,
    schema,
    shipped_schema,
)
from sightline.monitor.watching.caption import Caption
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

LAYERS = LayerRange(1, 2, "user")
VOCABULARY = (
    "a the two dog dogs cat traffic light lights dining table wine glass image sleeping on with "
    "near children café naïve 猫 🐈 12.5 it's , . - !"
)
WORDS = VOCABULARY.split()


@cache
def tokenizer() -> Any:
    """A byte-level tokenizer whose tokens are mostly parts of words, end token 0."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        [VOCABULARY] * 4,
        trainers.BpeTrainer(
            vocab_size=330,
            special_tokens=["</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>")


@cache
def parts() -> tuple[Detokenizer, Lexicon]:
    """What every caption of these tests is made with."""
    return Detokenizer(tokenizer()), Lexicon.load("coco")


def header(**changes: Any) -> Header:
    """A header of a model that does not exist."""
    return Header(
        **{
            "model": ModelSection(name="m", architecture="M", dtype="float32", device="cpu"),
            "prompt": "p",
            "image_tokens": 4,
            "layers": LayersSection(first=1, last=2, source="user"),
            **changes,
        }
    )


def evidence(token: int) -> Evidence:
    """Made-up measurements of layers 0-3, different for different tokens."""
    masses = np.full((4, 2, 4), (token % 17) / 100, dtype=np.float32)
    return Evidence((0, 1, 2, 3), masses, -float(token % 7), 1.0, 0.5)


def events(ids: list[int], *, row: int = 0, calibrated: bool = True) -> list[Event]:
    """The events of a caption of these tokens, ended by length."""
    detokenizer, lexicon = parts()
    caption = Caption(
        row=row,
        stream=detokenizer.stream(row),
        words=WordSplitter(row),
        nouns=NounSpotter(lexicon, row=row),
        layers=LAYERS,
        calibration=SvarThreshold(0.1, LAYERS) if calibrated else None,
    )
    found: list[Event] = []
    for token in ids:
        found.extend(caption.push(token, evidence(token)))
    found.extend(caption.finish("length"))
    return found


texts = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)
ids = st.lists(st.integers(0, 300), max_size=24)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ids, min_size=1, max_size=3), data=st.data())
def test_interleaving_rows_does_not_matter(rows: list[list[int]], data: st.DataObject) -> None:
    """However the rows of a batch take turns, each row's report is the one it has alone."""
    streams = [events(row_ids, row=row) for row, row_ids in enumerate(rows)]
    waiting = [list(stream) for stream in streams]
    mixed: list[Event] = []
    while any(waiting):
        row = data.draw(st.sampled_from([i for i, rest in enumerate(waiting) if rest]))
        mixed.append(waiting[row].pop(0))
    for row, stream in enumerate(streams):
        assert fold(header(), mixed, row=row) == fold(header(), stream, row=row)


@settings(max_examples=60, deadline=None)
@given(text=texts, data=st.data())
def test_the_cut_into_tokens_does_not_matter(text: str, data: st.DataObject) -> None:
    """The same text in other tokens has the same words, nouns and offsets."""
    encode = tokenizer().encode
    whole = encode(text)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    broken = [token for piece in pieces for token in encode(piece)]
    one, other = (fold(header(), events(row)) for row in (whole, broken))
    assert one.text == other.text == text
    assert [_places(m) for m in one.mentions] == [_places(m) for m in other.mentions]


def _places(mention: Any) -> tuple[Any, ...]:
    return (mention.word, mention.lemma, mention.object, mention.start, mention.end)


@settings(max_examples=120, deadline=None)
@given(row=ids)
def test_spans_are_monotone_and_in_bounds(row: list[int]) -> None:
    """Whatever the tokens, ill-formed bytes included, no span leaves the text or its order."""
    stream = events(row)
    report = fold(header(), stream)
    assert report.text == tokenizer().decode(
        row, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    end = 0
    for token in report.tokens:
        assert end == token.start <= token.end <= len(report.text)
        assert report.text[token.start : token.end] == token.text
        end = token.end
    end = 0
    for mention in report.mentions:
        assert end <= mention.start < mention.end <= len(report.text)
        assert report.text[mention.start : mention.end] == mention.word
        assert 0 <= mention.first_token <= mention.last_token < len(report.tokens)
        end = mention.end
    words = [event for event in stream if isinstance(event, Word)]
    assert all(a.end <= b.start for a, b in pairwise(words))


@settings(max_examples=60, deadline=None)
@given(row=ids, calibrated=st.booleans())
def test_reports_validate_and_survive_json(row: list[int], calibrated: bool) -> None:
    """Every report is valid under the shipped schema and reads back as itself."""
    head = header(
        calibration=CalibrationSection(name="c", threshold=0.9) if calibrated else "uncalibrated"
    )
    report = fold(head, events(row, calibrated=calibrated))
    line = report.to_json()
    assert "\n" not in line
    jsonschema.validate(json.loads(line), shipped_schema())
    assert parse_record(line) == report
    assert any(m.flagged for m in report.mentions) <= calibrated


def test_a_prefix_of_the_events_is_an_interrupted_report() -> None:
    """Without its end, a caption is reported as far as it came."""
    stream = events(tokenizer().encode("a dog near two cats"))
    builder = ReportBuilder(header())
    for event in stream[:-1]:
        if not isinstance(event, End):
            builder.add(event)
    report = builder.report()
    assert (report.finish, report.truncated) == ("interrupted", True)
    assert report.text == "a dog near two cats"


def test_the_shipped_schema_is_current() -> None:
    """The file in the package is what the models emit; `make schema` renews it."""
    assert shipped_schema() == schema()


def test_the_schema_is_a_schema_and_bites() -> None:
    """It is valid JSON Schema, and refuses records of other versions or with odd fields."""
    jsonschema.Draft202012Validator.check_schema(schema())
    record = json.loads(fold(header(), events([40, 41])).to_json())
    for wrong in ({**record, "version": 2}, {**record, "extra": 1}, {**record, "tokens": None}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema())
        with pytest.raises(ValidationError):
            parse_record(json.dumps(wrong))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_null(bad: float) -> None:
    """NaN and infinities never reach the JSON, from tokens, verdicts or timings."""
    masses = np.full((4, 2, 4), bad, dtype=np.float32)
    unusable = Evidence((0, 1, 2, 3), masses, bad, bad, bad)
    builder = ReportBuilder(header())
    builder.add(Token(0, 0, 5, "dog", 0, 3, unusable))
    builder.add(Mention(0, 0, "dog", "dog", "dog", True, 0, 3, 0, 0, False))
    builder.add(Verdict(0, 0, bad, bad, bad, False))
    builder.add(End(0, "dog", 1, "eos"))
    record = json.loads(builder.report(first_token=bad, total=bad).to_json())
    assert record["tokens"][0]["log_prob"] is None
    assert record["tokens"][0]["svar"] is None
    assert record["mentions"][0]["svar"] is None
    assert record["mentions"][0]["score"] is None
    assert record["timings"] == {"first_token": None, "total": None}
    jsonschema.validate(record, schema())


def test_provisional_mentions_leave_no_trace() -> None:
    """Only confirmed mentions are reported."""
    shown = Mention(0, 0, "hot", "hot", None, True, 0, 3, 0, 0, True)
    final = Mention(0, 0, "hot dog", "hot dog", "hot dog", True, 0, 7, 0, 1, False)
    report = fold(header(), [shown, final, End(0, "hot dog", 2, "eos")])
    assert [m.word for m in report.mentions] == ["hot dog"]
    assert fold(header(), [shown]).mentions == ()


def test_a_failure_has_a_line_of_its_own() -> None:
    """A failed image is told apart from a caption by its kind."""
    failure = Failure(image="a.png", error="ImageError", message="broken\nfile")
    assert parse_record(failure.to_json()) == failure
    jsonschema.validate(json.loads(failure.to_json()), schema())
