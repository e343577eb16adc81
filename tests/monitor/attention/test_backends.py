"""Every attention back-end: delegated to bit for bit, and read as eager attention would show it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import transformers
from sightline.detectors.evidence import IMAGE as IMAGE_SEGMENT
from sightline.detectors.evidence import SEGMENTS
from sightline.monitor.attention.step import StepAttention
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.models.anatomy import Anatomy
from torch import Tensor
from torch.nn.attention import flex_attention
from transformers import set_seed
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ..families import build
from .tapping import same

STEPS = 5
PROMPT = 28
WIDTH = slice(5, 21)  # image tokens


class Model:
    """A family's model and inputs, run with one attention implementation or another."""

    def __init__(self, model: Any, inputs: dict[str, Tensor], image: Tensor) -> None:
        self.model, self.inputs, self.image = model, inputs, image

    @classmethod
    def family(cls, name: str) -> Model:
        """A tiny vision-language model; the second prompt is left-padded."""
        family = build(name)
        return cls(family.model, family.inputs, family.image)

    @classmethod
    def text(cls, kind: str, **options: Any) -> Model:
        """A tiny decoder of its own, some of whose positions are taken for an image."""
        set_seed(5)
        config = getattr(transformers, f"{kind}Config")(
            vocab_size=100,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=4,
            num_attention_heads=4,
            head_dim=8,
            max_position_embeddings=128,
            initializer_range=0.3,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=None,
            **options,
        )
        model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
        ids = torch.randint(5, 90, (2, PROMPT))
        mask = torch.ones_like(ids)
        ids[1, :3] = mask[1, :3] = 0
        image = torch.zeros(2, PROMPT, dtype=torch.bool)
        image[:, WIDTH] = True
        return cls(model, {"input_ids": ids, "attention_mask": mask}, image)

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Decode with this attention in the text model."""
        text = self.model.config.get_text_config()
        parts = {"": name} if text is self.model.config else {"text_config": name}
        before = text._attn_implementation
        self.model.set_attn_implementation(parts.get("", parts))
        try:
            yield
        finally:
            parts = dict.fromkeys(parts, before)
            self.model.set_attn_implementation(parts.get("", parts))

    def generate(self, **options: Any) -> Any:
        """Greedy, with everything that can be compared."""
        run = {"max_new_tokens": STEPS, "min_new_tokens": STEPS, "do_sample": False} | options
        return self.model.generate(
            **self.inputs, **run, return_dict_in_generate=True, output_logits=True
        )

    def watch(self, **options: Any) -> tuple[Any, list[StepAttention]]:
        """The same, watched."""
        steps: list[StepAttention] = []
        anatomy = Anatomy.of(self.model, image_token_id=99)
        with AttentionTap(anatomy, self.image, prompt_mask=self.inputs["attention_mask"]) as tap:

            def take(ids: Tensor, scores: Tensor) -> Tensor:
                steps.append(tap.take())
                return scores

            return self.generate(logits_processor=[take], **options), steps

    def maps(self) -> list[Tensor]:
        """VAR ``[batch, layers, heads]`` of every step by ``output_attentions`` of eager."""
        with self.using("eager"):
            maps = self.generate(output_attentions=True).attentions
        found: list[Tensor] = []
        for layers in maps:
            rows = []
            for weights in layers:
                last = weights[:, :, -1].float()
                # A window's map holds the latest keys alone.
                total = self.image.shape[1] + len(found)
                image = torch.zeros(2, total)
                image[:, : self.image.shape[1]] = self.image
                keys = last.shape[-1]
                rows.append((last * image[:, None, total - keys :][..., :keys]).sum(-1))
            found.append(torch.stack(rows, dim=1))
        return found


def _check(subject: Model, name: str, **options: Any) -> None:
    with subject.using(name):
        plain = subject.generate(**options)
        watched, steps = subject.watch(**options)
    assert same(plain, watched)
    expected = subject.maps()
    for step, var in zip(steps, expected, strict=True):
        torch.testing.assert_close(step.masses[..., IMAGE_SEGMENT], var, rtol=0, atol=1e-5)


# Grouped heads; windows of 20 over prompts of 28; a bound on the scores; sinks; one key head.
_GEMMA2 = {
    "num_key_value_heads": 2,
    "sliding_window": 20,
    "query_pre_attn_scalar": 8,
    "attn_logit_softcapping": 2.0,
}
_GPT_OSS = {
    "num_key_value_heads": 2,
    "sliding_window": 20,
    "num_local_experts": 2,
    "num_experts_per_tok": 1,
}


@pytest.mark.parametrize("name", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llava", "gemma3"])
def test_dense_masks(family: str, name: str) -> None:
    """Bool masks of SDPA, additive ones of eager, windows included."""
    _check(Model.family(family), name)


@pytest.fixture
def _plain_flex(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Compiling its kernels for a CPU takes a minute; what they compute is the same uncompiled.
    monkeypatch.setattr(flex_attention, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.mark.usefixtures("_plain_flex")
@pytest.mark.parametrize("family", ["llava", "gemma3"])
def test_flex_attention(family: str) -> None:
    """A block mask is evaluated for the last row: padding, windows, two images' worth of heads."""
    _check(Model.family(family), "flex_attention")


