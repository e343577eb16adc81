"""The logit lens on the image tokens, one by one: what each reads as in every layer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from ..attention.lens import lens_parts, read_out
from ..errors import WatchError
from ..models.anatomy import Anatomy


@dataclass(frozen=True, slots=True, eq=False)
class ImageReading:
    """What the image tokens of one prompt read as.

    Attributes:
        top: int64 ``[layers, image tokens]``, the likeliest token.
        share: float32 ``[layers, image tokens]``, its probability.
        asked: float32 ``[tokens asked for, layers, image tokens]``, the probability of each.
    """

    top: Tensor
    share: Tensor
    asked: Tensor


class ImageLens:
    """Eq. 2 of Jiang et al. (arXiv 2411.16724) without its maximum, for one prompt.

    ``softmax(W_V norm(v_i^l))`` for the image token i in layer l, as
    :class:`~sightline.monitor.attention.lens.Lens` has it, final norm included. Each layer's
    states go through the head a few at a time; of the vocabulary the likeliest token is kept and
    those that were asked for, so that ``[layers, image tokens, vocabulary]`` never exists.

    Args:
        anatomy: where the model keeps its parts.
        image: int64 ``[image tokens]``, their positions in the prompt.
        tokens: ids whose probability is wanted.

    Raises:
        ModelError: the model has no output head or final norm, or the head is no matrix.
    """

    def __init__(self, anatomy: Anatomy, image: Tensor, tokens: Sequence[int]) -> None:
        self._head, self._norm = lens_parts(anatomy)
        self._blocks = {layer: anatomy.blocks[layer] for layer in anatomy.layers}
        self._image = image
        self._tokens = torch.tensor(tokens, dtype=torch.int64)
        self._seen: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        self._thread = 0
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> ImageLens:
        self._thread = threading.get_ident()
        self._hooks = [
            block.register_forward_hook(partial(self._after, layer))
            for layer, block in self._blocks.items()
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def take(self) -> ImageReading:
        """What the pass showed, on the host.

        Raises:
            WatchError: a layer did not run.
        """
        if len(self._seen) != len(self._blocks):
            raise WatchError(
                f"Every layer must be seen once, of {len(self._blocks)} were: {len(self._seen)}. "
                f"Layers that are compiled are not: inspect the model as it was before "
                f"torch.compile."
            )
        tops, shares, asked = zip(*(self._seen[layer] for layer in self._blocks), strict=True)
        return ImageReading(torch.stack(tops), torch.stack(shares), torch.stack(asked, dim=1))

    def _after(self, layer: int, module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() != self._thread or layer in self._seen:
            return
        states: Tensor = output[0] if isinstance(output, tuple) else output
        image = states[:1, self._image.to(states.device)]
        tops, shares, asked = [], [], []
        for said in read_out(self._head, self._norm, image):
            best = said[0].max(dim=1)
            tops.append(best.indices.cpu())
            shares.append(best.values.exp().cpu())
            asked.append(said[0][:, self._tokens.to(said.device)].exp().cpu())
        self._seen[layer] = torch.cat(tops), torch.cat(shares), torch.cat(asked).T
