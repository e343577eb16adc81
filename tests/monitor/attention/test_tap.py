"""The tap on every way a model is run, and the model it leaves behind."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version
from sightline.detectors.evidence import IMAGE, SEGMENTS
from sightline.monitor.attention.alias import Alias
from sightline.monitor.attention.intervention import HeadGuided
from sightline.monitor.attention.reading import Reading
from sightline.monitor.attention.tap import AttentionTap, StepAttention
from sightline.monitor.errors import InputError, WatchError
from sightline.monitor.models.anatomy import Anatomy
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    DynamicCache,
    StaticCache,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.cache_utils import StaticLayer
from transformers.generation.streamers import BaseStreamer
from transformers.masking_utils import flash_attention_mask

from .. import families
from ..families import Family, build

CHUNKS = pytest.mark.skipif(
    Version(transformers.__version__) < Version("5.23"),
    reason="transformers before 5.23 loses the image where it reads a prompt in chunks",
)

STEPS = 8


@pytest.fixture(scope="module")
def _llava() -> Family:
    return build("llava")


@pytest.fixture
def llava(_llava: Family) -> Iterator[Family]:
    """The tiny LLaVA; fails the test that leaves it other than it was."""
    before = _configs(_llava.model)
    yield _llava
    _assert_untouched(_llava.model, before)


@pytest.fixture
def anatomy(llava: Family) -> Anatomy:
    """The tiny LLaVA's parts."""
    return Anatomy.of(llava.model)


def _configs(model: nn.Module) -> dict[str, Any]:
    return {name: vars(part)["config"] for name, part in _owners(model)}


def _owners(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, part) for name, part in model.named_modules() if "config" in vars(part)]


def _assert_untouched(model: nn.Module, before: dict[str, Any]) -> None:
    for name, part in _owners(model):
        assert vars(part)["config"] is before[name], f"config of {name!r} was replaced"
    for name, part in model.named_modules():
        assert not part._forward_pre_hooks, f"hook left on {name!r}"


def _greedy(family: Family, **options: Any) -> Any:
    inputs = family.inputs | {"max_new_tokens": STEPS, "do_sample": False} | options
    return family.model.generate(**inputs, return_dict_in_generate=True, output_logits=True)


def _tap(family: Family, **options: Any) -> AttentionTap:
    mask = family.inputs["attention_mask"]
    return AttentionTap(Anatomy.of(family.model), family.image, prompt_mask=mask, **options)


def _watch(family: Family, tap: AttentionTap, **options: Any) -> tuple[Any, list[StepAttention]]:
    steps: list[StepAttention] = []

    def take(input_ids: Tensor, scores: Tensor) -> Tensor:
        steps.append(tap.take())
        return scores

    with tap:
        return _greedy(family, logits_processor=[take], **options), steps


def _same(one: Any, other: Any) -> bool:
    pairs = zip(one.logits, other.logits, strict=True)
    return torch.equal(one.sequences, other.sequences) and all(torch.equal(a, b) for a, b in pairs)


def _close(steps: list[StepAttention], others: list[StepAttention]) -> None:
    assert len(steps) == len(others)
    for one, other in zip(steps, others, strict=True):
        torch.testing.assert_close(one.masses, other.masses, rtol=0, atol=2e-6)


