"""How much longer decoding takes under the whole monitor: tap, logits, words, nouns and report.

    python -m tests.benchmarks.bench_pair --shape small
    python -m tests.benchmarks.bench_pair --shape 0.7b --tokens 24
    python -m tests.benchmarks.bench_pair --shape 7b --images 5 --batch 8     (on a GPU)

As in ``bench_decode.py``, with the pair of ``Monitor.watch`` in place of the bare tap, and a
tokenizer whose random captions cost what real ones do.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from sightline.monitor.lexicon import Lexicon
from sightline.monitor.session import Monitor
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from .bench_decode import compare
from .workbench import SHAPES, build, environment, prompt, record

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


def main() -> None:
    """Measure one shape and write ``results/pair-....json``."""
    parser = argparse.ArgumentParser(description="decoding, monitored against plain")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--layers", choices=("range", "all"), default="range")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if device.type == "cpu":
        torch.set_num_threads(1)
    shape = SHAPES[options.shape]
    model = build(shape, device, dtype)
    # Left alone, a random model repeats itself, and its caption would be one word.
    model.generation_config.update(repetition_penalty=10.0)
    inputs = prompt(model, shape, images=options.images, batch=options.batch)
    processor: Any = SimpleNamespace(tokenizer=word_tokenizer(shape.vocabulary))
    monitor = Monitor(model, processor, watch_layers=options.layers)

    @contextmanager
    def pair(model: Any, inputs: dict[str, Tensor]) -> Iterator[dict[str, Any]]:
        with monitor.watch(inputs) as watch:
            yield {"logits_processor": [watch.logits_processor], "streamer": watch.streamer}

    result = compare(model, inputs, pair, tokens=options.tokens, rounds=options.rounds)
    name = f"pair-{shape.name}-{options.images * shape.image_tokens}-b{options.batch}"
    path = record(
        f"{name}-{options.layers}-{device.type}",
        vars(options) | {"svar_layers": str(monitor.layers)} | environment(device) | result,
    )
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
