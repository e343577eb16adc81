"""Compiled decoding: watched within the graph, without breaking it or changing a number."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import pytest
import torch
from PIL import Image
from sightline.monitor.attention.intervention import HeadGuided
from sightline.monitor.attention.measurement import StepMeter
from sightline.monitor.attention.step import StepAttention
from sightline.monitor.errors import WatchError
from sightline.monitor.session import Captions, Monitor
from torch import Tensor
from torch._dynamo.utils import counters
from transformers import AttentionInterface, AttentionMaskInterface, CompileConfig
from transformers.masking_utils import flash_attention_mask

from ..families import Family, build
from .tapping import close, same, taking, tap_on

STEPS = 6


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """No graph outlives its test."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


class Counted:
    """A compiler that runs what was traced as it is, and counts the graphs."""

    def __init__(self) -> None:
        self.graphs: list[Counter[str]] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Counted:
        return self  # transformers copies its configs

    def __call__(self, graph: torch.fx.GraphModule, example: Any) -> Any:
        self.graphs.append(Counter(str(node.target) for node in graph.graph.nodes))
        return graph.forward


def _generate(family: Family, backend: Any, **options: Any) -> Any:
    mode: Any = "default" if backend == "inductor" else None
    config: Any = CompileConfig(backend=backend, mode=mode)
    config._compile_all_devices = True  # transformers' own switch for tests without a GPU
    return family.model.generate(
        **family.inputs,
        **{"max_new_tokens": STEPS, "do_sample": False, "cache_implementation": "static"} | options,
        compile_config=config,
        return_dict_in_generate=True,
        output_logits=True,
    )


def _watch(family: Family, backend: Any, **options: Any) -> tuple[Any, list[StepAttention]]:
    steps: list[StepAttention] = []
    with tap_on(family, **options) as tap:
        return _generate(family, backend, logits_processor=[taking(tap, steps)]), steps


def _uncompiled(family: Family, **options: Any) -> list[StepAttention]:
    steps: list[StepAttention] = []
    with tap_on(family, **options) as tap:
        family.model.generate(
            **family.inputs,
            max_new_tokens=STEPS,
            do_sample=False,
            logits_processor=[taking(tap, steps)],
        )
    return steps


def _layers_watched(compiler: Counted) -> list[int]:
    """Of each graph that runs the model, how many layers it tells of."""
    models = [graph for graph in compiler.graphs if graph.total() > 20]
    return [graph["sightline.attended.default"] for graph in models]


# Full attention, and sliding windows that fill up while they decode.
@pytest.mark.parametrize("name", ["llava", "gemma3"])
def test_one_graph_and_the_same_numbers(name: str) -> None:
    """Watching breaks no graph, adds one operator a layer, and changes no logit."""
    family, compiler = build(name), Counted()
    plain = _generate(family, compiler)
    unwatched = len(compiler.graphs)
    watched, steps = _watch(family, compiler)
    assert not counters["graph_break"]
    layers = _layers_watched(compiler)
    assert not any(layers[:unwatched])
    assert set(layers[unwatched:]) == {4}
    assert len(layers) <= 2 * unwatched
    assert same(plain, watched)
    close(steps, _uncompiled(family), atol=1e-5)


def test_inductor_gives_the_same_bits() -> None:
    """The compiler that users have: logits bitwise those of the compiled model without a tap."""
    family = build("llava")
    text = family.model.config.text_config
    text.num_hidden_layers = 2
    del family.model.get_decoder().layers[2:]
    plain = _generate(family, "inductor")
    watched, steps = _watch(family, "inductor")
    assert same(plain, watched)
    assert not counters["graph_break"]
    close(steps, _uncompiled(family), atol=1e-5)


def test_nothing_is_compiled_again() -> None:
    """One graph serves every watch and another tap's rows; plain decoding keeps its own graph."""
    family, compiler = build("llava"), Counted()
    plain = _generate(family, compiler)
    _watch(family, compiler)
    compiled = len(compiler.graphs)
    assert _layers_watched(compiler) == [0, 4]
    for rows in (None, 1):
        watched, _ = _watch(family, compiler, rows=rows, patches=2)
        assert same(watched, plain)
    assert same(_generate(family, compiler), plain)
    assert len(compiler.graphs) == compiled


def test_a_model_compiled_by_hand() -> None:
    """Prompt and steps both run compiled, with a cache that grows: nothing breaks either."""
    family, compiler = build("llava"), Counted()
    own = family.model.forward
    family.model.forward = torch.compile(own, backend=compiler)
    try:
        run = {"cache_implementation": None, "disable_compile": True}
        plain = _generate(family, compiler, **run)
        broken = len(counters["graph_break"])
        steps: list[StepAttention] = []
        with tap_on(family) as tap:
            watched = _generate(family, compiler, logits_processor=[taking(tap, steps)], **run)
    finally:
        del family.model.forward
    assert len(counters["graph_break"]) == broken
    assert same(plain, watched)
    close(steps, _uncompiled(family), atol=1e-5)


