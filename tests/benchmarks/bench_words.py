"""What words and nouns cost: microseconds per token and per word, independent of length.

::

    python tests/benchmarks/bench_words.py --out words.json

A script, not a timed test: what it prints depends on the machine. It trains two small tokenizers
of the usual kinds on captions, streams 512 and 2,048 tokens of captions through them, and then
finds the nouns. Beside it stands decoding the whole caption again at every token.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
from sightline.monitor.language.lexicon import Lexicon
from sightline.monitor.language.nouns import NounSpotter
from sightline.monitor.language.words import Detokenizer, WordSplitter, split_words
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import TokenizersBackend

CAPTION = (
    "The image features a busy street with several cars and a truck driving by. There is a large "
    "construction sign on the side of the road, and two people are waiting near a traffic light.\n"
    "\nIn addition to the vehicles, a woman with a handbag can be seen in the background, walking "
    "her dog past a café's dining tables. One of the chairs is empty; the others aren't. "
)
LENGTHS = (512, 2048)


def byte_level() -> Tokenizer:
    """A tokenizer as GPT-2 and Qwen have them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _trained(tokenizer)


def sentencepiece() -> Tokenizer:
    """A tokenizer as Llama has them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    return _trained(tokenizer)


def _trained(tokenizer: Tokenizer) -> Tokenizer:
    # So small a vocabulary makes about 1.3 tokens a word, as real ones do.
    trainer = trainers.BpeTrainer(vocab_size=180, show_progress=False)
    tokenizer.train_from_iterator([CAPTION], trainer)
    return tokenizer


def microseconds(run: Callable[[], object], items: int, *, repeats: int) -> dict[str, float]:
    """Median and quartiles over ``repeats`` of the time of one item."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e6 / items)
    low, median, high = statistics.quantiles(times, n=4)
    return {"median": round(median, 2), "q1": round(low, 2), "q3": round(high, 2)}


def stream(detokenizer: Detokenizer, ids: list[int], *, words: bool) -> None:
    """One caption's text, and its words if asked for."""
    tokens = detokenizer.stream()
    splitter = WordSplitter(spans=tokens.spans)
    for index, token in enumerate(ids):
        text = tokens.push(token)
        if words:
            splitter.push(index, text)
    tokens.finish()
    splitter.finish()


def redecode(tokenizer: TokenizersBackend, ids: list[int]) -> None:
    """What it would cost to decode the caption so far at every token."""
    for end in range(1, len(ids) + 1):
        tokenizer.decode(ids[:end])


def spot(lexicon: Lexicon, text: str) -> None:
    """One caption's nouns, words given."""
    spotter = NounSpotter(lexicon)
    for word in split_words(text):
        spotter.push(word)
    spotter.finish()


@click.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON here too.")
@click.option("--repeats", type=click.IntRange(4), default=30, show_default=True)
def main(*, out: Path | None, repeats: int) -> None:
    """Measure and print."""
    results: dict[str, object] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "repeats": repeats,
        "unit": "microseconds per token (text, text and words, decode again) or per word (nouns)",
    }
    for name, inner in (("byte-level", byte_level()), ("sentencepiece", sentencepiece())):
        tokenizer = TokenizersBackend(tokenizer_object=inner, clean_up_tokenization_spaces=False)
        detokenizer = Detokenizer(tokenizer)
        every = inner.encode(CAPTION * 40).ids
        words = len(split_words(inner.decode(every[:2048])))
        results[f"{name}, tokens per word"] = round(2048 / words, 2)
        for length in LENGTHS:
            ids = every[:length]
            for case, run, times in (
                ("text", partial(stream, detokenizer, ids, words=False), repeats),
                ("text and words", partial(stream, detokenizer, ids, words=True), repeats),
                ("decode again", partial(redecode, tokenizer, ids), 4),
            ):
                label = f"{name}, {length} tokens, {case}"
                results[label] = microseconds(run, length, repeats=times)
    lexicon = Lexicon.load("coco")
    for copies in (1, 8):
        text = CAPTION * copies
        count = len(split_words(text))
        label = f"nouns and splitting, {count} words"
        results[label] = microseconds(partial(spot, lexicon, text), count, repeats=repeats)
    for label, value in results.items():
        click.echo(f"{label}: {value}")
    if out is not None:
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
