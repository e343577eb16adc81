"""Position cannot masquerade as vision: the evidence term, on data whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from sightline.detectors.classifiers.fused import FusedClassifier
from sightline.detectors.classifiers.heads import LinearHeadsClassifier
from sightline.detectors.classifiers.svar import auroc_within
from sklearn.metrics import roc_auc_score

Floats = npt.NDArray[np.float64]

TEXT = 4


@dataclass(frozen=True, slots=True)
class World:
    """Captions whose mentions are hallucinated the more often the later they come.

    Attributes:
        x: index, word, repeats, object code, six columns of attention, two of a naming row.
        y: labels.
        images: eight mentions each.
    """

    x: Floats
    y: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]

    @property
    def index(self) -> npt.NDArray[np.int64]:
        """Mention index."""
        return self.x[:, 0].astype(np.int64)

    def late(self) -> World:
        """The same captions without most of their early mentions."""
        kept = (self.index >= 4) | (np.arange(len(self.y)) % 10 == 0)
        return World(self.x[kept], self.y[kept], self.images[kept])


def world(*, vision: float, seed: int, count: int = 12000) -> World:
    """Attention falls with position, in curves, and its noise grows; the image takes part of it
    away from hallucinated mentions, ``vision`` in units of that noise."""
    rng = np.random.default_rng(seed)
    index = np.arange(count) % 8
    word = 3 + 5 * index + rng.integers(0, 4, count)
    code = rng.integers(0, 5, count)
    odds = 0.7 * index - 4 + np.where(code == 0, 1.0, 0.0)
    y = (rng.random(count) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    noise = 0.3 + 0.05 * index
    attention = np.stack([-np.log1p((1 + k) * word) for k in range(6)], axis=1)
    attention += noise[:, None] * (rng.normal(size=(count, 6)) - vision * y[:, None] / 3)
    naming = rng.normal(size=(count, 2)) - 0.3 * vision * y[:, None]
    x: Floats = np.column_stack([index, word, np.zeros(count), code, attention, naming]).astype(
        float
    )
    return World(x, y, np.arange(count) // 8)


@pytest.fixture(scope="module")
def seeing() -> FusedClassifier:
    """Fitted where attention does see."""
    known = world(vision=1.5, seed=0)
    return FusedClassifier(text=TEXT).fit(known.x, known.y, groups=known.images)


def test_attention_that_only_counts_words_adds_nothing() -> None:
    """Attention is a function of position with noise: an ordinary classifier takes it for vision,
    the evidence term is worth a coin and lifts nothing."""
    known, new = world(vision=0.0, seed=1), world(vision=0.0, seed=2)
    plain = LinearHeadsClassifier().fit(known.x[:, TEXT:], known.y, groups=known.images)
    assert roc_auc_score(new.y, plain.scores(new.x[:, TEXT:])) > 0.75
    found = FusedClassifier(text=TEXT).fit(known.x, known.y, groups=known.images)
    evidence = found.parts(new.x)[1]
    assert auroc_within(new.y, evidence, new.index) == pytest.approx(0.5, abs=0.03)
    assert roc_auc_score(new.y, evidence) == pytest.approx(0.5, abs=0.03)
    lift = roc_auc_score(new.y, found.scores(new.x)) - roc_auc_score(new.y, found.parts(new.x)[0])
    assert abs(lift) < 0.005


def test_attention_that_sees_lifts_the_prior(seeing: FusedClassifier) -> None:
    """Where the image does matter, fused beats both of its parts and a classifier on everything."""
    known, new = world(vision=1.5, seed=0), world(vision=1.5, seed=3)
    prior, evidence = seeing.parts(new.x)
    both = roc_auc_score(new.y, seeing.scores(new.x))
    assert both > roc_auc_score(new.y, prior) + 0.03
    assert both > roc_auc_score(new.y, evidence) + 0.03
    assert auroc_within(new.y, evidence, new.index) > 0.75
    plain = LinearHeadsClassifier().fit(known.x, known.y, groups=known.images)
    assert both > roc_auc_score(new.y, plain.scores(new.x)) + 0.003


def test_the_evidence_does_not_move_with_position(seeing: FusedClassifier) -> None:
    """Longer captions: the prior rises, the evidence of real mentions stays where it was, and so
    does that of hallucinated ones."""
    here = world(vision=1.5, seed=4)
    there = here.late()
    shift = seeing.parts(there.x)[0].mean() - seeing.parts(here.x)[0].mean()
    assert shift > 1
    for label in (0, 1):
        before = seeing.parts(here.x[here.y == label])[1]
        after = seeing.parts(there.x[there.y == label])[1]
        assert after.mean() == pytest.approx(before.mean(), abs=0.12)
        assert after.std() == pytest.approx(before.std(), rel=0.12)


def test_the_evidence_has_one_mean_at_every_position(seeing: FusedClassifier) -> None:
    """Among real mentions, which are enough at every index to tell."""
    new = world(vision=1.5, seed=5, count=40000)
    evidence = seeing.parts(new.x)[1]
    means = [evidence[(new.y == 0) & (new.index == at)].mean() for at in range(8)]
    assert np.ptp(means) < 0.4


def test_the_sum_is_calibrated(seeing: FusedClassifier) -> None:
    """A prior and a likelihood ratio make log-odds: of mentions near p, p are hallucinated."""
    new = world(vision=1.5, seed=6, count=40000)
    probability = seeing.predict_proba(new.x)[:, 1]
    for low in np.arange(0, 1, 0.2):
        near = (probability >= low) & (probability < low + 0.2)
        assert new.y[near].mean() == pytest.approx(probability[near].mean(), abs=0.06), low


def test_the_sum_is_right_at_each_place_and_for_each_object() -> None:
    """Attention tells nothing of object 1 and a lot of the others, which neither the prior nor one
    set of weights can know: the correction sees to it that none is judged too harshly."""
    known, blind = world(vision=3.0, seed=14), world(vision=0.0, seed=14)
    one = known.x[:, 3] == 1
    x = np.where(one[:, None], blind.x, known.x)
    found = FusedClassifier(text=TEXT).fit(x, known.y, groups=known.images)
    off = found.predict_proba(x)[:, 1] - known.y
    without = 1 / (1 + np.exp(-found.prior_.scores(x[:, :TEXT]) - found.parts(x)[1]))
    for group in [known.index == at for at in range(8)] + [x[:, 3] == code for code in range(5)]:
        assert abs(off[group].mean()) < 0.015
    assert abs((without - known.y)[one].mean()) > 0.02


def test_an_object_never_seen_is_an_average_one(seeing: FusedClassifier) -> None:
    """The evidence term does not know objects, the prior takes the average."""
    x = world(vision=1.5, seed=7).x[:50]
    other = x.copy()
    other[:, 3] = -1
    np.testing.assert_array_equal(seeing.parts(other)[1], seeing.parts(x)[1])
    assert np.isfinite(seeing.scores(other)).all()


def test_an_unknown_naming_row_is_no_information() -> None:
    """Its columns count for nothing, whichever of them is missing; the rest of the evidence is
    judged as before."""
    known = world(vision=1.5, seed=8)
    x = known.x.copy()
    x[::20, -1] = np.nan
    x[1::20, -2:] = np.inf
    found = FusedClassifier(text=TEXT, optional=2).fit(x, known.y, groups=known.images)
    new = world(vision=1.5, seed=9).x[:40]
    one, both, infinite = new.copy(), new.copy(), new.copy()
    one[:, -1], both[:, -2:], infinite[:, -2] = np.nan, np.nan, np.inf
    assert np.isfinite(found.scores(both)).all()
    np.testing.assert_array_equal(found.scores(one), found.scores(both))
    np.testing.assert_array_equal(found.scores(infinite), found.scores(both))
    assert (found.scores(new) != found.scores(both)).all()
    main = found.residuals_(new[:, :3], new[:, TEXT:-2])
    expected = main @ found.coef_[: main.shape[1]] + found.intercept_
    np.testing.assert_allclose(found.parts(both)[1], expected, rtol=1e-9)


def test_the_naming_row_helps_where_it_sees() -> None:
    """Two more columns with something in them are worth having."""
    known, new = world(vision=1.5, seed=10), world(vision=1.5, seed=11)
    with_naming = FusedClassifier(text=TEXT, optional=2).fit(known.x, known.y, groups=known.images)
    without = FusedClassifier(text=TEXT).fit(known.x[:, :-2], known.y, groups=known.images)
    more = roc_auc_score(new.y, with_naming.scores(new.x))
    assert more > roc_auc_score(new.y, without.scores(new.x[:, :-2])) + 0.002


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": 5}, r"text must be between 0 and 4 \(inclusive\), was: 5"),
        ({"text": -1}, "text must be between 0 and 4"),
        ({"text": 4, "optional": 9}, r"optional must be between 0 and 8 \(inclusive\)"),
    ],
)
def test_parameters_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    """Rule and value."""
    small = world(vision=1.0, seed=12, count=80)
    with pytest.raises(ValueError, match=message):
        FusedClassifier(**options).fit(small.x, small.y)


def test_unknown_evidence_where_it_must_be_known_is_refused() -> None:
    """NaN is for the optional columns alone, and those must be known for both classes."""
    small = world(vision=1.0, seed=13, count=400)
    broken = small.x.copy()
    broken[0, TEXT] = np.nan
    with pytest.raises(ValueError, match="only its last 2 columns may"):
        FusedClassifier(text=TEXT, optional=2).fit(broken, small.y)
    unknown = small.x.copy()
    unknown[:, -1] = np.nan
    with pytest.raises(ValueError, match="known for mentions of both classes, were for 0 mentions"):
        FusedClassifier(text=TEXT, optional=2).fit(unknown, small.y)
