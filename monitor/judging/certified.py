"""The policy that was calibrated with a detector, by the name ``calibrated``, and what it keeps."""

from __future__ import annotations

from typing import Final

from ...detectors.calibrated import CalibratedDetector
from ...detectors.certificate import Certificate
from ...detectors.verdict import Calibration
from ..errors import OptionError
from ..policy.policy import Policy

CALIBRATED: Final = "calibrated"
"""Name of the policy that came with the calibration."""


def resolve(policy: Policy | str | None, calibration: Calibration | None) -> Policy:
    """A policy, the preset of a name, or the calibration's own; ``None`` is ``flag``.

    Raises:
        OptionError: the calibration's own is asked for and it has none, or one that this release
            cannot carry out as it was certified.
        ValueError: there is no such preset.
    """
    if policy != CALIBRATED:
        return Policy.of(policy)
    certificate = _certificate(calibration)
    if certificate is None:
        whose = "there is no calibration" if calibration is None else f"{calibration.name} has none"
        raise OptionError(
            f"The policy 'calibrated' must come with the calibration, but {whose}. Certify one "
            f"with `sightline calibrate policy`, or name another policy."
        )
    found = _policy(certificate)
    if found is None:
        raise OptionError(
            f"A certified policy must have the parameters that policies have in this release, "
            f"those "
            f"of the calibration's own were: {dict(certificate.policy)}. Certify one anew with "
            f"`sightline calibrate policy`."
        )
    return found


def promise_of(calibration: Calibration | None, policy: Policy | None) -> Certificate | None:
    """What is certified of a policy under a calibration, if it is the very policy that was."""
    certificate = _certificate(calibration)
    if certificate is None or policy is None or _policy(certificate) != policy:
        return None
    return certificate


def _certificate(calibration: Calibration | None) -> Certificate | None:
    return calibration.certificate if isinstance(calibration, CalibratedDetector) else None


def _policy(certificate: Certificate) -> Policy | None:
    """The policy, if all its parameters are there: no default of a later release stands in."""
    try:
        found = Policy.from_json(certificate.policy)
    except (ValueError, TypeError):
        return None
    return found if found.to_json() == dict(certificate.policy) else None
