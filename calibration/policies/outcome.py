"""One caption, written in one way and held against the truth: the row of every comparison here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..objects.chair import Labelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one way of writing made of one image.

    Attributes:
        way: name of the way: ``greedy``, ``stop``, ``redecode alpha=2 threshold=0.4`` ...
        image: name of the image, the unit of every interval and promise.
        text: the caption.
        mentions: canonical names of the objects it names, in order, repetitions included.
        truth: canonical names of the objects in the image, sorted.
        words: its words, lower case, without punctuation.
        tokens: tokens that the caption keeps, its end among them.
        passes: forward passes of the model, those of tokens that were thrown away and of
            verification included.
        seconds: on the wall, for this caption alone.
        ended: whether it ended by itself or by the policy's doing, not at the length limit.
        flagged: mentions that were flagged while it was written, also those that are gone.
        actions: how many spans were ``replaced``, ``kept``, ``dropped`` or ``stopped``.
    """

    way: str
    image: str
    text: str
    mentions: tuple[str, ...]
    truth: tuple[str, ...]
    words: tuple[str, ...]
    tokens: int
    passes: int
    seconds: float
    ended: bool
    flagged: int
    actions: Mapping[str, int]

    @property
    def hallucinated(self) -> int:
        """Mentions of objects that are not there."""
        truth = set(self.truth)
        return sum(name not in truth for name in self.mentions)

    @property
    def labelled(self) -> Labelled:
        """The caption as CHAIR takes it."""
        return Labelled(self.mentions, frozenset(self.truth), self.words, self.ended)

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return {**asdict(self), "actions": dict(self.actions)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Outcome:
        """The outcome that :meth:`to_json` described.

        Raises:
            ValueError: a value is missing, or none that is known.
        """
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            odd = sorted(known ^ set(values))
            raise ValueError(f"An outcome must have the values {sorted(known)}, odd ones: {odd}.")
        given = dict(values)
        for name in ("mentions", "truth", "words"):
            given[name] = tuple(given[name])
        return cls(**given)
