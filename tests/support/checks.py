"""What a family can do under the monitor: one function for each column of the support table.

Each returns an :class:`Answer`; what the library refuses, with its reason, is a "no", and so is
what transformers itself cannot do with the family's tiny model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, cast

import torch
from sightline.detectors.evidence import IMAGE
from sightline.monitor.attention.step import StepAttention
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.decoding.resumable import ResumableGeneration
from sightline.monitor.errors import SightlineError
from sightline.monitor.session import Monitor
from tokenizers import Tokenizer, decoders, models
from torch import Tensor, nn
from torch._dynamo.utils import counters
from transformers import CompileConfig, LogitsProcessor, PreTrainedTokenizerFast

from .family import Family, build
from .parts import VOCABULARY

STEPS: Final = 8
TOLERANCE: Final = 1e-5
_RECORDS: Final[Mapping[str, Any]] = {
    "do_sample": False,
    "return_dict_in_generate": True,
    "output_scores": True,
    "output_logits": True,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check found.

    Attributes:
        works: ``None`` where it was not measured, or where there is nothing to measure.
        reason: why it does not work or was not measured; "" where it works.
    """

    works: bool | None
    reason: str = ""


YES: Final = Answer(True)


class PlainError(Exception):
    """The family's own ``generate`` failed, without anything of ours near it."""


# --- the columns ------------------------------------------------------------------------------


def observed(name: str) -> Answer:
    """Does every token of a watched caption come with evidence whose masses add up to one?"""
    family = build(name, rows=1)
    monitor = _monitor(family)
    _plain(family)
    run: dict[str, Any] = {**family.inputs, "max_new_tokens": STEPS}
    reports = monitor.generate(**run).reports
    tokens = [token for report in reports for token in report.tokens]
    if len(tokens) != STEPS:
        return Answer(False, f"{len(tokens)} of {STEPS} tokens were reported")
    if any(token.svar is None for token in tokens):
        return Answer(False, "tokens without SVAR were reported")
    _, steps = _tapped(family)
    off = max(float((step.masses.sum(-1) - 1).abs().max()) for step in steps)
    sinks = any(_sinks(module) for module in family.anatomy.attentions)
    if off > TOLERANCE and not sinks:
        return Answer(False, f"attention adds up to one but for {off:.1e}")
    return YES


def parity(name: str, *, rows: int = 1) -> Answer:
    """Is VAR of every step, layer and head within 1e-5 of the family's eager attention?"""
    family = build(name, rows=rows)
    anatomy = family.anatomy
    watched, steps = _tapped(family)
    family.model.set_attn_implementation("eager")
    # Attention functions differ in the last bits: eager attention is made to write the same.
    force = _Force(watched.sequences)
    with _weights(anatomy.attentions) as maps:
        _plain(family, logits_processor=[force])
    worst = _furthest(family, steps, maps)
    if worst > TOLERANCE and _same_pass(family) <= TOLERANCE:
        # Indexed attention may pick other keys, and a mixture other experts, in the last bits.
        return Answer(True, "eager against eager: its own sdpa attention computes something else")
    return YES if worst <= TOLERANCE else Answer(False, f"VAR differs by {worst:.1e}")


def identity(name: str, *, rows: int = 1, **options: Any) -> Answer:
    """Are tokens, scores and logits bitwise those of plain ``generate``, greedy and sampled?"""
    family = build(name, rows=rows)
    monitor = _monitor(family)
    for sample in (False, True):
        run: dict[str, Any] = {**family.inputs, "do_sample": sample, **options}
        torch.manual_seed(1)
        plain = _plain(family, **run)
        torch.manual_seed(1)
        watched = monitor.generate(**{**_RECORDS, "max_new_tokens": STEPS, **run}).output
        if not _same(plain, watched):
            torch.manual_seed(1)
            if not _same(plain, _plain(family, **run)):
                return Answer(False, "plain generate does not repeat itself")
            return Answer(False, f"{'sampled' if sample else 'greedy'} decoding differs")
    return YES


