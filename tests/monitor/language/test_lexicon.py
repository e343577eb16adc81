"""Which words name which object, and the files that say so."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
from sightline.monitor.language.inflection import irregular_singular, plurals
from sightline.monitor.language.lexicon import FORMAT, Lexicon, LexiconError
from sightline.monitor.language.words import split_words

SYNONYMS = Path(__file__).parents[4] / "shared" / "data" / "real_captions" / "coco_synonyms.txt"


@pytest.fixture(scope="module")
def coco() -> Lexicon:
    return Lexicon.load("coco")


def _write(folder: Path, **data: object) -> Path:
    path = folder / "own.json"
    path.write_text(json.dumps({"format": FORMAT, **data}), encoding="utf-8")
    return path


def test_coco_has_its_eighty_objects_and_their_inflections(coco: Lexicon) -> None:
    """The packaged COCO lexicon is complete, inflected, and says where it comes from."""
    assert len(coco.objects) == 80
    assert coco.forms["women"] == "person"
    assert coco.forms["wine glasses"] == "wine glass"
    assert coco.forms["remote controls"] == "remote"
    assert coco.lemma("Traffic  Lights") == "traffic light"
    assert coco.lemma("knives") == "knife"
    assert coco.lemma("pizza") == "pizza"
    assert "train track" in coco.exceptions
    assert {"image", "background", "group", "time"} <= coco.invisible
    assert "orange" in coco.ambiguous
    assert "BSD 2-Clause" in coco.source


def test_names_of_one_word_need_no_matcher(coco: Lexicon) -> None:
    """A first word and what may follow it tell as the matcher tells, for every name there is."""
    finder = coco.phrases
    for form in (*coco.forms, *coco.exceptions):
        words = [word.text for word in split_words(form.title())]
        name = None if form in coco.exceptions else coco.forms[form]
        assert finder.at_start(words) == (len(words), name)
        assert finder.at_start([*words, "quietly"]) == (len(words), name)
        if len(words) > 1:
            alone = (1, coco.forms[words[0].lower()]) if words[0].lower() in coco.forms else None
            assert finder.at_start(words[:1]) == alone
    assert finder.at_start(["quietly", "dog"]) is None


def test_no_lexicon_object_is_called_invisible(coco: Lexicon) -> None:
    """The curated list of invisible nouns takes no object of COCO away."""
    assert not coco.invisible & set(coco.forms)


def test_every_packaged_lexicon_loads() -> None:
    """Whatever lies in the package's lexicon folder can be read under its name."""
    folder = resources.files("sightline.monitor") / "data" / "lexicon"
    names = {Path(file.name).stem for file in folder.iterdir()} - {"defaults"}
    assert "coco" in names
    for name in names:
        assert Lexicon.load(name).name == name


def test_a_users_json_file_replaces_it(tmp_path: Path) -> None:
    """A JSON lexicon is used as written: names, lemmas, exceptions and its own lists."""
    path = _write(
        tmp_path,
        objects={"Wine Glass": ["goblet", "goblets"], "knife": ["knives"]},
        lemmas={"goblets": "goblet"},
        exceptions=["knife block"],
        ambiguous=[],
        invisible=["picture"],
    )
    lexicon = Lexicon.load(path)
    assert lexicon.objects == {
        "wine glass": ("wine glass", "goblet", "goblets"),
        "knife": ("knife", "knives"),
    }
    assert "wine glasses" not in lexicon.forms
    assert lexicon.exceptions == {"knife block"}
    assert lexicon.invisible == {"picture"}
    assert lexicon.ambiguous == frozenset()


def test_missing_lists_fall_back_on_the_packaged_ones(tmp_path: Path, coco: Lexicon) -> None:
    """A file without the optional lists gets the project's own."""
    lexicon = Lexicon.load(_write(tmp_path, objects={"cat": []}, ambiguous=["cat"]))
    assert lexicon.invisible == coco.invisible
    assert lexicon.ambiguous == {"cat"}


def test_a_plain_text_file_is_inflected_once(tmp_path: Path) -> None:
    """One object a line, canonical first; plurals are added, and saving gives the same lexicon."""
    path = tmp_path / "zoo.txt"
    path.write_text("# animals\n\nmouse, house mouse\nwolf\nbus stop,  stop\n", encoding="utf-8")
    lexicon = Lexicon.load(path)
    assert lexicon.name == "zoo"
    assert set(lexicon.objects["mouse"]) == {"mouse", "house mouse", "mice", "house mice"}
    assert lexicon.lemma("house mice") == "house mouse"
    assert lexicon.forms["bus stops"] == "bus stop"
    lexicon.save(tmp_path / "zoo.json")
    assert Lexicon.load(tmp_path / "zoo.json") == lexicon


