"""What all sections of a report have in common."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A float that is null in JSON where it is missing, NaN or infinite."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
