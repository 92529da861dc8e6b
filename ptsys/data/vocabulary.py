"""Vocabularies: SentencePiece files in T5's layout, and ByT5's bytes.

Both give 0 for padding, 1 for the end of a row, and sentinels for span corruption counted down
from the last id, as T5 does (Raffel et al. 2020, section 3.1.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import sentencepiece

PAD, EOS, UNKNOWN = 0, 1, 2


class Vocabulary(Protocol):
    """Text to token ids and back."""

    @property
    def size(self) -> int:
        """Count of ids, sentinels included."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without the end of row."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; stops at the first end of row and leaves padding and sentinels out."""
        ...

    def sentinels(self) -> Sequence[int]:
        """Ids that stand for corrupted spans, in order of use."""
        ...


class SentencePieceVocabulary:
    """A SentencePiece model file plus `extra_ids` sentinels after its pieces."""

    def __init__(self, path: str | Path, extra_ids: int = 100) -> None:
        self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self._pieces = self._processor.get_piece_size()
        self._extra_ids = extra_ids

    @property
    def size(self) -> int:
        """Pieces and sentinels."""
        return int(self._pieces) + self._extra_ids

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without the end of row."""
        ids: list[int] = self._processor.encode(text)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text up to the first end of row; padding and sentinels are left out."""
        text: str = self._processor.decode(
            [i for i in until_end(ids) if UNKNOWN < i < self._pieces]
        )
        return text

    def sentinels(self) -> Sequence[int]:
        """`<extra_id_0>` is the last id."""
        return range(self.size - 1, self._pieces - 1, -1)

    def common_pieces(self, count: int) -> list[int]:
        """The most common whole pieces, for prompt initialization: T5's files list pieces by
        falling frequency after the control symbols and bytes."""
        ids = (
            i
            for i in range(UNKNOWN + 1, self._pieces)
            if not (self._processor.is_control(i) or self._processor.is_byte(i))
        )
        return [i for i, _ in zip(ids, range(count), strict=False)]


class ByteVocabulary:
    """ByT5: a byte is id 3 + byte; ids from 259 on are sentinels (Xue et al. 2022)."""

    size = 384

    def encode(self, text: str) -> list[int]:
        """UTF-8 bytes, each plus 3."""
        return [b + 3 for b in text.encode()]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the bytes; an invalid sequence becomes the replacement character."""
        return bytes(i - 3 for i in until_end(ids) if 3 <= i < 259).decode(errors="replace")

    def sentinels(self) -> Sequence[int]:
        """From 258 + 100 downwards as ByT5's 125 extra ids allow."""
        return range(383, 258, -1)

    def common_pieces(self, count: int) -> list[int]:
        """Printable ASCII."""
        return [b + 3 for b in range(32, 127)][:count]


def until_end(ids: Iterable[int]) -> Iterable[int]:
    """Ids before the first end of row."""
    for i in ids:
        if i == EOS:
            return
        yield int(i)
