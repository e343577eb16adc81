"""One tiny model of each family, with prompts that hold pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from sightline.monitor.models.anatomy import Anatomy
from torch import Tensor
from transformers import set_seed

from .builders import apart, documents, gemma, glm, idefics, llava, mixtures, qwen, tokenised
from .parts import IMAGE, VOCABULARY, Builder

_GROUPS = (apart, documents, gemma, glm, idefics, llava, mixtures, qwen, tokenised)
BUILDERS: Final[Mapping[str, Builder]] = dict(
    sorted(item for group in _GROUPS for item in group.FAMILIES.items())
)
"""By the name under which transformers knows the family (its ``model_type``)."""


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """A family's tiny model and a batch of prompts, of which all but the first are left-padded.

    Attributes:
        name: as transformers knows the family.
        model: the model, in evaluation mode; it never writes an image token and never ends.
        inputs: what ``generate`` and ``forward`` take.
        overrides: what ``Anatomy.of`` must be told.
        note: see :class:`.Parts`.
    """

    name: str
    model: Any  # a PreTrainedModel; transformers leaves generate untyped
    inputs: dict[str, Tensor]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def anatomy(self) -> Anatomy:
        """Where the model keeps its parts."""
        return Anatomy.of(self.model, **self.overrides)

    @property
    def image(self) -> Tensor:
        """Where the image tokens are, bool ``[batch, prompt]``."""
        return self.inputs["input_ids"] == IMAGE


def build(name: str, *, rows: int = 2) -> Family:
    """The family's model with random weights, always the same ones, and its inputs."""
    set_seed(7)
    parts = BUILDERS[name](rows)
    model = parts.model.eval()
    model.generation_config.update(
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
        suppress_tokens=[0, *range(IMAGE, VOCABULARY)],
    )
    inputs = {**_prompts(parts.picture, rows), **parts.inputs}
    if parts.types is not None:
        inputs[parts.types] = (inputs["input_ids"] == IMAGE).long()
    if parts.others is not None:
        inputs |= parts.others(inputs["input_ids"])
    return Family(name, model, inputs, parts.overrides, parts.note)


_CUT: Final = (0, 3, 4)


def _prompts(picture: int | Tensor, rows: int) -> dict[str, Tensor]:
    """Text, picture, text; the second row is 3 tokens shorter than the first, the third 4."""
    if isinstance(picture, int):
        picture = torch.full((picture,), IMAGE)
    text = torch.randint(5, 100, (rows, 12))
    ids = torch.cat([text[:, :5], picture.expand(rows, -1), text[:, 5:]], dim=1)
    mask = torch.ones_like(ids)
    for row, cut in zip(range(rows), _CUT, strict=False):
        ids[row, :cut] = 0
        mask[row, :cut] = 0
    return {"input_ids": ids, "attention_mask": mask}
