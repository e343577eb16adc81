"""What a free answer says: yes, no, or neither. Three ways to read it."""

from __future__ import annotations

import re
from typing import Final, Literal

Said = Literal["yes", "no"]

_WORD: Final = re.compile(r"[^\W\d_]+")
_SENTENCE_END: Final = re.compile(r"[.!?\n]")


def official_pope(answer: str) -> Said:
    """The reading of POPE's official script, and of LLaVA's: whatever does not deny, affirms.

    Of the text before the first full stop, without commas and divided at single spaces, the words
    "No", "no" and "not" say no. Everything else says yes: an empty answer, "NO", "No!", "None", a
    description of the picture. Source: evaluate.py of Li et al., "Evaluating Object Hallucination
    in Large Vision-Language Models" (EMNLP 2023), arXiv 2305.10355.
    """
    words = answer.split(".", maxsplit=1)[0].replace(",", "").split(" ")
    return "no" if {"No", "not", "no"} & set(words) else "yes"


def official_amber(answer: str) -> Said | None:
    """The reading of AMBER's official script: the answer is exactly "Yes" or exactly "No".

    "yes", "Yes." and "Yes, there is." say nothing; whoever uses the script is to shorten answers
    first. Source: inference.py of Wang et al., "AMBER: An LLM-free Multi-dimensional Benchmark for
    MLLMs Hallucination Evaluation", arXiv 2311.07397.
    """
    if answer == "Yes":
        return "yes"
    return "no" if answer == "No" else None


def in_words(answer: str) -> Said | None:
    """What the first sentence says in so many words: "yes", or "no" or "not", and not both.

    Case and punctuation do not matter. An answer that says neither, or both, says nothing: it
    counts as unanswered, where POPE's script would count a yes.
    """
    first = next((part for part in _SENTENCE_END.split(answer) if part.strip()), "")
    words = {word.lower() for word in _WORD.findall(first)}
    yes, no = "yes" in words, bool(words & {"no", "not"})
    if yes == no:
        return None
    return "yes" if yes else "no"
