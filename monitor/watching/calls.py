"""Calls of ``generate`` made ready: what watching and re-decoding have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from ...detectors.svar import LayerRange
from ..attention.intervention import HeadGuided
from ..attention.lens import Lens
from ..attention.tap import AttentionTap
from ..decoding.inputs import prompt_length, read_prompts
from ..decoding.options import OBSERVED, ONE_BY_ONE, DecodingOptions
from ..judging.judge import Judge
from ..models.anatomy import Anatomy
from ..models.images import ImageInfo
from ..policy.policy import Policy
from ..report import Header
from .headers import headers


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of ``generate``, checked and made ready.

    Attributes:
        prompt: int64 ``[batch, length]``.
        length: positions of the sequence that is decoded on.
        options: what is known of the call's other arguments.
        tap: not open yet.
        lens: not open yet; ``None`` where it was not asked for.
        headers: one per prompt.
    """

    prompt: Tensor
    length: int
    options: DecodingOptions
    tap: AttentionTap
    lens: Lens | None
    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Calls:
    """Makes the calls of one monitor ready.

    Attributes:
        model: the model that decodes.
        anatomy: its parts.
        tokenizer: the processor's.
        name: what reports call the model.
        layers: what SVAR sums over.
        watched: the layers that evidence covers; ``None`` for all.
        patches: for how many of the latest steps to keep the attention to each image token.
        lens: whether to read internal confidence too.
    """

    model: PreTrainedModel
    anatomy: Anatomy
    tokenizer: Any
    name: str
    layers: LayerRange
    watched: tuple[int, ...] | None
    patches: int
    lens: bool

    def ready(
        self,
        inputs: Mapping[str, Any],
        options: Mapping[str, Any],
        *,
        images: Sequence[ImageInfo | None] | None,
        policy: Policy | None,
        judge: Judge | None,
        guide: HeadGuided | None = None,
        image_positions: Tensor | None = None,
    ) -> Call:
        """Refuse what cannot be watched, and make ready what every watched call needs.

        Args:
            inputs: what ``generate`` will get from the processor.
            options: its other arguments.
            images: what reports say of each prompt's image.
            policy: what is to be done about flags, if anything was asked for.
            judge: of mentions, as it judges under the policy.
            guide: Eq. 4, for the policy to switch on.
            image_positions: where the image is, if ``input_ids`` do not tell.

        Raises:
            InputError, OptionError: see ``Monitor.watch``.
        """
        known = DecodingOptions.of(
            self.model,
            options,
            prompt_length=prompt_length(inputs),
            modes=ONE_BY_ONE if policy is not None and policy.acts else OBSERVED,
        )
        prompts = read_prompts(
            inputs,
            model=self.model,
            anatomy=self.anatomy,
            options=known,
            image_positions=image_positions,
        )
        image = prompts.image.to(self.model.device)
        tap = AttentionTap(
            self.anatomy,
            image,
            prompt_mask=prompts.real.to(self.model.device),
            layers=self.watched,
            patches=self.patches,
            intervention=guide,
        )
        about = headers(
            prompts,
            images=images,
            settings=known.settings,
            model=self.model,
            name=self.name,
            tokenizer=self.tokenizer,
            layers=self.layers,
            judge=judge,
            policy=policy,
        )
        return Call(
            prompt=prompts.ids,
            length=prompts.image.shape[1],
            options=known,
            tap=tap,
            lens=Lens(self.anatomy, image, layers=self.watched) if self.lens else None,
            headers=tuple(about),
        )