class TestMasses:
    """What a step holds."""

    def test_every_segment_is_the_dense_sum(self, llava: Family) -> None:
        """All four segments equal the sums over an eager map, padding left out."""
        _, steps = _watch(llava, _tap(llava))
        llava.model.set_attn_implementation("eager")
        maps = _greedy(llava, output_attentions=True).attentions
        llava.model.set_attn_implementation("sdpa")
        prompt = llava.image.shape[1]
        for index, (step, layers) in enumerate(zip(steps, maps, strict=True)):
            where = torch.full((2, prompt + index), SEGMENTS.index("prompt"))
            where[:, :prompt][llava.image] = IMAGE
            where[:, prompt:] = SEGMENTS.index("generated")
            where[0, 0] = where[1, 3] = SEGMENTS.index("first")
            where[1, :3] = -1
            rows = torch.stack([weights[:, :, -1] for weights in layers], dim=1)
            for segment in range(len(SEGMENTS)):
                expected = (rows * (where == segment)[:, None, None]).sum(-1)
                torch.testing.assert_close(step.masses[..., segment], expected, rtol=0, atol=1e-5)

    def test_shapes_and_types(self, llava: Family) -> None:
        """Masses are float32 ``[batch, layers, heads, segments]``; no patches unless asked."""
        _, steps = _watch(llava, _tap(llava, layers=[1, 3]))
        assert steps[0].layers == (1, 3)
        assert steps[0].masses.shape == (2, 2, 4, 4)
        assert steps[0].masses.dtype == torch.float32
        assert steps[0].patches is None

    def test_a_layer_does_not_depend_on_who_else_is_watched(self, llava: Family) -> None:
        """Watching layers 1 and 3 alone gives their rows of watching all."""
        _, every = _watch(llava, _tap(llava))
        _, some = _watch(llava, _tap(llava, layers=(3, 1)))
        for one, other in zip(every, some, strict=True):
            assert torch.equal(one.masses[:, [1, 3]], other.masses)

    def test_an_image_at_the_very_start_leaves_no_first(self, llava: Family) -> None:
        """A first position that is an image token counts as image."""
        ids = torch.cat([llava.inputs["input_ids"][:1, 5:21], torch.full((1, 4), 9)], dim=1)
        pixels = llava.inputs["pixel_values"][:1]
        with torch.no_grad(), AttentionTap(Anatomy.of(llava.model), ids == families.IMAGE) as tap:
            llava.model(input_ids=ids, pixel_values=pixels)
            masses = tap.take().masses
        assert (masses[..., SEGMENTS.index("first")] == 0).all()
        torch.testing.assert_close(masses.sum(-1), torch.ones(1, 4, 4))

    def test_patches_are_the_head_mean_and_sum_to_var(self, llava: Family) -> None:
        """The patch row adds up to the head mean of VAR; only the last steps are kept."""
        tap = _tap(llava, patches=3)
        _, steps = _watch(llava, tap)
        for step in steps:
            assert step.patches is not None
            assert step.patches.shape == (2, 4, 16)
            torch.testing.assert_close(step.patches.sum(-1), step.masses[..., IMAGE].mean(-1))
        assert [id(kept) for kept in tap.recent_patches] == [id(s.patches) for s in steps[-3:]]

    def test_rows_with_different_numbers_of_image_tokens(self, llava: Family) -> None:
        """Two images in one prompt, one in another: each as if it were alone."""
        text = llava.inputs["input_ids"][0, :5]
        image = torch.full((16,), families.IMAGE)
        two = torch.cat([text, image, text, image, text])
        one = torch.cat([torch.zeros(21, dtype=torch.long), text, image, text])[-two.numel() :]
        ids = torch.stack([two, one])
        pixels = torch.randn(3, 3, 24, 24)
        mask = (ids != 0).long()
        anatomy = Anatomy.of(llava.model)

        def run(rows: slice, pictures: slice) -> StepAttention:
            batch = {"input_ids": ids[rows], "attention_mask": mask[rows]}
            with (
                torch.no_grad(),
                AttentionTap(
                    anatomy, ids[rows] == families.IMAGE, prompt_mask=mask[rows], patches=1
                ) as tap,
            ):
                llava.model(**batch, pixel_values=pixels[pictures])
                return tap.take()

        both = run(slice(0, 2), slice(0, 3))
        first, second = run(slice(0, 1), slice(0, 2)), run(slice(1, 2), slice(2, 3))
        torch.testing.assert_close(both.masses[:1], first.masses, rtol=0, atol=1e-6)
        torch.testing.assert_close(both.masses[1:], second.masses, rtol=0, atol=1e-6)
        assert both.patches is not None
        assert second.patches is not None
        assert both.patches.shape[-1] == 32
        torch.testing.assert_close(both.patches[1:, :, :16], second.patches, rtol=0, atol=1e-6)
        assert (both.patches[1, :, 16:] == 0).all()


