"""The policies that are tried: a grid by default, or a list of the user's own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ...monitor.policy.policy import AVOID, Intervention, Policy
from .ways import Acting, Plain, Way, acting, ways_from_json

THRESHOLDS: Final = (0.1, 0.2, 0.35, 0.5)
"""Probabilities, of the calibration, from which the default candidates flag a mention."""

BASES: Final = (
    Policy(act="stop"),
    Policy(tries=(AVOID,), max_tries=1),
    Policy(tries=(AVOID,), max_tries=1, more=1),
    Policy(tries=(Intervention(alpha=2.0, avoid=True),), max_tries=1),
)
"""What the default candidates do about a flag: end the caption, or write the sentence again."""

MOST: Final = 200
"""Candidates that may be tried: each writes every image's caption once more."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A policy with the name that its outcomes carry.

    Attributes:
        name: of its own.
        policy: with a threshold of its own, if it acts.
    """

    name: str
    policy: Policy

    @property
    def way(self) -> Way:
        """How its captions are written."""
        return acting(self.policy, name=self.name) if self.policy.acts else Plain(name=self.name)


NOTHING: Final = Candidate(Plain().name, Policy(act="flag"))
"""The candidate that does nothing about flags, which is tried with all others."""


def grid(
    *, thresholds: Iterable[float] = THRESHOLDS, bases: Iterable[Policy] = BASES
) -> tuple[Candidate, ...]:
    """Every threshold with everything that can be done from it on.

    Raises:
        ValueError: a threshold is no probability, or a policy does not act.
    """
    thresholds = tuple(thresholds)
    policies = [replace(base, threshold=one) for base in bases for one in thresholds]
    return _candidates([acting(policy) for policy in policies], None)


def read_candidates(path: Path, *, threshold: float | None) -> tuple[Candidate, ...]:
    """The candidates of a file: a JSON list of policies, each an object of its parameters.

    What a policy leaves out is as by default; its threshold, as the calibration has it. One that
    is there twice counts once.

    Args:
        path: the file; see :func:`.ways_from_json`.
        threshold: the calibration's; ``None`` if it has no valid one.

    Raises:
        ValueError: it is no such list, it is too long, a policy cannot be read, does not act, or
            has no threshold that is a probability.
        OSError: it cannot be read.
    """
    try:
        listed: Any = json.loads(path.read_text(encoding="utf-8"))
        ways = ways_from_json(listed)
        if len(ways) > MOST:
            raise ValueError(f"There must be at most {MOST} policies, were {len(ways)}.")
        return _candidates(ways, threshold)
    except ValueError as error:
        raise ValueError(
            f'{path} must be a JSON list of policies, such as [{{"act": "stop", "threshold": '
            f"0.3}}], it is not: {error}"
        ) from error


def _candidates(ways: Iterable[Acting], threshold: float | None) -> tuple[Candidate, ...]:
    """The ways' policies, with thresholds and names of their own."""
    found: dict[Policy, str] = {}
    for number, way in enumerate(ways, 1):
        policy = way.policy
        if not policy.acts:
            raise ValueError(
                f"A candidate must act on flags, number {number} was: {policy.act!r}. To do "
                f"nothing is tried in any case."
            )
        name = way.name
        if policy.threshold is None and threshold is not None:
            policy = replace(policy, threshold=threshold)
            name = acting(policy).name if name == acting(way.policy).name else name
        if policy.threshold is None or not 0 <= policy.threshold <= 1:
            raise ValueError(
                f"A candidate must have a threshold that is a probability, where the calibration "
                f"has no valid one, number {number} had: {policy.threshold}."
            )
        found.setdefault(policy, name)
    # Policies may be the same in a few words.
    count, seen = Counter(found.values()), Counter[str]()
    named: list[Candidate] = []
    for policy, name in found.items():
        seen[name] += 1
        named.append(Candidate(f"{name} #{seen[name]}" if count[name] > 1 else name, policy))
    return tuple(named)
