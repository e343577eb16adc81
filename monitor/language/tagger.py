"""Parts of speech, word by word as a sentence grows.

Two of NLTK's averaged perceptrons (trained by ``sightline.calibration.taggers`` on the English Web
Treebank of Universal Dependencies) tag every word twice: *provisionally* when it is complete, with
nothing known to its right, and for good (*confirmed*) when the word after it is complete too. The
weights in ``data/taggers`` are CC BY-SA 4.0, see the licence file there.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib import resources
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

FORMAT: Final = "sightline-tagger-1"
NOUN_TAGS: Final = frozenset({"NOUN", "PROPN"})
"""What counts as a noun: common and proper alike, for captions name things either way."""

_BEFORE: Final = ("-START-", "-START2-")
_AFTER: Final = "-END-"
_SCALE: Final = 100  # weights are kept in hundredths


class Tagger(Protocol):
    """Anything that tags the last word of a sentence so far with a universal part of speech."""

    def provisional(self, words: Sequence[str], tags: Sequence[str]) -> str:
        """The tag of ``words[-1]``, nothing known to its right.

        Args:
            words: the sentence so far, at least one word.
            tags: the confirmed tags of ``words[:-1]``.
        """
        ...

    def confirmed(self, words: Sequence[str], tags: Sequence[str], following: str | None) -> str:
        """The tag of ``words[-1]`` given the word after it, ``None`` at the end of the sentence."""
        ...


def _normal(word: str) -> str:
    if word[0].isdigit():
        return "!YEAR" if len(word) == 4 and word.isdigit() else "!DIGITS"
    if "-" in word and word[0] != "-":
        return "!HYPHEN"
    return word.lower()


def _shape(word: str) -> str:
    """Runs of upper case, lower case and digits in the first six characters: "Xx", "d.d"."""
    shape = ""
    for char in word[:6]:
        kind = "X" if char.isupper() else "x" if char.islower() else "d" if char.isdigit() else char
        if shape[-1:] != kind:
            shape += kind
    return shape


def _of_word(word: str) -> tuple[str, ...]:
    return (
        "bias",
        "word " + _normal(word),
        "suffix2 " + word[-2:],
        "suffix3 " + word[-3:],
        "suffix4 " + word[-4:],
        "prefix1 " + word[0],
        "prefix3 " + word[:3],
        "shape " + _shape(word),
    )


def _of_tags(tag: str, earlier: str) -> tuple[str, ...]:
    return ("tag-1 " + tag, "tag-2 " + earlier, "tags " + tag + " " + earlier)


def _of_before(normal: str) -> tuple[str, ...]:
    return ("word-1 " + normal, "suffix-1 " + normal[-3:])


def _of_after(normal: str) -> tuple[str, ...]:
    return ("word+1 " + normal, "suffix+1 " + normal[-3:])


def _context(
    words: Sequence[str], tags: Sequence[str], following: str | None
) -> tuple[str, str, str, str, str, str]:
    """Normal forms of the word, the two before it and the one after it; the two tags before."""
    return (
        _normal(words[-1]),
        _normal(words[-2]) if len(words) > 1 else _BEFORE[0],
        _normal(words[-3]) if len(words) > 2 else _BEFORE[1],
        _AFTER if following is None else _normal(following),
        tags[-1] if tags else _BEFORE[0],
        tags[-2] if len(tags) > 1 else _BEFORE[1],
    )


def features(
    words: Sequence[str], tags: Sequence[str], following: str | None, *, sees_next: bool
) -> list[str]:
    """What a perceptron knows of ``words[-1]``, as names of features that are present.

    Args:
        words: the sentence so far, at least one word.
        tags: the tags of ``words[:-1]``.
        following: the word after it, ``None`` at the end of the sentence.
        sees_next: whether ``following`` may be looked at.
    """
    normal, before, earlier, after, tag, tag2 = _context(words, tags, following)
    names = [
        *_of_word(words[-1]),
        *_of_tags(tag, tag2),
        "tag-1 word " + tag + " " + normal,
        *_of_before(before),
        "word-2 " + earlier,
    ]
    if sees_next:
        names += [
            *_of_after(after),
            "word suffix+1 " + normal + " " + after[-2:],
            "tag-1 suffix+1 " + tag + " " + after[-3:],
        ]
    return names


@dataclass(frozen=True, eq=False)
class TagModel:
    """One trained perceptron with its dictionary of words that need no thought.

    It decides as NLTK's ``AveragedPerceptron.predict`` does, ties included, from a dense table:
    whole numbers add up to the same on every machine, and several times faster.

    Attributes:
        classes: the tags, last in the alphabet first: of equal scores the first wins.
        rows: feature name -> its row in ``weights``.
        weights: int32 ``[features, classes]``, averaged weights in hundredths.
        dictionary: frequent words that nearly always have one tag -> that tag.
        sees_next: whether it was trained to see the word after the one it tags.
    """

    classes: tuple[str, ...]
    rows: Mapping[str, int]
    weights: npt.NDArray[np.int32]
    dictionary: Mapping[str, str]
    sees_next: bool

    @classmethod
    def of(
        cls,
        weights: Mapping[str, Mapping[str, float]],
        *,
        classes: Iterable[str],
        dictionary: Mapping[str, str],
        sees_next: bool,
    ) -> TagModel:
        """Pack an averaged perceptron's weights: feature name -> tag -> weight."""
        order = tuple(sorted(classes, reverse=True))
        place = {tag: number for number, tag in enumerate(order)}
        rounded = {
            name: {place[tag]: round(_SCALE * weight) for tag, weight in row.items()}
            for name, row in sorted(weights.items())
        }
        kept = {name: row for name, row in rounded.items() if any(row.values())}
        table = np.zeros((len(kept), len(order)), dtype=np.int32)
        for number, row in enumerate(kept.values()):
            table[number, list(row)] = list(row.values())
        rows = {name: number for number, name in enumerate(kept)}
        return cls(order, rows, table, dictionary, sees_next)

    def tag(self, words: Sequence[str], tags: Sequence[str], following: str | None = None) -> str:
        """The tag of ``words[-1]``."""
        known = self.dictionary.get(words[-1])
        if known is not None:
            return known
        rows = self._rows_of(words, tags, following)
        if not rows:
            return self.classes[0]
        scores = np.add.reduce(self.weights.take(rows, axis=0))
        return self.classes[int(scores.argmax())]

    def _rows_of(
        self, words: Sequence[str], tags: Sequence[str], following: str | None
    ) -> list[int]:
        """The rows of :func:`features`; those of one word or one pair of tags are remembered."""
        normal, before, earlier, after, tag, tag2 = _context(words, tags, following)
        recall = self._recall
        rows = [
            *recall(_of_word, words[-1]),
            *recall(_of_tags, tag, tag2),
            *recall(_of_before, before),
        ]
        joint = ["tag-1 word " + tag + " " + normal, "word-2 " + earlier]
        if self.sees_next:
            rows += recall(_of_after, after)
            joint.append("word suffix+1 " + normal + " " + after[-2:])
            joint.append("tag-1 suffix+1 " + tag + " " + after[-3:])
        find = self.rows.get
        rows += [row for name in joint if (row := find(name)) is not None]
        return rows

    @cached_property
    def _recall(self) -> Callable[..., tuple[int, ...]]:
        """The rows of one group of features, looked up once for each argument."""
        find = self.rows.get

        @lru_cache(maxsize=1 << 14)
        def rows(group: Callable[..., tuple[str, ...]], *of: str) -> tuple[int, ...]:
            return tuple(row for name in group(*of) if (row := find(name)) is not None)

        return rows

    def to_bytes(self) -> bytes:
        """The model as gzipped JSON, the same bytes for the same weights."""
        held = self.weights != 0
        data = {
            "format": FORMAT,
            "license": "CC BY-SA 4.0; trained on UD English EWT, see LICENSE in this folder",
            "sees_next": self.sees_next,
            "classes": self.classes,
            "dictionary": dict(sorted(self.dictionary.items())),
            "features": list(self.rows),
            "held": held.sum(axis=1).tolist(),
            "columns": held.nonzero()[1].tolist(),
            "weights": self.weights[held].tolist(),
        }
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        return gzip.compress(text.encode(), mtime=0)

    @classmethod
    def from_bytes(cls, packed: bytes) -> TagModel:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ValueError: the bytes are not a tagger of this format.
        """
        try:
            data: Any = json.loads(gzip.decompress(packed))
        except (OSError, EOFError, ValueError) as error:
            raise ValueError(f"a tagger is gzipped JSON, but reading it failed: {error}") from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(
                f"a tagger needs the format {FORMAT!r}; train one with "
                "python -m sightline.calibration.taggers"
            )
        names = data["features"]
        table = np.zeros((len(names), len(data["classes"])), dtype=np.int32)
        table[np.repeat(np.arange(len(names)), data["held"]), data["columns"]] = data["weights"]
        rows = {name: number for number, name in enumerate(names)}
        return cls(tuple(data["classes"]), rows, table, data["dictionary"], bool(data["sees_next"]))


@dataclass(frozen=True)
class TreebankTagger:
    """The packaged pair of perceptrons; shared by all captions and threads."""

    provisional_model: TagModel
    confirmed_model: TagModel

    @classmethod
    def packaged(cls) -> TreebankTagger:
        """The taggers that ship with the product, read once."""
        return _packaged()

    def provisional(self, words: Sequence[str], tags: Sequence[str]) -> str:
        """See :class:`Tagger`."""
        return self.provisional_model.tag(words, tags)

    def confirmed(self, words: Sequence[str], tags: Sequence[str], following: str | None) -> str:
        """See :class:`Tagger`."""
        return self.confirmed_model.tag(words, tags, following)


@cache
def _packaged() -> TreebankTagger:
    folder = resources.files("sightline.monitor") / "data" / "taggers"
    models = (
        TagModel.from_bytes((folder / f"{name}.json.gz").read_bytes())
        for name in ("provisional", "confirmed")
    )
    return TreebankTagger(*models)
