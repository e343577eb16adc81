"""Training the taggers: the treebank's files, the scores, the command."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from sightline.calibration.taggers import (
    Sentence,
    TreebankError,
    dictionary,
    evaluate,
    main,
    read_sentences,
    score,
    train,
)
from sightline.monitor.language.tagger import TagModel, TreebankTagger

TREEBANK = Path(__file__).parents[3] / "shared" / "data" / "ud_english_ewt"
TEXT = """A dog/NOUN runs/VERB ./PUNCT
The cat/NOUN sleeps/VERB ./PUNCT
Dogs/NOUN and cats/NOUN run/VERB ./PUNCT
The run/NOUN of the dog/NOUN ends/VERB ./PUNCT
"""


def _parse(text: str) -> tuple[Sentence, ...]:
    return tuple(
        tuple((word.partition("/")[0], word.partition("/")[2] or "DET") for word in line.split())
        for line in text.splitlines()
    )


SENTENCES = _parse(TEXT)


def _reduced(folder: Path) -> None:
    text = "\n\n".join("\n".join("\t".join(word) for word in words) for words in SENTENCES)
    for split in ("train", "dev", "test"):
        (folder / f"{split}.tsv.gz").write_bytes(gzip.compress(text.encode()))


def test_both_kinds_of_treebank_files_are_read(tmp_path: Path) -> None:
    """The reduced files and CoNLL-U, with its ranges, empty nodes and comments, read the same."""
    _reduced(tmp_path)
    assert read_sentences(tmp_path, "dev") == SENTENCES
    folder = tmp_path / "full"
    folder.mkdir()
    lines = ["# text = don't", "1-2\tdon't\t_\t_", "1\tdo\tdo\tAUX", "2\tn't\tnot\tPART"]
    lines += ["2.1\tgo\tgo\tVERB", ""]
    (folder / "en_ewt-ud-dev.conllu").write_text("\n".join(lines), encoding="utf-8")
    assert read_sentences(folder, "dev") == ((("do", "AUX"), ("n't", "PART")),)


def test_a_faulty_treebank_is_refused(tmp_path: Path) -> None:
    """A missing, a broken and an ill-formed file are each named."""
    with pytest.raises(TreebankError, match="has neither"):
        read_sentences(tmp_path, "train")
    (tmp_path / "train.tsv.gz").write_bytes(b"not gzip")
    with pytest.raises(TreebankError, match=r"train\.tsv\.gz"):
        read_sentences(tmp_path, "train")
    (tmp_path / "train.tsv.gz").write_bytes(gzip.compress(b"dog\tNOUN\ncat\n"))
    with pytest.raises(TreebankError, match=r"line 2 .* 'cat'"):
        read_sentences(tmp_path, "train")


def test_nouns_are_scored_common_and_proper_together() -> None:
    """Calling a common noun proper costs accuracy, not noun F1."""
    result = score(["NOUN", "PROPN", "VERB", "NOUN"], ["PROPN", "PROPN", "NOUN", "VERB"])
    assert result.accuracy == 25.0
    assert result.noun_precision == result.noun_recall == result.noun_f1 == 66.67
    assert result.common_noun_f1 == 0.0


def test_the_dictionary_holds_frequent_unambiguous_words() -> None:
    """A word needs twenty occurrences, nearly all of one tag."""
    often = ((("the", "DET"), ("run", "VERB"), ("cat", "NOUN")),) * 19
    assert dictionary(often) == {}
    once = ((("the", "DET"), ("run", "NOUN")),)
    assert dictionary(often + once) == {"the": "DET"}


def test_training_learns_and_is_reproducible() -> None:
    """The taggers learn a toy treebank, the same weights from the same seed."""
    first = train(SENTENCES * 5, SENTENCES, epochs=4, seed=3)
    provisional, confirmed = evaluate(first, SENTENCES)
    assert confirmed.noun_f1 == 100
    assert provisional.noun_f1 >= 80
    assert first.confirmed_model.sees_next
    assert not first.provisional_model.sees_next
    again = train(SENTENCES * 5, SENTENCES, epochs=4, seed=3)
    assert again.confirmed_model.to_bytes() == first.confirmed_model.to_bytes()
    assert again.provisional_model.to_bytes() == first.provisional_model.to_bytes()


def test_the_command_writes_weights_scores_and_licence(tmp_path: Path) -> None:
    """One command makes a folder that the monitor can read, and reports test once."""
    _reduced(tmp_path)
    out = tmp_path / "out"
    ran = CliRunner().invoke(main, ["--data", str(tmp_path), "--out", str(out), "--epochs", "2"])
    assert ran.exit_code == 0, ran.output
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["test"]["confirmed"]["words"] == sum(map(len, SENTENCES))
    assert "CC BY-SA 4.0" in (out / "LICENSE").read_text(encoding="utf-8")
    for name in ("provisional", "confirmed"):
        model = TagModel.from_bytes((out / f"{name}.json.gz").read_bytes())
        assert len((out / f"{name}.json.gz").read_bytes()) == results["bytes"][name]
        assert model.tag(["The", "dog"], ["DET"], ".") == "NOUN"


def test_the_command_names_what_is_missing(tmp_path: Path) -> None:
    """A folder without a treebank ends the command with a message, not a traceback."""
    ran = CliRunner().invoke(main, ["--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert ran.exit_code == 1
    assert "en_ewt-ud-train.conllu or train.tsv.gz" in ran.output
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not TREEBANK.is_dir(), reason="the shared treebank is not at hand")
def test_the_packaged_taggers_score_what_they_say() -> None:
    """The shipped scores on dev are those of the shipped weights."""
    from importlib import resources

    folder = resources.files("sightline.monitor") / "data" / "taggers"
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    provisional, confirmed = evaluate(TreebankTagger.packaged(), read_sentences(TREEBANK, "dev"))
    assert provisional.noun_f1 == results["dev"]["provisional"]["noun_f1"]
    assert confirmed.noun_f1 == results["dev"]["confirmed"]["noun_f1"]
