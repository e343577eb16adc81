"""Train the packaged part-of-speech taggers on the English Web Treebank.

::

    python -m sightline.calibration.taggers --data UD_English-EWT --out monitor/data/taggers

``--data`` holds the treebank's ``en_ewt-ud-{train,dev,test}.conllu`` or ``{train,dev,test}.tsv.gz``
with ``form<TAB>universal POS`` a line and a blank line between sentences. The epoch is selected on
dev; test is looked at once, at the end.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
from nltk.tag.perceptron import AveragedPerceptron
from rich.console import Console
from rich.progress import Progress

from ..monitor.language.tagger import NOUN_TAGS, TagModel, TreebankTagger, features

Sentence = tuple[tuple[str, str], ...]
"""Words with their universal part of speech."""

_FREQUENT: Final = 20
_UNAMBIGUOUS: Final = 0.97
_CREDIT: Final = """The weights in this folder (provisional.json.gz, confirmed.json.gz) are licensed
under the Creative Commons Attribution-ShareAlike 4.0 International licence:
https://creativecommons.org/licenses/by-sa/4.0/legalcode

They were trained by the sightline project on the training part of the Universal Dependencies
English Web Treebank (UD_English-EWT, https://universaldependencies.org/treebanks/en_ewt/), by
Natalia Silveira, Timothy Dozat, Christopher Manning, Sebastian Schuster, Ethan Chi, John Bauer,
Miriam Connor, Marie-Catherine de Marneffe, Nathan Schneider, Sam Bowman, Hanzhi Zhu, Daniel
Galbraith and others, itself licensed CC BY-SA 4.0. What was changed: the treebank's words and
universal part-of-speech tags were reduced to the weights of two averaged perceptrons.
"""


class TreebankError(ValueError):
    """A treebank that cannot be read; the message names the file and what was expected."""


def read_sentences(folder: Path, split: str) -> tuple[Sentence, ...]:
    """The sentences of one split (``train``, ``dev`` or ``test``) of a treebank folder.

    Raises:
        TreebankError: there is no such file, or a line of it is not a word with its tag.
    """
    reduced, full = folder / f"{split}.tsv.gz", folder / f"en_ewt-ud-{split}.conllu"
    try:
        if reduced.is_file():
            path, columns = reduced, (0, 1)
            text = gzip.decompress(reduced.read_bytes()).decode()
        elif full.is_file():
            path, columns = full, (1, 3)
            text = full.read_text(encoding="utf-8")
        else:
            raise TreebankError(
                f"a treebank folder holds {full.name} or {reduced.name}, but {folder} has neither"
            )
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise TreebankError(f"{reduced if reduced.is_file() else full}: {error}") from error
    return tuple(_sentences(text.splitlines(), path, columns))


def _sentences(lines: Iterable[str], path: Path, columns: tuple[int, int]) -> Iterator[Sentence]:
    words: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        fields = line.split("\t")
        if not line.strip():
            if words:
                yield tuple(words)
            words = []
        elif columns[0] and (line[0] == "#" or not fields[0].isdigit()):
            continue  # comments, ranges of multi-word tokens and empty nodes of CoNLL-U
        elif len(fields) <= columns[1] or not fields[columns[0]]:
            raise TreebankError(
                f"{path}: line {number} should hold a word and its tag, separated by tabs, but "
                f"is {line[:60]!r}"
            )
        else:
            words.append((fields[columns[0]], fields[columns[1]]))
    if words:
        yield tuple(words)


def dictionary(sentences: Iterable[Sentence]) -> dict[str, str]:
    """Words seen at least 20 times of which at least 97% have one tag -> that tag."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sentence in sentences:
        for word, tag in sentence:
            counts[word][tag] += 1
    return {
        word: tags.most_common(1)[0][0]
        for word, tags in counts.items()
        if tags.total() >= _FREQUENT and tags.most_common(1)[0][1] >= _UNAMBIGUOUS * tags.total()
    }


@dataclass(frozen=True, slots=True)
class Score:
    """How well a tagger does, in percent. Nouns are common and proper nouns together."""

    noun_f1: float
    noun_precision: float
    noun_recall: float
    common_noun_f1: float
    accuracy: float
    words: int


def score(gold: Sequence[str], given: Sequence[str]) -> Score:
    """Compare tags with the treebank's, word by word."""

    def agreement(tags: frozenset[str]) -> tuple[float, float, float]:
        pairs = Counter((a in tags, b in tags) for a, b in zip(gold, given, strict=True))
        hit, extra, missed = pairs[True, True], pairs[False, True], pairs[True, False]
        return (
            round(200 * hit / max(2 * hit + extra + missed, 1), 2),
            round(100 * hit / max(hit + extra, 1), 2),
            round(100 * hit / max(hit + missed, 1), 2),
        )

    right = sum(a == b for a, b in zip(gold, given, strict=True))
    accuracy = round(100 * right / max(len(gold), 1), 2)
    common = agreement(frozenset({"NOUN"}))[0]
    return Score(*agreement(NOUN_TAGS), common, accuracy, len(gold))


def evaluate(tagger: TreebankTagger, sentences: Iterable[Sentence]) -> tuple[Score, Score]:
    """The provisional and the confirmed score, tagging as the monitor does, word by word."""
    gold: list[str] = []
    provisional: list[str] = []
    confirmed: list[str] = []
    for sentence in sentences:
        words: list[str] = []
        tags: list[str] = []
        for place, (word, tag) in enumerate(sentence):
            words.append(word)
            following = sentence[place + 1][0] if place + 1 < len(sentence) else None
            gold.append(tag)
            provisional.append(tagger.provisional(words, tags))
            tags.append(tagger.confirmed(words, tags, following))
        confirmed += tags
    return score(gold, provisional), score(gold, confirmed)


@dataclass(frozen=True)
class _Learner:
    """A perceptron in training."""

    perceptron: AveragedPerceptron
    dictionary: Mapping[str, str]
    sees_next: bool

    def epoch(self, sentences: Iterable[Sentence]) -> None:
        """One pass of updates; the history is the learner's own, as it will be when it serves."""
        for sentence in sentences:
            words: list[str] = []
            tags: list[str] = []
            for place, (word, truth) in enumerate(sentence):
                words.append(word)
                guess = self.dictionary.get(word)
                if guess is None:
                    following = sentence[place + 1][0] if place + 1 < len(sentence) else None
                    seen = dict.fromkeys(
                        features(words, tags, following, sees_next=self.sees_next), 1
                    )
                    guess = str(self.perceptron.predict(seen)[0])
                    self.perceptron.update(truth, guess, seen)
                tags.append(guess)

    def averaged(self) -> TagModel:
        """The weights averaged over all updates so far; the learner can go on."""
        copy = deepcopy(self.perceptron)
        copy.average_weights()
        return TagModel.of(
            copy.weights,
            classes=copy.classes,
            dictionary=self.dictionary,
            sees_next=self.sees_next,
        )


def train(
    training: Sequence[Sentence],
    dev: Sequence[Sentence],
    *,
    epochs: int = 10,
    seed: int = 1,
    progress: Progress | None = None,
) -> TreebankTagger:
    """Train both perceptrons and keep of each the epoch with the best noun F1 on ``dev``.

    The confirmed one comes first: its tags are the history in which the provisional one is served.
    """
    known = dictionary(training)
    classes = {tag for sentence in training for _, tag in sentence}

    def best(*, sees_next: bool, confirmed: TagModel | None) -> TagModel:
        perceptron = AveragedPerceptron()
        perceptron.classes = set(classes)
        learner = _Learner(perceptron, known, sees_next)
        name = "confirmed" if sees_next else "provisional"
        task = progress.add_task(name, total=epochs) if progress else None
        order = list(training)
        shuffled = random.Random(seed)
        chosen, top = None, -1.0
        for _ in range(epochs):
            shuffled.shuffle(order)
            learner.epoch(order)
            candidate = learner.averaged()
            scores = evaluate(TreebankTagger(candidate, confirmed or candidate), dev)
            noun_f1 = scores[1 if sees_next else 0].noun_f1
            if noun_f1 > top:
                chosen, top = candidate, noun_f1
            if progress and task is not None:
                progress.update(task, advance=1, description=f"{name}, dev noun F1 {top:.2f}")
        if chosen is None:
            raise ValueError(f"training needs at least one epoch, was asked for {epochs}")
        return chosen

    confirmed = best(sees_next=True, confirmed=None)
    return TreebankTagger(best(sees_next=False, confirmed=confirmed), confirmed)


@click.command()
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--epochs", type=click.IntRange(1), default=10, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
def main(*, data: Path, out: Path, epochs: int, seed: int) -> None:
    """Train the provisional and the confirmed tagger and write them, with their scores."""
    try:
        splits = {name: read_sentences(data, name) for name in ("train", "dev", "test")}
    except TreebankError as error:
        raise click.ClickException(str(error)) from error
    with Progress(console=Console(stderr=True)) as progress:
        tagger = train(splits["train"], splits["dev"], epochs=epochs, seed=seed, progress=progress)
    packed = {
        "provisional": tagger.provisional_model.to_bytes(),
        "confirmed": tagger.confirmed_model.to_bytes(),
    }
    results = {
        "treebank": {name: len(sentences) for name, sentences in splits.items()},
        "epochs": epochs,
        "seed": seed,
        "bytes": {name: len(content) for name, content in packed.items()},
    }
    for split in ("dev", "test"):
        scores = evaluate(tagger, splits[split])
        results[split] = dict(zip(packed, map(asdict, scores), strict=True))
    out.mkdir(parents=True, exist_ok=True)
    for name, content in packed.items():
        (out / f"{name}.json.gz").write_bytes(content)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (out / "LICENSE").write_text(_CREDIT, encoding="utf-8")
    click.echo(json.dumps(results["test"]))


if __name__ == "__main__":
    main()