def redecode(name: str, **options: Any) -> Answer:
    """Is a generation that was rolled back and resumed bitwise the one that never stopped?"""
    family = build(name, rows=1)
    _monitor(family)  # what cannot be watched is not decoded again
    run: dict[str, Any] = {**_RECORDS, **options, "max_new_tokens": STEPS + 4}
    plain = _plain(family, **run)
    generation = ResumableGeneration(family.model, family.inputs, run)
    prompt = generation.prompt_length
    for back in (9, 3, 6, 1):
        end = prompt + min(back + 3, STEPS + 4)
        generation.advance(lambda step, end=end: step.ids.shape[1] >= end)  # type: ignore[misc]
        generation.rollback(prompt + back)
    while generation.advance() == "paused":
        pass
    return YES if _same(plain, generation.output) else Answer(False, "what is resumed differs")


def batch(name: str) -> Answer:
    """The same for a left-padded batch of three prompts with different pictures."""
    answer = identity(name, rows=3)
    return parity(name, rows=3) if answer.works else answer


def static(name: str) -> Answer:
    """Identity with a static cache, and re-decoding where that is possible at all."""
    run: dict[str, Any] = {"cache_implementation": "static", "disable_compile": True}
    answer = identity(name, **run)
    if answer.works and ask("re-decode", name).works:
        try:
            return redecode(name, **run)
        except SightlineError as error:
            return Answer(True, f"without re-decoding: {error}")
    return answer


def compiled(name: str) -> Answer:
    """Is decoding that ``torch.compile`` traces the same, in as many graphs, with the same VAR?

    The graphs are run as they were traced (backend "eager"), which takes no C++ compiler: what a
    compiler makes of them is its own business, but breaks and other numbers would show.
    """
    family = build(name, rows=1)
    _monitor(family)
    traced: Any = CompileConfig(backend="eager", mode=cast(Any, None))
    traced._compile_all_devices = True
    run: dict[str, Any] = {"cache_implementation": "static", "compile_config": traced}
    # What a static cache cannot hold fails here, in plain words.
    _plain(family, cache_implementation="static", disable_compile=True)
    with _traced() as before:
        plain = _plain(family, **run)
    with _traced() as after:
        watched, steps = _tapped(family, **run)
    if not before.graphs:
        return Answer(False, "transformers: the family is not compiled")
    if not _same(plain, watched):
        return Answer(False, "compiled decoding differs")
    if after.graphs > 2 * before.graphs:
        # What cannot be traced is left out without a break, and what it calls is traced instead.
        return Answer(False, f"{after.graphs} graphs when watched, {before.graphs} when not")
    if after.breaks > before.breaks:
        return Answer(False, f"{after.breaks - before.breaks} graph breaks more when watched")
    again, uncompiled = _tapped(family, cache_implementation="static", disable_compile=True)
    if torch.equal(again.sequences, watched.sequences):
        worst = max(
            float((one.masses - other.masses).abs().max())
            for one, other in zip(steps, uncompiled, strict=True)
        )
        if worst > TOLERANCE:
            return Answer(False, f"compiled, VAR differs by {worst:.1e}")
    return YES


COLUMNS: Final[Mapping[str, Callable[[str], Answer]]] = {
    "observed": observed,
    "VAR": parity,
    "identity": identity,
    "re-decode": redecode,
    "batch": batch,
    "static cache": static,
    "compiled": compiled,
}


def ask(column: str, name: str) -> Answer:
    """The answer of one check, whatever goes wrong in it."""
    try:
        return COLUMNS[column](name)
    except SightlineError as error:
        return Answer(False, f"refused: {error}")
    except PlainError as error:
        return Answer(False, f"transformers: {error}")
    except TimeoutError:
        raise
    except Exception as error:  # ours, and to be mended: a table without the row would hide it
        return Answer(False, f"error of ours: {type(error).__name__}: {error}")