class TestRunning:
    """The ways a model is run."""

    def test_batch_of_one_equals_the_row_in_a_batch(self, llava: Family) -> None:
        """Left padding changes no row's masses."""
        _, both = _watch(llava, _tap(llava))
        short = {name: value[1:] for name, value in llava.inputs.items()}
        short["input_ids"], short["attention_mask"] = (
            short["input_ids"][:, 3:],
            short["attention_mask"][:, 3:],
        )
        alone = Family("llava", llava.model, short)
        _, single = _watch(alone, _tap(alone))
        for one, other in zip(both, single, strict=True):
            torch.testing.assert_close(one.masses[1:], other.masses, rtol=0, atol=2e-6)

    @pytest.mark.parametrize(
        "options", [{"use_cache": False}, pytest.param({"prefill_chunk_size": 5}, marks=CHUNKS)]
    )
    def test_without_a_cache_and_in_chunks(self, llava: Family, options: dict[str, Any]) -> None:
        """Recomputing everything, or reading the prompt in chunks, gives the same masses."""
        _, usual = _watch(llava, _tap(llava))
        _, other = _watch(llava, _tap(llava), **options)
        _close(usual, other)

    @pytest.mark.parametrize("name", ["llava", "gemma3", "aya_vision", "qwen2_vl"])
    def test_static_cache(self, name: str) -> None:
        """Keys that are allocated but not seen take no part, sliding windows included."""
        family = build(name)
        _, usual = _watch(family, _tap(family))
        plain = _greedy(family, cache_implementation="static", disable_compile=True)
        watched, steps = _watch(
            family, _tap(family), cache_implementation="static", disable_compile=True
        )
        assert _same(plain, watched)
        _close(usual, steps)

    def test_continuing_with_a_cache(self, llava: Family) -> None:
        """A second call that goes on from the first's cache keeps prompt and caption apart."""
        _, usual = _watch(llava, _tap(llava))
        cache = DynamicCache(config=llava.model.config.get_text_config())
        tap = _tap(llava)
        begun, steps = _watch(llava, tap, past_key_values=cache, max_new_tokens=4)
        grown = torch.ones(2, 4, dtype=torch.long)
        mask = torch.cat([llava.inputs["attention_mask"], grown], dim=1)
        text = {"input_ids": begun.sequences, "attention_mask": mask}
        rest = Family("llava", llava.model, text)
        _, later = _watch(rest, _tap(llava), past_key_values=cache, max_new_tokens=STEPS - 4)
        _close(usual, steps + later)

    def test_rolling_the_cache_back(self, llava: Family) -> None:
        """After a crop the same tokens decoded again show the same masses, in the same tap."""
        cache = DynamicCache(config=llava.model.config.get_text_config())
        static = StaticCache(llava.model.config.get_text_config(), max_cache_len=64)
        for past in (cache, static):
            with torch.no_grad(), _tap(llava) as tap:
                llava.model(**llava.inputs, past_key_values=past)
                tap.take()
                token = torch.full((2, 1), 9)
                mask = torch.cat([llava.inputs["attention_mask"], torch.ones(2, 1).long()], 1)
                step = {"input_ids": token, "attention_mask": mask, "past_key_values": past}
                llava.model(**step)
                once = tap.take()
                if past is cache:
                    cache.crop(-1)
                else:
                    for layer in static.layers:
                        assert isinstance(layer, StaticLayer)
                        layer.cumulative_length -= 1
                llava.model(**step)
                _close([once], [tap.take()])

    def test_beams_and_samples_share_their_prompts_segments(self, llava: Family) -> None:
        """Several rows per prompt are measured, each by its own prompt's image."""
        options = {"num_return_sequences": 2, "num_beams": 2}
        beams, steps = _watch(llava, _tap(llava), **options)
        assert torch.equal(beams.sequences, _greedy(llava, **options).sequences)
        _, single = _watch(llava, _tap(llava))
        assert steps[0].masses.shape[0] == 4
        torch.testing.assert_close(steps[0].masses[::2], single[0].masses, rtol=0, atol=2e-6)

    @pytest.mark.parametrize("name", ["llava", "gemma3", "qwen2_5_vl"])
    def test_teacher_forcing_equals_decoding(self, name: str) -> None:
        """One forward pass over prompt and caption gives the masses of every decoding step."""
        family = build(name)
        output, steps = _watch(family, _tap(family, patches=1))
        prompt = family.image.shape[1]
        inputs = dict(family.inputs)
        grown = torch.ones(2, STEPS, dtype=torch.long)
        inputs["input_ids"] = output.sequences
        inputs["attention_mask"] = torch.cat([inputs["attention_mask"], grown], dim=1)
        for kind in inputs.keys() & {"token_type_ids", "mm_token_type_ids"}:
            inputs[kind] = torch.cat([inputs[kind], grown * 0], dim=1)
        positions = torch.arange(prompt - 1, prompt - 1 + STEPS).expand(2, -1)
        for rows in (positions, "all"):
            with torch.no_grad(), _tap(family, rows=rows, patches=1) as tap:
                family.model(**inputs)
                forced = tap.take()
            assert forced.patches is not None
            picked = slice(None) if rows is positions else positions[0]
            masses, patches = forced.masses[:, :, :, picked], forced.patches[:, :, picked]
            for index, step in enumerate(steps):
                assert step.patches is not None
                torch.testing.assert_close(masses[:, :, :, index], step.masses, rtol=0, atol=2e-6)
                torch.testing.assert_close(patches[:, :, index], step.patches, rtol=0, atol=2e-6)

    def test_gradients_still_flow_through_a_watched_model(self, llava: Family) -> None:
        """Watching does not detach the model's own output."""
        with _tap(llava) as tap:
            llava.model(**llava.inputs).logits.sum().backward()
            masses = tap.take().masses
        assert not masses.requires_grad
        assert llava.model.lm_head.weight.grad is not None
        llava.model.zero_grad(set_to_none=True)

    def test_bfloat16(self) -> None:
        """In half precision the rows are still recomputed in float32 and add up to 1."""
        family = build("llava")
        _, full = _watch(family, _tap(family))
        family.model.to(torch.bfloat16)
        family.inputs["pixel_values"] = family.inputs["pixel_values"].bfloat16()
        plain = _greedy(family)
        watched, steps = _watch(family, _tap(family))
        assert _same(plain, watched)
        for step in steps:
            assert step.masses.dtype == torch.float32
            torch.testing.assert_close(step.masses.sum(-1), torch.ones(2, 4, 4))
        torch.testing.assert_close(full[0].masses, steps[0].masses, rtol=0, atol=0.1)

    @pytest.mark.parametrize("name", ["llava", "aya_vision"])
    def test_an_implementation_with_its_own_account_of_the_mask(self, name: str) -> None:
        """Where no dense mask is made (FlashAttention), padding and window are worked out."""
        family = build(name)
        family.model.set_attn_implementation({"text_config": _FLASH})
        plain = _greedy(family)
        _SEEN.clear()
        watched, steps = _watch(family, _tap(family))
        assert _same(plain, watched)
        prompt = family.image.shape[1]
        for index, (step, layers) in enumerate(zip(steps, _SEEN, strict=True)):
            image = torch.zeros(2, prompt + index)
            image[:, :prompt] = family.image
            for row, weights in enumerate(layers):
                var = (weights * image[:, None, -weights.shape[-1] :]).sum(-1)
                torch.testing.assert_close(step.masses[:, row, :, IMAGE], var, rtol=0, atol=1e-5)


