"""Windows: which images go together, whatever is done of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sightline.monitor.jobs.windows import windows

LENGTHS = st.lists(st.integers(1, 4), max_size=40)


def test_alike_prompts_go_with_their_neighbours() -> None:
    """Without lengths a window is a batch; one that is wholly done is left out."""
    found = list(windows("abcdefg", [1, 1, 1, 0, 1, 0, 0], 3))
    assert [window.items for window in found] == [("d", "e", "f"), ("g",)]
    assert [window.batches for window in found] == [((0, 1, 2),), ((0,),)]
    assert found[0].done == (False, True, False)


def test_equal_lengths_go_together() -> None:
    """Long and short in turn make batches of one length each; the first image's comes first."""
    (window,) = windows("LsLsLsLs", [0] * 8, 4, length=lambda one: 9 if one == "L" else 1)
    assert window.batches == ((0, 2, 4, 6), (1, 3, 5, 7))


def test_lengths_are_asked_for_only_where_something_is_left() -> None:
    """What is done is not opened again, but for the neighbours of what is not."""
    asked: list[str] = []

    def length(one: str) -> int:
        asked.append(one)
        return 1

    assert len(list(windows("abcdefgh", [1, 1, 1, 1, 1, 0, 1, 1], 2, length=length, ahead=2))) == 1
    assert asked == list("efgh")


@given(LENGTHS, st.integers(1, 5), st.integers(1, 4), st.data())
def test_batches_do_not_depend_on_what_is_done(
    lengths: list[int], size: int, ahead: int, data: st.DataObject
) -> None:
    """Every image is in one batch of the whole job, and a resumed job has the same batches."""
    items = list(enumerate(lengths))

    def batches(done: list[int]) -> set[tuple[int, ...]]:
        return {
            tuple(window.items[place][0] for place in batch)
            for window in windows(items, done, size, length=lambda one: one[1], ahead=ahead)
            for batch in window.batches
        }

    whole = batches([0] * len(items))
    assert sorted(place for batch in whole for place in batch) == list(range(len(items)))
    assert all(len(batch) <= size for batch in whole)
    done = data.draw(st.lists(st.integers(0, 1), min_size=len(items), max_size=len(items)))
    left = {batch for batch in whole if not all(done[place] for place in batch)}
    assert batches(done) == left
