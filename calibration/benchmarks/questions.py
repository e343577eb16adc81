"""POPE's questions: whether an object is in an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import BenchmarkError
from .jsonfile import read_objects
from .saying import Said


@dataclass(frozen=True, slots=True)
class Question:
    """A yes/no question on an image.

    Attributes:
        number: its id, unique in its file only.
        image: name of the image's file.
        text: what is asked.
        truth: the right answer.
    """

    number: int | str
    image: str
    text: str
    truth: Said


@dataclass(frozen=True, slots=True)
class Split:
    """The questions of a file.

    Attributes:
        name: ``random``, ``popular``, ``adversarial``: what follows ``_pope_`` in the file's name,
            or all of it without the suffix.
        path: the file.
        questions: in its order, at least one.
    """

    name: str
    path: Path
    questions: tuple[Question, ...]

    @classmethod
    def load(cls, path: str | Path) -> Split:
        """Read a file of POPE: JSON lines with question_id, image, text and label.

        Raises:
            BenchmarkError: it cannot be read, or an entry lacks something.
        """
        path = Path(path)
        questions = []
        for place, row in read_objects(path, "Questions"):
            missing = [key for key in ("question_id", "image", "text", "label") if key not in row]
            if missing:
                raise BenchmarkError(
                    f"{path}, line {place} must have question_id, image, text and label, it lacks: "
                    f"{', '.join(missing)}. Give a file such as POPE's coco_pope_random.json."
                )
            if row["label"] not in ("yes", "no"):
                raise BenchmarkError(
                    f"{path}, line {place} must have the label yes or no, was: {row['label']!r}."
                )
            questions.append(
                Question(row["question_id"], str(row["image"]), str(row["text"]), row["label"])
            )
        return cls(path.stem.rpartition("_pope_")[2], path, tuple(questions))


def load_splits(paths: Sequence[str | Path]) -> tuple[Split, ...]:
    """Read several files, each a split of its own.

    Raises:
        BenchmarkError: see :meth:`Split.load`; and two files of the same name.
    """
    splits = tuple(Split.load(path) for path in paths)
    names = [split.name for split in splits]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BenchmarkError(
            f"Every file of questions must have a split's name of its own, several have: "
            f"{', '.join(twice)}. Give each once, or rename one."
        )
    return splits
