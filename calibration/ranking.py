"""Scores in order: sorted once, then ranked under many weightings at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Labelled mentions in ascending order of score within their strata.

    Sorting is most of the work of a rank statistic, and redrawing images only changes weights; so
    a bootstrap costs a few cumulative sums per draw.

    Attributes:
        order: int64 ``[n]``, the mentions, sorted by stratum, then by score.
        labels: int64 ``[n]``, 1 where hallucinated, in that order.
        scores: float64 ``[groups]``, ascending within each stratum.
        groups: int64 ``[groups]``, where in ``order`` each run of equal scores begins.
        strata: int64 ``[strata]``, at which group each stratum begins.
    """

    order: Ints
    labels: Ints
    scores: Floats
    groups: Ints
    strata: Ints

    @classmethod
    def of(
        cls, labels: npt.ArrayLike, scores: npt.ArrayLike, strata: npt.ArrayLike | None = None
    ) -> Ranking:
        """Sort some mentions.

        Args:
            labels: ``[n]``, 1 for hallucinated, 0 for real.
            scores: ``[n]``, finite, high for hallucinated.
            strata: ``[n]``; only mentions of the same stratum are compared. By default all are.

        Raises:
            ValueError: there is no mention, or a score is not finite.
        """
        y, s = np.asarray(labels, np.int64), np.asarray(scores, np.float64)
        z = np.zeros(len(y), np.int64) if strata is None else np.asarray(strata)
        if not len(y):
            raise ValueError("A ranking needs at least one mention, got none.")
        if not np.isfinite(s).all():
            raise ValueError(
                f"Scores must be finite to be ranked, {np.count_nonzero(~np.isfinite(s))} of "
                f"{len(s)} were not. Leave those mentions out, and say how many."
            )
        order = np.lexsort((s, z))
        y, s, z = y[order], s[order], z[order]
        new_stratum = np.r_[True, z[1:] != z[:-1]]
        groups = np.flatnonzero(new_stratum | np.r_[True, s[1:] != s[:-1]])
        return cls(order, y, s[groups], groups, np.flatnonzero(new_stratum[groups]))

    def auroc(self, weights: npt.ArrayLike) -> Floats:
        """Chance that a hallucinated mention outscores a real one of its stratum; ties count half.

        A stratum counts by its number of such pairs.

        Args:
            weights: ``[draws, n]``, how often each mention counts.

        Returns:
            float64 ``[draws]``; NaN where no pair has weight.
        """
        made_up, real = self._grouped(weights)
        below = np.cumsum(real, axis=1) - real
        inside = np.repeat(
            below[:, self.strata], np.diff(np.r_[self.strata, len(self.groups)]), axis=1
        )
        won = (made_up * (below - inside + real / 2)).sum(axis=1)
        pairs = (
            np.add.reduceat(made_up, self.strata, axis=1)
            * np.add.reduceat(real, self.strata, axis=1)
        ).sum(axis=1)
        return divide(won, pairs)

    def average_precision(self, weights: npt.ArrayLike) -> Floats:
        """Precision averaged over the hallucinated mentions, each at its own score's threshold.

        Args:
            weights: as for :meth:`auroc`.

        Returns:
            float64 ``[draws]``; NaN where no hallucinated mention has weight.

        Raises:
            ValueError: the ranking has more than one stratum.
        """
        made_up, precision, _ = self._flagged(weights)
        return divide((made_up * precision).sum(axis=1), made_up.sum(axis=1))

    def roc(self, weights: npt.ArrayLike, false_alarms: Floats) -> Floats:
        """Share of hallucinated mentions flagged at some false-alarm rates.

        Args:
            weights: as for :meth:`auroc`; each draw with weight on both labels.
            false_alarms: ``[k]``, ascending, 0..1.

        Returns:
            float64 ``[draws, k]``.

        Raises:
            ValueError: the ranking has more than one stratum.
        """
        made_up, _, real = self._flagged(weights)
        hits, alarms = np.cumsum(made_up, axis=1), np.cumsum(real, axis=1)
        return np.array(
            [
                np.interp(false_alarms, np.r_[0, x / x[-1]], np.r_[0, y / y[-1]])
                for x, y in zip(alarms, hits, strict=True)
            ]
        )

    def precision_at(self, weights: npt.ArrayLike, recall: Floats) -> Floats:
        """Precision of the highest threshold that reaches some recalls.

        Args:
            weights: as for :meth:`auroc`; each draw with weight on hallucinated mentions.
            recall: ``[k]``, ascending, above 0 to 1.

        Returns:
            float64 ``[draws, k]``.

        Raises:
            ValueError: the ranking has more than one stratum.
        """
        made_up, precision, _ = self._flagged(weights)
        hits = np.cumsum(made_up, axis=1)
        rows = []
        for y, p in zip(hits, precision, strict=True):
            # A hair below, for the last hit's share may round to just under 1.
            at = np.searchsorted(y / y[-1], recall - 1e-12)
            rows.append(p[np.minimum(at, len(p) - 1)])
        return np.array(rows)

    def _grouped(self, weights: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Weight of the hallucinated and of the real in each group, ``[draws, groups]``."""
        w = np.asarray(weights, np.float64)[:, self.order]
        made_up = w * self.labels
        return (
            np.add.reduceat(made_up, self.groups, axis=1),
            np.add.reduceat(w - made_up, self.groups, axis=1),
        )

    def _flagged(self, weights: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
        """From the highest score down: hallucinated weight, precision so far, real weight."""
        if len(self.strata) > 1:
            raise ValueError(
                f"Flagging needs one order of all mentions, the ranking has {len(self.strata)} "
                f"strata. Rank without strata."
            )
        made_up, real = (side[:, ::-1] for side in self._grouped(weights))
        hits, alarms = np.cumsum(made_up, axis=1), np.cumsum(real, axis=1)
        return made_up, np.nan_to_num(divide(hits, hits + alarms)), real


def divide(over: npt.ArrayLike, under: npt.ArrayLike) -> Floats:
    """Quotients, NaN where nothing is there to divide by."""
    top, bottom = np.asarray(over, float), np.asarray(under, float)
    undefined = np.full(np.broadcast(top, bottom).shape, np.nan)
    share: Floats = np.divide(top, bottom, out=undefined, where=bottom != 0)
    return share
