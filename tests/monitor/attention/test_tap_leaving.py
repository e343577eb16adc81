"""The model is left as found, whatever is raised in the tap's block."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from sightline.monitor.attention.alias import Alias
from sightline.monitor.attention.reading import Reading
from sightline.monitor.errors import WatchError
from sightline.monitor.models.anatomy import Anatomy
from torch import Tensor
from transformers import (
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from ..families import Family
from .tapping import assert_untouched, close, configs, greedy, owners, same, tap_on, watch


def test_inert_and_the_same_objects_afterwards(llava: Family) -> None:
    """Leaving puts back the very same config objects; a plain run is bitwise what it was."""
    plain = greedy(llava)
    before = configs(llava.model)
    with tap_on(llava):
        pass
    assert_untouched(llava.model, before)
    assert same(greedy(llava), plain)


@pytest.mark.parametrize("where", ["tap", "layer", "processor", "streamer", "criterion"])
def test_after_an_exception_anywhere(
    llava: Family, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in any part leaves no trace: the next run is bitwise the plain one."""
    plain = greedy(llava)
    before = configs(llava.model)
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
        with pytest.raises(ZeroDivisionError, match=where), tap_on(llava):
            greedy(llava, **options)
    assert_untouched(llava.model, before)
    assert same(greedy(llava), plain)


def test_a_tap_can_be_opened_again(llava: Family) -> None:
    """The second block starts afresh and measures the same."""
    tap = tap_on(llava)
    _, once = watch(llava, tap)
    _, again = watch(llava, tap)
    close(once, again)


def test_a_pass_that_failed_is_not_a_step(llava: Family) -> None:
    """After an exception in a layer there is nothing to take, and the next pass is whole."""
    layer = llava.model.get_decoder().layers[2]

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    with torch.no_grad(), tap_on(llava) as tap:
        llava.model(**llava.inputs)
        expected = tap.take()
        hook = layer.register_forward_hook(fail)
        with pytest.raises(ZeroDivisionError):
            llava.model(**llava.inputs)
        hook.remove()
        with pytest.raises(WatchError, match="3 of 4 watched layers"):
            tap.take()
        llava.model(**llava.inputs)
        close([expected], [tap.take()])


def test_two_threads_on_one_model(llava: Family) -> None:
    """Threads with their own taps, and one without, each see only their own run."""
    plain = greedy(llava)
    some: list[tuple[int, ...]] = [(0, 1), (1, 2, 3)]
    usual = {layers: watch(llava, tap_on(llava, layers=layers))[1] for layers in some}
    errors: list[BaseException] = []
    start = threading.Barrier(3)

    def watched(layers: tuple[int, ...]) -> None:
        with _collecting(errors):
            start.wait()
            for _ in range(6):
                output, steps = watch(llava, tap_on(llava, layers=layers))
                assert same(output, plain)
                close(usual[layers], steps)

    def unwatched() -> None:
        with _collecting(errors):
            start.wait()
            for _ in range(6):
                assert same(greedy(llava), plain)

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


def test_other_contexts_see_the_models_own_attention(llava: Family, anatomy: Anatomy) -> None:
    """While one thread watches, another finds the config's own answer."""
    config: Any = anatomy.attentions[0].config
    seen: list[str] = []
    with tap_on(llava):
        view: Any = anatomy.attentions[0].config
        assert type(view._attn_implementation) is Alias
        assert view.hidden_size == config.hidden_size
        other = threading.Thread(target=lambda: seen.append(view._attn_implementation))
        other.start()
        other.join()
    assert seen == ["sdpa"]


def test_a_copy_of_a_watched_model_is_not_watched(llava: Family) -> None:
    """Copying a model inside the block gives an ordinary model."""
    plain = greedy(llava)
    with tap_on(llava):
        twin = copy.deepcopy(llava.model)
    before = {type(vars(part)["config"]).__name__ for _, part in owners(twin)}
    assert before == {type(vars(part)["config"]).__name__ for _, part in owners(llava.model)}
    assert same(greedy(Family("llava", twin, llava.inputs)), plain)


def test_left_in_another_context(llava: Family) -> None:
    """A block that ends in another thread (a finalised generator) still leaves no trace."""
    before = configs(llava.model)
    tap = tap_on(llava)
    tap.__enter__()
    other = threading.Thread(target=lambda: tap.__exit__(None, None, None))
    other.start()
    other.join()
    assert_untouched(llava.model, before)
    watch(llava, tap_on(llava))


@contextlib.contextmanager
def _collecting(errors: list[BaseException]) -> Iterator[None]:
    """Carry what a thread raises back to the test."""
    try:
        yield
    except BaseException as error:  # re-raised by the assertion in the test
        errors.append(error)