# --- what they share --------------------------------------------------------------------------


def _plain(family: Family, **options: Any) -> Any:
    run = {**_RECORDS, "max_new_tokens": STEPS, **options}
    try:
        return family.model.generate(**{**family.inputs, **run})
    except (SightlineError, TimeoutError):
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise PlainError(f"{type(error).__name__}: {text}") from error


def _tapped(family: Family, **options: Any) -> tuple[Any, list[StepAttention]]:
    anatomy, steps = family.anatomy, []
    image = anatomy.image_positions(family.inputs["input_ids"])
    with AttentionTap(anatomy, image, prompt_mask=family.inputs["attention_mask"]) as tap:

        def take(input_ids: Tensor, scores: Tensor) -> Tensor:
            steps.append(tap.take())
            return scores

        return _plain(family, logits_processor=[take], **options), steps


@dataclass(slots=True)
class _Trace:
    """What ``torch.compile`` made of a run."""

    graphs: int = 0
    breaks: int = 0


@contextmanager
def _traced() -> Iterator[_Trace]:
    trace = _Trace()
    torch._dynamo.reset()
    counters.clear()
    try:
        yield trace
        trace.graphs = counters["stats"]["unique_graphs"]
        trace.breaks = sum(counters["graph_break"].values())
    finally:
        torch._dynamo.reset()


@contextmanager
def _weights(attentions: tuple[nn.Module, ...]) -> Iterator[list[list[Tensor]]]:
    """The attention weights that modules return, by forward pass and module."""
    passes: list[list[Tensor]] = []

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        if module is attentions[0]:
            passes.append([])
        passes[-1].append(output[1])

    hooks = [module.register_forward_hook(keep) for module in attentions]
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


def _image_keys(family: Family, total: int, keys: int) -> Tensor:
    """1 on image tokens among the latest ``keys`` of ``total`` positions, ``[batch, keys]``."""
    image = torch.zeros(family.image.shape[0], total)
    image[:, : family.image.shape[1]] = family.image
    return image[:, total - keys :]


def _same(one: Any, other: Any) -> bool:
    return torch.equal(one.sequences, other.sequences) and all(
        len(a) == len(b) and all(map(torch.equal, a, b))
        for a, b in ((one.scores, other.scores), (one.logits, other.logits))
    )


def _same_pass(family: Family) -> float:
    """How far VAR is from the weights of the very pass that it was read in, both eager."""
    with _weights(family.anatomy.attentions) as maps:
        _, steps = _tapped(family)
    return _furthest(family, steps, maps)


def _furthest(family: Family, steps: list[StepAttention], maps: list[list[Tensor]]) -> float:
    prompt, worst = family.image.shape[1], 0.0
    for index, (step, layers) in enumerate(zip(steps, maps, strict=True)):
        for row, weights in enumerate(layers):
            image = _image_keys(family, prompt + index, weights.shape[-1])
            expected = (weights[:, :, -1] * image[:, None]).sum(-1)
            worst = max(worst, float((step.masses[:, row, :, IMAGE] - expected).abs().max()))
    return worst


class _Force(LogitsProcessor):
    """Writes what was written before."""

    def __init__(self, sequences: Tensor) -> None:
        self._sequences = sequences

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        forced = torch.full_like(scores, -torch.inf)
        return forced.scatter(1, self._sequences[:, input_ids.shape[1], None], 0.0)


def _sinks(module: nn.Module) -> bool:
    return any("sink" in name for name, _ in module.named_parameters())


def _monitor(family: Family) -> Monitor:
    return Monitor(family.model, _PROCESSOR, anatomy=family.anatomy)


def _processor() -> Any:
    vocabulary = {f"word{index} ": index for index in range(VOCABULARY)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="word0 "))
    inner.decoder = decoders.Fuse()
    return SimpleNamespace(tokenizer=PreTrainedTokenizerFast(tokenizer_object=inner))


_PROCESSOR: Final = _processor()
