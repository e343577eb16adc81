"""The run-time: watch a vision-language model while it decodes.

The names below are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import SightlineError as SightlineError
    from .events import End as End
    from .events import Event as Event
    from .events import Mention as Mention
    from .events import Token as Token
    from .events import Verdict as Verdict
    from .events import Word as Word
    from .language.lexicon import Lexicon as Lexicon
    from .models.anatomy import Anatomy as Anatomy
    from .models.images import open_image as open_image
    from .models.small import small_model as small_model
    from .report import Failure as Failure
    from .report import Report as Report
    from .report import fold as fold
    from .report import parse_record as parse_record
    from .session import Captions as Captions
    from .session import Monitor as Monitor

_HOMES = {
    "Anatomy": "models.anatomy",
    "SightlineError": "errors",
    "End": "events",
    "Event": "events",
    "Mention": "events",
    "Token": "events",
    "Verdict": "events",
    "Word": "events",
    "open_image": "models.images",
    "Lexicon": "language.lexicon",
    "Failure": "report",
    "Report": "report",
    "fold": "report",
    "parse_record": "report",
    "Captions": "session",
    "Monitor": "session",
    "small_model": "models.small",
}

__all__ = [
    "Anatomy",
    "Captions",
    "End",
    "Event",
    "Failure",
    "Lexicon",
    "Mention",
    "Monitor",
    "Report",
    "SightlineError",
    "Token",
    "Verdict",
    "Word",
    "fold",
    "open_image",
    "parse_record",
    "small_model",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