@pytest.mark.usefixtures("_plain_flex")
def test_flex_attention_with_softcapping() -> None:
    """The bound on the scores comes through FlexAttention as through eager attention."""
    _check(Model.text("Gemma2", **_GEMMA2), "flex_attention")


def test_softcapping() -> None:
    """Gemma 2 bounds its scores before the mask."""
    _check(Model.text("Gemma2", **_GEMMA2), "eager")


def test_sinks() -> None:
    """What learned sinks take is no attention to any position."""
    subject = Model.text("GptOss", **_GPT_OSS)
    with torch.no_grad():
        for layer in subject.model.model.layers:
            layer.self_attn.sinks.fill_(1.5)
    _check(subject, "eager")
    with subject.using("eager"):
        _, steps = subject.watch()
    assert steps[0].masses.sum(-1).min() < 0.9


@pytest.mark.parametrize("kv", [1, 2, 4])
def test_grouped_heads(kv: int) -> None:
    """One key head for all, one for some, one for each."""
    _check(Model.text("Llama", num_key_value_heads=kv), "sdpa")


class _Stub:
    """FlashAttention's interface on a CPU: dense inside, a padding mask or lengths outside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lengths: list[Tensor] = []
        self.calls = 0

    def __call__(
        self,
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        sliding_window: int | None = None,
        softcap: float | None = None,
        cu_seq_lens_q: Tensor | None = None,
        **_: Any,
    ) -> tuple[Tensor, None]:
        """The real one asks the config for the kernel's name, and so does this."""
        assert module.config._attn_implementation == self.name
        self.calls += 1
        groups = query.shape[1] // key.shape[1]
        key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
        keys, queries = key.shape[2], query.shape[2]
        row = torch.arange(keys - queries, keys).unsqueeze(1)
        visible = torch.arange(keys) <= row
        if sliding_window is not None:
            visible &= torch.arange(keys) > row - sliding_window
        if attention_mask is not None:
            assert attention_mask.ndim == 2
            visible = visible & attention_mask[:, None, None, -keys:].bool()
        if cu_seq_lens_q is not None:
            self.lengths.append(cu_seq_lens_q)
            part = torch.bucketize(torch.arange(keys), cu_seq_lens_q[1:], right=True)
            visible = visible & (part[-queries:, None] == part)
        scores = (
            query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        )
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        weights = torch.softmax(scores.masked_fill(~visible, -1e9), dim=-1)
        return (weights @ value).transpose(1, 2).contiguous(), None


@contextmanager
def _flash(subject: Model, name: str) -> Iterator[_Stub]:
    """A stand-in under FlashAttention's own name, whose package is not here."""
    stub = _Stub(name)
    local = ALL_ATTENTION_FUNCTIONS._local_mapping
    before = dict(local)
    text = subject.model.config.get_text_config()
    own = text._attn_implementation
    local[name] = stub
    text._attn_implementation_internal = name
    try:
        yield stub
    finally:
        text._attn_implementation_internal = own
        local.clear()
        local.update(before)


