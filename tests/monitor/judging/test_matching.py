"""Where a calibration may be used, and what is said where it is used elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sightline.detectors.conditions import Conditions, ModelIdentity
from sightline.monitor.errors import ModelError
from sightline.monitor.judging.matching import caption_limits, model_limits

MADE_FOR = ModelIdentity("hub/model", "sha256:aa", "Llava", 32, 16)
CONDITIONS = Conditions(
    MADE_FOR, "What is there?", {"do_sample": False, "max_new_tokens": 100}, "coco"
)


@pytest.mark.parametrize(
    "changes", [{"architecture": "Gemma"}, {"num_layers": 40}, {"num_heads": 32}]
)
@pytest.mark.parametrize("allowed", [True, False])
def test_a_model_built_otherwise_is_refused(changes: dict[str, Any], allowed: bool) -> None:
    """Whatever is allowed: the numbers would mean something else."""
    other = replace(MADE_FOR, **changes)
    with pytest.raises(ModelError, match=r"holds for the model it was made on: hub/model, Llava"):
        model_limits(MADE_FOR, other, allow_other_model=allowed)


def test_the_same_weights_under_another_name_are_the_same() -> None:
    """A checkpoint may be moved."""
    assert model_limits(MADE_FOR, replace(MADE_FOR, name="/data/model")) == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"revision": "sha256:bb"}, "revision sha256:bb and not sha256:aa"),
        ({"revision": "sha256:bb", "name": "other"}, "revision sha256:bb and not sha256:aa"),
        ({"revision": "", "name": "other"}, "other and not hub/model"),
        ({"revision": "0123abcd", "name": "other"}, "other and not hub/model"),
    ],
)
def test_other_weights_need_a_word(changes: dict[str, Any], message: str) -> None:
    """Refused with the remedy; with it, accepted and marked."""
    other = replace(MADE_FOR, **changes)
    with pytest.raises(ModelError, match=f"{message}.*allow_other_model=True"):
        model_limits(MADE_FOR, other)
    (limit,) = model_limits(MADE_FOR, other, allow_other_model=True)
    assert message in limit
    assert "Neither its probabilities nor its threshold are known to hold" in limit


@pytest.mark.parametrize("revision", ["", "0123abcd"])
def test_a_revision_that_cannot_be_compared_is_said(revision: str) -> None:
    """The same name, and no way to tell whether the weights are the same."""
    (limit,) = model_limits(MADE_FOR, replace(MADE_FOR, revision=revision))
    assert "could not be held against" in limit


def limits(**changes: Any) -> tuple[str, ...]:
    """The limits of a caption that was calibrated for, but for the changes."""
    given: dict[str, Any] = {
        "question": "USER: <image>\nWhat is there? ASSISTANT:",
        "prompt": "<s> USER: <image> \nWhat is there? ASSISTANT:",
        "settings": {"do_sample": False, "max_new_tokens": 100, "use_cache": True},
        "lexicon": "coco",
        "special": {"<s>", "<image>"},
    }
    return caption_limits(CONDITIONS, **{**given, **changes})


def test_under_the_same_conditions_nothing_is_said() -> None:
    """Special tokens, white space and options that decide nothing do not count."""
    assert limits() == ()
    assert limits(settings={"max_new_tokens": 20, "repetition_penalty": 1.0}) == ()
    assert limits(settings={"temperature": 0.3, "top_k": None}) == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "USER: <image>\nWhat is there in red? ASSISTANT:"}, "another prompt"),
        ({"prompt": "<image> What is there? Nothing? ASSISTANT:"}, "another prompt"),
        ({"question": None, "prompt": "<image>What is here?"}, "another prompt"),
        ({"lexicon": "mine"}, "lexicon 'coco', these are those of 'mine'"),
        ({"settings": {"do_sample": True}}, "do_sample=True instead of False"),
        ({"settings": {"repetition_penalty": 1.3}}, "repetition_penalty=1.3 instead of 1.0"),
        ({"settings": {"do_sample": True, "top_p": 0.5}}, "top_p=0.5 instead of 1.0"),
        ({"settings": {"max_new_tokens": 101}}, "at most 100 tokens, and this one may have 101"),
    ],
)
def test_other_conditions_are_said(changes: dict[str, Any], message: str) -> None:
    """Prompt, lexicon, decoding and length: each by itself, with both values."""
    (limit,) = limits(**changes)
    assert message in limit


def test_without_a_template_the_prompt_is_the_whole_text() -> None:
    """A processor without a chat template is asked with the whole prompt."""
    assert limits(question=None, prompt="<image>What is there?") == ()
