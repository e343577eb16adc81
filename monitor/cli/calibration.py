"""What the terminal says of a calibration, once."""

from __future__ import annotations

from collections.abc import Collection

from rich.text import Text

from ...detectors.certificate import Certificate
from ...detectors.verdict import Calibration


def introduction(calibration: Calibration, certificate: Certificate | None = None) -> Text:
    """Who judges, and what that is worth: the promise in words, or that there is none.

    Args:
        calibration: what judges.
        certificate: what is promised of the captions that the policy in force leaves.
    """
    named = Text.assemble("Judged by ", (calibration.name, "bold"), f" ({calibration.kind}). ")
    if certificate is not None:
        return named.append(str(certificate))
    if calibration.guarantee is not None:
        return named.append(str(calibration.guarantee))
    if calibration.kind == "calibrated" and calibration.threshold is not None:
        return named.append("Its threshold promises nothing.")
    return named


def caution(limit: str) -> Text:
    """One thing that users must know of the verdicts."""
    return Text.assemble(("Note: ", "yellow"), limit)


class Cautions:
    """Which of them were said already: each is said once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def new(self, limits: Collection[str]) -> list[Text]:
        """Those that were not said yet, which they now are."""
        fresh = [limit for limit in limits if limit not in self._said]
        self._said.update(fresh)
        return [caution(limit) for limit in fresh]
