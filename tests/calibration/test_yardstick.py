"""The published yardstick: how far the text alone gets on captions of real models."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sightline.calibration.objects.labelling import find_objects
from sightline.calibration.statistics import auroc
from sightline.detectors.classifiers.text import TextPrior
from sightline.monitor.language.lexicon import Lexicon
from sightline.monitor.language.words import split_words

CAPTIONS = Path(__file__).parents[3] / "shared" / "data" / "real_captions"
FILES = ("llava-1.5.greedy", "instructblip.greedy")

pytestmark = pytest.mark.skipif(
    not CAPTIONS.is_dir(), reason="the shared real captions are not at hand"
)

Table = tuple[np.ndarray, np.ndarray, np.ndarray]


def _mentions(name: str) -> Table:
    """Columns of the prior, labels and images of all object mentions of a file."""
    coco = Lexicon.load("coco")
    codes = {canonical: code for code, canonical in enumerate(coco.objects)}
    rows, labels, images = [], [], []
    for line in (CAPTIONS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        caption = json.loads(line)
        starts = [w.start for w in split_words(caption["caption"]) if w.text[0].isalnum()]
        named: Counter[str] = Counter()
        for index, mention in enumerate(find_objects(caption["caption"], coco)):
            assert mention.object is not None
            before = bisect_left(starts, mention.start)
            rows.append((index, before, named[mention.object], codes[mention.object]))
            labels.append(mention.object not in caption["image_objects"])
            images.append(caption["image_id"])
            named[mention.object] += 1
    return np.array(rows, float), np.array(labels, int), np.array(images)


@pytest.fixture(name="tables", scope="module")
def _tables() -> dict[str, Table]:
    return {name: _mentions(name) for name in FILES}


@pytest.mark.parametrize(("fitted", "tested"), [FILES, FILES[::-1]])
def test_position_repetition_and_object_reach_085(
    tables: dict[str, Table], fitted: str, tested: str
) -> None:
    """Fitted on one model's captions, AUROC is at least .85 on the other's, all mentions."""
    columns, labels, _ = tables[fitted]
    new, truth, _ = tables[tested]
    prior = TextPrior().fit(columns, labels)
    assert auroc(truth, prior.decision_function(new)) >= 0.85
