"""Figures: their numbers against cases worked by hand, and that each can be drawn."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from sightline.calibration.collecting.table import CalibrationTable
from sightline.calibration.fitting.scores import Scores
from sightline.calibration.reporting.figures.contributions import Contributions
from sightline.calibration.reporting.figures.curves import FALSE_ALARMS, RECALLS, Curves
from sightline.calibration.reporting.figures.distributions import SvarDistributions
from sightline.calibration.reporting.figures.figure import Figure, Missing, plain
from sightline.calibration.reporting.figures.heads import HeadMap
from sightline.calibration.reporting.figures.positions import Positions
from sightline.calibration.reporting.figures.ranges import LayerRanges
from sightline.calibration.reporting.figures.reliability import Reliability
from sightline.detectors.evidence import IMAGE
from sightline.detectors.svar import LayerRange, svar
from sklearn.metrics import roc_auc_score

from ...tables import made_table

RANGE = LayerRange(1, 2, "calibration")
TABLE = made_table(150)


def scores_of(table: CalibrationTable, seed: int = 0) -> Scores:
    """Scores that know something, and probabilities of them."""
    rng = np.random.default_rng(seed)
    values = rng.normal(table.labels * 2.0 - 1)
    return Scores("some", "predicting", values, 1 / (1 + np.exp(-values)))


def drawn() -> dict[str, Callable[[], Figure | Missing]]:
    """Each figure of a small table."""
    scores = scores_of(TABLE)
    return {
        "heads": lambda: HeadMap.of(TABLE),
        "contributions": lambda: Contributions.of(TABLE, draws=20),
        "svar": lambda: SvarDistributions.of(TABLE, RANGE),
        "ranges": lambda: LayerRanges.of(TABLE, RANGE),
        "curves": lambda: Curves.of(
            TABLE, [scores, replace(scores_of(TABLE, 1), detector="other")], draws=20
        ),
        "reliability": lambda: Reliability.of(TABLE, scores, draws=20),
        "positions": lambda: Positions.of(TABLE, RANGE, scores, draws=20),
    }


@pytest.mark.parametrize("name", drawn())
def test_every_figure_can_be_drawn(name: str) -> None:
    """A small PNG of the promised shape, the same bytes twice, matplotlib left as it was."""
    before = dict(mpl.rcParams)
    figure = drawn()[name]()
    assert isinstance(figure, Figure)
    picture = figure.png()
    assert figure.png() == picture
    assert dict(mpl.rcParams) == before
    image = Image.open(io.BytesIO(picture))
    assert image.width / image.height == pytest.approx(figure.size[0] / figure.size[1], abs=0.01)
    assert len(picture) < 400_000
    assert np.unique(np.asarray(image)).size > 20


@pytest.mark.parametrize("name", drawn())
def test_every_figure_has_words_and_numbers(name: str) -> None:
    """Captions and alternative texts are sentences, and all numbers are JSON."""
    figure = drawn()[name]()
    assert isinstance(figure, Figure)
    assert figure.caption.endswith(".")
    assert figure.alt.endswith(".")
    assert "nan" not in figure.caption
    assert json.loads(json.dumps(plain(figure), allow_nan=False))


def test_head_map_is_the_mean_of_each_kind() -> None:
    """One real mention and one hallucinated: the maps are those two."""
    table = TABLE
    pair = np.array([int((table.labels == 0).argmax()), int((table.labels == 1).argmax())])
    two = replace(
        table,
        mentions=table.mentions.take(pair),
        labels=table.labels[pair],
        images=table.images[pair],
    )
    figure = HeadMap.of(two)
    var = two.mentions.masses[..., IMAGE].astype(np.float64)
    assert figure.real == pytest.approx(var[0])
    assert figure.hallucinated == pytest.approx(var[1])
    assert figure.difference == pytest.approx(var[0] - var[1])


def test_layer_ranges_are_areas_of_svar() -> None:
    """A cell is the AUROC of that range's SVAR; below the diagonal there is none."""
    figure = LayerRanges.of(TABLE)
    values = svar(TABLE.mentions.masses[..., IMAGE], TABLE.mentions.layers, RANGE)
    assert figure.overall[1, 2] == pytest.approx(roc_auc_score(TABLE.labels, -values))
    assert np.isnan(figure.overall[2, 1])
    best = figure.best(figure.overall)
    assert figure.overall[best.first, best.last] == np.nanmax(figure.overall)


def test_svar_histograms_are_shares() -> None:
    """Each kind adds up to one, whatever their numbers."""
    figure = SvarDistributions.of(TABLE, RANGE)
    assert figure.real.sum() == pytest.approx(1)
    assert figure.hallucinated.sum() == pytest.approx(1)
    assert figure.means[0] > figure.means[1]


def test_curves_lie_in_their_bands() -> None:
    """Recall rises with false alarms from 0 to 1, and the measured curve is inside its band."""
    figure = Curves.of(TABLE, [scores_of(TABLE)], draws=100)
    (curve,) = figure.curves
    measured, low, high = curve.recall
    assert (np.diff(measured) >= 0).all()
    assert measured[-1] == 1
    assert (low <= high).all()
    inside = (low <= measured) & (measured <= high)
    assert inside.mean() > 0.9
    assert curve.precision.shape == (3, len(RECALLS))
    assert curve.recall.shape == (3, len(FALSE_ALARMS))
    assert curve.precision[0, -1] >= figure.share


def test_reliability_of_the_truth() -> None:
    """Probabilities that are the labels come true in the outer bins, with no error."""
    certain = TABLE.labels.astype(float)
    figure = Reliability.of(TABLE, Scores("oracle", "predicting", certain, certain), draws=20)
    assert isinstance(figure, Reliability)
    assert figure.error.value == 0
    assert figure.counts.sum() == len(TABLE)
    assert figure.observed[0, [0, -1]].tolist() == [0, 1]
    assert np.isnan(figure.predicted[1:-1]).all()


def test_positions_stop_where_mentions_are_few() -> None:
    """Every index shown has mentions enough, and the first share is counted by hand."""
    figure = Positions.of(TABLE, RANGE, scores_of(TABLE), draws=20)
    assert isinstance(figure, Positions)
    index = TABLE.mentions.index
    assert (np.bincount(index)[: figure.share.shape[1]] >= 20).all()
    assert figure.share[0, 0] == pytest.approx(TABLE.labels[index == 0].mean())


def test_what_was_not_recorded_is_said() -> None:
    """Without contributions, or without probabilities, there is a reason instead of a figure."""
    unknown = np.full_like(TABLE.mentions.contributions, np.nan)
    table = replace(TABLE, mentions=replace(TABLE.mentions, contributions=unknown))
    missing = Contributions.of(table)
    assert isinstance(missing, Missing)
    assert "--lens" in missing.reason
    plain_scores = replace(scores_of(TABLE), probabilities=None)
    assert isinstance(Reliability.of(TABLE, plain_scores), Missing)
    assert isinstance(Positions.of(TABLE, RANGE, plain_scores), Missing)


def test_deep_models_are_drawn_too() -> None:
    """40 layers of 40 heads have room on the axes."""
    rng = np.random.default_rng(0)
    real = rng.random((40, 40))
    deep = HeadMap(tuple(range(40)), real, real * 0.8)
    assert len(deep.png()) > 10_000
