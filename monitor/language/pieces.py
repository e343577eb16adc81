"""The text of one caption as its tokens come: from a table of pieces, or by decoding it again."""

from __future__ import annotations

import codecs
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Collection
from itertools import accumulate
from typing import Final

from transformers import PreTrainedTokenizerBase

from .decoders import FALLBACK_BYTE, PieceTable

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def _agreed(texts: Collection[str]) -> str:
    """The longest prefix that all texts share: that of the first and the last in order."""
    low, high = min(texts), max(texts)
    if high.startswith(low):
        return low
    return low[: next(i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b)]


def _shared(chars: str, size: int) -> list[tuple[str, int]]:
    """Replacement characters with the ill-formed bytes that each stands for, ``size`` in all."""
    return [(char, 1 if place else size - len(chars) + 1) for place, char in enumerate(chars)]


class Pieces:
    """One caption decoded from a table, in time independent of its length."""

    def __init__(self, table: PieceTable) -> None:
        self.spans: list[tuple[int, int]] = []
        self._table = table
        self._pieces = table.first
        self._parts: list[str] = []
        self._end = 0
        self._strip = table.strip
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._run = bytearray()
        self._held: list[tuple[int, int]] = []  # (token, bytes not yet decoded)

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def push(self, token_id: int) -> str:
        piece = self._pieces[token_id]
        end = self._end
        if piece is None:
            if self._held:
                self._held.append((len(self.spans), 0))
            self.spans.append((end, end))
            return ""
        self._pieces = self._table.rest
        if isinstance(piece, bytes):
            self._held.append((len(self.spans), len(piece)))
            self.spans.append((end, end))
            if self._table.whole_runs:
                self._run += piece
                return ""
            return self._decode(piece)
        if self._held:
            if not self._table.whole_runs:
                data = piece.encode()
                self._held.append((len(self.spans), len(data)))
                self.spans.append((end, end))
                return self._decode(data)
            before = self._end_run()
            return before + self._add(piece)
        return self._add(piece)

    def finish(self) -> str:
        if not self._held:
            return ""
        if self._table.whole_runs:
            return self._end_run()
        pending = len(self._utf8.getstate()[0])
        return self._release(_shared(self._utf8.decode(b"", final=True), pending))

    def _add(self, text: str) -> str:
        """Append one token of whole characters."""
        if self._strip and text:
            text = text[self._cut(text) :]
        start = self._end
        self._end = end = start + len(text)
        self.spans.append((start, end))
        if text:
            self._parts.append(text)
        return text

    def _cut(self, text: str) -> int:
        """How many leading characters of ``text`` are stripped from the caption's start."""
        cut = 0
        while cut < min(self._strip, len(text)) and text[cut] == self._table.stripped:
            cut += 1
        self._strip = self._strip - cut if cut == len(text) else 0
        return cut

    def _decode(self, data: bytes) -> str:
        """Feed bytes to the UTF-8 decoder, noting how many bytes each character took."""
        chars: list[tuple[str, int]] = []
        pending = len(self._utf8.getstate()[0])
        for byte in data:
            out = self._utf8.decode(bytes((byte,)))
            left = len(self._utf8.getstate()[0])
            if left or not out:  # this byte waits; what came out was waiting before
                chars += _shared(out, pending)
            elif len(out) == 1:
                chars.append((out, pending + 1))
            else:  # what was waiting is ill-formed, and this byte stands for itself
                chars += [*_shared(out[:-1], pending), (out[-1], 1)]
            pending = left
        return self._release(chars)

    def _end_run(self) -> str:
        """Decode a run of fallback bytes that ended, as a whole or not at all."""
        try:
            text = self._run.decode()
        except UnicodeDecodeError:
            chars = [(REPLACEMENT, 1)] * len(self._run)
        else:
            chars = [(char, len(char.encode())) for char in text]
        self._run.clear()
        return self._release(chars)

    def _release(self, chars: list[tuple[str, int]]) -> str:
        """Append characters made of held bytes and give the held tokens their spans."""
        if not chars:
            return ""
        text = "".join(char for char, _ in chars)
        cut = self._cut(text) if self._strip else 0
        bounds = list(accumulate((size for _, size in chars), initial=0))
        decoded, offset = bounds[-1], 0
        start, held = self._end, self._held
        self._held = []
        for token, size in held:
            stop = offset + size
            if offset >= decoded:
                self._held.append((token, size))
                low = high = len(chars)
            else:
                low = bisect_right(bounds, offset) - 1
                high = bisect_left(bounds, min(stop, decoded))
                if not size:  # a token without text inside a character, or between two
                    high = low + (bounds[low] != offset)
                elif stop > decoded:
                    self._held.append((token, stop - decoded))
            begin, end = self.spans[token]
            low, high = (start + max(place - cut, 0) for place in (low, high))
            self.spans[token] = (begin if end > begin else low, high)
            offset = stop
        # Tokens without text are only held while they may lie inside a character.
        if not any(size for _, size in self._held):
            self._held = []
        self._parts.append(text[cut:])
        self._end = start + len(text) - cut
        return text[cut:]


