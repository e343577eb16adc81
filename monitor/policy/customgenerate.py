"""For those who call ``model.generate`` themselves: the policy as its ``custom_generate``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from torch import Tensor
from transformers import GenerationConfig, LogitNormalization, LogitsProcessor, PreTrainedModel

from ..errors import ModelError, WatchError
from ..watching.arguments import is_input

if TYPE_CHECKING:
    from ..session import Captions

# What generate prepares anew for each call.
_PREPARED: Final = frozenset({"past_key_values", "cache_position", "logits_to_keep", "use_cache"})


class CustomGenerate:
    """A callable for ``model.generate(custom_generate=...)``. Made by ``Monitor.custom_generate``.

    Example::

        decode = monitor.custom_generate("redecode")
        ids = model.generate(**inputs, custom_generate=decode, max_new_tokens=128)
        print(decode.captions.reports[0].actions)

    It keeps what came of its latest call; use one for each thread. ``generate`` gives it neither
    a streamer nor a tokenizer: pass ``on_event`` to ``Monitor.custom_generate``.

    Args:
        model: the monitor's model.
        generate: the monitor's ``generate``, with its policy.
    """

    def __init__(self, model: PreTrainedModel, generate: Callable[..., Captions]) -> None:
        self._model = model
        self._generate = generate
        self._captions: Captions | None = None

    @property
    def captions(self) -> Captions:
        """Texts, reports and sequences of the latest call.

        Raises:
            WatchError: there was none.
        """
        if self._captions is None:
            raise WatchError(
                "There is nothing to report yet. Call model.generate(..., custom_generate=) first."
            )
        return self._captions

    def __call__(
        self,
        model: PreTrainedModel,
        input_ids: Tensor,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        generation_config: GenerationConfig | None = None,
        **prepared: Any,
    ) -> Any:
        """What ``generate`` calls, with everything it has prepared.

        Raises:
            ModelError: another model's ``generate`` calls.
        """
        if model is not self._model:
            raise ModelError(
                f"A monitor's custom_generate is for its own model, was called by another "
                f"{type(model).__name__}. Make a monitor for that one."
            )
        config = _as_given(generation_config)
        given: Mapping[str, Any] = {
            name: value
            for name, value in prepared.items()
            if value is not None and is_input(name, value) and name not in _PREPARED
        }
        options: dict[str, Any] = {} if config is None else {"generation_config": config}
        # Those that generate made itself take the place of those it would make again.
        self._captions = self._generate(
            **given,
            input_ids=input_ids,
            logits_processor=_without_sampling(logits_processor or ()),
            stopping_criteria=list(stopping_criteria or ()),
            **options,
        )
        return self._captions.output


def _without_sampling(processors: Iterable[LogitsProcessor]) -> list[LogitsProcessor]:
    """Without temperature and the like, which ``generate`` adds at the end whatever it is given."""
    left, seen = list(processors), set[type[LogitsProcessor]]()
    while left and (kind := type(left[-1])) not in seen and _shapes_sampling(kind):
        seen.add(kind)
        left.pop()
    return left


def _shapes_sampling(kind: type[LogitsProcessor]) -> bool:
    own = kind.__module__ == LogitsProcessor.__module__
    return own and (kind.__name__.endswith("Warper") or kind is LogitNormalization)


def _as_given(prepared: GenerationConfig | None) -> GenerationConfig | None:
    """The options as values again; the inputs were copied for each sequence already."""
    if prepared is None:
        return None
    values = prepared.to_dict()
    values["num_return_sequences"] = 1
    if values.get("max_new_tokens") is not None:
        values["max_length"] = None  # worked out from the other
    if values.get("min_new_tokens") is not None:
        values["min_length"] = None
    return GenerationConfig.from_dict(values)