@pytest.mark.parametrize("name", ["flash_attention_2", "flash_attention_3"])
# Not Gemma 3, whose image tokens see each other: FlashAttention knows no such mask.
@pytest.mark.parametrize("family", ["llava", "aya_vision"])
def test_flash_attention(family: str, name: str) -> None:
    """Delegated untouched with a padding mask or none; padding and windows are worked out."""
    subject = Model.family(family)
    with _flash(subject, name) as stub:
        plain = subject.generate()
        calls = stub.calls
        watched, steps = subject.watch()
        assert stub.calls == 2 * calls
    assert same(plain, watched)
    for step, var in zip(steps, subject.maps(), strict=True):
        torch.testing.assert_close(step.masses[..., IMAGE_SEGMENT], var, rtol=0, atol=1e-5)


def test_flash_attention_with_softcapping() -> None:
    """The bound on the scores reaches the kernel as an option, and the reading as well."""
    subject = Model.text("Gemma2", **_GEMMA2)
    with _flash(subject, "flash_attention_2"):
        plain = subject.generate()
        watched, steps = subject.watch()
    assert same(plain, watched)
    for step, var in zip(steps, subject.maps(), strict=True):
        torch.testing.assert_close(step.masses[..., IMAGE_SEGMENT], var, rtol=0, atol=1e-5)


@pytest.mark.parametrize("told", ["lengths", "positions"])
@torch.no_grad()
def test_packed_sequences(told: str) -> None:
    """Of two prompts packed into one row, the last position sees its own alone."""
    subject = Model.text("Llama", num_key_value_heads=2)
    ids = subject.inputs["input_ids"][:1]
    image = subject.image[:1]
    anatomy = Anatomy.of(subject.model, image_token_id=99)
    with AttentionTap(anatomy, image) as tap:
        subject.model(ids)
        alone = tap.take().masses
    twice = torch.cat([ids[:, :9], ids], dim=1)
    positions = torch.cat([torch.arange(9), torch.arange(PROMPT)])[None]
    options: dict[str, Any] = {"position_ids": positions, "use_cache": False}
    if told == "lengths":
        ends = torch.tensor([0, 9, 9 + PROMPT], dtype=torch.int32)
        options |= {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends}
        options |= {"max_length_q": PROMPT, "max_length_k": PROMPT}
    padded = torch.cat([torch.zeros(1, 9, dtype=torch.bool), image], dim=1)
    with _flash(subject, "flash_attention_2") as stub:
        plain = subject.model(twice, **options).logits
        with AttentionTap(anatomy, padded) as tap:
            assert torch.equal(subject.model(twice, **options).logits, plain)
            packed = tap.take().masses
    assert len(stub.lengths) == (8 if told == "lengths" else 0)
    if told == "lengths":
        torch.testing.assert_close(packed[..., IMAGE_SEGMENT], alone[..., IMAGE_SEGMENT])
    # Whatever the stand-in did, the first prompt is not seen: its first position gets nothing.
    assert not packed[..., SEGMENTS.index("first")].any()


@pytest.mark.parametrize("kind", ["bool", "float"])
@torch.no_grad()
def test_a_mask_of_ones_own(kind: str) -> None:
    """A dense 4-D mask given by the caller, other for every head's row, is the one that counts."""
    subject = Model.text("Llama", num_key_value_heads=2)
    ids = subject.inputs["input_ids"]
    seen = torch.ones(PROMPT, PROMPT, dtype=torch.bool).tril().repeat(2, 1, 1, 1)
    seen[1, :, :, 7:15] = False
    seen |= torch.eye(PROMPT, dtype=torch.bool)
    mask = seen if kind == "bool" else torch.zeros(seen.shape).masked_fill(~seen, -1e9)
    with subject.using("eager"):
        dense = torch.zeros(seen.shape).masked_fill(~seen, -1e9)
        maps = subject.model(ids, attention_mask=dense, output_attentions=True).attentions
    expected = torch.stack([weights[:, :, -1, WIDTH].sum(-1) for weights in maps], dim=1)
    anatomy = Anatomy.of(subject.model, image_token_id=99)
    plain = subject.model(ids, attention_mask=mask).logits
    with AttentionTap(anatomy, subject.image) as tap:
        assert torch.equal(subject.model(ids, attention_mask=mask).logits, plain)
        masses = tap.take().masses
    torch.testing.assert_close(masses[..., IMAGE_SEGMENT], expected, rtol=0, atol=1e-5)
