"""Several files on one page: each image's captions side by side, with what differs marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sightline.monitor.page.page import Captions, page_of
from sightline.monitor.report import Failure, Report

from ..reports import HOSTILE, made_action, made_report
from .insides import with_inside
from .visiting import Visit


def compared(folder: Path, *files: tuple[str, Sequence[Report | Failure]]) -> str:
    """The page of some files."""
    some = [Captions(records, len(records), name) for name, records in files]
    return "".join(page_of(some, base=folder))


@pytest.fixture
def text(tmp_path: Path) -> str:
    """A page of what greedy decoding and a policy say of two images, and of one each alone."""
    for name in ("1", "2"):
        Image.new("RGB", (64, 48), "white").save(tmp_path / f"{name}.png")
    dog, cat = ("dog", "dog", 0.9), ("cat", "cat", 0.02)
    stopped = made_action("A dog.", "", start=7, outcome="stopped")
    greedy: list[Report | Failure] = [
        made_report("A cat. A dog.", objects=(cat, dog), path="1.png"),
        with_inside(made_report("A cat.", objects=(cat,), path="2.png")),
        made_report("A cat.", objects=(cat,), path="3.png"),
    ]
    policy: list[Report | Failure] = [
        made_report("A small cat.", objects=(cat,), path="1.png", actions=(stopped,)),
        made_report("A cat.", objects=(cat,), path="./2.png"),
        Failure(image="4.png", error="ImageError", message="broken"),
    ]
    return compared(tmp_path, ("greedy.jsonl", greedy), (f"{HOSTILE}.jsonl", policy))


def test_a_picture_is_there_once(text: str) -> None:
    """Captions of one image share its picture."""
    assert text.count("data:image/webp") == 2


def test_captions_stand_side_by_side(browser: Any, tmp_path: Path, text: str) -> None:
    """What only the first has is struck, what only the other has is marked; each has its name."""
    size = {"width": 1400, "height": 900}
    seen = Visit(browser, tmp_path / "page.html", text, viewport=size)
    page = seen.page
    cards = page.locator(".beside")
    assert cards.nth(0).inner_text().startswith("greedy.jsonl")
    assert cards.nth(1).inner_text().startswith(f"{HOSTILE}.jsonl")
    assert cards.nth(0).locator("del, ins").count() == 0
    assert cards.nth(1).locator(".caption ins").all_inner_texts() == ["small"]
    assert "A dog" in cards.nth(1).locator(".caption del").inner_text()
    tops = [cards.nth(place).bounding_box()["y"] for place in range(2)]
    assert tops[0] == tops[1]
    assert page.locator("#detail img").count() == 1
    cards.nth(1).locator("button.mention").click()
    assert page.inner_text("#panel").startswith(f"In {HOSTILE}.jsonl")
    page.locator(".row").nth(3).click()
    assert "broken" in page.inner_text("#detail")
    assert (seen.said, seen.asked) == ([], [])


def test_each_file_has_its_row(browser: Any, tmp_path: Path, text: str) -> None:
    """Captions, objects, flags, what was done, and failures, by file."""
    page = Visit(browser, tmp_path / "page.html", text).page
    heads = page.locator(".files thead th").all_inner_texts()
    rows = [one.locator("td").all_inner_texts() for one in page.locator(".files tbody tr").all()]
    table = [dict(zip(heads[1:], row, strict=True)) for row in rows]
    assert [one["Captions"] for one in table] == ["3", "2"]
    assert [one["Objects named"] for one in table] == ["4", "2"]
    assert [one["Captions with a flag"] for one in table] == ["1 (33%)", "0 (0%)"]
    assert [one["Spans stopped"] for one in table] == ["0", "1"]
    assert [one["Images failed"] for one in table] == ["0", "1"]


def test_filters_look_at_either_file(browser: Any, tmp_path: Path, text: str) -> None:
    """What is searched for may be in any caption of an image, or in those of one file."""
    page = Visit(browser, tmp_path / "page.html", text).page

    def names() -> list[str]:
        return [str(one) for one in page.locator(".row .name").all_inner_texts()]

    assert names() == ["1.png", "2.png", "3.png", "4.png"]
    page.select_option("#object", "dog")
    assert names() == ["1.png"]
    page.select_option("#of", "1")
    assert names() == []
    page.select_option("#object", "")
    assert names() == ["1.png", "2.png", "4.png"]
    page.select_option("#of", "")
    page.select_option("#done", "differ")
    assert names() == ["1.png"]
    page.select_option("#done", "same")
    assert names() == ["2.png", "3.png", "4.png"]
    page.select_option("#done", "")
    page.select_option("#of", "0")
    page.select_option("#sort", "flags")
    assert names()[0] == "1.png"
    page.select_option("#sort", "apart")
    assert names()[0] == "1.png"


def test_a_caption_without_inside_takes_the_map_away(
    browser: Any, tmp_path: Path, text: str
) -> None:
    """Of two captions one was inspected: pointing at the other's nouns shows no stranger's map."""
    seen = Visit(browser, tmp_path / "page.html", text)
    page = seen.page
    page.locator(".row").nth(1).click()
    nouns = page.locator("#detail button.mention")
    nouns.nth(0).click()
    page.wait_for_selector("svg.profile")
    nouns.nth(1).click()
    page.wait_for_selector(".controls", state="hidden")
    assert page.locator("svg.profile, .mapped").count() == 0
    nouns.nth(0).click()
    page.wait_for_selector("svg.profile")
    assert seen.said == []


def test_files_about_different_images_are_one_list(browser: Any, tmp_path: Path) -> None:
    """Nothing is compared, and nothing is missing."""
    some = [(f"{n}.jsonl", [made_report(path=f"{n}.png")]) for n in range(3)]
    page = Visit(browser, tmp_path / "page.html", compared(tmp_path, *some)).page
    assert page.locator(".row").count() == 3
    assert page.locator(".beside").count() == 0
    assert page.locator(".files tbody tr").count() == 3
    page.select_option("#of", "2")
    assert page.inner_text(".row .name") == "2.png"
