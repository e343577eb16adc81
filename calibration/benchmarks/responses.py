"""What a model said to AMBER's queries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .amber import Response
from .amberdata import AmberData, Fact
from .errors import BenchmarkError
from .jsonfile import read_objects


@dataclass(frozen=True, slots=True)
class Responses:
    """Responses, apart by task.

    Attributes:
        descriptions: to generative queries.
        answers: to yes/no questions.
        failures: queries that could not be put.
    """

    descriptions: tuple[Response, ...]
    answers: tuple[Response, ...]
    failures: int

    @classmethod
    def load(cls, path: str | Path, data: AmberData) -> Responses:
        """Read a file as AMBER's script does, or as :class:`.asking.Asker` writes it.

        Raises:
            BenchmarkError: it cannot be read, an entry has no id of AMBER's or no response, an id
                is there twice, or there is no response at all.
        """
        descriptions: list[Response] = []
        answers: list[Response] = []
        seen: set[int] = set()
        failures = 0
        for place, row in read_objects(path, "Responses"):
            where, number, text = f"{path}, entry {place}", row.get("id"), row.get("response")
            about = data.annotation(number) if type(number) is int else None
            if about is None:
                raise BenchmarkError(
                    f"{where} must have an id from 1 to {len(data.annotations):,}, was: {number!r}."
                )
            assert isinstance(number, int)
            if number in seen:
                raise BenchmarkError(
                    f"Every id may be answered once, {where} answers {number} again: the script "
                    f"would count both. Remove one."
                )
            seen.add(number)
            if "error" in row and text is None:
                failures += 1
            elif not isinstance(text, str):
                raise BenchmarkError(f"{where} must have a text as response, was: {text!r}.")
            else:
                to = answers if isinstance(about, Fact) else descriptions
                to.append(Response(number, text))
        if not descriptions and not answers:
            raise BenchmarkError(
                f"{path} must hold at least one response, all its {failures} lines are failures. "
                f"Is --images the folder of AMBER's images?"
            )
        return cls(tuple(descriptions), tuple(answers), failures)
