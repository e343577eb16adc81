"""Questions on scenes in the formats of POPE and AMBER: true, balanced, readable by both."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sightline.calibration.benchmarks.amberdata import AmberData, Fact, Picture, load_queries
from sightline.calibration.benchmarks.questions import load_splits
from sightline.calibration.scenes.amber import relation, word_of
from sightline.calibration.scenes.catalogue import TYPES
from sightline.calibration.scenes.cli import scenes as command
from sightline.calibration.scenes.coco import export
from sightline.calibration.scenes.known import KnownScene, known_scenes
from sightline.calibration.scenes.polling import PER_IMAGE, with_article
from sightline.calibration.scenes.seeds import seeds


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered scenes with both kinds of questions."""
    folder = tmp_path_factory.mktemp("questions")
    export(seeds("development", 20, start=7_100), folder / "scenes")
    for name in ("pope", "amber"):
        given = [name, str(folder / "scenes"), "--out", str(folder / name)]
        done = CliRunner().invoke(command, given)
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(name="known", scope="module")
def _known(folder: Path) -> dict[str, KnownScene]:
    return {scene.file: scene for scene in known_scenes(folder / "scenes")}


def test_pope_is_true_and_balanced(folder: Path, known: dict[str, KnownScene]) -> None:
    """Yes to what is seen, no to what was never placed; as many of either, on every image."""
    splits = load_splits(sorted((folder / "pope").glob("*.json")))
    assert [split.name for split in splits] == ["adversarial", "popular", "random"]
    objects = {f"Is there {with_article(name)} in the image?": name for name in TYPES}
    for split in splits:
        labels = Counter(question.truth for question in split.questions)
        assert labels["yes"] == labels["no"]
        assert {question.image for question in split.questions} == set(known)
        assert max(Counter(q.image for q in split.questions).values()) == 2 * PER_IMAGE
        for question in split.questions:
            scene, name = known[question.image], objects[question.text]
            assert (name in scene.there) == (question.truth == "yes")
            assert (name in scene.placed) == (question.truth == "yes")


def test_pope_gets_harder(folder: Path, known: dict[str, KnownScene]) -> None:
    """What is asked about with no fits the image better from split to split."""
    frequent = Counter(name for scene in known.values() for name in scene.there)
    fit: dict[str, float] = {}
    for split in load_splits(sorted((folder / "pope").glob("*.json"))):
        absent = [q.text for q in split.questions if q.truth == "no"]
        names = [next(n for n in TYPES if f" {with_article(n)} in" in text) for text in absent]
        fit[split.name] = sum(frequent[name] for name in names) / len(names)
    assert fit["random"] < fit["adversarial"] < fit["popular"]


def test_amber_is_readable_and_true(folder: Path, known: dict[str, KnownScene]) -> None:
    """Descriptions have what is there and what one would expect; questions have exact answers."""
    data = AmberData.load(folder / "amber")
    words = {word_of(name): name for name in TYPES}
    kinds: Counter[str] = Counter()
    for query in load_queries(folder / "amber", "a"):
        scene, about = known[query.image], data.annotation(query.number)
        if isinstance(about, Picture):
            assert {words[word] for word in about.truth} == set(scene.there)
            assert not {words[word] for word in about.hallu} & scene.placed.keys()
            assert about.hallu
        else:
            assert isinstance(about, Fact)
            kinds[f"{about.kind} {about.truth}"] += 1
            _check(query.text, about, scene)
    assert kinds["existence no"] > 40
    assert not any(kind.startswith(("existence yes", "action")) for kind in kinds)
    for kind in ("state", "number", "relation"):
        assert kinds[f"{kind} yes"] == kinds[f"{kind} no"] > 0


def _check(text: str, fact: Fact, scene: KnownScene) -> None:
    """Hold a question's answer against the scene."""
    said = text.removesuffix(" in this image?").split()
    yes = fact.truth == "yes"
    if fact.kind == "existence":
        assert " ".join(said[3:]) not in scene.placed
    elif fact.kind == "state":
        one = next(o for o in scene.objects if o.type == " ".join(said[2:-1]))
        assert (one.colour == said[-1]) == yes
    elif fact.kind == "number":
        name = next(t.name for t in TYPES.values() if t.plural == " ".join(said[3:]))
        assert (("no", "one", "two", "three", "four").index(said[2]) == scene.count(name)) == yes
    else:
        left, right = (part.strip() for part in " ".join(said[2:]).split("to the left of the"))
        place = {o.type: o for o in scene.objects}
        assert (place[left].right <= place[right].left) == yes


def test_every_object_has_a_word_of_its_own() -> None:
    """AMBER compares single words: none may stand for two objects, and none is lost."""
    found = relation()
    assert len(found) == len(TYPES)
    assert found["palm"] == ["tree"]
    assert found["television"] == ["TV"]
    assert found["person"] == ["people"]
    assert "light" in found


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    """Only folders of rendered scenes have an exact truth."""
    (tmp_path / "instances.json").write_text(json.dumps({"images": [{"id": 1}], "annotations": []}))
    for name in ("pope", "amber"):
        given: list[Any] = [name, str(tmp_path), "--out", str(tmp_path / "out")]
        done = CliRunner().invoke(command, given)
        assert done.exit_code == 1
        assert "sightline scenes render made" in done.stderr
