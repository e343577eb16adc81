"""Which options of ``generate`` can be watched, and what they mean for the captions."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import JsonValue
from transformers import GenerationConfig, PreTrainedModel

from ..errors import OptionError

Mode = Literal["sample", "assisted", "beams"]
"""How tokens come: one a row and pass (greedy or drawn); several of one row, drafted and verified;
all at the end, from a search."""

OBSERVED: Final[frozenset[Mode]] = frozenset({"sample", "assisted", "beams"})
"""The modes that can be watched by who only watches."""
ONE_BY_ONE: Final[frozenset[Mode]] = frozenset({"sample"})
"""Those that can be taken back, or recorded."""

_REFUSED: Final[Mapping[str, str]] = {
    "assistant_early_exit": "the watched model then drafts with part of its own layers",
    "use_mtp": "multi-token prediction drafts with heads that no model here could be tested with",
    "speculation_type": "its drafts come from the watched model's own hidden states",
    "custom_generate": "its decoding loop is unknown",
    "penalty_alpha": "contrastive search runs several passes per token",
    "dola_layers": "DoLa decodes from logits that are not the model's own",
    "constraints": "constrained beam search is no part of transformers any more",
    "force_words_ids": "constrained beam search is no part of transformers any more",
    "diversity_penalty": "group beam search is no part of transformers any more",
    "token_healing": "it rewrites the prompt",
    "prefill_chunk_size": "the prompt is then read in several passes",
    "is_assistant": "transformers sets it for an assistant's own calls, which are shown no picture",
    "continuous_batching_config": "continuous batching reorders rows",
}
_NOT_SETTINGS: Final = frozenset({"transformers_version"})


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """What a watch has to know of the options that ``generate`` runs under.

    Attributes:
        eos: token ids that end a caption.
        pad: token id that fills a finished row while others go on; ``None`` if there is none.
        limit: most tokens a caption may have; ``None`` where it is not known.
        stop_strings: texts that end a caption.
        copies: captions per prompt (``num_return_sequences``).
        mode: how tokens come.
        beams: running beams per prompt; 1 but for a search.
        returns_dict: whether ``generate`` was asked for more than the sequences.
        settings: the options as a report records them; JSON values only.
    """

    eos: frozenset[int]
    pad: int | None
    limit: int | None
    stop_strings: tuple[str, ...]
    copies: int
    mode: Mode
    beams: int
    returns_dict: bool
    settings: dict[str, JsonValue]

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        options: Mapping[str, Any],
        *,
        prompt_length: int,
        modes: Collection[Mode] = ONE_BY_ONE,
    ) -> DecodingOptions:
        """Read the options as ``generate`` will: the call's, then the config's, then the model's.

        Args:
            model: its ``generation_config`` holds the defaults.
            options: keyword arguments of ``generate``; tensors and unknown names are ignored. With
                none, the length limit is unknown, because ``generate`` may still be given one.
            prompt_length: tokens of the padded prompt, which ``max_length`` counts in.
            modes: those that the caller can do with; one token a row and pass by default.

        Raises:
            OptionError: an option under which no row of the report could be trusted.
        """
        config = _effective(model, options)
        _refuse(model, config, options)
        mode = _mode(model, config, options, modes)
        eos = _ids(config.eos_token_id)
        pad = config.pad_token_id
        return cls(
            eos=eos,
            # generate falls back on the first end token, and says so.
            pad=int(pad) if pad is not None else next(iter(_ordered(config.eos_token_id)), None),
            limit=_limit(config, prompt_length) if options else None,
            stop_strings=_strings(config.stop_strings),
            copies=config.num_return_sequences or 1,
            mode=mode,
            beams=(config.num_beams or 1) if mode == "beams" else 1,
            returns_dict=bool(config.return_dict_in_generate),
            settings=_settings(config),
        )


def _effective(model: PreTrainedModel, options: Mapping[str, Any]) -> GenerationConfig:
    given = options.get("generation_config")
    if given is not None and not isinstance(given, GenerationConfig):
        raise OptionError(
            f"generation_config must be a transformers GenerationConfig, was: "
            f"{type(given).__name__}."
        )
    config = copy.deepcopy(given if given is not None else model.generation_config)
    known = {name: value for name, value in options.items() if hasattr(config, name)}
    config.update(**known)
    if given is not None:
        config.update(**model.generation_config.to_dict(), defaults_only=True)
    return config


def _refuse(model: PreTrainedModel, config: GenerationConfig, options: Mapping[str, Any]) -> None:
    for name, why in _REFUSED.items():
        value = options.get(name, getattr(config, name, None))
        if not _absent(value):
            raise _unsupported(name, value, why)
    groups = config.num_beam_groups
    if groups is not None and groups > 1:
        why = "group beam search is no part of transformers any more"
        raise _unsupported("num_beam_groups", groups, why)
    scale = config.guidance_scale
    if scale is not None and scale != 1:
        raise _unsupported("guidance_scale", scale, "guidance runs the model twice per token")
    cache = config.cache_implementation
    if cache == "paged":
        raise _unsupported("cache_implementation", cache, "paged caches reorder rows")


def _mode(
    model: PreTrainedModel,
    config: GenerationConfig,
    options: Mapping[str, Any],
    modes: Collection[Mode],
) -> Mode:
    assistant = options.get("assistant_model")
    beams, lookup = config.num_beams or 1, config.prompt_lookup_num_tokens
    if beams > 1:
        if "beams" not in modes:
            raise _unsupported("num_beams", beams, "beam search knows its tokens at the end only")
        return "beams"
    if assistant is None and _absent(lookup):
        return "sample"
    name, value = ("assistant_model", assistant)
    if assistant is None:
        name, value = "prompt_lookup_num_tokens", lookup
    if "assisted" not in modes:
        why = (
            "several tokens of assisted and prompt-lookup decoding come from one pass, and cannot "
            "be taken back"
        )
        raise _unsupported(name, value, why)
    if assistant is model:
        why = "what the watched model drafts cannot be told from what it verifies"
        raise _unsupported(name, value, why)
    cache: Any = options.get("past_key_values")
    if cache is not None and cache.get_seq_length():
        why = "transformers then reads the whole prompt a second time, on top of the cache"
        raise _unsupported("past_key_values", cache, f"under assisted decoding, {why}")
    return "assisted"


def _unsupported(name: str, value: object, why: str) -> OptionError:
    shown = value if isinstance(value, (str, int, float)) else type(value).__name__
    return OptionError(
        f"generate({name}={shown!r}) cannot be watched here: {why}. Leave {name} out; greedy "
        f"decoding and sampling, in batches of any size, can be watched everywhere."
    )


def _limit(config: GenerationConfig, prompt_length: int) -> int:
    if config.max_new_tokens is not None:
        return int(config.max_new_tokens)
    if config.max_length is not None:
        return max(0, int(config.max_length) - prompt_length)
    return 20  # generate's own default


def _ordered(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    if isinstance(value, int):
        return (value,)
    return tuple(int(item) for item in value)


def _ids(value: Any) -> frozenset[int]:
    return frozenset(_ordered(value))


def _strings(value: str | Iterable[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _settings(config: GenerationConfig) -> dict[str, JsonValue]:
    return {
        name: _listed(value)
        for name, value in sorted(config.to_diff_dict().items())
        if name not in _NOT_SETTINGS and not name.startswith(("_", "output_")) and _is_json(value)
    }


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_json(value: object) -> bool:
    if value is None or isinstance(value, (str, int)):
        return True
    if isinstance(value, float):
        return value == value and abs(value) != float("inf")
    return isinstance(value, (list, tuple)) and all(map(_is_json, value))


def _absent(value: object) -> bool:
    return value is None or (isinstance(value, (bool, int, float)) and not value)
