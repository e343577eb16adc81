"""Which objects are in which image: COCO's ``instances.json``, or a plain JSON object.

**COCO** (``instances_val2014.json`` and the like): its ``images`` (``id``, ``file_name``),
``categories`` (``id``, ``name``) and ``annotations`` (``image_id``, ``category_id``) are read,
everything else is passed over. Crowds count: the object is there. An image that is listed and has
no annotation holds no object.

**Plain**: a JSON object from image id to a list of object names::

    {"139": ["person", "tv"], "285": ["bear"], "632": []}

In both, names are those of the lexicon, in any of their forms; a name it does not know is an
error, for its objects would all count as hallucinated.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, Final

from ...monitor.language.lexicon import Lexicon

_COCO: Final = ("images", "annotations", "categories")


class AnnotationError(ValueError):
    """Annotations that cannot be used, or that know nothing of an image."""


@dataclass(frozen=True)
class Annotations:
    """The objects of each annotated image.

    Attributes:
        objects: image id -> canonical names of the objects in it; empty where it holds none.
        file_names: image id -> file name, as COCO gives it; empty for the plain form.
        sha256: of the file, hexadecimal.
        source: the file they were read from, for messages.
        annotated: canonical names of all that was looked for: COCO's categories; in the plain form
            every object of the lexicon. Of any other object nobody knows whether it is there.
    """

    objects: Mapping[str, frozenset[str]]
    file_names: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    source: str = "the annotations"
    annotated: frozenset[str] = frozenset()

    @classmethod
    def load(cls, path: str | Path, lexicon: Lexicon) -> Annotations:
        """Read annotations of either form.

        Raises:
            AnnotationError: the file cannot be read, is cut short or of neither form, names an
                object that the lexicon does not know, lists an image twice or annotates one that
                it does not list.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise AnnotationError(f"Annotations could not be read from {path}: {error}") from error
        try:
            data = json.loads(content, object_pairs_hook=_without_repeats)
        except UnicodeDecodeError as error:
            raise AnnotationError(f"{path} must be JSON text, it is not: {error}") from error
        except json.JSONDecodeError as error:
            length = len(error.doc)
            cut = " The file ends too early: copy or download it again." * (
                not error.doc[error.pos :].strip() or error.msg.startswith("Unterminated")
            )
            raise AnnotationError(
                f"{path} must be JSON, reading stopped at character {error.pos:,} of {length:,}: "
                f"{error.msg}.{cut}"
            ) from error
        except _RepeatError as error:
            raise AnnotationError(
                f"{path} must list every key once, was there twice: {error}. Merge the two entries."
            ) from error
        names = _Names(lexicon, path)
        if isinstance(data, dict) and any(key in data for key in _COCO):
            objects, annotated, file_names = _coco(data, names, path)
        else:
            objects, file_names = _plain(data, names, path), {}
            annotated = frozenset(lexicon.objects)
        if not objects:
            raise AnnotationError(f"{path} must annotate at least one image, it annotates none.")
        return cls(
            objects=objects,
            annotated=annotated,
            file_names=file_names,
            sha256=hashlib.sha256(content).hexdigest(),
            source=str(path),
        )

    def truth(self, image_id: str) -> frozenset[str]:
        """Canonical names of the objects in an image.

        Raises:
            AnnotationError: the image is not annotated.
        """
        try:
            return self.objects[image_id]
        except KeyError:
            raise AnnotationError(
                f"{self.source} annotates {len(self.objects):,} images ({self._examples}), image "
                f"{image_id!r} is not among them. Leave it out, or give annotations that cover it."
            ) from None

    def find(self, image: str | PurePath) -> str:
        """The id of an image given by its path or file name.

        What is tried, in order: COCO's file name, with as many folders as it has; the file name or
        its stem as an id; the number of a stem that is one, with or without COCO's prefix
        (``000000000139.jpg``, ``COCO_val2014_000000000139.jpg``).

        Raises:
            AnnotationError: no image, or more than one, answers to it.
        """
        path = PurePath(image)
        for start in range(len(path.parts)):
            found = self._by_file.get("/".join(path.parts[start:]))
            if found is not None:
                return found
        alike = self._by_base.get(path.name, ())
        if len(alike) > 1:
            raise AnnotationError(
                f"{self.source} must know one image called {path.name!r}, there are {len(alike)}: "
                f"{', '.join(self.file_names[i] for i in alike[:3])}. Give the path with its "
                f"folder."
            )
        digits = re.fullmatch(r"(?:COCO_\w+_)?([0-9]{1,18})", path.stem)
        number = str(int(digits[1])) if digits else ""
        for known in (*alike, path.name, path.stem, number):
            if known in self.objects:
                return known
        raise AnnotationError(
            f"{self.source} annotates {len(self.objects):,} images ({self._examples}), none of "
            f"them answers to {str(image)!r}. Leave it out, or give annotations that cover it."
        )

    @cached_property
    def _by_file(self) -> Mapping[str, str]:
        return {name: image_id for image_id, name in self.file_names.items()}

    @cached_property
    def _by_base(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for image_id, name in self.file_names.items():
            base = PurePath(name).name
            found[base] = (*found.get(base, ()), image_id)
        return found

    @cached_property
    def _examples(self) -> str:
        some = [self.file_names.get(i, i) for i in list(self.objects)[:3]]
        return ", ".join(some) + (", ..." if len(self.objects) > len(some) else "")


class _RepeatError(Exception):
    """A key that a JSON object has twice; JSON itself would keep the last one silently."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _RepeatError(next(repr(key) for key in keys if keys.count(key) > 1))
    return found


class _Names:
    """The lexicon's canonical name of each name in the file, or an error that lists the strange."""

    def __init__(self, lexicon: Lexicon, path: str | Path) -> None:
        self._lexicon, self._path = lexicon, path

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """Name -> canonical name.

        Raises:
            AnnotationError: some are not in the lexicon.
        """
        forms = self._lexicon.forms
        normal = {name: " ".join(name.lower().split()) for name in names}
        unknown = sorted(name for name in normal if normal[name] not in forms)
        if unknown:
            listed = ", ".join(map(repr, unknown[:5])) + ", ..." * (len(unknown) > 5)
            raise AnnotationError(
                f"{self._path} may only name objects of the lexicon {self._lexicon.name!r}, "
                f"{len(unknown)} of its names are not there: {listed}. Give the lexicon that the "
                f"annotations were made with (--lexicon)."
            )
        return {name: forms[form] for name, form in normal.items()}


def _plain(data: Any, names: _Names, path: str | Path) -> dict[str, frozenset[str]]:
    if not isinstance(data, dict):
        raise AnnotationError(
            f"{path} must be COCO's instances.json or a JSON object from image id to a list of "
            f"object names, was: a {type(data).__name__}."
        )
    for image_id, objects in data.items():
        if not isinstance(objects, list) or not all(isinstance(name, str) for name in objects):
            raise AnnotationError(
                f"{path} must give every image a list of object names, image {image_id!r} has: "
                f"{str(objects)[:60]}."
            )
    canonical = names.of({name for objects in data.values() for name in objects})
    return {
        image_id: frozenset(canonical[name] for name in objects)
        for image_id, objects in data.items()
    }


def _coco(
    data: dict[str, Any], names: _Names, path: str | Path
) -> tuple[dict[str, frozenset[str]], frozenset[str], dict[str, str]]:
    missing = [key for key in _COCO if not isinstance(data.get(key), list)]
    if missing:
        raise AnnotationError(
            f"{path} must have the lists {', '.join(_COCO)} of COCO's instances.json, missing: "
            f"{', '.join(missing)}."
        )
    categories = _keyed(data["categories"], "name", "categories", path)
    canonical = names.of(categories.values())
    file_names = _keyed(data["images"], "file_name", "images", path)
    _once(file_names.values(), "file name", path)
    found: dict[Hashable, set[str]] = {image_id: set() for image_id in file_names}
    for position, annotation in enumerate(data["annotations"]):
        try:
            image_id, category = annotation["image_id"], annotation["category_id"]
            listed, categorised = image_id in found, category in categories
        except (KeyError, TypeError):
            raise AnnotationError(
                f"{path} must give every annotation an image_id and a category_id, number "
                f"{position:,} is: {str(annotation)[:60]}."
            ) from None
        if not listed:
            raise AnnotationError(
                f"{path} may only annotate images that it lists, annotation number {position:,} "
                f"is of image {image_id!r}, which it does not."
            )
        if not categorised:
            raise AnnotationError(
                f"{path} may only use categories that it lists, annotation number {position:,} is "
                f"of category {category!r}, which it does not."
            )
        found[image_id].add(canonical[categories[category]])
    objects = {str(image_id): frozenset(names) for image_id, names in found.items()}
    listed_files = {str(image_id): name for image_id, name in file_names.items()}
    return objects, frozenset(canonical.values()), listed_files


def _keyed(entries: list[Any], value: str, kind: str, path: str | Path) -> dict[Hashable, str]:
    """Id -> a text of each entry."""
    found: dict[Hashable, str] = {}
    for position, entry in enumerate(entries):
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("id"), int | str)
            or not isinstance(entry.get(value), str)
        ):
            raise AnnotationError(
                f"{path} must give all its {kind} an id and a {value}, number {position:,} is: "
                f"{str(entry)[:60]}."
            )
        if entry["id"] in found:
            raise AnnotationError(
                f"{path} must list all its {kind} once, id {entry['id']!r} is there twice: "
                f"{found[entry['id']]!r} and {entry[value]!r}."
            )
        found[entry["id"]] = entry[value]
    _once(map(str, found), f"{kind} id", path)
    return found


def _once(values: Iterable[str], kind: str, path: str | Path) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise AnnotationError(f"{path} must use each {kind} once, {value!r} is there twice.")
        seen.add(value)
