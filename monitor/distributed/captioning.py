"""How captions are made, as something that travels: each worker makes its captioner of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..cli.job import Recipe
from ..errors import ModelError
from ..models.images import MAX_PIXELS
from ..models.prompts import DEFAULT_PROMPT

if TYPE_CHECKING:
    from ..cli.captioner import Captioner


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a worker says of itself before its first caption.

    Attributes:
        recipe: how it makes captions, as far as reports tell.
        judge: who judges, and what that is worth; ``None`` without a calibration.
        limits: what must be known of the verdicts, one sentence each.
    """

    recipe: Recipe
    judge: str | None
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Captioning:
    """How captions are made: the options of ``sightline caption`` that reports depend on.

    Attributes:
        model: a saved checkpoint, a name on the hub, or ``"small"``.
        device: where the model runs; by default the worker's GPU where it has one, else the CPU.
        prompt: the question.
        max_new_tokens: where captions are cut.
        max_pixels: the largest image that is opened.
        layers: what SVAR sums over, such as ``"5-18"``; by default the calibration's.
        lexicon: which words name which object; by default that of the model.
        calibration: a folder; by default the one that comes with the model.
        allow_other_model: use a calibration made on other weights.
        policy: what to do about flags: ``"observe"``, ``"flag"``, ``"redecode"``, ``"drop"``,
            ``"stop"`` or ``"calibrated"``.
        threshold: the score from which objects are flagged, in place of the calibration's.
        inside: look at each finished caption again, for what the model's inside was like.
        retries: how often what fails in a way that passes is tried again.
    """

    model: str = "small"
    device: str | None = None
    prompt: str = DEFAULT_PROMPT
    max_new_tokens: int = 512
    max_pixels: int = MAX_PIXELS
    layers: str | None = None
    lexicon: str | None = None
    calibration: Path | None = None
    allow_other_model: bool = False
    policy: str = "flag"
    threshold: float | None = None
    inside: bool = False
    retries: int = 3

    def load(
        self, *, on_smaller: Callable[[int], object] = lambda _: None
    ) -> tuple[Captioner, Introduction]:
        """Load the model: a captioner, and what it has to say of itself.

        Args:
            on_smaller: told the size of the batches whenever there was no memory for larger ones.

        Raises:
            ModelError: what is asked for cannot be had, as the command line would say it.
        """
        from ..cli.calibration import introduction
        from ..cli.caption import load_monitor, policy_asked
        from ..cli.captioner import Captioner
        from ..jobs.retries import Retries
        from ..judging.certified import promise_of

        try:
            monitor = load_monitor(
                self.model,
                device=self.device,
                layers=self.layers,
                lexicon=self.lexicon,
                calibration=self.calibration,
                allow_other_model=self.allow_other_model,
            )
            policy = policy_asked(self.policy, self.threshold, monitor)
        except click.ClickException as error:
            raise ModelError(error.format_message()) from error
        captioner = Captioner(
            monitor,
            prompt=self.prompt,
            max_new_tokens=self.max_new_tokens,
            max_pixels=self.max_pixels,
            policy=policy,
            retries=Retries(self.retries),
            inside=self.inside,
            on_smaller=on_smaller,
        )
        judge = None
        if monitor.calibration is not None:
            promise = promise_of(monitor.calibration, policy)
            judge = introduction(monitor.calibration, promise).plain
        return captioner, Introduction(captioner.recipe, judge, monitor.limits)
