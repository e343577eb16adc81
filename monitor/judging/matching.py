"""Whether a calibration holds for this model, this question and this way of decoding."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from ...detectors.conditions import Conditions, ModelIdentity
from ..errors import ModelError

# The options that decide which tokens a model writes, with what they are where nothing is said.
_DECIDING: Final[Mapping[str, object]] = {
    "do_sample": False,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0,
    "bad_words_ids": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "sequence_bias": None,
    "min_length": 0,
    "min_new_tokens": None,
    "stop_strings": None,
}
_SAMPLING: Final[Mapping[str, object]] = {
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}


def model_limits(
    made_for: ModelIdentity, model: ModelIdentity, *, allow_other_model: bool = False
) -> tuple[str, ...]:
    """What to say of using a calibration with a model, where it may be used at all.

    Weights are told apart by their revision where both are known in the same way (a commit, or a
    hash of the content), else by the name they were loaded from.

    Args:
        made_for: the model it was calibrated on.
        model: the model it is to be used with.
        allow_other_model: accept other weights of the same architecture and size.

    Raises:
        ModelError: the model is built otherwise, or has other weights and that was not allowed.
    """
    for name in ("architecture", "num_layers", "num_heads"):
        expected, seen = getattr(made_for, name), getattr(model, name)
        if expected != seen:
            raise ModelError(
                f"A calibration holds for the model it was made on: {made_for.name}, "
                f"{_shape(made_for)}. This one is {model.name}, {_shape(model)}. Leave the "
                f"calibration out, or make one for this model with `sightline calibrate`."
            )
    if _comparable(made_for.revision, model.revision):
        if made_for.revision == model.revision:
            return ()
        what = f"revision {model.revision or 'unknown'} and not {made_for.revision}"
    elif made_for.name == model.name:
        return (
            f"It was calibrated on {made_for.name} at revision {made_for.revision or 'unknown'}, "
            f"and could not be held against the revision used, {model.revision or 'unknown'}.",
        )
    else:
        what = f"{model.name} and not {made_for.name}"
    if not allow_other_model:
        raise ModelError(
            f"A calibration holds for the weights it was made on, but this is {what}. Leave it out "
            f"(calibration=None), or use it all the same with allow_other_model=True "
            f"(--allow-other-model), which every report then says."
        )
    return (
        f"It was calibrated on other weights: this is {what}. Neither its probabilities nor its "
        f"threshold are known to hold here.",
    )


def caption_limits(
    conditions: Conditions,
    *,
    question: str | None,
    prompt: str,
    settings: Mapping[str, Any],
    lexicon: str,
    special: Collection[str],
) -> tuple[str, ...]:
    """What to say of a caption that is written under other conditions than the calibration's.

    Args:
        conditions: those of the calibration.
        question: its prompt as this model's processor writes it out, with the template around it;
            ``None`` where the processor has no template.
        prompt: the whole prompt of the caption, as reports have it.
        settings: the options of ``generate``, as reports have them.
        lexicon: name of the lexicon in use.
        special: texts of special tokens, which prompts may differ in.
    """
    limits: list[str] = []
    expected = conditions.prompt if question is None else question
    if conditions.prompt and _bare(expected, special) != _bare(prompt, special):
        limits.append(
            f"It was calibrated with another prompt, {conditions.prompt!r}: what it says of "
            f"captions that answer this one is not known to hold."
        )
    if conditions.lexicon and conditions.lexicon != lexicon:
        limits.append(
            f"It was calibrated on the objects of the lexicon {conditions.lexicon!r}, these are "
            f"those of {lexicon!r}: what it says of objects that it has not met is less certain."
        )
    different = [
        f"{name}={now!r} instead of {then!r}"
        for name, then, now in _differences(conditions.settings, settings)
    ]
    if different:
        limits.append(
            f"It was calibrated on captions decoded otherwise: here {', '.join(different)}."
        )
    then, now = conditions.settings.get("max_new_tokens"), settings.get("max_new_tokens")
    if isinstance(then, int) and isinstance(now, int) and now > then:
        limits.append(
            f"It was calibrated on captions of at most {then} tokens, and this one may have {now}."
        )
    return tuple(limits)


def _differences(
    then: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterable[tuple[str, object, object]]:
    sampled = any(settings.get("do_sample") for settings in (then, now))
    for name, default in {**_DECIDING, **(_SAMPLING if sampled else {})}.items():
        before, after = (_said(settings, name, default) for settings in (then, now))
        if before != after:
            yield name, before, after


def _said(settings: Mapping[str, Any], name: str, default: object) -> object:
    value = settings.get(name)
    if value is None:
        return default
    return list(value) if isinstance(value, (list, tuple)) else value


def _bare(text: str, special: Collection[str]) -> str:
    """The text without what templates and tokenizers put between its words."""
    for token in sorted(special, key=len, reverse=True):
        if token:
            text = text.replace(token, "")
    return "".join(unicodedata.normalize("NFKC", text).split())


def _comparable(one: str, other: str) -> bool:
    """Whether two revisions are of the same kind: two commits, or two hashes of content."""
    return bool(one and other) and (":" in one) == (":" in other)


def _shape(model: ModelIdentity) -> str:
    return f"{model.architecture} with {model.num_layers} layers of {model.num_heads} heads"
