"""Answers that a model gave, matched with the questions they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import BenchmarkError
from .jsonfile import read_objects
from .questions import Question, Split


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        text: what was said; ``None`` where the model could not be asked.
        flagged: whether the monitor flagged a word of it; ``None`` where it did not judge.
    """

    text: str | None
    flagged: bool | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a file of answers, as far as it says what it answers."""

    answer: Answer
    number: Any
    image: Any
    question: Any
    split: str | None
    where: str


@dataclass(frozen=True, slots=True)
class Matched:
    """The answers to all questions of all splits.

    Attributes:
        answers: of each split, by its name, in the order of its questions.
        checked: whether every answer named its question, its image or its id, so that none can
            have been taken for another's.
    """

    answers: Mapping[str, tuple[Answer, ...]]
    checked: bool


def match(
    splits: Sequence[Split],
    paths: Sequence[str | Path],
    *,
    asked: str | Path | None = None,
) -> Matched:
    """Read files of answers and give every question its own.

    Lines are objects with ``answer`` (POPE's) or ``text`` (LLaVA's). They are divided among the
    splits by ``split`` or ``category`` in the lines, else by ``asked``, else by files, else, one
    file for all, in order. Within a split they go by ``question_id`` where these are the
    questions' own, else by order, as the official scripts do; what a line says of its question
    must fit.

    Args:
        splits: the questions.
        paths: files of answers.
        asked: LLaVA's file of questions, whose ``category`` says to which split an id belongs.

    Raises:
        BenchmarkError: they cannot be read, are too few or too many, or answer other questions.
    """
    categories = {} if asked is None else _categories(asked)
    files = [_lines(path, categories) for path in paths]
    groups = _divided(splits, files)
    answers: dict[str, tuple[Answer, ...]] = {}
    checked = True
    for split in splits:
        lines = groups[split.name]
        if len(lines) != len(split.questions):
            raise BenchmarkError(
                f"Every question of {split.path} must have one answer, of {len(split.questions):,} "
                f"questions there are {len(lines):,} answers. Answer the rest (the same command "
                f"with --out goes on), or give the questions that were asked."
            )
        by_id, ordered = _ordered(split.questions, lines)
        for question, line in zip(split.questions, ordered, strict=True):
            checked &= _fits(question, line) or by_id
        answers[split.name] = tuple(line.answer for line in ordered)
    return Matched(answers, checked)


def _categories(path: str | Path) -> dict[Any, str]:
    try:
        return {
            row["question_id"]: str(row["category"]) for _, row in read_objects(path, "Questions")
        }
    except KeyError as error:
        raise BenchmarkError(
            f"{path} must give every question a question_id and a category, one lacks {error}. "
            f"Give LLaVA's llava_pope_test.jsonl, or leave --asked out."
        ) from error


def _lines(path: str | Path, categories: Mapping[Any, str]) -> list[_Line]:
    lines = []
    for place, row in read_objects(path, "Answers"):
        where = f"{path}, line {place}"
        text = row.get("answer", row.get("text"))
        if text is None and "error" not in row:
            raise BenchmarkError(f"{where} must have an answer or a text, it has: {_keys(row)}.")
        number = row.get("question_id")
        lines.append(
            _Line(
                answer=Answer(None if text is None else str(text), _flagged(row)),
                number=number,
                image=row.get("image"),
                question=row.get("question", row.get("prompt")),
                split=row.get("split", row.get("category", categories.get(number))),
                where=where,
            )
        )
    return lines


def _flagged(row: Mapping[str, Any]) -> bool | None:
    mentions = row.get("mentions")
    if not isinstance(mentions, list) or row.get("calibration") is None:
        return None
    return any(mention.get("flagged") for mention in mentions)


def _keys(row: Mapping[str, Any]) -> str:
    return ", ".join(row)[:80] or "nothing"


def _divided(
    splits: Sequence[Split], files: Sequence[Sequence[_Line]]
) -> Mapping[str, Sequence[_Line]]:
    every = [line for lines in files for line in lines]
    names = [split.name for split in splits]
    if all(line.split is not None for line in every):
        groups: dict[str, list[_Line]] = {name: [] for name in names}
        for line in every:
            groups.setdefault(str(line.split), []).append(line)
        if strange := sorted(groups.keys() - set(names)):
            raise BenchmarkError(
                f"Answers must be to the questions given ({', '.join(names)}), there are some to: "
                f"{', '.join(strange)}. Give the questions of these splits too."
            )
        return groups
    if len(files) == len(splits):
        return dict(zip(names, files, strict=True))
    if len(files) == 1 and len(every) == sum(len(split.questions) for split in splits):
        found, start = {}, 0
        for split in splits:
            found[split.name] = every[start : start + len(split.questions)]
            start += len(split.questions)
        return found
    raise BenchmarkError(
        f"Answers must come in one file for each of the {len(splits)} files of questions, or all "
        f"in one; there are {len(files)} files with {len(every):,} answers. Give --answers for "
        f"each file, in the same order."
    )


def _ordered(questions: Sequence[Question], lines: Sequence[_Line]) -> tuple[bool, Sequence[_Line]]:
    """The lines in the questions' order, and whether ids say so."""
    by_id = {line.number: line for line in lines}
    own = [question.number for question in questions]
    if len(by_id) == len(lines) and len(set(own)) == len(own) and set(own) == by_id.keys():
        return True, [by_id[number] for number in own]
    return False, lines


def _fits(question: Question, line: _Line) -> bool:
    """Whether the line says that it answers this question; what says otherwise is refused."""
    if line.image is not None and str(line.image) != question.image:
        raise BenchmarkError(
            f"{line.where} must answer the question on {question.image}, it is about {line.image}. "
            f"The answers are in another order, or to other questions."
        )
    if line.question is None:
        return line.image is not None
    said, wanted = (" ".join(str(text).split()) for text in (line.question, question.text))
    if wanted.lower() not in said.lower():  # POPE's own example is in lower case
        raise BenchmarkError(
            f"{line.where} must answer {question.text!r}, it answers {said[:80]!r}. The answers "
            f"are in another order, or to other questions."
        )
    return True
