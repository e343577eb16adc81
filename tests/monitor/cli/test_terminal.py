"""Colours follow verdicts, and flags survive without colours."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text
from sightline.detectors.svar import LayerRange
from sightline.detectors.threshold import SvarThreshold
from sightline.monitor.cli.calibration import Cautions, introduction
from sightline.monitor.cli.terminal import CaptionView, LiveCaption, legend, summary
from sightline.monitor.events import End, Event, Mention, Token, Verdict, Word
from sightline.monitor.report import CalibrationSection, Header, LayersSection, ModelSection, fold

from ..judges import judging

TEXT = "a dog near a cat in the scene"


def _mention(index: int, word: str, *, visible: bool = True, provisional: bool = False) -> Mention:
    start = TEXT.index(word)
    end = start + len(word)
    return Mention(0, index, word, word, None, visible, start, end, index, index, provisional)


EVENTS: list[Event] = [
    Token(0, 0, 1, "a dog ", 0, 6, None),
    Word(0, 0, "dog", 2, 5, 0, 0),
    _mention(0, "dog", provisional=True),
    Token(0, 1, 2, "near a cat in the scene", 6, 29, None),
    _mention(0, "dog"),
    Verdict(0, 0, 2.0, 0.2, 0.8, False),
    _mention(1, "cat"),
    Verdict(0, 1, 0.5, 0.9, 0.8, True),
    _mention(2, "scene", visible=False),
    Verdict(0, 2, 0.4, 0.95, 0.8, False),
    End(0, TEXT, 2, "eos"),
]


def _render(events: list[Event], *, colours: bool) -> str:
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=True, no_color=not colours, color_system="standard", width=200
    )
    with LiveCaption(console) as live:
        for event in events:
            live.add(event)
    return out.getvalue()


def test_flagged_words_are_marked_without_colours() -> None:
    """NO_COLOR leaves the mark behind the word, and no colour code."""
    shown = _render(EVENTS, colours=False)
    assert "cat" in shown
    assert "[!]" in shown
    assert "\x1b[31m" not in shown
    assert "[1;31m" not in shown


def test_colours_follow_the_verdicts() -> None:
    """Flagged is red, trusted green, invisible dim; all of the text is there."""
    styles = {
        text.plain[span.start : span.end]: str(span.style)
        for text in [_text(EVENTS)]
        for span in text.spans
    }
    assert styles["dog"] == "green"
    assert styles["cat"] == "bold red underline"
    assert styles["scene"] == "dim"
    assert _text(EVENTS).plain.replace("[!]", "") == TEXT


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_caption_is_written_once(terminal: bool) -> None:
    """Longer than the screen is high, every word stands there once, in order."""
    words = [f"word{number:03}" for number in range(120)]
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, no_color=True, width=20, height=6)
    with LiveCaption(console) as live:
        for index, word in enumerate(words):
            live.add(Token(0, index, 1, word + " ", 0, 0, None))
    if terminal:
        # Redrawn lines are erased first: what was printed for good ends above the open ones.
        final = out.getvalue().split("\x1b[2K")[-1]
        assert words[-1] in final
        assert words[0] not in final
    else:
        assert out.getvalue().split() == words


def test_control_characters_are_shown_and_not_obeyed() -> None:
    """A caption cannot clear the screen or ring the bell; offsets stay what they were."""
    shown = _text([Token(0, 0, 1, "a\x1b[2Jdog\x07\x9b\n", 0, 0, None)]).plain
    assert shown == "a\N{REPLACEMENT CHARACTER}[2Jdog" + 2 * "\N{REPLACEMENT CHARACTER}" + "\n"


def test_provisional_nouns_are_italic() -> None:
    """Before its verdict a noun is only hinted at."""
    (span,) = _text(EVENTS[:3]).spans
    assert str(span.style) == "italic"


def test_what_stayed_provisional_was_no_noun() -> None:
    """At the end of the caption, hints that were not confirmed are gone."""
    assert not _text([*EVENTS[:3], End(0, "a dog ", 1, "length")]).spans


def test_a_longer_name_overtakes_a_provisional_one() -> None:
    """Overlapping spans are shown once, and no letter twice."""
    events: list[Event] = [
        Token(0, 0, 1, "hot dog", 0, 7, None),
        Mention(0, 0, "hot dog", "hot dog", "hot dog", True, 0, 7, 0, 0, False),
        Mention(0, 1, "dog", "dog", "dog", True, 4, 7, 0, 0, True),
    ]
    assert _text(events).plain == "hot dog"


def _text(events: list[Event]) -> Text:
    view = CaptionView()
    for event in events:
        view.add(event)
    return view.__rich__()


def _probable(index: int, word: str, probability: float, *, flagged: bool = False) -> list[Event]:
    """A mention of an object and its verdict, under a calibration with a threshold of 0.9."""
    mention = replace(_mention(index, word), object=word)
    return [mention, Verdict(0, index, 1.0, probability, 0.9, flagged, probability, -2.0, 1.0)]


PROBABLE: list[Event] = [
    Token(0, 0, 1, "a dog near a cat in the scene", 0, 29, None),
    *_probable(0, "dog", 0.1),
    *_probable(1, "near", 0.3),
    *_probable(2, "cat", 0.6),
    *_probable(3, "scene", 0.95, flagged=True),
]


def test_colours_follow_the_probability() -> None:
    """Green, yellow, red as it rises; flagged is marked; other nouns are not judged."""
    shown = _text(PROBABLE)
    styles = {shown.plain[span.start : span.end]: str(span.style) for span in shown.spans}
    assert styles["dog"] == "green"
    assert styles["near"] == "yellow"
    assert styles["cat"] == "red"
    assert styles["scene"] == "bold red underline"
    assert shown.plain.count("[!]") == 1
    noun = [PROBABLE[0], _mention(0, "dog"), PROBABLE[2]]
    (span,) = _text(noun).spans
    assert str(span.style) == "dim"


def test_the_summary_names_the_most_likely_made_up() -> None:
    """With probabilities the table shows the highest, and not the lowest SVAR."""
    header = Header(
        model=ModelSection(name="m", architecture="M", dtype="float32", device="cpu"),
        prompt="p",
        image_tokens=4,
        layers=LayersSection(first=0, last=1, source="user"),
        calibration=CalibrationSection(name="c", threshold=0.9, kind="calibrated"),
    )
    console = Console(file=io.StringIO(), record=True, width=120)
    console.print(summary([("a.png", fold(header, PROBABLE))]))
    console.print(legend("calibrated"))
    shown = console.export_text()
    assert "scene 95%" in shown
    assert "lowest SVAR" not in shown
    assert "< 20%" in shown


def test_every_caution_is_said_once() -> None:
    """What holds for all captions is not repeated for each."""
    cautions = Cautions()
    assert [text.plain for text in cautions.new(["One.", "Two."])] == ["Note: One.", "Note: Two."]
    assert [text.plain for text in cautions.new(["Two.", "Three."])] == ["Note: Three."]


def test_a_calibration_is_introduced() -> None:
    """Its name, its kind, and its promise, or that there is none."""
    promise = introduction(judging()).plain
    assert promise.startswith("Judged by judge (calibrated). With 90% confidence")
    assert "promises nothing" in introduction(judging(guarantee=None)).plain
    chosen = SvarThreshold(1.0, LayerRange(1, 3, "user"), name="mine")
    assert introduction(chosen).plain.strip() == "Judged by mine (provisional)."


@pytest.mark.parametrize("calibrated", [True, False])
def test_the_summary_tells_flagged_from_uncalibrated(calibrated: bool) -> None:
    """An empty list of flags says "none" only where something could have been flagged."""
    header = Header(
        model=ModelSection(name="m", architecture="M", dtype="float32", device="cpu"),
        prompt="p",
        image_tokens=4,
        layers=LayersSection(first=0, last=1, source="user"),
        calibration=CalibrationSection(name="c", threshold=0.8) if calibrated else "uncalibrated",
    )
    report = fold(header, EVENTS[:6] if calibrated else EVENTS[:5])
    console = Console(file=io.StringIO(), record=True, width=120)
    console.print(summary([("a.png", report)]))
    console.print(legend("provisional" if calibrated else None))
    shown = console.export_text()
    assert ("none" in shown) is calibrated
    assert ("uncalibrated" in shown) is not calibrated
