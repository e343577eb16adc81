"""Calls of ``generate`` made ready: to be watched, or to be decoded under a policy that acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from .attention.deferred import DeferredTap
from .attention.intervention import HeadGuided
from .attention.lens import Lens
from .attention.tap import AttentionTap
from .decoding.inputs import PromptBatch, prompt_length, read_prompts
from .decoding.options import OBSERVED, ONE_BY_ONE, DecodingOptions
from .errors import OptionError
from .events import Event
from .judging.ruling import Ruling
from .models.images import ImageInfo
from .models.subject import Subject
from .policy.means import Means
from .policy.redecoding import Redecoding
from .policy.release import Show
from .report import Header
from .watching.beamwatch import BeamWatch
from .watching.headers import headers
from .watching.pen import Pen
from .watching.watch import Watch


@dataclass(frozen=True, slots=True, eq=False)
class Calls:
    """Makes the calls of one monitor ready.

    Attributes:
        subject: the model that decodes.
        pen: writes captions, with the monitor's own judge.
        means: what policies need of the model.
        watched: the layers that evidence covers; ``None`` for all.
        patches: for how many of the latest steps to keep the attention to each image token.
        lens: whether to read internal confidence too.
        on_nonfinite: what a row without a usable distribution does: ``raise``, or ``record``.
    """

    subject: Subject
    pen: Pen
    means: Means
    watched: tuple[int, ...] | None
    patches: int
    lens: bool
    on_nonfinite: Literal["raise", "record"]

    def watch(
        self,
        inputs: Mapping[str, Any],
        options: Mapping[str, Any],
        *,
        ruling: Ruling,
        images: Sequence[ImageInfo | None] | None,
        on_event: Callable[[Event], None] | None,
        streamer: BaseStreamer | None,
        image_positions: Tensor | None,
    ) -> Watch:
        """A call that is only watched.

        Args:
            inputs: what ``generate`` will get from the processor.
            options: its other arguments.
            ruling: under which nothing is done about flags.
            images: what reports say of each prompt's image.
            on_event: called with every event.
            streamer: another streamer that is to see the tokens.
            image_positions: where the image is, if ``input_ids`` do not tell.

        Raises:
            InputError, OptionError: see ``Monitor.watch``.
        """
        ready = self._ready(
            inputs,
            options,
            images,
            ruling,
            image_positions=image_positions,
            late=True,
        )
        kind = BeamWatch if ready.options.mode == "beams" else Watch
        return kind(
            model=self.subject.model,
            tap=ready.tap,
            lens=ready.lens,
            prompt=ready.prompts.ids,
            length=ready.prompts.image.shape[1],
            options=ready.options,
            headers=ready.headers,
            caption=replace(self.pen, calibration=ruling.calibration),
            on_nonfinite=self.on_nonfinite,
            on_event=on_event,
            streamer=streamer,
        )

    def redecoding(
        self,
        inputs: Mapping[str, Any],
        options: Mapping[str, Any],
        *,
        ruling: Ruling,
        images: Sequence[ImageInfo | None] | None,
        on_event: Callable[[Event], None] | None,
        streamer: BaseStreamer | None,
        show: Show,
        image_positions: Tensor | None,
    ) -> Redecoding:
        """A call under a policy that acts.

        Args:
            show: whether events come at once, or when nothing of them will be taken back.
            inputs, options, images, on_event: see :meth:`watch`.
            ruling: whose policy acts.
            streamer, image_positions: there can be none.

        Raises:
            InputError, OptionError: see ``Monitor.generate``.
        """
        policy = ruling.policy
        assert policy is not None
        if image_positions is not None:
            raise OptionError(
                "A policy that acts reads the prompt anew when it must, and needs it as "
                "input_ids: image_positions cannot be given. Leave the policy out, or pass the "
                "whole prompt."
            )
        if streamer is not None:
            raise OptionError(
                "A streamer cannot be told that a token was taken back, so none may be given under "
                "a policy that acts. Use on_event=."
            )
        ready = self._ready(inputs, options, images, ruling, guide=self.means.guide(policy))
        given = dict(options)
        if ready.options.stop_strings:
            given.setdefault("tokenizer", self.subject.tokenizer)
        return Redecoding(
            model=self.subject.model,
            tap=ready.tap,
            lens=ready.lens,
            blind=self.means.blind(policy, ready.prompts),
            inputs=inputs,
            options=given,
            known=ready.options,
            policy=policy,
            headers=ready.headers,
            caption=replace(self.pen, calibration=ruling.calibration, together=on_event is None),
            full_stop=self.means.full_stop(),
            on_nonfinite=self.on_nonfinite,
            on_event=on_event,
            show=show,
        )

    def _ready(
        self,
        inputs: Mapping[str, Any],
        options: Mapping[str, Any],
        images: Sequence[ImageInfo | None] | None,
        ruling: Ruling,
        *,
        guide: HeadGuided | None = None,
        image_positions: Tensor | None = None,
        late: bool = False,
    ) -> _Ready:
        """Refuse what cannot be watched, and make what every call needs."""
        model, anatomy = self.subject.model, self.subject.anatomy
        known = DecodingOptions.of(
            model,
            options,
            prompt_length=prompt_length(inputs),
            modes=ONE_BY_ONE if ruling.acts else OBSERVED,
        )
        prompts = read_prompts(
            inputs, model=model, anatomy=anatomy, options=known, image_positions=image_positions
        )
        image = prompts.image.to(model.device)
        real = prompts.real.to(model.device)
        if not late or self.patches or known.mode in ("beams", "assisted"):
            tap = AttentionTap(
                anatomy,
                image,
                prompt_mask=real,
                layers=self.watched,
                patches=self.patches,
                intervention=guide,
            )
        else:  # tokens between two nouns are read in one go
            tap = DeferredTap(anatomy, image, prompt_mask=real, layers=self.watched)
        about = headers(
            prompts,
            images=images,
            settings=known.settings,
            subject=self.subject,
            layers=self.pen.layers,
            ruling=ruling,
        )
        return _Ready(
            prompts=prompts,
            options=known,
            tap=tap,
            lens=Lens(anatomy, image, layers=self.watched) if self.lens else None,
            headers=tuple(about),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    """What every call needs: its tap and its lens are not open yet."""

    prompts: PromptBatch
    options: DecodingOptions
    tap: AttentionTap
    lens: Lens | None
    headers: tuple[Header, ...]
