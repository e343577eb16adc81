"""What of a long job is done, and whether what is done was done in the same way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from ..errors import InputError


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several equal parts of a job: every ``of``-th image, beginning with ``number``.

    Attributes:
        number: from 1.
        of: how many parts.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A shard as the command line writes it, such as ``2/8``.

        Raises:
            ValueError: anything else.
        """
        number, _, of = text.partition("/")
        try:
            shard = cls(int(number), int(of))
        except ValueError:
            shard = cls(0, 0)
        if not 1 <= shard.number <= shard.of:
            raise ValueError(f"A shard must be written as 1/8 to 8/8, was: {text!r}.")
        return shard

    def take(self, files: Sequence[Path]) -> Sequence[Path]:
        """The files of this part; all parts together have each file once."""
        return files[self.number - 1 :: self.of]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How captions are made, as far as their reports tell.

    Attributes:
        model: name of the model.
        question: the prompt without the model's own words around it.
        max_new_tokens: where captions are cut.
        layers: first and last of those that SVAR sums over.
        policy: the policy as JSON values, ``None`` without one.
        calibration: name of the calibration, ``None`` without one.
    """

    model: str
    question: str
    max_new_tokens: int
    layers: tuple[int, int]
    policy: Mapping[str, JsonValue] | None
    calibration: str | None

    def check(self, record: Mapping[str, Any], path: Path) -> None:
        """Refuse to go on with a file whose captions were made in another way.

        Raises:
            InputError: a report that differs; the message says in what.
        """
        layers = record["layers"]
        policy = None if self.policy is None else dict(self.policy)
        there = record.get("policy")
        judged = record["calibration"]
        calibration = None if judged == "uncalibrated" else judged["name"]
        pairs = {
            "the model": (record["model"]["name"], self.model),
            "the token limit": (record["settings"].get("max_new_tokens"), self.max_new_tokens),
            "the layers": ((layers["first"], layers["last"]), self.layers),
            "the policy": (there, policy),
            "the calibration": (calibration, self.calibration),
        }
        odd = [f"{name} ({a} there, {b} now)" for name, (a, b) in pairs.items() if a != b]
        if self.question.strip() not in record["prompt"]:
            odd.append(f"the question ({record['prompt']!r} there, {self.question!r} now)")
        if odd:
            raise InputError(
                f"To go on with {path}, its captions must have been made in the same way; what "
                f"differs is {', '.join(odd)}. Give another --out, or the options it began with."
            )


@dataclass(slots=True)
class Progress:
    """Which files of a job have their record.

    Attributes:
        captioned: how many images have a report.
        failed: how many have a failure.
    """

    captioned: int
    failed: int
    _paths: Counter[str]

    @classmethod
    def of(
        cls, records: Iterable[Mapping[str, Any]], recipe: Recipe | None, path: Path
    ) -> Progress:
        """What a file of reports holds.

        Args:
            records: those of the file.
            recipe: how they must have been made; ``None`` where that is not known yet.
            path: of the file, for errors.

        Raises:
            InputError: it was made in another way, or a line is no report.
        """
        progress = cls(0, 0, Counter())
        for record in records:
            if record["kind"] == "failure":
                progress.failed += 1
                progress._paths[record["image"]] += 1
                continue
            try:
                if recipe is not None:
                    recipe.check(record, path)
                progress._paths[(record["image"] or {}).get("path", "")] += 1
            except (KeyError, TypeError, AttributeError) as error:
                raise InputError(
                    f"{path} must be a file of reports to be gone on with, but one lacks {error}. "
                    f"Give another --out."
                ) from error
            progress.captioned += 1
        return progress

    def flags(self, files: Sequence[Path]) -> bytes:
        """Of each file, 1 where it has its record and 0 where it has none.

        A file that is given twice has two records; what was counted is counted no more.
        """
        flags = bytearray(len(files))
        for place, file in enumerate(files):
            path = str(file)
            if self._paths[path]:
                self._paths[path] -= 1
                flags[place] = 1
        return bytes(flags)
