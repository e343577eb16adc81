"""How much longer decoding takes under the whole monitor: tap, logits, words, nouns and report.

    python -m tests.benchmarks.bench_pair --shape small
    python -m tests.benchmarks.bench_pair --shape small --events
    python -m tests.benchmarks.bench_pair --shape 0.7b --tokens 24
    python -m tests.benchmarks.bench_pair --shape 7b --images 5 --batch 8     (on a GPU)

As in ``bench_decode.py``, with the pair of ``Monitor.watch`` in place of the bare tap, and a
tokenizer whose random captions cost what real ones do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from sightline.monitor.events import Event
from sightline.monitor.language.lexicon import Lexicon
from sightline.monitor.session import Monitor
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from .bench_decode import compare
from .workbench import decoding_parser, set_up

_OTHERS = ("the", "a", "of", "on", "in", "with", "is", "near", "two", "red", "sitting", "and")
_REST = ("s", "ing", "er", "ly", "ed", "y")


def word_tokenizer(vocabulary: int) -> Any:
    """A byte-level tokenizer that writes as captions are written, as far as costs go.

    Of 16 tokens four are names of objects, seven other words, four rests of words and one a full
    stop: 1.4 tokens a word, an object in every third word.
    """
    names = [form for form in Lexicon.load("coco").forms if " " not in form]
    pieces = ["<pad>", "<s>", "</s>"]
    seen: set[str] = set()
    for index in range(vocabulary - 4):
        turn, kind = divmod(index, 16)
        if kind == 15:
            piece = "."
        elif kind % 4 == 0:
            piece = "Ġ" + names[(4 * turn + kind // 4) % len(names)]
        elif kind % 4 == 3 or kind == 14:
            piece = _REST[index % len(_REST)]
        else:
            piece = "Ġ" + _OTHERS[index % len(_OTHERS)]
        # A vocabulary holds each piece once; digits tell the later ones apart.
        pieces.append(piece if piece not in seen else f"{piece}{index}")
        seen.add(piece)
    pieces.append("<image>")
    inner = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def listen(event: Event) -> None:
    """The least that a listener can do."""


def main() -> None:
    """Measure one shape and write ``results/pair-....json``."""
    parser = decoding_parser("decoding, monitored against plain")
    parser.add_argument("--layers", choices=("range", "all"), default="range")
    parser.add_argument(
        "--events", action="store_true", help="somebody listens: every event as it happens"
    )
    bench = set_up(parser.parse_args())
    options = bench.options
    # Left alone, a random model repeats itself, and its caption would be one word.
    bench.model.generation_config.update(repetition_penalty=10.0)
    processor: Any = SimpleNamespace(tokenizer=word_tokenizer(bench.shape.vocabulary))
    monitor = Monitor(bench.model, processor, watch_layers=options.layers)
    listener = listen if options.events else None

    @contextmanager
    def pair(model: Any, inputs: dict[str, Tensor]) -> Iterator[dict[str, Any]]:
        with monitor.watch(inputs, on_event=listener) as watch:
            yield {"logits_processor": [watch.logits_processor], "streamer": watch.streamer}

    result = compare(bench.model, bench.inputs, pair, tokens=options.tokens, rounds=options.rounds)
    name = "pair-events" if options.events else "pair"
    bench.record(name, {"svar_layers": str(monitor.layers)} | result)


if __name__ == "__main__":
    main()