def test_logits_of_a_compiled_pass() -> None:
    """The meter finds the raw logits of every compiled step, before any processor."""
    family, compiler = build("llava"), Counted()
    found: list[Tensor] = []
    with tap_on(family) as tap, StepMeter(family.model, tap) as meter:

        def measure(ids: Tensor, scores: Tensor) -> Tensor:
            found.append(meter.measure().distribution.log_probs)
            return scores

        output = _generate(family, compiler, logits_processor=[measure], repetition_penalty=1.5)
    assert not counters["graph_break"]
    for one, raw in zip(found, output.logits, strict=True):
        assert torch.equal(one, raw.log_softmax(-1))


def test_eq_4_acts_in_a_graph() -> None:
    """The intervention changes what the compiled model says as it does the plain one."""
    family = build("llava")
    guide = HeadGuided(2.0, [1, 2])
    options: dict[str, Any] = {"max_new_tokens": STEPS, "do_sample": False}
    with tap_on(family, intervention=guide):
        plain = family.model.generate(
            **family.inputs, **options, return_dict_in_generate=True, output_logits=True
        )
    compiled, steps = _watch(family, Counted(), intervention=guide)
    assert all(step.intervened for step in steps)
    for one, other in zip(compiled.logits, plain.logits, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_another_thread_runs_the_same_graph() -> None:
    """A thread without a tap runs the graph that carries ours, and gets the plain numbers."""
    family, compiler = build("llava"), Counted()
    plain = _generate(family, compiler)
    found: list[Any] = []
    with tap_on(family) as tap:
        steps: list[StepAttention] = []
        _generate(family, compiler, logits_processor=[taking(tap, steps)])
        other = threading.Thread(target=lambda: found.append(_generate(family, compiler)))
        other.start()
        other.join()
        with pytest.raises(WatchError):
            tap.take()
    assert same(found[0], plain)


def test_windows_must_be_known() -> None:
    """Compiled by hand from the prompt on, a sliding window's place is unknown, and refused."""
    family = build("gemma3")
    family.model.forward = torch.compile(family.model.forward, backend=Counted())
    try:
        with (
            torch.no_grad(),
            tap_on(family),
            pytest.raises(WatchError, match=r"\(sliding_attention\)"),
        ):
            family.model(**family.inputs)
    finally:
        del family.model.forward


def _monitored(monitor: Monitor, picture: Image.Image, **options: Any) -> Captions:
    compile_config: Any = CompileConfig(backend=Counted(), mode=cast(str, None))
    compile_config._compile_all_devices = True
    return monitor.generate(
        **monitor.prepare([picture]),
        max_new_tokens=STEPS,
        do_sample=False,
        cache_implementation="static",
        compile_config=compile_config,
        **options,
    )


def test_the_whole_monitor(monitor: Monitor, pictures: list[Image.Image]) -> None:
    """Compiled, a caption's report holds what it holds uncompiled."""
    compiled = _monitored(monitor, pictures[0])
    assert not counters["graph_break"]
    assert counters["frames"]["ok"]
    usual = _monitored(monitor, pictures[0], disable_compile=True)
    assert compiled.texts == usual.texts
    pairs = zip(compiled.reports[0].tokens, usual.reports[0].tokens, strict=True)
    for one, other in pairs:
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
        assert one.svar == pytest.approx(other.svar, abs=1e-5)


def test_a_lens_sees_nothing_and_says_so(
    tiny: tuple[Any, Any], pictures: list[Image.Image]
) -> None:
    """The logit lens is refused at the first compiled step, with the remedy."""
    monitor = Monitor(*tiny, name="tiny", lens=True)
    with pytest.raises(WatchError, match="disable_compile=True"):
        _monitored(monitor, pictures[0])


_FLASH = "flash_attention_stand_in"


def _flash(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[Tensor, None]:
    """As FlashAttention does, ask the config for the kernel's name."""
    assert module.config._attn_implementation == _FLASH
    groups = query.shape[1] // key.shape[1]
    key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
    if attention_mask is not None:  # a static cache has room to spare
        key, value = (states[:, :, : attention_mask.shape[1]] for states in (key, value))
    scores = query @ key.transpose(2, 3) * scaling
    keys = key.shape[2]
    visible = torch.ones(query.shape[2], keys, dtype=torch.bool).tril(keys - query.shape[2])
    weights = torch.softmax(scores.masked_fill(~visible, -1e9), dim=-1)
    return (weights @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(_FLASH, _flash)
AttentionMaskInterface.register(_FLASH, flash_attention_mask)


def test_an_implementation_that_asks_for_its_name() -> None:
    """It finds its own name while it is traced; what rows see is not guessed, but refused."""
    family = build("llava")
    family.model.set_attn_implementation({"text_config": _FLASH})
    plain = _generate(family, Counted())
    with tap_on(family), pytest.raises(WatchError, match="keeps its own account of the mask"):
        _generate(family, Counted())
    assert same(_generate(family, Counted()), plain)
