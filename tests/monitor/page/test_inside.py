"""The model's inside on the page: packed small, unpacked for one caption, laid over the picture."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sightline.monitor.page.inside import packed_inside
from sightline.monitor.report import Report

from ..reports import HOSTILE, made_action, made_report
from .insides import grid, with_inside
from .visiting import Visit, write

TURNED = "\u202e<b>god</b>\x07\u2028"
"""A token that would turn the text around, be HTML, ring, and end a line of a script."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the picture that made reports are about, wider than high."""
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 48), "white").save(tmp_path / "photos" / "000000000042.png")
    return tmp_path


def visit(browser: Any, folder: Path, *reports: Report, **context: Any) -> Visit:
    """The page of some reports, open."""
    return Visit(browser, folder / "page.html", write(folder, list(reports)), **context)


def colours(page: Any, *places: tuple[float, float]) -> list[tuple[int, ...]]:
    """Red, green, blue and opacity of the map at places in shares of the picture."""
    script = """(places) => {
        const canvas = document.querySelector(".stage canvas");
        const copy = new OffscreenCanvas(canvas.width, canvas.height);
        const ink = copy.getContext("2d", { willReadFrequently: true });
        ink.drawImage(canvas, 0, 0);
        return places.map(([x, y]) =>
            [...ink.getImageData(x * canvas.width, y * canvas.height, 1, 1).data]);
    }"""
    return [tuple(one) for one in page.evaluate(script, [list(one) for one in places])]


def brightness(colour: tuple[int, ...]) -> int:
    """How bright a colour is, as far as the map's scale goes."""
    return sum(colour[:3])


def choose(page: Any, place: int = 0) -> None:
    """Click a noun and wait for its map."""
    page.locator("#detail button.mention").nth(place).click()
    page.wait_for_selector("svg.profile")


def test_packed_inside_is_the_reports() -> None:
    """What is unpacked has the report's planes, of the nouns that can be looked at only."""
    report = with_inside(made_report())
    hidden = report.mentions[0].model_copy(update={"visible": False})
    packed = packed_inside(report.model_copy(update={"mentions": (hidden, report.mentions[1])}))
    assert packed is not None
    found = json.loads(gzip.decompress(base64.b64decode(packed)))
    assert list(found["mentions"]) == ["1"]
    assert report.mentions[1].inside is not None
    assert found["mentions"]["1"]["attention"]["data"] == report.mentions[1].inside.attention.data
    assert found["mentions"]["1"]["profile"] == [0.25, 0.5, None, 0.75]
    assert packed_inside(made_report()) is None


def test_a_noun_shows_where_the_model_looked(browser: Any, folder: Path) -> None:
    """The patch with most attention is brightest; other layers have other maps, by keyboard too."""
    seen = visit(browser, folder, with_inside(made_report(), bright=4))
    page = seen.page
    choose(page)
    first, looked, right = colours(page, (0.2, 0.2), (0.5, 0.75), (0.84, 0.75))
    assert brightness(looked) > brightness(first) + 200
    assert looked == right  # the mean of layers 1 and 2
    assert "20%" in page.inner_text(".scaled")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".layer output") == "0"
    assert "40%" in page.inner_text(".scaled")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    looked, right = colours(page, (0.5, 0.75), (0.84, 0.75))
    assert brightness(right) > brightness(looked) + 200
    page.locator(".layer input").focus()
    page.keyboard.press("Home")
    assert page.inner_text(".layer output") == "mean of 1 to 2, SVAR's"
    page.locator("svg.profile .column").nth(3).click()
    assert page.inner_text(".layer output") == "3"
    page.get_by_label("smooth").uncheck()
    assert len(set(colours(page, (0.34, 0.51), (0.5, 0.75), (0.66, 0.99)))) == 1
    assert (seen.said, seen.asked) == ([], [])


def test_hovering_shows_and_leaving_goes_back(browser: Any, folder: Path) -> None:
    """A noun that is pointed at is shown for as long as that; the chosen one comes back."""
    page = visit(browser, folder, with_inside(made_report())).page
    nouns = page.locator("#detail button.mention")
    nouns.nth(1).hover()
    assert page.inner_text("#panel h3").startswith("dog")
    choose(page)
    nouns.nth(1).hover()
    assert page.inner_text("#panel h3").startswith("dog")
    page.mouse.move(0, 0)
    assert page.inner_text("#panel h3") == "cat"
    nouns.nth(1).focus()
    assert page.inner_text("#panel h3").startswith("dog")


def test_patches_say_what_they_read_as(browser: Any, folder: Path) -> None:
    """By mouse and by keyboard: attention, word, probability and layer; words over the picture."""
    page = visit(browser, folder, with_inside(made_report(), bright=4)).page
    choose(page)
    box = page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.75 * box["height"])
    said = page.inner_text(".readout")
    assert "Row 2, column 2" in said
    assert "reads as dog (90%, layer 3)" in said
    page.locator(".stage").focus()
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.inner_text(".readout").startswith("Row 1, column 1")
    page.get_by_label("Picture", exact=True).check()
    assert set(colours(page, (0.5, 0.75))) == {(0, 0, 0, 0)}
    page.keyboard.press("Escape")
    page.keyboard.press("l")
    page.locator(".stage").focus()
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.get_by_label("Logit lens").is_checked()
    assert "as the first token of “cat” 2." in page.inner_text(".readout")
    assert "90%" in page.inner_text(".scaled")
    page.get_by_label("words").check()
    assert page.locator(".patchwords bdi").all_inner_texts() == ["sky"] * 4 + ["dog", "sky"]