_FLASH = "flash_like"
_SEEN: list[list[Tensor]] = []


def _flash_like(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention that reads a 2-D mask, aligns windows by itself, and remembers its last row."""
    # FlashAttention asks the config which kernel it is: it must see its own name.
    config: Any = module.config
    assert config._attn_implementation == _FLASH
    groups = query.shape[1] // key.shape[1]
    key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
    scores = query @ key.transpose(2, 3) * scaling
    keys, queries = key.shape[2], query.shape[2]
    row = torch.arange(keys - queries, keys).unsqueeze(1)
    visible = torch.arange(keys) <= row
    if sliding_window is not None:
        visible &= torch.arange(keys) > row - sliding_window
    if attention_mask is not None:
        visible = visible & attention_mask[:, None, None, -keys:].bool()
    weights = torch.softmax(scores.masked_fill(~visible, -1e9), dim=-1)
    if module.layer_idx == 0:
        _SEEN.append([])
    _SEEN[-1].append(weights[:, :, -1])
    return (weights @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(_FLASH, _flash_like)
AttentionMaskInterface.register(_FLASH, flash_attention_mask)


class TestLeaving:
    """The model is left as found, whatever is raised."""

    def test_inert_and_the_same_objects_afterwards(self, llava: Family) -> None:
        """Leaving puts back the very same config objects; a plain run is bitwise what it was."""
        plain = _greedy(llava)
        before = _configs(llava.model)
        with _tap(llava):
            pass
        _assert_untouched(llava.model, before)
        assert _same(_greedy(llava), plain)

    @pytest.mark.parametrize("where", ["tap", "layer", "processor", "streamer", "criterion"])
    def test_after_an_exception_anywhere(
        self, llava: Family, where: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An exception in any part leaves no trace: the next run is bitwise the plain one."""
        plain = _greedy(llava)
        before = _configs(llava.model)
        calls = {"n": 0}

        def fail(*args: Any, **kwargs: Any) -> Any:
            calls["n"] += 1
            if calls["n"] == 3:
                raise ZeroDivisionError(where)
            return args[1] if where == "processor" else None

        class Streamer(BaseStreamer):
            def put(self, value: Tensor) -> None:
                fail()

            def end(self) -> None: ...

        class Criterion(StoppingCriteria):
            def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Any:
                fail()
                return torch.zeros(input_ids.shape[0], dtype=torch.bool)

        options: dict[str, Any] = {}
        with contextlib.ExitStack() as stack:
            if where == "processor":
                options["logits_processor"] = [fail]
            elif where == "streamer":
                options["streamer"] = Streamer()
            elif where == "criterion":
                options["stopping_criteria"] = StoppingCriteriaList([Criterion()])
            elif where == "layer":
                layer = llava.model.get_decoder().layers[2]
                hook = layer.register_forward_hook(lambda *_: fail())
                stack.callback(hook.remove)
            else:
                patch = stack.enter_context(monkeypatch.context())
                real = Reading.observe

                def keep(self: Reading, *args: Any) -> None:
                    fail()
                    real(self, *args)

                patch.setattr(Reading, "observe", keep)
            with pytest.raises(ZeroDivisionError, match=where), _tap(llava):
                _greedy(llava, **options)
        _assert_untouched(llava.model, before)
        assert _same(_greedy(llava), plain)

    def test_a_tap_can_be_opened_again(self, llava: Family) -> None:
        """The second block starts afresh and measures the same."""
        tap = _tap(llava)
        _, once = _watch(llava, tap)
        _, again = _watch(llava, tap)
        _close(once, again)

    def test_a_pass_that_failed_is_not_a_step(self, llava: Family) -> None:
        """After an exception in a layer there is nothing to take, and the next pass is whole."""
        layer = llava.model.get_decoder().layers[2]

        def fail(*_: Any) -> None:
            raise ZeroDivisionError

        with torch.no_grad(), _tap(llava) as tap:
            llava.model(**llava.inputs)
            expected = tap.take()
            hook = layer.register_forward_hook(fail)
            with pytest.raises(ZeroDivisionError):
                llava.model(**llava.inputs)
            hook.remove()
            with pytest.raises(WatchError, match="3 of 4 watched layers"):
                tap.take()
            llava.model(**llava.inputs)
            _close([expected], [tap.take()])

    def test_two_threads_on_one_model(self, llava: Family) -> None:
        """Threads with their own taps, and one without, each see only their own run."""
        plain = _greedy(llava)
        some: list[tuple[int, ...]] = [(0, 1), (1, 2, 3)]
        usual = {layers: _watch(llava, _tap(llava, layers=layers))[1] for layers in some}
        errors: list[BaseException] = []
        start = threading.Barrier(3)

        def watched(layers: tuple[int, ...]) -> None:
            with _collecting(errors):
                start.wait()
                for _ in range(6):
                    output, steps = _watch(llava, _tap(llava, layers=layers))
                    assert _same(output, plain)
                    _close(usual[layers], steps)

        def unwatched() -> None:
            with _collecting(errors):
                start.wait()
                for _ in range(6):
                    assert _same(_greedy(llava), plain)

        jobs = [
            threading.Thread(target=watched, args=((0, 1),)),
            threading.Thread(target=watched, args=((1, 2, 3),)),
            threading.Thread(target=unwatched),
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        assert errors == []

    def test_other_contexts_see_the_models_own_attention(
        self, llava: Family, anatomy: Anatomy
    ) -> None:
        """While one thread watches, another finds the config's own answer."""
        config: Any = anatomy.attentions[0].config
        seen: list[str] = []
        with _tap(llava):
            view: Any = anatomy.attentions[0].config
            assert type(view._attn_implementation) is Alias
            assert view.hidden_size == config.hidden_size
            other = threading.Thread(target=lambda: seen.append(view._attn_implementation))
            other.start()
            other.join()
        assert seen == ["sdpa"]

    def test_a_copy_of_a_watched_model_is_not_watched(self, llava: Family) -> None:
        """Copying a model inside the block gives an ordinary model."""
        plain = _greedy(llava)
        with _tap(llava):
            twin = copy.deepcopy(llava.model)
        before = {type(vars(part)["config"]).__name__ for _, part in _owners(twin)}
        assert before == {type(vars(part)["config"]).__name__ for _, part in _owners(llava.model)}
        assert _same(_greedy(Family("llava", twin, llava.inputs)), plain)

    def test_left_in_another_context(self, llava: Family) -> None:
        """A block that ends in another thread (a finalised generator) still leaves no trace."""
        before = _configs(llava.model)
        tap = _tap(llava)
        tap.__enter__()
        other = threading.Thread(target=lambda: tap.__exit__(None, None, None))
        other.start()
        other.join()
        _assert_untouched(llava.model, before)
        _watch(llava, _tap(llava))


class TestRefusals:
    """What the tap refuses, and how it says so."""

    def test_two_taps_in_one_thread(self, llava: Family) -> None:
        """A second tap in the same context is refused; the first goes on."""
        with torch.no_grad(), _tap(llava) as tap:
            with pytest.raises(WatchError, match="Only one AttentionTap"), _tap(llava):
                pass
            llava.model(**llava.inputs)
            assert tap.take().masses.shape[0] == 2

    def test_nothing_to_take(self, llava: Family) -> None:
        """Each pass can be taken once, and only after it happened."""
        with torch.no_grad(), _tap(llava) as tap:
            with pytest.raises(WatchError, match="0 of 4 watched layers"):
                tap.take()
            llava.model(**llava.inputs)
            tap.take()
            with pytest.raises(WatchError, match=r"take\(\) must follow"):
                tap.take()

    def test_a_batch_that_is_not_the_watched_one(self, llava: Family) -> None:
        """Rows that are no multiple of the watched prompts are refused."""
        one = {name: value[:1] for name, value in llava.inputs.items()}
        with (
            torch.no_grad(),
            _tap(llava),
            pytest.raises(WatchError, match="multiple of the 2 watched prompts"),
        ):
            llava.model(**one)

    def test_image_features_and_placeholders_that_disagree(self, llava: Family) -> None:
        """transformers' own complaint passes through, and the model is left as found."""
        fewer = llava.inputs | {"input_ids": llava.inputs["input_ids"].clone()}
        fewer["input_ids"][:, 6] = 9
        with pytest.raises(ValueError, match="do not match"), _tap(llava):
            llava.model(**fewer)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"layers": [2, 4]}, r"0-3 \(counted from 0\); had: \[4\]"),
            ({"layers": []}, "had: none"),
            ({"patches": -1}, "at least 0 steps, was: -1"),
            (
                {"rows": "all", "intervention": HeadGuided(1.0, [1])},
                "cannot be combined with rows",
            ),
            ({"intervention": HeadGuided(1.0, [9])}, r"had: \[9\]"),
        ],
    )
    def test_options(self, llava: Family, options: dict[str, Any], message: str) -> None:
        """Options that cannot be honoured are refused before anything is touched."""
        with pytest.raises(ValueError, match=message):
            _tap(llava, **options)

    def test_rows_outside_the_pass(self, llava: Family) -> None:
        """Rows beyond the sequence are refused with the positions there are."""
        rows = torch.full((2, 1), 99)
        with (
            torch.no_grad(),
            _tap(llava, rows=rows),
            pytest.raises(WatchError, match="positions 0-27, were: 99-99"),
        ):
            llava.model(**llava.inputs)

    def test_prompts_and_masks_that_disagree(self, anatomy: Anatomy) -> None:
        """Shapes, types and padded images are checked when the tap is made."""
        image = torch.tensor([[False, True, False]])
        with pytest.raises(InputError, match=r"shape of image \(1, 3\), was: \(1, 4\)"):
            AttentionTap(anatomy, image, prompt_mask=torch.ones(1, 4))
        with pytest.raises(InputError, match="must be a bool tensor"):
            AttentionTap(anatomy, image.long())
        with pytest.raises(InputError, match="must not be padding"):
            AttentionTap(anatomy, image, prompt_mask=torch.tensor([[1, 0, 1]]))
        with pytest.raises(InputError, match="all padding"):
            AttentionTap(anatomy, image & False, prompt_mask=torch.zeros(1, 3))


@contextlib.contextmanager
def _collecting(errors: list[BaseException]) -> Iterator[None]:
    """Carry what a thread raises back to the test."""
    try:
        yield
    except BaseException as error:  # re-raised by the assertion in the test
        errors.append(error)
