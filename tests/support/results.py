"""What was measured of each family, as a file and as the table of docs/models.md."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from .checks import COLUMNS, Answer
from .family import BUILDERS

RESULTS: Final = Path(__file__).parent / "results.json"
START: Final = "<!-- support -->"
END: Final = "<!-- end of support -->"
NOT_BUILT: Final = {
    "evolla": "reads proteins, not images",
    "pi0": "writes a robot's actions, not text",
}
"""Families of the mapping that are not measured, and why."""
NOT_MEASURED: Final = "not measured"

Row = dict[str, Answer]


@dataclass(frozen=True, slots=True)
class Results:
    """All families measured.

    Attributes:
        versions: of what they were measured with.
        rows: by family, an answer for each column.
        architectures: by family, its class.
        notes: by family, what differs from its real models or from the ordinary way.
    """

    versions: dict[str, str]
    rows: dict[str, Row]
    architectures: dict[str, str]
    notes: dict[str, str]

    @classmethod
    def load(cls, path: Path = RESULTS) -> Results:
        """Read what :meth:`save` wrote."""
        data = json.loads(path.read_text(encoding="utf-8"))
        rows = {
            name: {column: Answer(**answer) for column, answer in row.items()}
            for name, row in data["rows"].items()
        }
        return cls(data["versions"], rows, data["architectures"], data["notes"])

    def save(self, path: Path = RESULTS) -> None:
        """Write all of it as JSON, families in order."""
        path.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")

    # --- the page -----------------------------------------------------------------------------

    def markdown(self) -> str:
        """The block between the page's markers."""
        watched = [name for name, row in self.rows.items() if row["observed"].works]
        refused = [name for name in self.rows if name not in watched]
        reasons: list[str] = []
        table = [
            f"| family | {' | '.join(COLUMNS)} |",
            f"|---|{'---|' * len(COLUMNS)}",
        ]
        for name in watched:
            cells = [self._cell(name, column, reasons) for column in COLUMNS]
            table.append(f"| {_names(name)} | {' | '.join(cells)} |")
        counts = ", ".join(self._count(column, watched) for column in list(COLUMNS)[1:])
        known = len(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
        lines = [
            START,
            f"Of {len(self.rows)} image-text-to-text families of transformers "
            f"{self.versions['transformers']}, {len(watched)} are watched and {len(refused)} are "
            f"refused with the reason. Of those watched, as far as measured: {counts}.",
            "",
            f"<details><summary>All {len(self.rows)} families</summary>",
            "",
            *table,
            "",
            f"–: {NOT_MEASURED}.",
            "",
            *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1)),
            "",
            "Refused:",
            "",
            *(f"- {_names(name)}: {self._refusal(name)}" for name in refused),
            "",
            f"Of the {known} names that transformers knows some are of one class, and these are "
            "left out: " + "; ".join(f"`{name}` {why}" for name, why in NOT_BUILT.items()) + ".",
            "",
            "</details>",
            END,
        ]
        return "\n".join(lines)

    def _count(self, column: str, names: list[str]) -> str:
        answers = [self._answer(name, column).works for name in names]
        measured = [answer for answer in answers if answer is not None]
        return f"{column} {sum(measured)} of {len(measured)}"

    def _answer(self, name: str, column: str) -> Answer:
        return self.rows[name].get(column, Answer(None, NOT_MEASURED))

    def _cell(self, name: str, column: str, reasons: list[str]) -> str:
        answer = self._answer(name, column)
        word = {True: "yes", False: "no", None: "–"}[answer.works]
        said = answer.reason and answer.reason != NOT_MEASURED
        texts = [self._plainly(name, answer.reason)] if said else []
        if column == "observed" and self.notes.get(name):
            texts.append(f"Measured {self.notes[name]}.")
        marks = []
        for text in texts:
            if text not in reasons:
                reasons.append(text)
            marks.append(str(reasons.index(text) + 1))
        return f"{word} <sup>{', '.join(marks)}</sup>" if marks else word

    def _refusal(self, name: str) -> str:
        return self._plainly(name, self._answer(name, "observed").reason).split("A monitor takes")[
            0
        ]

    def _plainly(self, name: str, reason: str) -> str:
        text = reason.removeprefix("refused: ").replace(self.architectures[name], "the model")
        text = text.partition("A monitor takes what you pass")[0]
        text = re.sub(r"\blayer \d+ keeps", "a layer keeps", text).replace("|", "\\|")
        text = " ".join(text.split())
        text = text if len(text) < 300 else text[:297] + "..."
        return text[:1].upper() + text[1:]


def _names(name: str) -> str:
    """The family's name with those of others that are of the same class."""
    mapping = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    same = [other for other in mapping if other not in BUILDERS and _alias(other) == name]
    return ", ".join(f"`{one}`" for one in (name, *same))


def _alias(name: str) -> str | None:
    """The measured family that has the same class."""
    mapping = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    return next((one for one in BUILDERS if mapping.get(one) == mapping.get(name)), None)


def unknown() -> list[str]:
    """Families of the installed transformers that are neither measured nor listed."""
    return [
        name
        for name in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
        if name not in BUILDERS and name not in NOT_BUILT and _alias(name) is None
    ]


def replaced(page: str, block: str) -> str:
    """The page with the block between its markers."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"The page must hold the lines {START} and {END}.")
    return before + block + after
