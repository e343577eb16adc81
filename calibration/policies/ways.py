"""Ways to write a caption: greedily, under a policy, under Eq. 4 always, and what they must beat.

A way is a value: it says how, and :class:`.Writer` does it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Final

from ...monitor.policy.policy import Policy

GREEDY: Final = "greedy"
"""Name of the way that all others are held against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a caption is written.

    Attributes:
        name: what it is called wherever its captions are spoken of.
        family: ways that differ in one setting alone, such as a threshold: one curve in a figure.
        place: where on that curve it lies.
        listed: whether a table of the main ways shows it, or figures alone.

    Raises:
        ValueError: the name or the family is empty, or the place no number.
    """

    kind: ClassVar[str]

    name: str
    family: str
    place: float = 0.0
    listed: bool = True

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.family.strip():
            raise ValueError(
                f"A way must have a name and a family, were: {self.name!r} and {self.family!r}."
            )
        if not math.isfinite(self.place):
            raise ValueError(f"A way's place must be a finite number, was: {self.place}.")

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain(Way):
    """The model's own ``generate``, greedily; nobody watches."""

    kind = "plain"

    name: str = GREEDY
    family: str = GREEDY


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched(Way):
    """The same under the monitor, which changes nothing: what watching costs."""

    kind = "watched"

    name: str = "greedy, watched"
    family: str = "greedy, watched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guided(Way):
    """Eq. 4 of the paper in every step.

    Attributes:
        alpha: its strength, above 0.
        layers: the decoder layers it acts on, first and last, counted from 0; ``None`` for all.
    """

    kind = "guided"

    alpha: float
    layers: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        Way.__post_init__(self)
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"alpha must be finite and above 0, was: {self.alpha}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting(Way):
    """Under a policy."""

    kind = "acting"

    policy: Policy

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return {**_named(self), "policy": self.policy.to_json()}


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomGate(Way):
    """Under a policy that acts on mentions drawn at random, as often as with a detector.

    Attributes:
        policy: what is done; whom it flags is drawn.
        like: name of the way whose rate of actions is matched: known once that way was tried on
            all images, so this one is tried after it.
        seed: of the draw, which also depends on the image and on the mention's place.
    """

    kind = "random"

    policy: Policy
    like: str
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return {
            **_named(self),
            "policy": self.policy.to_json(),
            "like": self.like,
            "seed": self.seed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSentences(Way):
    """The first sentences of the greedy caption, whatever they say."""

    kind = "first"

    count: int

    def __post_init__(self) -> None:
        Way.__post_init__(self)
        if self.count < 1:
            raise ValueError(f"count must be at least 1 sentence, was: {self.count}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DropAfterwards(Way):
    """The greedy caption without the sentences in which something is flagged.

    Attributes:
        threshold: the score from which a mention is flagged; by default the calibration's.
    """

    kind = "afterwards"

    threshold: float | None = None


def act_in_words(policy: Policy) -> str:
    """What a policy does about a flag, in a word or two."""
    if policy.act != "redecode":
        return policy.act
    tried = dict.fromkeys(map(str, policy.tries[: max(policy.max_tries, 1)]))
    return f"re-decode ({', then '.join(tried)})"


def in_words(policy: Policy) -> str:
    """A policy in a few words: those of its parameters that make a difference.

    Two policies may be the same in words; :func:`.ways_from_json` wants a name for each then.
    """
    parts = [act_in_words(policy)]
    if policy.act == "redecode":
        if policy.back_to != "sentence":
            parts.append(f"from the {policy.back_to}")
        if policy.max_tries != 3:
            parts.append(f"{policy.max_tries} {'try' if policy.max_tries == 1 else 'tries'}")
        if policy.otherwise != "stop":
            parts.append(f"else {policy.otherwise}")
    if policy.release != Policy().release:
        parts.append(f"released by the {policy.release}")
    if policy.threshold is not None:
        parts.append(f"threshold {policy.threshold:g}")
    if policy.more:
        parts.append(f"{policy.more} more sentence{'s' * (policy.more > 1)}")
    return ", ".join(parts)


def acting(policy: Policy, *, name: str | None = None, listed: bool = True) -> Acting:
    """The way of a policy, in the family of those that differ from it in the threshold alone."""
    bare = Policy(**{**_parameters(policy), "threshold": None})
    return Acting(
        name=name or in_words(policy),
        family=in_words(bare),
        place=0.0 if policy.threshold is None else policy.threshold,
        listed=listed,
        policy=policy,
    )


def ways_from_json(values: object) -> tuple[Acting, ...]:
    """The ways of a file: a list of policies, each as :meth:`.Policy.to_json` describes it.

    A policy may have a ``name`` beside its parameters; by default it is called what it does.

    Raises:
        ValueError: it is no such list, it is empty, or a policy cannot be read.
    """
    if not isinstance(values, list) or not values:
        raise ValueError(
            f"Ways must be a list of at least one policy, was: {str(values)[:60] or 'nothing'}."
        )
    ways = []
    for number, given in enumerate(values, 1):
        if not isinstance(given, Mapping) or not isinstance(given.get("name", ""), str):
            raise ValueError(
                f"A policy must be an object of its parameters, with a text as name if it has one; "
                f"number {number} was: {str(given)[:60]}."
            )
        parameters = {key: value for key, value in given.items() if key != "name"}
        try:
            ways.append(acting(Policy.from_json(parameters), name=given.get("name")))
        except ValueError as error:
            raise ValueError(f"Policy number {number} cannot be read: {error}") from error
    return tuple(ways)


def check_names(ways: tuple[Way, ...]) -> None:
    """See that every way has a name of its own, and what random gates refer to is there.

    Raises:
        ValueError: it is not so.
    """
    names = [way.name for way in ways]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Every way must have a name of its own, several are called: {twice}.")
    gated = {way.name for way in ways if isinstance(way, Acting)}
    for way in ways:
        if isinstance(way, RandomGate) and way.like not in gated:
            raise ValueError(
                f"{way.name!r} must act as often as a way that acts on flags and is tried too, "
                f"was to be like: {way.like!r}."
            )


def _named(way: Way) -> dict[str, Any]:
    return {
        "kind": way.kind,
        "name": way.name,
        "family": way.family,
        "place": way.place,
        "listed": way.listed,
    }


def _parameters(policy: Policy) -> dict[str, Any]:
    return {field.name: getattr(policy, field.name) for field in fields(policy)}
