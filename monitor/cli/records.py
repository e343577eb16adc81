"""Reports on their way to files and pipes, one whole line at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..jobs.linefile import LineFile
from ..report import Failure, Report


class RecordFile(LineFile):
    """Reports and failures on their way to a file; see :class:`.LineFile`.

    A line that a killed process left unfinished is thrown away: its image is not done.

    Args:
        path: a file of reports, or one that is not there yet.

    Raises:
        InputError: on entering if another process writes to it, or its last line is no report.
        OSError: on entering if the file cannot be opened, on writing if the disk is full.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(
            path,
            holds="reports",
            begins=b'{"version":',
            error=InputError,
            elsewhere="Give each its own file (--shard, --out); files of reports can be joined by "
            "cat.",
        )

    def read(self) -> Iterator[Mapping[str, Any]]:
        """What the records say of themselves, in order, as JSON values.

        Of a caption that is all but its text, tokens and mentions, which fill nearly all of a line
        and need not be read to know whose it is and how it was made.

        Raises:
            InputError: a line is no report.
        """
        for number, line in enumerate(self.lines(), start=1):
            try:
                record = _heading(line)
            except ValueError:
                record = None
            if not isinstance(record, dict) or record.get("kind") not in ("caption", "failure"):
                raise InputError(
                    f"{self.path} must be a file of reports to be gone on with, but line "
                    f"{number} is none: {line[:40]!r}. Give another --out."
                )
            yield record

    def write(self, records: Sequence[Report | Failure]) -> None:
        """Append records, all of them or, where the disk is full, none."""
        self.append("".join(record.to_json() + "\n" for record in records))

    def drop_failures(self) -> None:
        """Take out the lines of images that failed, so that they are tried again."""
        both = zip(self.read(), self.lines(), strict=True)
        self.replace(line for record, line in both if record["kind"] == "caption")


def _heading(line: bytes) -> object:
    """A record without what stands between its text and its policy, if it is in that order."""
    # No such bytes can be in the middle of a string: there, its quotes would be escaped.
    text, policy = line.find(b',"text":'), line.rfind(b',"policy":')
    if 0 < text < policy:
        try:
            return json.loads(line[:text] + line[policy:])
        except ValueError:
            pass  # the order is another one; what is no JSON at all is found out below
    return json.loads(line)


def write_report(path: Path, record: Report | Failure) -> None:
    """Write one record as readable JSON; the file appears whole or not at all."""
    draft = path.with_name(path.name + ".part")
    try:
        draft.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
