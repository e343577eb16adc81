"""Texts, offsets and words, incrementally and at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sightline.monitor.events import Word
from sightline.monitor.language.words import Detokenizer, TokenStream, WordSplitter, split_words
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer, WordPieceTrainer
from transformers import TokenizersBackend

CORPUS = [
    "The image features a woman sitting at a dining table, taking a picture of a pizza.",
    "There are two traffic lights and a hot dog; the dog's owner doesn't care!",
    "Ein Café in Zürich — naïve façade, 日本語 and émojis 🙂🐕.\n\nA new paragraph.",
] * 3

PROPERTY = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def _wrapped(tokenizer: Tokenizer, **options: object) -> TokenizersBackend:
    return TokenizersBackend(
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **options
    )


def _byte_level(*, qwen: bool) -> TokenizersBackend:
    tokenizer = Tokenizer(models.BPE())
    if qwen:
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+", "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>", "<image>"])
    tokenizer.add_tokens(["<tool call>", "œuvre"])
    return _wrapped(tokenizer)


def _sentencepiece(decoder: decoders.Decoder) -> TokenizersBackend:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.train_from_iterator(CORPUS, BpeTrainer(vocab_size=250, show_progress=False))
    learnt = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    names += [token for token, _ in learnt if token not in names]
    merges = [(left, right) for left, right in _merges(tokenizer)]
    model = models.BPE(
        {name: place for place, name in enumerate(names)},
        merges,
        byte_fallback=True,
        unk_token="<unk>",
        fuse_unk=True,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoder
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", "<image>"])
    tokenizer.add_tokens([AddedToken("<tool call>", normalized=False), "▁▁x"])
    return _wrapped(tokenizer)


def _merges(tokenizer: Tokenizer) -> list[list[str]]:
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    assert isinstance(merges, list)
    return merges


def _word_piece() -> TokenizersBackend:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]"], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _wrapped(tokenizer)


def _word_level() -> TokenizersBackend:
    names = ["[UNK]", "a", "dog", "é", ".", "<image>"]
    model = models.WordLevel({name: place for place, name in enumerate(names)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<image>"])
    return _wrapped(tokenizer)


LLAMA = decoders.Sequence(
    [
        decoders.Replace("▁", " "),
        decoders.ByteFallback(),
        decoders.Fuse(),
        decoders.Strip(content=" ", left=1),
    ]
)
GEMMA = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
SIGLIP = decoders.Sequence([decoders.Metaspace(), decoders.ByteFallback(), decoders.Fuse()])
CTC_LIKE = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Replace("▁", " ")])

TOKENIZERS = {
    "gpt2": _byte_level(qwen=False),
    "qwen": _byte_level(qwen=True),
    "llama": _sentencepiece(LLAMA),
    "gemma": _sentencepiece(GEMMA),
    "siglip": _sentencepiece(SIGLIP),
    "t5": _sentencepiece(decoders.Metaspace()),
    "xlnet": _sentencepiece(decoders.Metaspace(prepend_scheme="never")),
    "fused first": _sentencepiece(CTC_LIKE),
    "no decoder": _word_level(),
    "wordpiece": _word_piece(),
}
FAST = ("gpt2", "qwen", "llama", "gemma", "siglip", "t5", "xlnet", "no decoder")


def _push_all(stream: TokenStream, ids: Iterable[int]) -> list[str]:
    return [*(stream.push(token) for token in ids), stream.finish()]


@st.composite
def _ids(draw: st.DrawFn, name: str) -> list[int]:
    """Random ids: any token, real text, and runs of byte tokens, well-formed or not."""
    tokenizer = TOKENIZERS[name]
    size = len(tokenizer)
    any_ids = st.lists(st.integers(0, size + 2), max_size=12)
    texts = st.text(alphabet="aé日🙂 .'\n\ufffd\x80", max_size=8).map(
        lambda text: tokenizer.encode(text, add_special_tokens=False)
    )
    byte_runs = st.lists(st.integers(3, 258), max_size=20)
    parts = draw(st.lists(st.one_of(any_ids, texts, byte_runs), max_size=5))
    return [token for part in parts for token in part]


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("skip", [True, False])
@PROPERTY
@given(data=st.data())
def test_streamed_text_is_what_decode_gives(name: str, skip: bool, data: st.DataObject) -> None:
    """The pieces of any ids add up to the tokenizer's own decoding, with spans in order."""
    ids = data.draw(_ids(name))
    stream = Detokenizer(TOKENIZERS[name], skip_special_tokens=skip).stream()
    pieces = _push_all(stream, ids)
    expected = TOKENIZERS[name].decode(
        ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False
    )
    assert "".join(pieces) == expected == stream.text
    assert stream.finish() == ""
    spans = list(stream.spans)
    assert len(spans) == len(ids)
    assert all(0 <= start <= end <= len(expected) for start, end in spans)
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(spans))
    covered = {place for start, end in spans for place in range(start, end)}
    assert covered == set(range(len(expected)))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_which_tokenizers_are_decoded_from_a_table(name: str) -> None:
    """Byte-level and SentencePiece-style decoders fit a table; others take the slow path."""
    assert Detokenizer(TOKENIZERS[name]).exact_table == (name in FAST)