@pytest.mark.skipif(not SYNONYMS.exists(), reason="the shared COCO synonyms are not at hand")
def test_the_published_synonyms_are_all_there(coco: Lexicon) -> None:
    """Every name of the published synonym list is a form of the same object."""
    published = Lexicon.load(SYNONYMS)
    assert list(published.objects) == list(coco.objects)
    assert published.forms.items() <= coco.forms.items()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": "other-1", "objects": {"cat": []}}', "the format is 'other-1'"),
        ('["cat"]', "the format is 'list'"),
        ("{", "not valid JSON"),
        (f'{{"format": "{FORMAT}", "objects": {{"cat": "cats"}}}}', "list of strings"),
        (f'{{"format": "{FORMAT}", "objects": {{"cat": [""]}}}}', "must not be empty"),
        (f'{{"format": "{FORMAT}", "objects": {{}}}}', "at least one object"),
        (f'{{"format": "{FORMAT}", "objects": {{"a": ["x"], "b": ["X"]}}}}', "'x' is listed under"),
        (f'{{"format": "{FORMAT}", "objects": {{"cat": [], "Cat": []}}}}', "'cat' is there twice"),
        (f'{{"format": "{FORMAT}", "objects": {{"cat": [], "cat": []}}}}', "'cat' is there twice"),
        (f'{{"format": "{FORMAT}", "objects": {{"a": []}}, "exceptions": ["a"]}}', "exception"),
        (f'{{"format": "{FORMAT}", "objects": {{"a": []}}, "invisible": "b"}}', '"invisible"'),
        (f'{{"format": "{FORMAT}", "objects": {{"a": []}}, "lemmas": {{"b": 1}}}}', '"lemmas"'),
        (f'{{"format": "{FORMAT}", "objects": {{"a": []}}, "synonyms": []}}', "known keys"),
    ],
)
def test_a_faulty_json_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    """Each fault of a JSON lexicon is named, with the value seen."""
    path = tmp_path / "bad.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(LexiconError, match=message):
        Lexicon.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("cat, , kitten\n", "line 1 has an empty"),
        ("cat\ndog\ncat\n", "again in line 3"),
        ("cat, pet\ndog, pet\n", "'pet' is listed under"),
        ('{"objects": {}}', "suffix .json"),
        ("cat\tdog\n", "separated by commas"),
        ("", "at least one object"),
    ],
)
def test_a_faulty_text_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    """Each fault of a plain-text lexicon is named, with its line."""
    path = tmp_path / "bad.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(LexiconError, match=message):
        Lexicon.load(path)


def test_a_missing_a_binary_and_an_unknown_file_are_refused(tmp_path: Path) -> None:
    """A name that is neither packaged nor a readable text file says what may be given."""
    with pytest.raises(LexiconError, match="one of coco, small or the path"):
        Lexicon.load("cocoo")
    (tmp_path / "cats.yaml").write_text("cat: [cats]", encoding="utf-8")
    with pytest.raises(LexiconError, match=r"ends in \.json or \.txt"):
        Lexicon.load(tmp_path / "cats.yaml")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(LexiconError, match="could not be read"):
        Lexicon.load(tmp_path / "image.png")


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("dog", "dogs"),
        ("bus", "buses"),
        ("bench", "benches"),
        ("baby", "babies"),
        ("toy", "toys"),
        ("sandwich board", "sandwich boards"),
        ("policeman", "policemen"),
        ("person", "people"),
        ("potato", "potatoes"),
        ("scissors", ""),
        ("children", ""),
        ("people", ""),
    ],
)
def test_plurals_follow_rules_and_their_exceptions(noun: str, expected: str) -> None:
    """Regular, irregular and missing plurals are what a dictionary says."""
    assert (plurals(noun) or ("",))[0] == expected


def test_irregular_plurals_go_back_to_their_singular() -> None:
    """Irregular plurals are known as such; other words are left alone."""
    assert irregular_singular("mice") == "mouse"
    assert irregular_singular("firemen") == "fireman"
    assert irregular_singular("dogs") is None
    assert irregular_singular("omen") is None
