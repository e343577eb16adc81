"""What a client may ask for: everything that costs something is bounded."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on requests. What goes beyond is refused before it costs more than reading it.

    Attributes:
        body_bytes: of a request.
        body_seconds: in which its body must have come.
        images: in one request.
        pixels: of one image, checked before any is decoded.
        prompt_characters: of the question.
        new_tokens: a caption's length.
        seconds: for one caption, from its first token's forward pass.
        waiting: requests that wait for the model; one more is told to come back.

    Raises:
        ValueError: a bound below 1.
    """

    body_bytes: int = 24_000_000
    body_seconds: float = 20.0
    images: int = 4
    pixels: int = 24_000_000
    prompt_characters: int = 8_000
    new_tokens: int = 1_024
    seconds: float = 120.0
    waiting: int = 64

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < (1 if isinstance(field.default, int) else 0.001):
                raise ValueError(
                    f"A limit must be at least 1, {field.name} was: {getattr(self, field.name)}."
                )
