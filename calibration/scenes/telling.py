"""The small model tells of scenes, and every step of the telling is recorded through the tap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import (
    LlavaForConditionalGeneration,
    LlavaProcessor,
    LogitsProcessor,
    LogitsProcessorList,
)

from ...monitor.attention.intervention import HeadGuided
from ...monitor.attention.tap import AttentionTap
from ...monitor.language.words import Detokenizer
from ...monitor.models.anatomy import Anatomy
from ...monitor.models.prompts import prepare
from .render import Picture

BATCH = 50


@dataclass(frozen=True, slots=True, eq=False)
class Telling:
    """One generated caption, with what each of its ``T`` tokens looked like when predicted.

    Attributes:
        text: the caption.
        spans: character span of each token in it.
        ended: whether the model ended it itself.
        var: float32 ``[T, layers, heads]``, attention of the predicting row on image tokens.
        patches: float16 ``[T, layers, image tokens]``, its mean over heads on each image token.
        log_prob: float32 ``[T]``, of the chosen token, in nats.
        entropy: float32 ``[T]``, of the distribution it was chosen from, in nats.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    ended: bool
    var: npt.NDArray[np.float32]
    patches: npt.NDArray[np.float16]
    log_prob: npt.NDArray[np.float32]
    entropy: npt.NDArray[np.float32]


class _Recorder(LogitsProcessor):
    def __init__(self, tap: AttentionTap) -> None:
        self._tap = tap
        self.var: list[Tensor] = []
        self.patches: list[Tensor] = []
        self.log_probs: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        step = self._tap.take()
        self.var.append(step.masses[..., 0].clone())
        assert step.patches is not None
        self.patches.append(step.patches.half())
        self.log_probs.append(scores.float().log_softmax(-1))
        return scores


def tell(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    pictures: Sequence[Picture],
    prompt: str,
    *,
    intervention: HeadGuided | None = None,
    max_new_tokens: int = 160,
) -> list[Telling]:
    """Greedy captions of some pictures.

    Args:
        model: the small model.
        processor: its processor.
        pictures: what to tell of.
        prompt: what to ask, without template.
        intervention: Eq. 4, always on, if given.
        max_new_tokens: where a caption is cut.
    """
    anatomy, detokenizer = Anatomy.of(model), Detokenizer(processor.tokenizer)
    decoder: Any = model  # the types of generate do not know the model as their own
    tellings: list[Telling] = []
    for start in range(0, len(pictures), BATCH):
        images = [p.image for p in pictures[start : start + BATCH]]
        inputs = prepare(processor, images, prompt)
        image = anatomy.image_positions(inputs["input_ids"])
        with AttentionTap(anatomy, image, patches=1, intervention=intervention) as tap:
            recorder = _Recorder(tap)
            ids = decoder.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=max_new_tokens,
                logits_processor=LogitsProcessorList([recorder]),
            )[:, inputs["input_ids"].shape[1] :]
        tellings.extend(_unpack(ids, recorder, detokenizer, processor))
    return tellings


def _unpack(
    ids: Tensor, recorder: _Recorder, detokenizer: Detokenizer, processor: LlavaProcessor
) -> list[Telling]:
    var, patches = torch.stack(recorder.var, 1).numpy(), torch.stack(recorder.patches, 1).numpy()
    log_probs = torch.stack(recorder.log_probs, 1)
    entropy = -(log_probs.exp() * log_probs.clamp_min(-1e4)).sum(-1)
    chosen = log_probs.gather(-1, ids[..., None]).squeeze(-1)
    eos = processor.tokenizer.eos_token_id
    tellings = []
    for row, tokens in enumerate(ids.tolist()):
        ended = eos in tokens
        length = tokens.index(eos) if ended else len(tokens)
        stream = detokenizer.stream()
        for token in tokens[:length]:
            stream.push(token)
        stream.finish()
        tellings.append(
            Telling(
                text=stream.text,
                spans=tuple(stream.spans),
                ended=ended,
                var=var[row, :length],
                patches=patches[row, :length],
                log_prob=chosen[row, :length].numpy(),
                entropy=entropy[row, :length].numpy(),
            )
        )
    return tellings
