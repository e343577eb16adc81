"""What is done about a flagged object: the choices, and the machine that carries them out."""

from .policy import AVOID, PRESETS, Act, Intervention, Policy

__all__ = ["AVOID", "PRESETS", "Act", "Intervention", "Policy"]
