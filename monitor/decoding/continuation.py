"""What ``generate`` must be told to go on from a cache as if it had never stopped.

Every option keeps its meaning for the whole generation: lengths become absolute, what counts from
the prompt's end goes on counting from there, and what only holds for the first token is left out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from transformers import GenerationConfig, MaxLengthCriteria, PreTrainedModel
from transformers.generation.utils import MULTIMODAL_INPUTS_TO_DROP_OUTSIDE_PREFILL

from ..errors import OptionError
from .inputs import input_ids
from .options import DecodingOptions
from .rollback import check_rollback

_NEUTRAL: Final[Mapping[str, tuple[object, ...]]] = {
    "encoder_repetition_penalty": (None, 1, 1.0),
    "encoder_no_repeat_ngram_size": (None, 0),
}
# They say which tokens of the prompt are an image's, for masks and positions. Given for a generated
# token, some models would take it for the beginning of a prompt, and make it a mask of its own.
_TYPES: Final = frozenset({"token_type_ids", "mm_token_type_ids", "moe_mm_token_type_ids"})
_DEFAULT_NEW_TOKENS: Final = 20


class Continuation:
    """The arguments of each call of ``generate`` in one generation.

    Args:
        model: the model that decodes.
        inputs: the processor's tensors, ``input_ids`` among them.
        options: the other arguments of ``generate``.
        known: what was read of these very options, by who has done so already.

    Attributes:
        config: all options, as ``generate`` will resolve them.
        known: what of them has been checked; see :class:`DecodingOptions`.
        prompt: int64 ``[rows, length]``, one row per caption.
        end: most tokens of a sequence, prompt included.

    Raises:
        InputError: there are no ``input_ids``.
        OptionError: an option under which the generation could not be watched, paused or resumed.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        inputs: Mapping[str, Any],
        options: Mapping[str, Any],
        *,
        known: DecodingOptions | None = None,
    ) -> None:
        prompt = input_ids(inputs)
        self._length = prompt.shape[1]
        if known is None:
            # No options at all would mean that generate may still be given some.
            known = DecodingOptions.of(
                model, options or {"custom_generate": None}, prompt_length=self._length
            )
        self.known = known
        self.config = _effective(model, options)
        self._refuse(inputs, options)
        self.end = self._end(model, options.get("stopping_criteria") or ())
        check_rollback(model, self.config)
        self._model_defaults = model.generation_config
        self._options = {
            name: value
            for name, value in options.items()
            if name not in ("logits_processor", "stopping_criteria")
        }
        self._inputs = dict(inputs)
        self._inputs["attention_mask"] = self._mask(prompt, inputs.get("attention_mask"))
        self.prompt = self._expand(prompt)
        self.positions: Tensor | None = None

    def arguments(self, ids: Tensor, cache: object | None) -> dict[str, Any]:
        """Keyword arguments of ``generate``, processors and criteria apart.

        Args:
            ids: int64 ``[rows, length]``, prompt and what was generated.
            cache: holds all of ``ids`` but the last; ``None`` to read the prompt, which ``ids``
                then must be.
        """
        changed: dict[str, Any] = {"return_dict_in_generate": True}
        if not self.config.return_dict_in_generate:
            changed |= {"output_scores": False, "output_logits": False}
        # Both are kept by ours, over the whole generation.
        changed |= {"max_time": None, "stop_strings": None}
        if cache is None:
            return {**self._inputs, **self._settled(changed)}
        changed |= self._later(ids.shape[1])
        return {**self._later_inputs(ids), "past_key_values": cache, **self._settled(changed)}

    def _later(self, length: int) -> dict[str, Any]:
        config, new = self.config, length - self._length
        changed: dict[str, Any] = {
            "max_length": self.end,
            "max_new_tokens": None,
            "num_return_sequences": 1,
            "begin_suppress_tokens": None,
            "cache_implementation": None,  # there is one
        }
        if config.min_new_tokens is not None:
            changed |= {"min_length": self._length + config.min_new_tokens}
            changed |= {"min_new_tokens": None}
        if config.exponential_decay_length_penalty is not None:
            start, factor = config.exponential_decay_length_penalty
            changed["exponential_decay_length_penalty"] = (start - new, factor)
        return changed

    def _settled(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        """The options with some changed: in the user's ``generation_config``, if there is one."""
        changed = {
            name: value
            for name, value in changed.items()
            if value is not None or getattr(self.config, name) is not None
        }
        options = {name: value for name, value in self._options.items() if name not in changed}
        given = options.get("generation_config")
        if given is None:
            return {**options, **changed}
        given = copy.deepcopy(given)
        for name, value in changed.items():
            setattr(given, name, value)
        options["generation_config"] = given
        # What is None in it, generate fills in from the model's own.
        return options | {
            name: None
            for name, value in changed.items()
            if value is None and getattr(self._model_defaults, name, None) is not None
        }

    def _later_inputs(self, ids: Tensor) -> dict[str, Any]:
        new = ids.shape[1] - self._length
        later: dict[str, Any] = {}
        for name, value in self._inputs.items():
            if name in MULTIMODAL_INPUTS_TO_DROP_OUTSIDE_PREFILL or name in _TYPES:
                continue
            if name == "position_ids":
                value = self._expand(value, dim=1 if value.ndim == 3 else 0)
                value = _counted_on(value, new)
            elif isinstance(value, Tensor):
                value = self._expand(value)
                if name == "attention_mask":
                    value = torch.cat([value, value.new_ones((len(value), new))], dim=1)
            later[name] = value
        if self.positions is not None:
            # Kept here, because models keep what they need for it in themselves, where another
            # call of generate overwrites it.
            later["position_ids"] = _counted_on(self.positions, new)
        later["input_ids"] = ids
        return later

    def _expand(self, value: Tensor, *, dim: int = 0) -> Tensor:
        copies = self.known.copies
        return value if copies == 1 else value.repeat_interleave(copies, dim=dim)

    def _mask(self, prompt: Tensor, given: Tensor | None) -> Tensor:
        """Where the prompts are no padding; later on, pads of finished rows must count as text."""
        if given is not None:
            return given
        pad = self.known.pad
        if pad is None or pad in self.known.eos:
            return torch.ones_like(prompt)
        return prompt.ne(pad).long()

    def _end(self, model: PreTrainedModel, own: Iterable[Any]) -> int:
        for rule in own:
            if type(rule) is MaxLengthCriteria:  # takes the place of the options, as in generate
                return int(rule.max_length)
        if self.config.max_new_tokens is not None:
            return self._length + int(self.config.max_new_tokens)
        if self.config.max_length is not None:
            return int(self.config.max_length)
        context = getattr(model.config, "max_position_embeddings", None)
        end = self._length + _DEFAULT_NEW_TOKENS
        return end if context is None else min(end, int(context))

    def _refuse(self, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        if options.get("streamer") is not None:
            raise OptionError(
                "A resumable generation puts its prompt to a streamer at every call, so streamer "
                "must be left out. Read the tokens in advance()'s callback."
            )
        if inputs.get("past_key_values") is not None or options.get("past_key_values") is not None:
            raise OptionError(
                "A resumable generation makes its own cache, past_key_values was given. Pass the "
                "whole prompt, and choose the cache with cache_implementation."
            )
        for name, neutral in _NEUTRAL.items():
            value = getattr(self.config, name)
            if value not in neutral:
                raise OptionError(
                    f"{name} takes what is resumed for a part of the prompt, so it must be left "
                    f"out, was: {value}. Use repetition_penalty or no_repeat_ngram_size."
                )


def _effective(model: PreTrainedModel, options: Mapping[str, Any]) -> GenerationConfig:
    """The call's options, then the given config's, then the model's, as ``generate`` has them."""
    given = options.get("generation_config")
    config = copy.deepcopy(given) if given is not None else GenerationConfig()
    config.update(**model.generation_config.to_dict(), defaults_only=True)
    config.update(**{name: value for name, value in options.items() if hasattr(config, name)})
    return config


def _counted_on(positions: Tensor, new: int) -> Tensor:
    steps = torch.arange(1, new + 1, dtype=positions.dtype, device=positions.device)
    return torch.cat([positions, positions[..., -1:] + steps], dim=-1)
