"""A watched beam search: each returned sequence gets the evidence of its own ancestors."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor
from transformers import PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from ..attention.lens import Lens
from ..attention.measurement import PendingStep, UnreadStep
from ..attention.tap import AttentionTap
from ..decoding.beams import BeamLedger
from ..decoding.options import DecodingOptions
from ..errors import NonFiniteError, OptionError, WatchError
from ..events import Event
from ..report import Header
from .adapters import WatchingCriterion
from .caption import Caption
from .watch import Watch


class BeamWatch(Watch):
    """A :class:`.Watch` of beam search. Made by ``Monitor.watch``.

    Beam search drops beams, splits others and reorders the cache as it goes, and takes no streamer:
    which tokens a caption has is known when it is over. Then every event of every caption comes
    at once, row by row, and the reports are those of the sequences that were returned::

        arguments = {**inputs, "num_beams": 4, "max_new_tokens": 64}
        with monitor.watch(inputs, num_beams=4, max_new_tokens=64) as watch:
            sequences = watch.finish(model.generate(**watch.plug_into(arguments)))

    Written out, ``generate`` needs ``logits_processor=[watch.logits_processor]``,
    ``stopping_criteria=[watch.stopping_criterion]`` and ``return_dict_in_generate=True``, and
    ``watch.finish`` what it returned.

    Args and errors: as :class:`.Watch`; there can be no ``streamer``.
    ``recent_patches`` are those of the running beams, in the rows of the forward pass.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        tap: AttentionTap,
        prompt: Tensor,
        options: DecodingOptions,
        headers: Sequence[Header],
        caption: Callable[[int], Caption],
        length: int | None = None,
        lens: Lens | None = None,
        on_nonfinite: Literal["raise", "record"] = "raise",
        on_event: Callable[[Event], None] | None = None,
        streamer: BaseStreamer | None = None,
    ) -> None:
        if streamer is not None:
            raise OptionError(
                "Beam search knows its tokens at the end only, and takes no streamer. Leave it "
                "out, or decode with num_beams=1."
            )
        super().__init__(
            model=model,
            tap=tap,
            prompt=prompt,
            length=length,
            options=options,
            headers=headers,
            caption=caption,
            lens=lens,
            on_nonfinite=on_nonfinite,
            on_event=on_event,
        )
        self._ledger = BeamLedger(options.beams)
        self._began = 0.0
        self._over = False

    def __enter__(self) -> BeamWatch:
        super().__enter__()
        self._began = time.perf_counter()
        return self

    @property
    def stopping_criterion(self) -> WatchingCriterion:
        """What ``generate`` takes among its stopping criteria."""
        return WatchingCriterion(self)

    def plug_into(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of ``generate`` with all parts of this watch put in, after the user's own.

        ``generate`` is made to say where its sequences come from; :meth:`finish` gives back what
        ``arguments`` asked for.
        """
        given = super().plug_into(arguments)
        del given["streamer"]
        criteria = [*(given.pop("stopping_criteria", None) or ()), self.stopping_criterion]
        changed = {"return_dict_in_generate": True}
        if not self.options.returns_dict:
            # Without a dict to return them in, nothing of the kind is kept.
            changed |= {"output_scores": False, "output_logits": False}
        config = given.get("generation_config")
        if config is None:
            given |= changed
        else:
            config = copy.deepcopy(config)
            config.update(**changed)
            given = {name: value for name, value in given.items() if name not in changed}
            given["generation_config"] = config
        return {**given, "stopping_criteria": criteria}

    def finish(self, output: Any) -> Any:
        """Read the captions that the search returned; called once, with what ``generate`` gave.

        Returns:
            what the announced options ask for: the sequences, or ``output`` as it is.

        Raises:
            WatchError: ``output`` does not say which beams its tokens came from, or is another
                call's.
            NonFiniteError: a token was picked from no usable distribution.
        """
        indices = getattr(output, "beam_indices", None)
        sequences = getattr(output, "sequences", None)
        if not isinstance(indices, Tensor) or not isinstance(sequences, Tensor):
            raise WatchError(
                f"generate must say which beams its sequences came from, returned: "
                f"{type(output).__name__}. Call it with watch.plug_into(arguments), or with "
                f"return_dict_in_generate=True."
            )
        if self._over or not len(self._ledger):
            raise WatchError(
                "finish() follows one call of generate, and is called once. Call generate with "
                "watch.plug_into(arguments) inside the watch's block first."
            )
        prompt = self._prompt.shape[1]
        self._copies(sequences[:, :prompt])
        self._over = True
        self._scribe.begin(len(sequences), began=self._began)
        rows = [[row for row in path if row >= 0] for path in indices.tolist()]
        for index, (path, ids) in enumerate(zip(rows, sequences.tolist(), strict=True)):
            tokens = ids[prompt : prompt + len(path)]
            if tokens:
                self._scribe.write(index, tokens, self._ledger.along(path, tokens))
        self._scribe.end()
        return output if self.options.returns_dict else sequences

    # --- what generate tells us -----------------------------------------------------------------

    def on_scores(self, input_ids: Tensor) -> None:
        """Read the forward pass of all running beams."""
        self._check_call()
        rows = len(self._prompt) * self.options.beams
        self._check_shape(input_ids, rows)
        if not self._steps:
            self._copies(input_ids)
        step = self._meter.measure()
        assert isinstance(step, PendingStep)
        self._ledger.measured(step)
        self._steps += 1

    def on_candidates(self, input_ids: Tensor) -> None:
        """Learn which tokens the search considers next; told by :attr:`stopping_criterion`."""
        self._check_call()
        self._ledger.considered(input_ids[:, -1])

    def on_tokens(self, ids: Tensor) -> None:
        """Refuse: a streamer is told of no beam.

        Raises:
            WatchError: always.
        """
        raise WatchError(
            "Beam search takes no streamer: leave watch.streamer out, and call "
            "generate(**watch.plug_into(arguments))."
        )

    def _explain(self, error: RuntimeError, pending: Sequence[UnreadStep]) -> None:
        step = self._ledger.open
        try:
            broken = [] if step is None else step.unusable()
        except RuntimeError:
            return  # the device itself is lost; what it said stands
        if broken:
            prompt = broken[0] // self.options.beams
            raise NonFiniteError(row=prompt * self.options.copies, step=self._steps - 1) from error
