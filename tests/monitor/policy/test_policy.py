"""Policies as values, and the state machine behind them, without a model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sightline.monitor.events import Mention, Word
from sightline.monitor.language.words import split_words
from sightline.monitor.policy import AVOID, PRESETS, Intervention, Policy
from sightline.monitor.policy.deliberation import Deliberation, Failed, Redo, Settle, collapsed
from sightline.monitor.policy.spans import Sentences, span_start

LOOK = Intervention(alpha=2.0)


@pytest.mark.parametrize(
    "policy",
    [*PRESETS.values(), Policy(tries=(LOOK, AVOID), threshold=0.4, more=1)],
    ids=str,
)
def test_a_policy_survives_json(policy: Policy) -> None:
    """What a report says of a policy is enough to make it again."""
    assert Policy.from_json(json.loads(json.dumps(policy.to_json()))) == policy


@pytest.mark.parametrize("layers", [(2, 5), "published"])
def test_layers_survive_json(layers: Any) -> None:
    """A layer range comes back as the pair it was, and a word as a word."""
    look = Intervention(alpha=1.5, layers=layers, contrast=0.5)
    policy = Policy(tries=(look, AVOID))
    assert Policy.from_json(json.loads(json.dumps(policy.to_json()))) == policy


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"act": "delete"}, "act must be one of observe"),
        ({"back_to": "page"}, "back_to must be one of noun"),
        ({"otherwise": "redecode"}, "otherwise must be one of keep"),
        ({"release": "noun"}, "release must be one of phrase, sentence"),
        ({"max_tries": -1}, "max_tries must be at least 0, was: -1"),
        ({"budget": -2}, "budget must be at least 0, was: -2"),
        ({"more": -1}, "more must be at least 0"),
        ({"tries": ()}, "tries must name an intervention"),
        ({"threshold": float("nan")}, "threshold must be a number"),
        ({"tries": (LOOK, Intervention(alpha=1, layers=(0, 3)))}, "the same layers"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(values: dict[str, Any], says: str) -> None:
    """The message states the rule and the value seen."""
    with pytest.raises(ValueError, match=says):
        Policy(**values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "must change something"),
        ({"alpha": -1.0}, "at least 0, was: -1.0"),
        ({"alpha": float("inf")}, "finite"),
        ({"contrast": -0.5}, "contrast must be finite and at least 0, was: -0.5"),
        ({"alpha": 1.0, "layers": (4, 2)}, "a first and a last one"),
        ({"alpha": 1.0, "layers": "all"}, "or 'published', was: 'all'"),
    ],
)
def test_an_intervention_that_makes_no_sense_is_refused(values: dict[str, Any], says: str) -> None:
    """Nothing to do and numbers out of range are errors of the caller."""
    with pytest.raises(ValueError, match=says):
        Intervention(**values)


def test_unknown_presets_and_parameters_are_refused() -> None:
    """The names that would do are in the message."""
    with pytest.raises(ValueError, match="one of observe, flag, redecode, drop, stop"):
        Policy.of("rewrite")
    with pytest.raises(ValueError, match="cannot be read"):
        Policy.from_json({"act": "stop", "retries": 3})


def test_interventions_read_as_text() -> None:
    """What reports say of them."""
    assert str(AVOID) == "avoid"
    assert str(LOOK) == "attention x2"
    assert str(Intervention(alpha=0.5, layers=(5, 18), avoid=True)) == (
        "attention x0.5 in layers 5-18 + avoid"
    )
    published = Intervention(alpha=0.5, layers="published")
    assert str(published) == "attention x0.5 in the published layers"
    assert str(Intervention(contrast=1.0)) == "contrast x1"
    both = Intervention(alpha=2.0, contrast=0.5, avoid=True)
    assert str(both) == "attention x2 + contrast x0.5 + avoid"


def moves(policy: Policy, *failures: Failed) -> list[str]:
    """What a policy does as one attempt after the other fails."""
    deliberation = Deliberation(policy)
    move = deliberation.first(affordable=True)
    found = [_name(move)]
    for why in failures:
        assert isinstance(move, Redo)
        move = deliberation.failed(why, affordable=True)
        found.append(_name(move))
    return found


def _name(move: Redo | Settle) -> str:
    return str(move.intervention) if isinstance(move, Redo) else move.outcome


def test_tries_come_in_order_and_the_last_again() -> None:
    """Until as many were tried as the policy allows."""
    policy = Policy(tries=(LOOK, AVOID), max_tries=4)
    assert moves(policy, "flagged", "flagged", "flagged", "flagged") == [
        "attention x2",
        "avoid",
        "avoid",
        "avoid",
        "stopped",
    ]


@pytest.mark.parametrize("otherwise", ["keep", "drop", "stop"])
def test_what_happens_where_nothing_passes(otherwise: Any) -> None:
    """The outcome is the one that the policy names."""
    policy = Policy(max_tries=1, otherwise=otherwise)
    outcome = {"keep": "kept", "drop": "dropped", "stop": "stopped"}[otherwise]
    assert moves(policy, "flagged") == ["avoid", outcome]


def test_stop_and_drop_try_nothing() -> None:
    """They settle a flag at once."""
    assert moves(Policy(act="stop")) == ["stopped"]
    assert moves(Policy(act="drop")) == ["dropped"]


def test_without_a_budget_nothing_is_decoded_again() -> None:
    """A sentence that may not be replaced is not dropped either, which would cost as much."""
    for policy in (Policy(act="drop"), Policy(otherwise="drop"), Policy(otherwise="stop")):
        move = Deliberation(policy).first(affordable=False)
        assert isinstance(move, Settle)
        assert move.outcome == "stopped"
    kept = Deliberation(Policy(otherwise="keep")).first(affordable=False)
    assert isinstance(kept, Settle)
    assert kept.outcome == "kept"


def test_a_budget_that_runs_out_ends_the_tries() -> None:
    """Although tries are left."""
    assert moves(Policy(max_tries=5), "budget") == ["avoid", "stopped"]


def test_alpha_is_lowered_after_a_collapse() -> None:
    """To half of what collapsed; a strength that was tried is not tried again."""
    policy = Policy(tries=(LOOK, Intervention(alpha=3.0), AVOID), max_tries=5)
    assert moves(policy, "collapsed", "flagged") == ["attention x2", "attention x1", "avoid"]
    again = Policy(tries=(LOOK, Intervention(alpha=1.0), Intervention(alpha=3.0)), max_tries=3)
    assert moves(again, "collapsed", "flagged") == ["attention x2", "attention x1", "stopped"]


def test_a_contrast_is_lowered_after_a_collapse() -> None:
    """As alpha is, each for itself."""
    strong = Intervention(contrast=2.0)
    policy = Policy(tries=(strong, Intervention(contrast=4.0, alpha=3.0), AVOID), max_tries=5)
    assert moves(policy, "collapsed", "collapsed", "flagged")[:3] == [
        "contrast x2",
        "attention x3 + contrast x1",
        "avoid",
    ]


def test_an_error_keeps_the_original() -> None:
    """Whatever the policy says should happen otherwise."""
    assert moves(Policy(otherwise="stop"), "error") == ["avoid", "kept"]


@pytest.mark.parametrize(
    ("tokens", "before", "verdict"),
    [
        ([1, 2, 3, 4, 5], 5, False),
        ([1, 7, 7, 7], 5, False),
        ([1, 7, 7, 7, 7], 5, True),
        ([1, 2, 3, 4] * 3, 5, True),
        ([1, 2, 3, 9] * 2, 5, False),
        (list(range(64)), 5, False),
        (list(range(65)), 5, True),
        (list(range(90)), 30, False),
    ],
)
def test_repetition_and_endlessness_count_as_collapse(
    tokens: list[int], before: int, verdict: bool
) -> None:
    """One token four times on end, four in a row three times, or far longer than the original."""
    assert collapsed(tokens, before=before) is verdict


def placed(text: str) -> list[Word]:
    """The words of a text, each a token of its own."""
    return [Word(0, i, w.text, w.start, w.end, i, i) for i, w in enumerate(split_words(text))]


def read(text: str) -> Sentences:
    """The sentences of a text whose words are its tokens."""
    sentences = Sentences()
    for word in placed(text):
        sentences.word(word)
    return sentences


def test_sentences_are_found_by_their_tokens() -> None:
    """Each token knows where its sentence begins and, once it is over, ends."""
    sentences = read("A dog sits. It is 3.5 m long! A cat")
    assert [sentences.start(token) for token in range(12)] == [0] * 4 + [4] * 6 + [10] * 2
    assert sentences.end(2) == 4
    assert sentences.end(4) == 10
    assert sentences.end(11) is None
    assert sentences.latest == 10


def test_quotes_and_paragraphs_end_sentences_as_for_nouns() -> None:
    """What closes after a full stop belongs before it; a paragraph needs no full stop."""
    assert read('It says "stop." A cat').start(5) == 0
    assert read('It says "stop." A cat').start(6) == 6
    assert read("Objects\n\nA cat").start(1) == 1


def test_sentences_survive_a_cut() -> None:
    """The boundary at the cut stays, also when the words before it come again."""
    words, sentences = placed("A dog sits. It runs. It"), read("A dog sits. It runs. It")
    cut = sentences.upto(4)
    assert cut.end(0) == 4
    assert cut.latest == 4
    cut.word(words[3])
    cut.word(words[4])
    assert cut.latest == 4
    assert sentences.latest == 7


@pytest.mark.parametrize(
    ("back_to", "start"), [("noun", 10), ("phrase", 8), ("clause", 6), ("sentence", 3)]
)
def test_how_far_back_writing_again_begins(back_to: Any, start: int) -> None:
    """To the noun, its determiner, the word that opens its clause, or the sentence."""
    words = placed("A dog. It sits here and near the red bench")
    noun = words[10]
    assert noun.text == "bench"
    mention = Mention(0, 1, "bench", "bench", "bench", True, noun.start, noun.end, 10, 10, False)
    assert span_start(words, mention, back_to, sentence=3) == start


@pytest.mark.parametrize(("back_to", "start"), [("phrase", 2), ("clause", 0)])
def test_without_an_opening_word_there_is_a_default(back_to: Any, start: int) -> None:
    """The noun alone is a phrase, the sentence one clause."""
    words = placed("It sees birds")
    noun = words[2]
    mention = Mention(0, 0, "birds", "bird", "bird", True, noun.start, noun.end, 2, 2, False)
    assert span_start(words, mention, back_to, sentence=0) == start


def test_as_many_sentences_are_dropped_as_the_policy_allows() -> None:
    """Then the caption ends."""
    for dropped, outcome in ((0, "dropped"), (1, "dropped"), (2, "stopped")):
        move = Deliberation(Policy(act="drop", max_tries=2)).first(affordable=True, dropped=dropped)
        assert isinstance(move, Settle)
        assert move.outcome == outcome


def test_what_cannot_be_ended_is_tried_once_more_and_then_kept() -> None:
    """The state machine: a drop or stop may write on, a failed re-decode may not."""
    stop = Deliberation(Policy(act="stop"))
    assert isinstance(stop.first(affordable=True), Settle)
    assert stop.unclosed(affordable=True) == Redo(AVOID)
    again = stop.failed("flagged", affordable=True)
    assert isinstance(again, Settle)
    assert again.outcome == "kept"
    poor = Deliberation(Policy(act="stop")).unclosed(affordable=False)
    assert isinstance(poor, Settle)
    assert poor.outcome == "kept"
    assert isinstance(Deliberation(Policy()).unclosed(affordable=True), Settle)
