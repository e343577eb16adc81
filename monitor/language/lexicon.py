"""The object lexicon: which words and phrases name which object.

A lexicon comes with the product (``coco``, ``small``) or from a user's file in one of two formats.

**JSON** (``.json``), exact: nothing is inflected or guessed while decoding::

    {
      "format": "sightline-lexicon-1",
      "name": "kitchen",
      "source": "where the list comes from, and its licence",
      "objects": {
        "wine glass": ["wine glass", "wine glasses", "goblet", "goblets"],
        "knife": ["knife", "knives"]
      },
      "lemmas": {"wine glasses": "wine glass", "goblets": "goblet", "knives": "knife"},
      "exceptions": ["knife block", "knife blocks"],
      "ambiguous": ["orange"],
      "invisible": ["image", "scene"]
    }

``format`` and ``objects`` are required. ``objects`` maps each canonical name to its surface forms;
the canonical name is a form too, listed or not. Case and repeated spaces do not matter, a phrase
also matches with hyphens between its words, and the longest phrase wins ("hot dog" is no "dog").
``lemmas`` gives the dictionary form of inflected forms. ``exceptions`` are phrases that contain a
form and name none of the objects ("train track"). ``ambiguous`` are one-word forms that are often
no noun ("orange", "remote"): they count only where the tagger sees a noun; every other form always
counts. ``invisible`` are the dictionary forms of nouns that name nothing one could see in an image.
The last two fall back on the packaged lists where absent.

**Plain text** (``.txt`` or no suffix): one object a line, its names separated by commas, the
canonical one first. Plurals are added by rule when such a file is read (see :mod:`.inflection`);
:meth:`Lexicon.save` writes the result as JSON, to be corrected by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import resources
from pathlib import Path
from typing import Any, Final

from .inflection import irregular_singular, plurals
from .phrases import PhraseFinder

FORMAT: Final = "sightline-lexicon-1"
PACKAGED: Final = ("coco", "small")
_KEYS: Final = frozenset(
    {"format", "name", "source", "objects", "lemmas", "exceptions", "ambiguous", "invisible"}
)


class LexiconError(ValueError):
    """A lexicon that cannot be used; the message names the file, the rule and the value seen."""


def _normal(text: str) -> str:
    return " ".join(text.lower().split())


@dataclass(frozen=True)
class Lexicon:
    """Objects and the words that name them. All strings are lower case, one space between words.

    Attributes:
        name: what reports call it.
        objects: canonical name -> its surface forms, canonical first.
        lemmas: inflected surface form -> dictionary form; forms not listed are their own.
        exceptions: phrases that contain a surface form and name none of the objects.
        ambiguous: one-word forms that need the tagger's word for being a noun.
        invisible: dictionary forms of nouns that name no visible object.
        source: where the list comes from, and its licence.
    """

    name: str
    objects: Mapping[str, tuple[str, ...]]
    lemmas: Mapping[str, str] = field(default_factory=dict)
    exceptions: frozenset[str] = frozenset()
    ambiguous: frozenset[str] = frozenset()
    invisible: frozenset[str] = frozenset()
    source: str = ""

    def __post_init__(self) -> None:
        owner: dict[str, str] = {}
        checked: dict[str, tuple[str, ...]] = {}
        for given, forms in self.objects.items():
            canonical = _normal(given)
            if canonical in checked:
                raise LexiconError(
                    f"lexicon {self.name!r}: each object may be listed once, "
                    f"but {canonical!r} is there twice; merge the two entries"
                )
            names = tuple(dict.fromkeys(map(_normal, (given, *forms))))
            for form in names:
                if not form:
                    raise LexiconError(
                        f"lexicon {self.name!r}: names must not be empty, but object "
                        f"{given!r} has an empty one; remove it"
                    )
                if form in owner:
                    raise LexiconError(
                        f"lexicon {self.name!r}: a name may belong to one object only, but "
                        f"{form!r} is listed under {owner[form]!r} and {canonical!r}; "
                        "keep it under one of them"
                    )
                owner[form] = canonical
            checked[canonical] = names
        if not checked:
            raise LexiconError(
                f"lexicon {self.name!r}: at least one object is needed, but none is listed"
            )
        for phrase in self.exceptions:
            if _normal(phrase) in owner:
                raise LexiconError(
                    f"lexicon {self.name!r}: {phrase!r} is listed both as an exception and under "
                    f"{owner[_normal(phrase)]!r}; keep one of the two"
                )
        freeze = object.__setattr__
        freeze(self, "objects", checked)
        freeze(self, "lemmas", {_normal(k): _normal(v) for k, v in self.lemmas.items()})
        for name in ("exceptions", "ambiguous", "invisible"):
            freeze(self, name, frozenset(map(_normal, getattr(self, name))) - {""})

    @cached_property
    def forms(self) -> Mapping[str, str]:
        """Every surface form -> its canonical object."""
        return {form: name for name, forms in self.objects.items() for form in forms}

    @cached_property
    def phrases(self) -> PhraseFinder:
        """Finds the names and the exceptions of this lexicon among words."""
        return PhraseFinder({**self.forms, **dict.fromkeys(self.exceptions)})

    def lemma(self, form: str) -> str:
        """The dictionary form of a surface form, lower case."""
        form = _normal(form)
        return self.lemmas.get(form, form)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Lexicon:
        """Read a packaged lexicon by name (``"coco"``, ``"small"``) or a user's file by path.

        Raises:
            LexiconError: the file is missing, unreadable or not in one of the two formats of this
                module, or a name is empty or belongs to two objects.
        """
        if name_or_path in PACKAGED:
            return cls._from_json(_packaged(f"{name_or_path}.json"), label=str(name_or_path))
        path = Path(name_or_path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise LexiconError(
                f"a lexicon is one of {', '.join(PACKAGED)} or the path of a UTF-8 text file, but "
                f"{str(name_or_path)!r} could not be read: {error}"
            ) from error
        if path.suffix.lower() == ".json":
            return cls._from_json(text, label=str(path))
        if path.suffix.lower() not in ("", ".txt"):
            raise LexiconError(
                f"a lexicon file ends in .json or .txt, but {str(path)!r} ends in "
                f"{path.suffix!r}; see the docstring of monitor.language.lexicon for them"
            )
        return cls.from_synonyms(text.splitlines(), name=path.stem)

    @classmethod
    def from_synonyms(cls, lines: Iterable[str], *, name: str, source: str = "") -> Lexicon:
        """Build a lexicon from lines of comma-separated names, the canonical one first.

        Plurals are added by rule. Blank lines and lines that start with ``#`` are skipped.

        Raises:
            LexiconError: a name is empty or belongs to two objects.
        """
        objects: dict[str, tuple[str, ...]] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            if line.lstrip()[0] in "{[<" or "\x00" in line or "\t" in line:
                raise LexiconError(
                    f"lexicon {name!r}: a plain-text lexicon has one object a line, names "
                    f"separated by commas, but line {number} is {line[:60]!r}; JSON lexicons "
                    "need the suffix .json"
                )
            names = tuple(map(_normal, line.split(",")))
            if not all(names):
                raise LexiconError(
                    f"lexicon {name!r}: names must not be empty, but line {number} has an empty "
                    f"one: {line[:60]!r}"
                )
            if names[0] in objects:
                raise LexiconError(
                    f"lexicon {name!r}: each object may be listed once, but {names[0]!r} is there "
                    f"again in line {number}; merge the two lines"
                )
            objects[names[0]] = names
        forms, lemmas = inflected(objects)
        packaged = _packaged_lists()
        return cls(name=name, objects=forms, lemmas=lemmas, source=source, **packaged)

    @classmethod
    def _from_json(cls, text: str, *, label: str) -> Lexicon:
        try:
            data = json.loads(text, object_pairs_hook=partial(_without_repeats, label))
        except json.JSONDecodeError as error:
            raise LexiconError(f"lexicon {label}: not valid JSON: {error}") from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            seen = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise LexiconError(
                f'lexicon {label}: a JSON lexicon is an object with "format": "{FORMAT}", but the '
                f"format is {seen!r}; see the docstring of sightline.monitor.language.lexicon"
            )
        unknown = sorted(set(data) - _KEYS)
        if unknown:
            raise LexiconError(
                f"lexicon {label}: known keys are {', '.join(sorted(_KEYS))}, but found {unknown}"
            )
        objects = data.get("objects")
        if not isinstance(objects, dict) or not all(map(_is_strings, objects.values())):
            raise LexiconError(
                f'lexicon {label}: "objects" must map each canonical name to a list of strings'
            )
        lemmas = data.get("lemmas", {})
        if not isinstance(lemmas, dict) or not _is_strings(list(lemmas.values())):
            raise LexiconError(f'lexicon {label}: "lemmas" must map strings to strings')
        lists = _packaged_lists() if not {"ambiguous", "invisible"} <= set(data) else {}
        for key in ("exceptions", "ambiguous", "invisible"):
            if key in data:
                if not _is_strings(data[key]):
                    raise LexiconError(f'lexicon {label}: "{key}" must be a list of strings')
                lists[key] = frozenset(data[key])
        return cls(
            name=str(data.get("name", Path(label).stem)),
            objects={name: tuple(forms) for name, forms in objects.items()},
            lemmas=lemmas,
            source=str(data.get("source", "")),
            **lists,
        )

    def save(self, path: str | Path) -> None:
        """Write the lexicon as JSON, in the format that :meth:`load` reads."""
        data = {
            "format": FORMAT,
            "name": self.name,
            "source": self.source,
            "objects": {name: list(forms) for name, forms in self.objects.items()},
            "lemmas": dict(self.lemmas),
            "exceptions": sorted(self.exceptions),
            "ambiguous": sorted(self.ambiguous),
            "invisible": sorted(self.invisible),
        }
        text = json.dumps(data, indent=1, ensure_ascii=False)
        Path(path).write_text(text + "\n", encoding="utf-8")


def _without_repeats(label: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are all different; JSON itself would keep the last one silently."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise LexiconError(
            f"lexicon {label}: each name may be listed once, but {twice!r} is there twice; "
            "merge the two entries"
        )
    return found


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _packaged(file: str) -> str:
    folder = resources.files("sightline.monitor") / "data" / "lexicon"
    return (folder / file).read_text(encoding="utf-8")


def _packaged_lists() -> dict[str, frozenset[str]]:
    """The packaged defaults of ``ambiguous`` and ``invisible``."""
    data = json.loads(_packaged("defaults.json"))
    return {
        "ambiguous": frozenset(data["ambiguous"]),
        "invisible": frozenset(lemma for group in data["invisible"].values() for lemma in group),
    }


def inflected(
    objects: Mapping[str, Sequence[str]],
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Add plurals by rule to the names of each object.

    Returns:
        canonical name -> names and their plurals, and plural -> singular. A plural that already
        names something else ("ram" -> "rams" under another object) is left out there.
    """
    taken = {form: name for name, forms in objects.items() for form in forms}
    grown: dict[str, tuple[str, ...]] = {}
    lemmas: dict[str, str] = {}
    for name, forms in objects.items():
        every = list(dict.fromkeys(forms))
        for form in tuple(every):
            for plural in plurals(form):
                if taken.setdefault(plural, name) == name:
                    lemmas.setdefault(plural, form)
                    every.append(plural)
            singular = irregular_singular(form)
            if singular is not None:
                lemmas.setdefault(form, singular)
        grown[name] = tuple(dict.fromkeys(every))
    return grown, {plural: lemma for plural, lemma in lemmas.items() if plural != lemma}
