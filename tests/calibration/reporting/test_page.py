"""The report: whole, self-contained, and inert whatever the names in it are."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from sightline.calibration.fitting.fit import fit
from sightline.calibration.reporting.account import Account, account
from sightline.calibration.reporting.figures.figure import Figure, Missing
from sightline.calibration.reporting.page import page
from sightline.detectors.certificate import Certificate

from ..tables import made_table
from .test_scoring import other

PROMISED = Certificate(
    {"act": "stop", "threshold": 0.3}, "captions", 0.15, 0.9, 700, 0.131, 0.482, 0.741, 0.762
)
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Seen(HTMLParser):
    """Tags with their attributes, and whether those that must be closed are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count it in."""
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It must close what was opened last."""
        assert self.open.pop() == tag


def rendered(found: Account) -> str:
    """The page, with a stand-in for each picture."""
    return page(found, {one.name: b"png" for one in found.figures if isinstance(one, Figure)})


@pytest.fixture(scope="module")
def found() -> Account:
    """A report on two small tables, by an artifact and two detectors."""
    table = made_table(150)
    made = fit(table, detector="heads-linear", target="recall=0.3").calibrated
    certified = made.with_certificate(PROMISED)
    return account(table, other(), ["svar", "prior"], calibrated=certified, draws=20)


def test_the_page_is_whole(found: Account) -> None:
    """Every section that is linked is there, every picture has words, all tags are closed."""
    seen = Seen(rendered(found))
    assert seen.open == []
    ids = {attributes["id"] for _, attributes in seen.tags if "id" in attributes}
    links = {str(a["href"]) for tag, a in seen.tags if tag == "a"}
    assert links == {f"#{name}" for name in ids}
    pictures = [attributes for tag, attributes in seen.tags if tag == "img"]
    assert len(pictures) == len(found.figures) == 7
    assert all(len(str(picture["alt"])) > 40 for picture in pictures)


def test_the_page_needs_nothing_else(found: Account) -> None:
    """No address but data, and the page forbids itself the rest."""
    text = rendered(found)
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    for _, attributes in Seen(text).tags:
        assert str(attributes.get("src") or "data:").startswith("data:")


def test_hostile_names_are_escaped(found: Account) -> None:
    """A model, a prompt or a reason full of markup adds no tag and no attribute."""
    on = replace(found.comparison.on, model=HOSTILE)
    info = replace(found.info, model=HOSTILE, prompt=HOSTILE, settings={HOSTILE: HOSTILE})
    hostile = replace(
        found,
        info=info,
        comparison=replace(found.comparison, on=on),
        artifact=HOSTILE,
        promise=HOSTILE,
        limits=(HOSTILE,),
        certificate=replace(PROMISED, policy={HOSTILE: [HOSTILE]}),
        figures=(Missing("one", HOSTILE, HOSTILE), *found.figures[1:]),
    )
    seen = Seen(rendered(hostile))
    tags = [tag for tag, _ in seen.tags]
    assert "script" not in tags
    assert tags.count("img") == 6
    assert not any(name.startswith("on") for _, attributes in seen.tags for name in attributes)


def test_the_artifact_is_shown_as_it_is(found: Account) -> None:
    """Its row comes first, its threshold is marked, its promise stands on the page."""
    assert found.comparison.rows[0].detector == "heads-linear (artifact)"
    assert sum(row.chosen for row in found.thresholds.rows) == 1
    assert found.promise.startswith("With 90% confidence")
    assert found.promise in rendered(found)
    assert "the artifact&#x27;s own" in rendered(found) or "artifact's own" in rendered(found)


def test_a_certified_policy_has_its_section(found: Account) -> None:
    """What is promised, what was measured, and the policy's parameters; without one, nothing."""
    text = rendered(found)
    assert str(PROMISED) in text
    for value in ("48.2%", "13.1%", "15%", "76.2%", "74.1%", "<dt>act</dt>"):
        assert value in text
    assert found.numbers()["certificate"]["level"] == 0.15
    bare = rendered(replace(found, certificate=None))
    assert "certified" not in bare
    assert "#policy" not in bare


def test_numbers_are_json(found: Account) -> None:
    """Everything behind the page, figure by figure, without a NaN."""
    known = json.loads(json.dumps(found.numbers(), allow_nan=False))
    assert set(known["figures"]) == {one.name for one in found.figures}
    assert known["figures"]["var-heads"]["numbers"]["real"][0][0] > 0
    assert known["comparison"]["rows"][0]["auroc"]["value"] > 0.5


def test_missing_evidence_leaves_a_note() -> None:
    """Without lens evidence the page says how to record it, and the rest is there."""
    table = made_table(150)
    mentions = table.mentions
    table = replace(
        table,
        mentions=replace(
            mentions,
            confidence=np.full_like(mentions.confidence, np.nan),
            contributions=np.full_like(mentions.contributions, np.nan),
        ),
    )
    found = account(table, None, ["svar", "lens"], draws=20)
    assert [m.detector for m in found.comparison.missing] == ["lens"]
    assert [f.name for f in found.figures if isinstance(f, Missing)] == ["contributions"]
    assert rendered(found).count("--lens") == 2
    assert found.main.detector == "fused"


def test_an_artifact_of_another_model_is_refused() -> None:
    """Other weights are another model; the message names both."""
    table = made_table(150)
    made = fit(table, detector="svar", target="recall=0.3").calibrated
    stranger = other()
    stranger = replace(stranger, info=replace(stranger.info, revision="f" * 40))
    with pytest.raises(ValueError, match=r"revision 0{40}.*revision f{40}"):
        account(table, stranger, ["svar"], calibrated=made)


def test_attention_that_overflowed_leaves_notes() -> None:
    """Where no attention is finite, what needs none is still shown."""
    table = made_table(150)
    masses = np.full_like(table.mentions.masses, np.nan)
    table = replace(table, mentions=replace(table.mentions, masses=masses, naming=masses))
    found = account(table, None, ["svar", "prior"], draws=20)
    assert [m.detector for m in found.comparison.missing] == ["svar"]
    missing = [f.name for f in found.figures if isinstance(f, Missing)]
    assert missing == ["var-heads", "svar", "layer-ranges", "positions"]
    assert found.main.detector == "prior"


def test_an_artifact_may_be_called_anything() -> None:
    """Its maker's name for the detector can neither break the legend nor fill it."""
    table = made_table(150)
    made = fit(table, detector="svar", target="recall=0.3").calibrated
    strange = replace(made, scorer=replace(made.scorer, name="$\\frac{" + "x" * 500 + "\x1b[31m"))
    found = account(table, other(), ["svar"], calibrated=strange, draws=20)
    assert len(found.main.detector) < 60
    assert "\x1b" not in found.main.detector
    curves = next(f for f in found.figures if f.name == "curves")
    assert isinstance(curves, Figure)
    assert curves.png()


def test_measuring_on_what_was_seen_is_marked() -> None:
    """An artifact shown on its own table says so."""
    table = made_table(150)
    made = fit(table, detector="svar", target="recall=0.3").calibrated
    found = account(table, None, ["svar"], calibrated=made, draws=20)
    assert any("calibrated on this very table" in limit for limit in found.limits)
