"""The policies that are tried: a grid by default, or a list of the user's own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from ...monitor.policy.policy import AVOID, Intervention, Policy

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
        name: of its parameters, those that are not as by default; unique among candidates.
        policy: one that acts, with a threshold of its own.
    """

    name: str
    policy: Policy

    @classmethod
    def of(cls, policy: Policy, *, threshold: float | None = None) -> Candidate:
        """A candidate of a policy.

        Args:
            policy: what to try.
            threshold: the calibration's, for a policy without one of its own.

        Raises:
            ValueError: the policy does not act, or there is no threshold, or it is no probability.
        """
        if not policy.acts:
            raise ValueError(
                f"A candidate must act on flags, was: {policy.act!r}. What the model writes by "
                f"itself is measured in any case."
            )
        if policy.threshold is None:
            if threshold is None:
                raise ValueError(
                    "A candidate must have a threshold where the calibration has none that is "
                    "valid. Give each policy one."
                )
            policy = replace(policy, threshold=threshold)
        if policy.threshold is None or not 0 <= policy.threshold <= 1:
            raise ValueError(
                f"A candidate's threshold must be a probability between 0 and 1, was: "
                f"{policy.threshold}."
            )
        return cls(named(policy), policy)


def grid(
    *, thresholds: Iterable[float] = THRESHOLDS, bases: Iterable[Policy] = BASES
) -> tuple[Candidate, ...]:
    """Every threshold with everything that can be done from it on."""
    thresholds = tuple(thresholds)
    return tuple(
        Candidate.of(replace(base, threshold=threshold))
        for base in bases
        for threshold in thresholds
    )


def read_candidates(path: Path, *, threshold: float | None) -> tuple[Candidate, ...]:
    """The candidates of a file: a JSON list of policies, each with the parameters of ``Policy``.

    What a policy leaves out is as by default; its threshold, as the calibration has it. One that
    is there twice counts once.

    Args:
        path: the file.
        threshold: the calibration's; ``None`` if it has no valid one.

    Raises:
        ValueError: it is no such list, or one of its policies is none; the message says which.
        OSError: it cannot be read.
    """
    try:
        listed: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must be a JSON list of policies, it is not: {error}.") from error
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST:
        found = f"{len(listed)} of them" if isinstance(listed, list) else type(listed).__name__
        raise ValueError(
            f'{path} must be a JSON list of 1 to {MOST} policies, such as [{{"act": "stop", '
            f'"threshold": 0.3}}], holds: {found}.'
        )
    kept: dict[Policy, Candidate] = {}
    for number, values in enumerate(listed, 1):
        try:
            if not isinstance(values, dict):
                raise ValueError(f"It must be an object, was: {type(values).__name__}.")
            one = Candidate.of(Policy.from_json(values), threshold=threshold)
        except ValueError as error:
            raise ValueError(f"Policy {number} of {path} cannot be tried: {error}") from error
        kept[one.policy] = one
    return tuple(kept.values())


def named(policy: Policy) -> str:
    """A policy in a line: what it does, and every parameter that is not as by default."""
    plain = Policy()
    said: list[str] = [policy.act]
    for field in fields(policy):
        value = getattr(policy, field.name)
        if field.name == "act" or value == getattr(plain, field.name):
            continue
        if isinstance(value, tuple):
            value = ",".join(str(one).replace(" ", "") for one in value)
        shown = format(value, ".6g") if isinstance(value, float) else value
        said.append(f"{field.name}={shown}")
    return " ".join(said)
