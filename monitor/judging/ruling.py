"""A policy in the hands of one monitor: with the judge, as it judges under it."""

from __future__ import annotations

from dataclasses import dataclass

from ...detectors.verdict import Calibration
from ..errors import OptionError
from ..policy.policy import Policy
from .certified import promise_of, resolve
from .judge import Judge


@dataclass(frozen=True, slots=True, eq=False)
class Ruling:
    """What is done about flags, and what flags.

    Attributes:
        policy: ``None`` where none was asked for: flags are told, and nothing is done.
        judge: ``None`` where there is no calibration.
    """

    policy: Policy | None
    judge: Judge | None

    @classmethod
    def of(cls, policy: Policy | str | None, judge: Judge | None, *, name: str) -> Ruling:
        """The ruling under a policy.

        Args:
            policy: one, or its name; ``calibrated`` for the one that came with the calibration.
            judge: the monitor's.
            name: what the model is called.

        Raises:
            OptionError: no policy was certified, or one needs verdicts that nobody gives.
            ValueError: there is no such policy.
        """
        if policy is None:
            return cls(None, judge)
        calibration = None if judge is None else judge.calibration
        policy = resolve(policy, calibration)
        if judge is not None:
            promise = promise_of(calibration, policy)
            judge = judge.under(threshold=policy.threshold, acts=policy.acts, promise=promise)
        elif policy.acts or policy.threshold is not None:
            raise OptionError(
                f"A policy needs verdicts to act on, but {name} has no calibration. Give the "
                f"monitor one: Monitor(..., calibration=...)."
            )
        return cls(policy, judge)

    @property
    def acts(self) -> bool:
        """Whether captions are changed."""
        return self.policy is not None and self.policy.acts

    @property
    def calibration(self) -> Calibration | None:
        """What judges mentions, if anything does."""
        return None if self.judge is None else self.judge.calibration
