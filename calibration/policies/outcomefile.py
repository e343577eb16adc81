"""The file of a trial: what was tried in its first line, then one outcome a line as it comes.

A line is written whole or not at all; what a killed process left of its last one is thrown away.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from ...monitor.errors import SightlineError
from ...monitor.jobs.linefile import LineFile
from .outcome import Outcome

FORMAT: Final = "sightline-policy-trial"
VERSION: Final = 1


class TrialError(SightlineError, ValueError):
    """A trial that cannot be continued or read, or that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialHeader:
    """What the outcomes of a file have in common.

    Attributes:
        model: name or folder that the model was loaded from.
        revision: commit or content hash of its weights; empty if unknown.
        calibration: what judged: name, threshold and when it was made; empty if nothing did.
        prompt: the question.
        max_new_tokens: where captions are cut.
        lexicon: name of the lexicon that found the objects.
        annotations: SHA-256 of the annotations file.
        images: how many images there are.
        which: SHA-256 of their ids, in order.
        ways: each as its :meth:`.Way.to_json` describes it, in order.
    """

    model: str
    revision: str
    calibration: str
    prompt: str
    max_new_tokens: int
    lexicon: str
    annotations: str
    images: int
    which: str
    ways: tuple[Mapping[str, Any], ...]

    def to_json(self) -> str:
        """The first line of a file, without a newline."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)})

    @classmethod
    def from_json(cls, line: str, path: Path) -> TrialHeader:
        """The header that :meth:`to_json` described.

        Raises:
            TrialError: it is none, or of a version that is not known here.
        """
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            values = None
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise TrialError(
                f"{path} must begin with the header of a trial, it does not. Choose another file."
            )
        if values.get("version") != VERSION:
            raise TrialError(
                f"{path} must be of version {VERSION}, was: {values.get('version')}. Read it with "
                f"the release that wrote it, or try again with another file."
            )
        given = {key: value for key, value in values.items() if key not in ("format", "version")}
        if set(given) != {field.name for field in fields(cls)}:
            raise TrialError(f"The header of {path} is damaged. Choose another file.")
        return cls(**{**given, "ways": tuple(given["ways"])})

    def differences(self, other: TrialHeader) -> tuple[str, ...]:
        """What is not the same, each as a short text, this one's value first."""
        found = []
        for field in fields(self):
            mine, others = getattr(self, field.name), getattr(other, field.name)
            if mine == others:
                continue
            if field.name == "ways":
                found.append(_other_ways(mine, others))
            else:
                found.append(f"{field.name}: {str(mine)[:40]!r} and {str(others)[:40]!r}")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image that could not be written about, and why."""

    image: str
    error: str


@dataclass(frozen=True, slots=True)
class Trial:
    """All that a file holds.

    Attributes:
        header: what was tried.
        outcomes: in the order in which they were written.
        unreadable: the images without outcomes.
    """

    header: TrialHeader
    outcomes: tuple[Outcome, ...]
    unreadable: tuple[Unreadable, ...]

    @property
    def complete(self) -> bool:
        """Whether every way was tried on every image that can be read."""
        images = self.header.images - len(self.unreadable)
        return len(self.outcomes) == images * len(self.header.ways)

    @classmethod
    def load(cls, path: str | Path) -> Trial:
        """Read a file; half a last line is passed over.

        Raises:
            TrialError: it cannot be read, or a line in it is damaged.
        """
        path = Path(path)
        try:
            whole = path.read_bytes()
        except OSError as error:
            raise TrialError(f"The outcomes could not be read: {error}") from error
        return cls.parse(whole, path)

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Trial:
        """The trial in the content of a file."""
        lines = content[: content.rfind(b"\n") + 1].decode(errors="replace").splitlines()
        if not lines:
            raise TrialError(f"{path} must begin with the header of a trial, it is empty.")
        header = TrialHeader.from_json(lines[0], path)
        outcomes: list[Outcome] = []
        unreadable: list[Unreadable] = []
        for number, line in enumerate(lines[1:], 2):
            try:
                values = json.loads(line)
                if "error" in values:
                    unreadable.append(Unreadable(**values))
                else:
                    outcomes.append(Outcome.from_json(values))
            except (ValueError, TypeError) as error:
                raise TrialError(
                    f"{path}, line {number} must be an outcome: {error} Remove the line, and what "
                    f"it held is tried again."
                ) from error
        return cls(header, tuple(outcomes), tuple(unreadable))


class OutcomeFile(LineFile):
    """A trial's file, open for writing by one process; see :class:`.LineFile`.

    Args:
        path: a new file, or one in which the same trial was begun.
        header: of the trial.

    Attributes:
        trial: what was in it when it was opened.

    Raises:
        TrialError: on entering, if it holds something else, or another trial, or another process
            writes to it.
        OSError: it cannot be written.
    """

    def __init__(self, path: str | Path, header: TrialHeader) -> None:
        super().__init__(path, holds="outcomes", begins=b"{", error=TrialError)
        self.header = header
        self.trial = Trial(header, (), ())

    def _drop_unfinished(self) -> None:
        head, first = self.path.read_bytes()[: 1 << 20], (self.header.to_json() + "\n").encode()
        if b"\n" not in head and not first.startswith(head):
            raise TrialError(f"{self.path} is no trial's file. Choose another.")
        super()._drop_unfinished()

    def _opened(self) -> None:
        content = self.path.read_bytes()
        if not content:
            self.append(self.header.to_json() + "\n")
            return
        self.trial = Trial.parse(content, self.path)
        odd = self.trial.header.differences(self.header)
        if odd:
            raise TrialError(
                f"{self.path} holds another trial, there and here: {'; '.join(odd)}. Choose "
                f"another file, or ask for what that one tried."
            )

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Append the outcomes of an image, together."""
        self.append("".join(json.dumps(one.to_json()) + "\n" for one in outcomes))

    def skip(self, unreadable: Unreadable) -> None:
        """Note that an image has no outcomes."""
        self.append(json.dumps(asdict(unreadable)) + "\n")


def _other_ways(mine: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> str:
    here = {json.dumps(way, sort_keys=True): str(way.get("name")) for way in mine}
    there = {json.dumps(way, sort_keys=True): str(way.get("name")) for way in others}
    gone = [name for key, name in here.items() if key not in there]
    new = [name for key, name in there.items() if key not in here]
    if not gone and not new:
        return "ways: the same in another order"
    return f"ways: {', '.join(gone[:3]) or 'none'} and {', '.join(new[:3]) or 'none'}"
