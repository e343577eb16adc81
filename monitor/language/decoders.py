"""What each token id is as text, read off a tokenizer's decoder where that decoder allows it.

The table follows what Hugging Face ``tokenizers`` does for each decoder, down to ill-formed bytes:
a byte-level decoder replaces every ill-formed sequence by one U+FFFD, the byte fallback of
SentencePiece-style decoders every byte of a run in which anything is ill-formed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, TokenizersBackend

Piece = str | bytes | None
"""What a token is: whole characters, bytes that only neighbours may complete, or no text at all."""

FALLBACK_BYTE: Final = re.compile(r"<0x([0-9a-fA-F+][0-9a-fA-F])>")


class _Lazy(dict[int, Piece]):
    """Pieces by token id, made when first asked for: no vocabulary is walked in advance."""

    def __init__(self, make: Callable[[int], Piece]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, token_id: int) -> Piece:
        piece = self[token_id] = self._make(token_id)
        return piece


@dataclass(frozen=True, slots=True)
class PieceTable:
    """The pieces of one tokenizer.

    Attributes:
        first: pieces for the first token that has text; a metaspace decoder drops its space.
        rest: pieces for every later token.
        whole_runs: bytes form runs that are well-formed as a whole or not at all (byte fallback);
            otherwise each ill-formed sequence stands for itself (byte-level).
        strip: how many leading ``stripped`` characters the text loses.
        stripped: that character.
    """

    first: dict[int, Piece]
    rest: dict[int, Piece]
    whole_runs: bool
    strip: int
    stripped: str


def piece_table(
    tokenizer: PreTrainedTokenizerBase, *, skip_special_tokens: bool
) -> PieceTable | None:
    """The table of a tokenizer, or ``None`` where its decoder does not fit one."""
    if (
        not isinstance(tokenizer, TokenizersBackend)
        or type(tokenizer).decode is not PreTrainedTokenizerBase.decode
        or type(tokenizer)._decode is not TokenizersBackend._decode
    ):
        return None
    backend: Tokenizer = tokenizer.backend_tokenizer
    special = frozenset(
        token.content for token in backend.get_added_tokens_decoder().values() if token.special
    )

    def token_of(token_id: int) -> str | None:
        token = backend.id_to_token(token_id)
        return None if skip_special_tokens and token in special else token

    if backend.decoder is None:  # tokens joined by single spaces
        return _text_table(token_of, lambda token: token, lambda token: " " + token)
    steps = json.loads(backend.decoder.__getstate__())
    steps = steps["decoders"] if steps["type"] == "Sequence" else [steps]
    if [step["type"] for step in steps] == ["ByteLevel"]:
        return _byte_table(token_of)
    return _sentencepiece_table(token_of, steps)


def _byte_values() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte: itself, or the next character from 256 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    values = {chr(byte): byte for byte in printable}
    values.update((chr(256 + place), byte) for place, byte in enumerate(rest))
    return values


def _byte_table(token_of: Callable[[int], str | None]) -> PieceTable:
    values = _byte_values()

    def piece(token_id: int) -> Piece:
        token = token_of(token_id)
        if token is None:
            return None
        try:
            data = bytes([values[char] for char in token])
        except KeyError:  # an added token, written as itself
            return token
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data

    pieces = _Lazy(piece)
    return PieceTable(pieces, pieces, whole_runs=False, strip=0, stripped="")


def _text_table(
    token_of: Callable[[int], str | None],
    first: Callable[[str], str],
    rest: Callable[[str], str],
    *,
    whole_runs: bool = False,
    strip: int = 0,
    stripped: str = "",
) -> PieceTable:
    def pieces(text_of: Callable[[str], str]) -> _Lazy:
        def piece(token_id: int) -> Piece:
            token = token_of(token_id)
            if token is None:
                return None
            text = text_of(token)
            byte = FALLBACK_BYTE.fullmatch(text) if whole_runs else None
            return bytes([int(byte[1], 16)]) if byte else text

        return _Lazy(piece)

    return PieceTable(pieces(first), pieces(rest), whole_runs, strip, stripped)


def _sentencepiece_table(
    token_of: Callable[[int], str | None], steps: list[dict[str, Any]]
) -> PieceTable | None:
    """The table for replacements or a metaspace, then byte fallback, fusing and a left strip."""
    first: list[tuple[str, str]] = []
    rest: list[tuple[str, str]] = []
    left = [dict(step) for step in steps]
    while left and left[0]["type"] in ("Replace", "Metaspace"):
        step = left.pop(0)
        if step["type"] == "Metaspace":
            mark = step["replacement"]
            first.append((mark, "" if step["prepend_scheme"] != "never" else " "))
            rest.append((mark, " "))
        elif "String" in step["pattern"]:
            first.append((step["pattern"]["String"], step["content"]))
            rest.append(first[-1])
        else:
            return None
    names = [step["type"] for step in left]
    whole_runs = names[:1] == ["ByteFallback"]
    if whole_runs:
        names.pop(0)
    strip, stripped = 0, ""
    if names == ["Fuse", "Strip"] and left[-1]["stop"] == 0:
        strip, stripped = left[-1]["start"], left[-1]["content"]
    elif names not in ([], ["Fuse"]):
        return None

    def replacing(pairs: list[tuple[str, str]]) -> Callable[[str], str]:
        def text_of(token: str) -> str:
            for old, new in pairs:
                token = token.replace(old, new)
            return token

        return text_of

    return _text_table(
        token_of,
        replacing(first),
        replacing(rest),
        whole_runs=whole_runs,
        strip=strip,
        stripped=stripped,
    )
