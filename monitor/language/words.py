"""From sampled token ids to text with exact offsets, and from text to words, as it is written.

:class:`Detokenizer` is built once per tokenizer and gives every caption a :class:`TokenStream`,
whose texts add up to ``tokenizer.decode(ids, clean_up_tokenization_spaces=False)`` whatever the
ids. :class:`WordSplitter` turns those texts into words as Universal Dependencies' English Web
Treebank has them, which is what the taggers were trained on.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from transformers import PreTrainedTokenizerBase

from ..events import Word
from .decoders import piece_table
from .pieces import Pieces, Redecoded

Spans = Sequence[tuple[int, int]]
"""Half-open character spans, one per token, never decreasing."""

_SPACE: Final = re.compile(r"\s+")


class Detokenizer:
    """Incremental decoding for one tokenizer; shared by all its captions and threads.

    Tokenizers with a byte-level decoder (GPT-2, Qwen, Llama 3) or a SentencePiece-style one
    (Llama, Mistral, Gemma, T5: metaspace, byte fallback, a stripped first space) are decoded from
    a table of pieces in constant time per token. Any other tokenizer is decoded by its own
    ``decode``, again and again: exact too, but slower with every token (:attr:`exact_table` is
    False then), and its text comes a few tokens late.

    ``clean_up_tokenization_spaces`` is never applied, even where it is the tokenizer's default: it
    rewrites text that has been shown already, and for BPE tokenizers transformers itself ignores
    it. The contract is equality with ``decode(..., clean_up_tokenization_spaces=False)``.

    Args:
        tokenizer: a transformers tokenizer (of a processor: ``processor.tokenizer``).
        skip_special_tokens: leave special tokens out of the text, as ``decode`` does.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, skip_special_tokens: bool = True
    ) -> None:
        self.tokenizer = tokenizer
        self.skip_special_tokens = skip_special_tokens
        self._table = piece_table(tokenizer, skip_special_tokens=skip_special_tokens)

    @property
    def exact_table(self) -> bool:
        """Whether a table serves this tokenizer."""
        return self._table is not None

    def stream(self, row: int = 0) -> TokenStream:
        """A fresh stream for one caption."""
        if self._table is not None:
            return TokenStream(Pieces(self._table), row=row)
        return TokenStream(
            Redecoded(self.tokenizer, skip_special_tokens=self.skip_special_tokens), row=row
        )


class TokenStream:
    """The text of one caption, token by token.

    Attributes:
        row: the caption's row in its batch.
    """

    def __init__(self, decoder: Pieces | Redecoded, *, row: int = 0) -> None:
        self.row = row
        self._decoder = decoder

    def push(self, token_id: int) -> str:
        """Add one token and return the text that became certain with it, often its own.

        Bytes of an unfinished character, and of a byte-fallback run that may yet turn out
        ill-formed, are held back: their tokens return ``""`` and the text comes with a later one.
        """
        return self._decoder.push(token_id)

    def finish(self) -> str:
        """End the caption and return the text still held back. A second call returns ``""``."""
        return self._decoder.finish()

    @property
    def text(self) -> str:
        """All text returned so far."""
        return self._decoder.text

    @property
    def spans(self) -> Spans:
        """The characters of each token, half-open, one pair per token: a live view.

        Starts and ends never decrease and stay within :attr:`text`. Tokens that share a character
        share its span. A token whose text is still held back is empty at the end of the text
        until the text comes; a token without text stays empty.
        """
        return self._decoder.spans


_ABBREVIATIONS: Final = (
    "mr|mrs|ms|dr|st|jr|sr|prof|vs|etc|inc|ltd|co|corp|ft|mt|jan|feb|mar|apr|jun|jul|aug|sep|sept"
    "|oct|nov|dec"
)
_AFFIXES: Final = (
    "anti|co|counter|cross|e|ex|inter|intra|mega|micro|mid|mini|multi|neo|non|over|post|pre|pro|re"
    "|semi|sub|super|tri|ultra|un|uni|vice|bi|de"
)
_LETTER: Final = r"[^\W\d_][\u0300-\u036f]*"
_WORD: Final = re.compile(
    rf"""
      (?:https?://|www\.)\S+                              # addresses stay whole
    | [\w.+-]+@[\w-]+(?:\.[\w-]+)+
    | (?i:(?:{_ABBREVIATIONS})\.(?!\w))                   # Mr.  etc.
    | (?:{_LETTER}\.){{2,}}                               # U.S.  a.m.
    | (?i:(?:{_AFFIXES})-(?={_LETTER}))(?:{_LETTER})+     # e-mail, pre-owned: no word of its own
    | \d+(?:[.,:]\d+)*(?:(?i:st|nd|rd|th|s)\b)?           # 3.5  1,000  10:30  1980s  20th
    | (?i:can(?=not\b)|gon(?=na\b)|wan(?=na\b)|got(?=ta\b))
    | (?i:n['’]t\b)                                       # do | n't
    | (?:{_LETTER})+?(?=(?i:n['’]t\b))
    | (?i:(?<=\w)['’](?:s|m|d|re|ll|ve)\b)                # dog | 's
    | (?:{_LETTER})+(?:\.(?:{_LETTER})+)+                 # example.com
    | (?:[^\W_][\u0300-\u036f]*)+                         # a plain word
    | (?P<sign>[^\w\s]|_)(?P=sign)*                       # signs, equal ones together
    | \S
    """,
    re.VERBOSE,
)
_CONTRACTED: Final = frozenset({"cannot", "gonna", "wanna", "gotta"})
_SPLIT_EARLY: Final = frozenset(',;!?)]}"”')
"""Signs that end a word of letters whatever comes after them, so that nobody need wait for it."""