def test_a_character_of_several_tokens_spans_them_all() -> None:
    """The bytes of one character share its span, and the text comes with the last of them."""
    tokenizer = TOKENIZERS["llama"]
    ids = [3 + byte for byte in "é".encode()]
    word = tokenizer.convert_tokens_to_ids("a")
    assert isinstance(word, int)
    stream = Detokenizer(tokenizer).stream()
    assert [stream.push(word), *map(stream.push, ids)] == ["a", "", ""]
    assert list(stream.spans) == [(0, 1), (1, 1), (1, 1)]
    assert stream.push(word) == "éa"
    assert list(stream.spans) == [(0, 1), (1, 2), (1, 2), (2, 3)]


def test_special_tokens_are_empty_and_can_be_kept() -> None:
    """A skipped special token has an empty span; kept, it has its own text."""
    tokenizer = TOKENIZERS["qwen"]
    ids = tokenizer.encode("a<|im_end|>b")
    stream = Detokenizer(tokenizer).stream()
    assert _push_all(stream, ids) == ["a", "", "b", ""]
    assert list(stream.spans) == [(0, 1), (1, 1), (1, 2)]
    kept = Detokenizer(tokenizer, skip_special_tokens=False).stream()
    assert "".join(_push_all(kept, ids)) == "a<|im_end|>b"


def test_cleaning_up_spaces_is_left_out_where_it_is_the_default() -> None:
    """A tokenizer that cleans up by default is streamed without: shown text never changes."""
    tokenizer = _word_piece()
    tokenizer.clean_up_tokenization_spaces = True
    ids = tokenizer.encode("the dog , the woman")
    stream = Detokenizer(tokenizer).stream()
    assert "".join(_push_all(stream, ids)) == tokenizer.decode(
        ids, clean_up_tokenization_spaces=False
    )


def test_the_slow_path_streams_before_the_end() -> None:
    """A tokenizer without a table still shows text while the caption is being written."""
    tokenizer = TOKENIZERS["wordpiece"]
    ids = tokenizer.encode(CORPUS[0], add_special_tokens=False) * 2
    pieces = _push_all(Detokenizer(tokenizer).stream(), ids)
    assert sum(map(bool, pieces[:-1])) > len(ids) // 2


def test_a_decoder_that_rewrites_old_text_is_refused() -> None:
    """The slow path says so when a tokenizer rewrites what was shown long ago."""

    class Fickle(TokenizersBackend):
        def _decode(self, token_ids: int | list[int], *args: object, **kwargs: object) -> str:
            assert isinstance(token_ids, list)
            return ("x" if len(token_ids) < 40 else "y") * len(token_ids)

    fickle = Fickle.__new__(Fickle)
    vars(fickle).update(vars(TOKENIZERS["gpt2"]))
    stream = Detokenizer(fickle).stream()
    for _ in range(40):
        stream.push(5)
    with pytest.raises(ValueError, match="must never change"):
        stream.finish()