def test_hostile_words_are_text(browser: Any, folder: Path) -> None:
    """Tokens that are HTML, that turn text around or cannot be seen are spelt out."""
    report = made_report(f"A {HOSTILE} cat.", objects=(("cat", HOSTILE, 0.9),))
    seen = visit(browser, folder, with_inside(report, words=(HOSTILE, TURNED)))
    page = seen.page
    choose(page)
    page.keyboard.press("l")
    page.get_by_label("words").check()
    words = page.locator(".patchwords bdi").all_inner_texts()
    assert words == ["U+202E<b>god</b>␇U+2028"] + [HOSTILE] * 5
    page.locator(".stage").focus()
    page.keyboard.press("ArrowRight")
    assert "<b>god</b>" in page.inner_text(".readout")
    assert page.locator("#detail b, #detail img[src='x']").count() == 1  # the attention's share
    assert seen.said == []


def test_a_layout_that_is_not_known_leaves_the_profile(browser: Any, folder: Path) -> None:
    """Without grids, or with grids of tokens that are not there, there is no map and a reason."""
    reports = [
        with_inside(made_report(path=f"{n}.png"), grids=grids)
        for n, grids in enumerate([(), (grid(1000, 3000),), (grid(2, 3, start=3),)])
    ]
    seen = visit(browser, folder, *reports)
    for place in range(3):
        seen.page.locator(".row").nth(place).click()
        choose(seen.page)
        assert "not known" in seen.page.inner_text(".controls")
        assert seen.page.locator("svg.profile").count() == 1
        assert set(colours(seen.page, (0.2, 0.2))) == {(0, 0, 0, 0)}
    assert seen.said == []


def test_without_a_lens_there_is_attention(browser: Any, folder: Path) -> None:
    """The lens cannot be chosen, by keyboard neither; without bands the chart says so."""
    seen = visit(browser, folder, with_inside(made_report(), words=None, bands=False))
    choose(seen.page)
    assert seen.page.get_by_label("Logit lens").is_disabled()
    seen.page.keyboard.press("l")
    assert seen.page.get_by_label("Attention", exact=True).is_checked()
    assert "does not say what is usual" in seen.page.inner_text("#profile")
    assert seen.said == []


def test_maps_lie_where_the_model_saw_the_picture(browser: Any, folder: Path) -> None:
    """A cropped picture is hatched where nothing saw it; a margin takes its share out of sight;
    finer patches over coarser ones add to them."""
    cropped = grid(2, 3, left=0.25, right=0.75)
    margin = grid(2, 3, top=-1.0)
    rows = tuple(
        grid(1, 3, start=6 + 3 * row, top=row / 2, bottom=(row + 1) / 2) for row in range(2)
    )
    reports = [
        with_inside(
            made_report(path="photos/000000000042.png"), bright=bright, grids=grids, tokens=t
        )
        for bright, grids, t in (
            (0, (cropped,), 6),
            (0, (margin,), 6),
            (9, (grid(1, 1), *rows), 12),
        )
    ]
    seen = visit(browser, folder, *reports)
    page = seen.page
    page.locator(".row").nth(0).click()
    choose(page)
    beside, inside = colours(page, (0.1, 0.2), (0.3, 0.2))
    assert beside[0] == beside[1] == beside[2] == 128
    assert brightness(inside) > 400
    assert "not shown to the model" in page.inner_text(".scaled")
    page.locator(".row").nth(1).click()
    choose(page)
    assert "beyond the picture" in page.inner_text(".scaled")
    page.locator(".row").nth(2).click()
    choose(page)
    upper, lower = colours(page, (0.2, 0.2), (0.2, 0.8))
    assert brightness(lower) > brightness(upper) + 200
    page.locator(".stage").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert "Row 2, column 1" in page.inner_text(".readout")
    assert seen.said == []


def test_what_redecoding_did_stands_with_the_noun(browser: Any, folder: Path) -> None:
    """A noun that was written in place of others says of which; characters beyond the first plane
    of Unicode move nothing."""
    text = "\U0001f600 A cat. A cow."
    action = {**made_action("A dog.", "A cow.", start=9), "new_score": 0.1}
    objects = (("cat", "cat", 0.02), ("cow", "cow", 0.1))
    report = with_inside(made_report(text, objects=objects, actions=(action,), path="gone.png"))
    page = visit(browser, folder, report).page
    assert page.locator("#detail button.mention").nth(1).inner_text().startswith("cow")
    assert "cow" in page.inner_text(".caption ins")
    choose(page, 1)
    said = page.inner_text("#panel .done")
    assert "Written in place of A dog." in said
    assert "from 0.9 to 0.1" in said
    assert brightness(colours(page, (0.1, 0.2))[0]) > 400  # a map where the picture is gone


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1400, "dark")])
def test_maps_fit_every_width(browser: Any, folder: Path, width: int, scheme: str) -> None:
    """Nothing is wider than the window, whichever way it is looked at."""
    size = {"width": width, "height": 800}
    report = with_inside(made_report())
    seen = visit(browser, folder, report, viewport=size, color_scheme=scheme)
    choose(seen.page)
    seen.page.get_by_label("large").check()
    seen.page.keyboard.press("Escape")
    seen.page.keyboard.press("l")
    assert seen.page.get_by_label("Logit lens").is_checked()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.said == []
