"""What is to be done about a flagged object: every choice a named parameter, no model in sight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import JsonValue

Act = Literal["observe", "flag", "redecode", "drop", "stop"]
"""``observe``: measure and say nothing. ``flag``: say which mentions are likely made up.
``redecode``: write the span again, differently. ``drop``: leave the sentence out and go on.
``stop``: end the caption before the sentence."""

BackTo = Literal["noun", "phrase", "clause", "sentence"]
"""Where writing again begins."""

Otherwise = Literal["keep", "drop", "stop"]
"""What happens where nothing passes: the original stays, flagged; or see :data:`Act`."""


ReleaseBy = Literal["phrase", "sentence"]
"""By what a caption is settled: from then on it is not taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervention:
    """How a span is decoded differently; several means may be combined.

    Attributes:
        alpha: strength of head-guided attention (Eq. 4 of the paper), 0 for none. What was written
            under it is judged on passes without it.
        layers: the decoder layers Eq. 4 acts on, first and last, counted from 0; ``"published"``
            for those that the paper gives for the model (``sightline presets`` lists them);
            ``None`` for all.
        contrast: how much is said for a token that the image makes likelier than the text alone
            does (see :mod:`.blind`), 0 for none. The passes themselves are as ever, so that what
            was written under it alone needs no second reading. One more pass a token.
        avoid: forbid the first sub-tokens of the objects that were flagged, throughout the span.

    Raises:
        ValueError: it changes nothing, or the numbers are out of range.
    """

    alpha: float = 0.0
    layers: tuple[int, int] | Literal["published"] | None = None
    contrast: float = 0.0
    avoid: bool = False

    def __post_init__(self) -> None:
        for name in ("alpha", "contrast"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be finite and at least 0, was: {value}.")
        if not self.alpha and not self.contrast and not self.avoid:
            raise ValueError(
                "An intervention must change something: give alpha, contrast, or avoid=True."
            )
        if isinstance(self.layers, str):
            fits = self.layers == "published"
        else:
            fits = self.layers is None or 0 <= self.layers[0] <= self.layers[1]
        if not fits:
            raise ValueError(
                f"layers must be a first and a last one, counted from 0, or 'published', was: "
                f"{self.layers!r}."
            )

    def __str__(self) -> str:
        parts = [f"attention x{self.alpha:g}"] if self.alpha else []
        if self.layers == "published" and self.alpha:
            parts[0] += " in the published layers"
        elif self.layers is not None and self.alpha:
            parts[0] += f" in layers {self.layers[0]}-{self.layers[1]}"
        if self.contrast:
            parts.append(f"contrast x{self.contrast:g}")
        return " + ".join([*parts, "avoid"] if self.avoid else parts)


AVOID: Final = Intervention(avoid=True)
"""Write the span again without the objects that were flagged in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What to do about flagged objects.

    Example::

        policy = Policy(act="redecode", tries=(Intervention(alpha=2.0), AVOID), otherwise="stop")
        monitor.generate(**inputs, policy=policy)

    Attributes:
        act: what a flag leads to.
        back_to: for ``redecode``, how far back writing again begins. The row that predicts a noun
            does not know the noun: decoded again from the ``noun``, its attention is the same.
            Whatever it is, the span ends where its sentence does.
        tries: for ``redecode``, the interventions in the order in which they are tried, the last
            one as often as ``max_tries`` allows. Each ``avoid`` adds what the try before was
            flagged for. The same layers in all that have an ``alpha``.
        max_tries: for ``redecode``, most tries per span; for ``drop``, most sentences that are left
            out before the caption ends.
        budget: most tokens that may be decoded beyond those a caption keeps, for ``redecode`` and
            ``drop``; an image-blind pass counts as one. To end a caption is always allowed.
        otherwise: for ``redecode``, what happens where no try passes.
        more: sentences to ask for where the model would have ended the caption. Each is judged as
            any other; one that cannot be kept is left out.
        release: when text counts as settled, and may be shown to who does not want to see it taken
            back. ``phrase``: once every noun up to there has passed. A later flag in the same
            sentence then goes back no further: the sentence ends there, if the model finds a full
            stop likely, else it is written on without what was flagged, and if that is flagged too,
            kept as it was. ``sentence``: with its sentence, which is taken back whole.
        threshold: the score from which a mention is flagged; by default the calibration's. A
            promise that came with the calibration's own threshold is given up with it.

    Raises:
        ValueError: a parameter is out of range, or has no meaning with this ``act``.
    """

    act: Act = "redecode"
    back_to: BackTo = "sentence"
    tries: tuple[Intervention, ...] = (AVOID,)
    max_tries: int = 3
    budget: int = 96
    otherwise: Otherwise = "stop"
    more: int = 0
    release: ReleaseBy = "phrase"
    threshold: float | None = None

    def __post_init__(self) -> None:
        _one_of("act", self.act, ("observe", "flag", "redecode", "drop", "stop"))
        _one_of("back_to", self.back_to, ("noun", "phrase", "clause", "sentence"))
        _one_of("otherwise", self.otherwise, ("keep", "drop", "stop"))
        _one_of("release", self.release, ("phrase", "sentence"))
        for name in ("max_tries", "budget", "more"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, was: {getattr(self, name)}.")
        if self.act == "redecode" and not self.tries:
            raise ValueError("To re-decode, tries must name an intervention, was empty.")
        layers = {one.layers for one in self.tries if one.alpha}
        if len(layers) > 1:
            raise ValueError(
                f"All tries with an alpha must act on the same layers, theirs are: "
                f"{sorted(layers, key=str)}."
            )
        if self.threshold is not None and self.threshold != self.threshold:
            raise ValueError("threshold must be a number, was: NaN.")

    @property
    def acts(self) -> bool:
        """Whether a flag can change the caption, or its end."""
        return self.act in ("redecode", "drop", "stop") or self.more > 0

    def intervention(self, tried: int) -> Intervention | None:
        """The next one after so many tries; ``None`` if there is none."""
        if self.act != "redecode" or tried >= self.max_tries:
            return None
        return self.tries[min(tried, len(self.tries) - 1)]

    def to_json(self) -> dict[str, JsonValue]:
        """All parameters, as JSON values."""
        values: dict[str, Any] = asdict(self)
        for one in values["tries"]:
            if isinstance(one["layers"], tuple):
                one["layers"] = list(one["layers"])
        values["tries"] = list(values["tries"])
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Policy:
        """The policy that :meth:`to_json` described; what it leaves out is as by default.

        Raises:
            ValueError: an unknown parameter, or a value that does not fit.
        """
        given = dict(values)
        try:
            if "tries" in given:
                given["tries"] = tuple(_intervention(one) for one in given["tries"])
            return cls(**given)
        except TypeError as error:
            raise ValueError(f"A policy cannot be read: {error}.") from error

    @classmethod
    def of(cls, policy: Policy | str | None) -> Policy:
        """A policy, or the preset of a name; ``None`` is ``flag``.

        Raises:
            ValueError: there is no such preset.
        """
        if isinstance(policy, Policy):
            return policy
        name = "flag" if policy is None else policy
        if name not in PRESETS:
            raise ValueError(
                f"policy must be a Policy or one of {', '.join(PRESETS)}, was: {name!r}."
            )
        return PRESETS[name]


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, was: {value!r}.")


def _intervention(values: Mapping[str, Any]) -> Intervention:
    given = dict(values)
    if isinstance(given.get("layers"), (list, tuple)):
        first, last = given["layers"]
        given["layers"] = (first, last)
    return Intervention(**given)


PRESETS: Final[Mapping[str, Policy]] = MappingProxyType(
    {
        "observe": Policy(act="observe"),
        "flag": Policy(act="flag"),
        # On the small model a second and a third try, or sentence left out, took a fifth more
        # passes and changed neither CHAIR nor recall.
        "redecode": Policy(act="redecode", max_tries=1),
        "drop": Policy(act="drop", max_tries=1),
        "stop": Policy(act="stop"),
    }
)
"""Policies by name."""