class WordSplitter:
    """The words of one caption, each as soon as nothing to come can change it.

    Words are split as the English Web Treebank splits them: signs stand alone (equal ones
    together), clitics are words ("dog" "'s", "do" "n't"), hyphens split ("hot" "-" "dog") except
    after affixes ("e-mail", "pre-owned"), abbreviations and numbers keep their full stops. The
    words do not depend on how the text was cut into tokens.

    Args:
        row: the caption's row in its batch.
        spans: the live spans of the caption's :class:`TokenStream`. With them, the first token of
            a word is exact even where the stream held bytes back; without, a word's tokens are
            those whose pushed texts it overlaps.
    """

    def __init__(self, row: int = 0, *, spans: Spans | None = None) -> None:
        self.row = row
        self._open = ""  # the text since the last white space, not yet split
        self._start = 0  # its offset
        self._index = 0
        self._own: tuple[list[int], list[int], list[int]] = ([], [], [])  # starts, ends, tokens
        self._spans = spans
        self._cursor = 0

    def push(self, token_index: int, text: str) -> tuple[Word, ...]:
        """Add the text that one token brought and return the words completed by it.

        Text is pushed in order; several pushes may name the same token.
        """
        if not text:
            return ()
        before = self._start + len(self._open)
        if self._spans is None:
            starts, ends, tokens = self._own
            starts.append(before)
            ends.append(before + len(text))
            tokens.append(token_index)
        space = _SPACE.search(text)
        if space is None:
            words: tuple[Word, ...] = ()
            if text[0] in _SPLIT_EARLY and self._open.isalpha():
                words = self._split(self._open)
                self._start, self._open = before, ""
            self._open += text
            return words
        found: list[Word] = []
        end = 0
        while space is not None:
            self._open += text[end : space.start()]
            if self._open:
                found += self._split(self._open)
            end = space.end()
            self._start, self._open = before + end, ""
            space = _SPACE.search(text, end)
        self._open = text[end:]
        return tuple(found)

    def finish(self) -> tuple[Word, ...]:
        """End the caption and return its last words. A second call returns none."""
        words = self._split(self._open)
        self._start += len(self._open)
        self._open = ""
        return words

    def _split(self, chunk: str) -> tuple[Word, ...]:
        """The words of a piece of text without white space that starts at ``_start``."""
        if chunk.isalpha() and chunk.lower() not in _CONTRACTED:  # most are: spare the grammar
            start, end = self._start, self._start + len(chunk)
            first, last = self._tokens(start, end)
            self._index += 1
            return (Word(self.row, self._index - 1, chunk, start, end, first, last),)
        words = []
        for match in _WORD.finditer(chunk):
            start, end = self._start + match.start(), self._start + match.end()
            first, last = self._tokens(start, end)
            words.append(Word(self.row, self._index, match[0], start, end, first, last))
            self._index += 1
        return tuple(words)

    def _tokens(self, start: int, end: int) -> tuple[int, int]:
        """The first and last token with characters in ``[start, end)``; words come in order."""
        if self._spans is None:
            starts, ends, tokens = self._own
            first = bisect_right(ends, start)
            return tokens[first], tokens[bisect_left(starts, end, lo=first) - 1]
        spans = self._spans
        first = self._cursor
        while spans[first][1] <= start:
            first += 1
        self._cursor = last = first
        for token in range(first + 1, len(spans)):
            if spans[token][0] >= end:
                break
            if spans[token][1] > spans[token][0]:
                last = token
        return first, last


def split_words(text: str) -> tuple[Word, ...]:
    """The words of a finished text. Token indices are -1: no tokens are known."""
    splitter = WordSplitter()
    return splitter.push(-1, text) + splitter.finish()
