"""One image in several ways, with the small model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sightline.calibration.policies.outcome import Outcome
from sightline.calibration.policies.sentences import sentence_texts
from sightline.calibration.policies.ways import (
    DropAfterwards,
    FirstSentences,
    Guided,
    Plain,
    RandomGate,
    Watched,
    acting,
)
from sightline.calibration.policies.writing import Asked, Subject, Writer
from sightline.monitor.errors import ImageError
from sightline.monitor.policy.policy import Intervention, Policy
from sightline.monitor.session import Monitor

STOP = acting(Policy(act="stop", threshold=0.4))
AGAIN = acting(Policy(tries=(Intervention(alpha=2.0),), max_tries=1, threshold=0.4))
AFTER = DropAfterwards(name="after", family="after", threshold=0.4)
GUIDED = Guided(name="guided", family="guided", alpha=2.0)
FIRST = FirstSentences(name="first", family="first", count=1)
ALWAYS = RandomGate(name="always", family="gate", policy=Policy(act="stop"), like=STOP.name)
NEVER = replace(ALWAYS, name="never")
WAYS = (Plain(), Watched(), STOP, AGAIN, AFTER, GUIDED, FIRST, ALWAYS, NEVER)


@pytest.fixture(scope="module")
def written(monitor: Monitor, scenes: tuple[Subject, ...]) -> dict[str, Outcome]:
    """The last scene in all ways."""
    writer = Writer(monitor, Asked(), {"always": 1.0, "never": 0.0})
    return {one.way: one for one in writer.write(scenes[-1], WAYS, turn=4)}


def test_watching_changes_nothing(written: dict[str, Outcome]) -> None:
    """Text, tokens and passes of the watched caption are greedy's: a pass a token."""
    plain, watched = written["greedy"], written["greedy, watched"]
    assert plain.text == watched.text
    assert plain.tokens == plain.passes == watched.tokens == watched.passes
    assert plain.ended
    assert not plain.actions


def test_a_caption_is_held_against_the_truth(
    written: dict[str, Outcome], scenes: tuple[Subject, ...]
) -> None:
    """Mentions, words and truth are those that CHAIR takes; this scene's caption hallucinates."""
    plain = written["greedy"]
    assert plain.truth == scenes[-1].truth
    assert plain.hallucinated
    assert len(plain.words) > len(plain.mentions) > 0


def test_a_policy_costs_what_it_throws_away(written: dict[str, Outcome]) -> None:
    """A caption that is ended early keeps fewer tokens than were decoded, and than greedy's."""
    plain, stop, again = written["greedy"], written[STOP.name], written[AGAIN.name]
    assert stop.actions == {"stopped": 1}
    assert stop.flagged >= 1
    assert stop.tokens < plain.tokens
    assert stop.passes > stop.tokens
    assert sum(again.actions.values()) >= 1
    assert again.passes > again.tokens


def test_what_is_cut_is_cut_from_the_greedy_caption(written: dict[str, Outcome]) -> None:
    """The first sentence is greedy's; what is dropped afterwards was flagged, at greedy's cost."""
    plain, first, after = written["greedy"], written["first"], written["after"]
    sentences = sentence_texts(plain.text)
    assert first.text == sentences[0].rstrip()
    assert first.passes == first.tokens < plain.tokens
    left = sentence_texts(after.text)
    assert after.actions == {"dropped": len(sentences) - len(left)}
    assert {one.rstrip() for one in left} <= {one.rstrip() for one in sentences}
    assert after.passes == plain.passes
    assert after.flagged >= 1


def test_eq_4_always_on_writes_otherwise(written: dict[str, Outcome]) -> None:
    """It changes the caption, at a pass a token, and leaves the model as it was."""
    assert written["guided"].text != written["greedy"].text
    assert written["guided"].passes == written["guided"].tokens


def test_random_gates_act_at_their_rate(written: dict[str, Outcome]) -> None:
    """At rate 1 the first mention is acted on, at rate 0 nothing is."""
    assert sum(written["always"].actions.values()) == 1
    assert len(written["always"].mentions) < len(written["greedy"].mentions)
    assert not written["never"].actions
    assert written["never"].text == written["greedy"].text


def test_captions_are_the_same_whichever_way_is_first(
    monitor: Monitor, scenes: tuple[Subject, ...], written: dict[str, Outcome]
) -> None:
    """Turns change seconds alone; a way that is cut needs no watched way beside it."""
    ways = (Plain(), AGAIN, AFTER)
    found = Writer(monitor, Asked()).write(scenes[-1], ways, turn=1)
    assert [one.way for one in found] == [way.name for way in ways]
    for one in found:
        assert replace(one, seconds=0.0) == replace(written[one.way], seconds=0.0)


def test_a_cut_caption_has_not_ended(monitor: Monitor, scenes: tuple[Subject, ...]) -> None:
    """At the length limit it is said to be cut."""
    (found,) = Writer(monitor, Asked(max_new_tokens=5)).write(scenes[0], (Plain(),))
    assert (found.tokens, found.ended) == (5, False)


def test_an_image_that_cannot_be_read_is_an_error(
    monitor: Monitor, tmp_path: Path, scenes: tuple[Subject, ...]
) -> None:
    """It is for the trial to decide what becomes of it."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(scenes[0].path.read_bytes()[:100])
    with pytest.raises(ImageError):
        Writer(monitor, Asked()).write(Subject("x", broken, ()), (Plain(),))