class Redecoded:
    """One caption decoded by the tokenizer itself, again at every token.

    Such a decoder may rewrite the end of its text when more tokens come ("can ' t" turning into
    "can't"), so the text of the last :attr:`HELD` tokens, and of a run of fallback bytes, is held
    back.
    """

    HELD: Final = 16

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, skip_special_tokens: bool) -> None:
        self.spans: list[tuple[int, int]] = []
        self.text = ""
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._ids: list[int] = []
        self._decoded: deque[str] = deque(maxlen=self.HELD)  # after each of the last tokens
        self._placed = 0  # tokens whose spans are settled
        self._run = 0  # length of the run of fallback bytes at the end

    def push(self, token_id: int) -> str:
        self._ids.append(token_id)
        self.spans.append((len(self.text), len(self.text)))
        decoded = self._tokenizer.decode(
            self._ids, skip_special_tokens=self._skip, clean_up_tokenization_spaces=False
        )
        assert isinstance(decoded, str)
        self._decoded.append(decoded)
        token = self._tokenizer.convert_ids_to_tokens(token_id)
        is_byte = isinstance(token, str) and FALLBACK_BYTE.fullmatch(token) is not None
        self._run = self._run + 1 if is_byte else 0
        if len(self._ids) < self.HELD or self._run >= self.HELD:
            return ""
        # What all recent decodings agree on belongs to the oldest of their tokens.
        return self._place(len(self._ids) - self.HELD + 1, _agreed(self._decoded))

    def finish(self) -> str:
        """Return the text held back.

        Raises:
            ValueError: the tokenizer rewrote text from before the last tokens: what was returned
                is not what it decodes.
        """
        before = len(self.text)
        for kept in range(len(self._decoded), 0, -1):
            recent = list(self._decoded)[-kept:]
            self._place(len(self._ids) - kept + 1, _agreed(recent))
        if self._decoded and self.text != self._decoded[-1]:
            raise ValueError(
                f"a streamed text must never change, but {type(self._tokenizer).__name__} rewrote "
                f"text from more than {self.HELD} tokens back: {self.text[-40:]!r} is now "
                f"{self._decoded[-1][-40:]!r}; decode such a tokenizer's captions in one piece"
            )
        return self.text[before:]

    def _place(self, tokens: int, certain: str) -> str:
        """Append what is certain beyond the text so far; it belongs to the unplaced tokens."""
        start = len(self.text)
        added = certain[start:] if certain.startswith(self.text) else ""
        self.text += added
        for token in range(self._placed, tokens):
            self.spans[token] = (start, start + len(added))
        for token in range(max(self._placed, tokens), len(self.spans)):
            self.spans[token] = (len(self.text), len(self.text))
        self._placed = max(self._placed, tokens)
        return added