def _texts(words: Iterable[Word]) -> list[str]:
    return [word.text for word in words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog, a cat.", "A|dog|,|a|cat|."),
        ("The dog's bowl isn't here", "The|dog|'s|bowl|is|n't|here"),
        ("The dogs’ owner can’t, won't", "The|dogs|’|owner|ca|n’t|,|wo|n't"),
        ("I cannot see what they're doing", "I|can|not|see|what|they|'re|doing"),
        ("a hot-dog, an e-mail and a pre-owned car", "a|hot|-|dog|,|an|e-mail|and|a|pre-owned|car"),
        ("black-and-white photo", "black|-|and|-|white|photo"),
        ("3.5 m, 1,000 at 10:30 a.m. in the U.S.", "3.5|m|,|1,000|at|10:30|a.m.|in|the|U.S."),
        ("Mr. Smith etc.", "Mr.|Smith|etc."),
        ('"Stop" (sign)!!', '"|Stop|"|(|sign|)|!!'),
        ("bus/train ... a 50% sale of $5", "bus|/|train|...|a|50|%|sale|of|$|5"),
        ("see www.example.com/a,b or me@x.org", "see|www.example.com/a,b|or|me@x.org"),
        ("a scene.\n\nThe end", "a|scene|.|The|end"),
        ("cafe\u0301 日本 🙂🙂 x_y", "cafe\u0301|日本|🙂🙂|x|_|y"),
        ("", ""),
    ],
)  # fmt: skip
def test_words_are_those_of_the_treebank(text: str, words: str) -> None:
    """Signs, clitics, hyphens, numbers and abbreviations split as English EWT has them."""
    found = split_words(text)
    assert _texts(found) == [word for word in words.split("|") if word]
    assert all(text[word.start : word.end] == word.text for word in found)
    assert [word.index for word in found] == list(range(len(found)))


@PROPERTY
@given(
    text=st.text(alphabet="abn't’ .,;!-'\n3éw@:/_", max_size=40)
    | st.sampled_from([*CORPUS, "cannot, don't; www.x.org/a,b gonna!"]),
    cuts=st.lists(st.integers(0, 90), max_size=30),
)
def test_chunking_does_not_change_the_words(text: str, cuts: list[int]) -> None:
    """However the text is cut into tokens, the same words come out, in order and in bounds."""
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    splitter = WordSplitter()
    found: list[Word] = []
    for token, (start, end) in enumerate(pairwise(places)):
        found += splitter.push(token, text[start:end])
    found += splitter.finish()
    whole = split_words(text)
    assert [(w.text, w.start, w.end, w.index) for w in found] == [
        (w.text, w.start, w.end, w.index) for w in whole
    ]
    for word in found:
        assert places[word.first_token] <= word.start < places[word.first_token + 1]
        assert places[word.last_token] < word.end <= places[word.last_token + 1]
    covered = "".join(word.text for word in found)
    assert covered == "".join(text.split())


@pytest.mark.parametrize("name", TOKENIZERS)
@PROPERTY
@given(data=st.data())
def test_words_know_their_first_token(name: str, data: st.DataObject) -> None:
    """With the stream's spans, a word's first token is the one that holds its first character."""
    ids = data.draw(_ids(name))
    stream = Detokenizer(TOKENIZERS[name]).stream()
    splitter = WordSplitter(3, spans=stream.spans)
    found: list[Word] = []
    for index, token in enumerate(ids):
        found += splitter.push(index, stream.push(token))
    found += splitter.push(len(ids) - 1, stream.finish())
    found += splitter.finish()
    assert _texts(found) == _texts(split_words(stream.text))
    for word in found:
        assert word.row == 3
        holders = [
            token
            for token, (start, end) in enumerate(stream.spans)
            if start < word.end and end > word.start and end > start
        ]
        assert (word.first_token, word.last_token) == (holders[0], holders[-1])


def test_a_word_before_a_comma_does_not_wait() -> None:
    """A word is complete as soon as a comma follows; a full stop may yet belong to it."""
    splitter = WordSplitter()
    assert splitter.push(0, "A dog")[0].text == "A"
    assert _texts(splitter.push(1, ",")) == ["dog"]
    assert _texts(splitter.push(2, " cat")) == [","]
    assert splitter.push(3, ".") == ()
    assert _texts(splitter.finish()) == ["cat", "."]
    assert splitter.finish() == ()
