"""The page: whole, self-contained, and harmless whatever captions say; looked at in a browser."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sightline.monitor.page.thumbnails import thumbnail
from sightline.monitor.report import Failure, Report

from ..reports import HOSTILE, made_action, made_report
from .visiting import Visit, write


class _Reader(HTMLParser):
    """Every tag with its attributes, and what stands in each script."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str, str]] = []
        self._kind: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._kind = dict(attrs).get("class") or "code"

    def handle_data(self, data: str) -> None:
        if self._kind is not None:
            self.scripts.append((self._kind, data))
            self._kind = None


def hostile() -> list[Report | Failure]:
    """Captions, labels and file names that would like to be HTML."""
    quoted = "\"'></script><script>alert(2)</script>\u2028"
    return [
        made_report(f"{HOSTILE} a cat.", objects=(("cat", HOSTILE, 0.9),), path=f"{HOSTILE}.png"),
        made_report(f"A {quoted} cat.", objects=(("cat", quoted, 0.1),), path=quoted),
        Failure(image=HOSTILE, error="ImageError", message=quoted),
    ]


def test_page_loads_nothing_and_holds_everything(tmp_path: Path) -> None:
    """No address but data:, no tag that fetches; reports and pictures are inside."""
    Image.new("RGB", (64, 48), "red").save(tmp_path / "42.png")
    text = write(tmp_path, [made_report(path="42.png"), made_report(path="gone.png")])
    reader = _Reader()
    reader.feed(text)
    assert not {tag for tag, _ in reader.tags} & {"link", "iframe", "object", "embed", "base"}
    assert not [name for _, names in reader.tags for name in names if name in ("src", "href")]
    # The name of SVG's elements looks like an address and is none.
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    data = {kind: json.loads(what) for kind, what in reader.scripts if kind != "code"}
    assert [one["text"] for one in data["entries"]] == ["A cat and a dog."] * 2
    assert data["pictures"][0].startswith("data:image/webp;base64,")
    assert data["pictures"][1] is None
    assert len(data["abouts"]) == 1


def test_page_keeps_text_text(tmp_path: Path) -> None:
    """Hostile captions, labels and paths add no tag and end no script."""
    plain, bad = _Reader(), _Reader()
    plain.feed(write(tmp_path, [made_report(), made_report(), made_report()]))
    bad.feed(write(tmp_path, hostile(), title=HOSTILE))
    assert [tag for tag, _ in bad.tags] == [tag for tag, _ in plain.tags]
    read = [json.loads(what) for kind, what in bad.scripts if kind == "entries"]
    assert read[0][0]["text"] == f"{HOSTILE} a cat."


def test_page_allows_only_its_own_script(tmp_path: Path) -> None:
    """The content policy names the script by hash and nothing else."""
    text = write(tmp_path, [made_report()])
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/=]+';", policy)
    assert "unsafe-eval" not in policy


def test_thumbnail_is_small_and_survives_a_lost_file(tmp_path: Path) -> None:
    """The longer side is at most what was asked for; no file, no picture, no error."""
    Image.new("RGB", (900, 300), "blue").save(tmp_path / "wide.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    address = thumbnail(tmp_path / "wide.png", side=90)
    assert address is not None
    assert len(address) < 500
    assert thumbnail(tmp_path / "broken.png") is None
    assert thumbnail(tmp_path / "gone.png") is None


# --- in a browser -------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1400])
def test_browser_shows_it_at_every_width(
    browser: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    """No console message, no request, and nothing wider than the window."""
    records: list[Report | Failure] = [made_report(), *hostile()]
    size = {"width": width, "height": 800}
    text = write(tmp_path, records)
    visit = Visit(browser, tmp_path / "page.html", text, viewport=size, color_scheme=scheme)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    assert (visit.said, visit.asked) == ([], [])


def test_browser_shows_hostile_text_as_text(browser: Any, tmp_path: Path) -> None:
    """Nothing of a hostile caption, label or path becomes an element; all of it can be read."""
    visit = Visit(browser, tmp_path / "page.html", write(tmp_path, hostile(), title=HOSTILE))
    assert HOSTILE in visit.page.inner_text("h1")
    for place in range(3):
        visit.page.locator(".row").nth(place).click()
        assert visit.page.locator("#detail img[src='x'], #detail script").count() == 0
    visit.page.locator(".row").first.click()
    assert HOSTILE in visit.page.inner_text(".caption")
    visit.page.locator(".mention").first.click()
    assert HOSTILE in visit.page.inner_text("#panel")
    assert visit.said == []


def test_browser_filters_and_sorts(browser: Any, tmp_path: Path) -> None:
    """Search, object, outcome and probability narrow the list; sorting orders it."""
    records: list[Report | Failure] = [
        made_report("A cat.", objects=(("cat", "cat", 0.1),), path="1.png"),
        made_report("A cow.", objects=(("cow", "cow", 0.7),), path="2.png"),
        made_report("A bird.", objects=(("bird", "bird", 0.95),), path="3.png"),
        Failure(image="4.png", error="ImageError", message="broken"),
    ]
    page = Visit(browser, tmp_path / "page.html", write(tmp_path, records)).page

    def names() -> list[str]:
        return [str(one) for one in page.locator(".row .name").all_inner_texts()]

    page.select_option("#sort", "suspicion")
    assert names() == ["3.png", "2.png", "1.png", "4.png"]
    page.select_option("#done", "flagged")
    assert names() == ["3.png", "2.png"]
    page.locator("#least").fill("90")
    assert names() == ["3.png"]
    page.locator("#least").fill("0")
    page.select_option("#done", "failed")
    assert names() == ["4.png"]
    page.select_option("#done", "")
    page.fill("#search", "COW")
    assert names() == ["2.png"]
    page.fill("#search", "")
    page.select_option("#object", "cat")
    assert names() == ["1.png"]


def test_browser_shows_what_was_measured_and_done(browser: Any, tmp_path: Path) -> None:
    """Choosing an object shows its numbers; what was replaced is struck, what came is marked."""
    action = made_action("A dog.", "A cow.", start=7)
    objects = (("cat", "cat", 0.02), ("cow", "cow", 0.125))
    report = made_report("A cat. A cow.", objects=objects, actions=(action,))
    page = Visit(browser, tmp_path / "page.html", write(tmp_path, [report])).page
    assert page.locator(".browse").is_hidden()
    assert "A dog." in page.inner_text(".caption del")
    assert "cow" in page.inner_text(".caption ins")
    page.keyboard.press("n")
    page.keyboard.press("n")
    panel = page.inner_text("#panel")
    assert "cow" in panel
    assert "13%" in panel
    bar = page.locator("#panel .bar")
    wide = bar.locator("i").bounding_box()["width"] / bar.bounding_box()["width"]
    assert wide == pytest.approx(0.125, abs=0.02)
    assert "avoid" in page.inner_text(".action")


def test_browser_is_walked_by_keyboard(browser: Any, tmp_path: Path) -> None:
    """Arrow keys and letters move the choice, and screen readers are told which it is."""
    records: list[Report | Failure] = [made_report(path=f"{n}.png") for n in range(300)]
    page = Visit(browser, tmp_path / "page.html", write(tmp_path, records)).page
    page.focus("#list")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    assert page.inner_text("h2") == "2.png"
    page.keyboard.press("End")
    assert page.inner_text("h2") == "299.png"
    active = page.get_attribute("#list", "aria-activedescendant")
    assert page.get_attribute(f"#{active}", "aria-posinset") == "300"
    assert page.locator(".row").count() < 60
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
