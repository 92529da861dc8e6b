"""Vocabularies: SentencePiece files in T5's layout, and ByT5's bytes.

Both give 0 for padding, 1 for the end of a row and 2 for the unknown, and sentinels for span
corruption counted downwards (Raffel et al. 2020, section 3.1.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import sentencepiece

from ptsys.errors import InvalidInput

PAD, EOS, UNKNOWN = 0, 1, 2
_BYTES_END = 3 + 256  # the first id of ByT5 that is no byte


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

    def unknown(self, text: str) -> str | None:
        """The first character of a text that comes out as the unknown piece, None if none does."""
        ...

    def sentinels(self) -> Sequence[int]:
        """Ids that stand for corrupted spans, in order of use."""
        ...

    def common_pieces(self, count: int) -> list[int]:
        """Ids of up to `count` whole pieces, most common first."""
        ...


def load_vocabulary(
    kind: Literal["sentencepiece", "byt5"],
    path: str | Path | None,
    vocab_size: int,
    extra_ids: int = 100,
) -> Vocabulary:
    """The vocabulary of a model with `vocab_size` rows of embeddings.

    A SentencePiece file at `path` gets up to `extra_ids` sentinels, as many as the model has rows
    for: T5 has 32,000 pieces, 100 sentinels and 28 rows that nothing uses; the built-in tiny
    model 3,008 pieces and 64 sentinels. ByT5 has no file.
    Raises InvalidInput for a file that is missing, damaged, not in T5's layout, or that has more
    pieces than the model has rows.
    """
    if kind == "byt5":
        return ByteVocabulary(vocab_size)
    if path is None:
        raise InvalidInput(
            "this model needs a SentencePiece vocabulary; bring its file: `ptsys models replace "
            "NAME SOURCE --vocabulary FILE`",
            field="vocabulary",
        )
    pieces = SentencePieceVocabulary(path, extra_ids=0).size
    if pieces > vocab_size:
        raise InvalidInput(
            f"{path} has {pieces} pieces, the model has {vocab_size} rows of embeddings: they do "
            "not belong together",
            field="vocabulary",
        )
    return SentencePieceVocabulary(path, min(extra_ids, vocab_size - pieces))


class SentencePieceVocabulary:
    """A SentencePiece model file plus `extra_ids` sentinels after its pieces.

    Of T5's 32,000 pieces and 100 extra ids, `<extra_id_0>` is 32099 and `<extra_id_99>` 32000.
    """

    def __init__(self, path: str | Path, extra_ids: int = 100) -> None:
        """Read the file. Raises InvalidInput if it is missing, damaged or in another layout."""
        self._processor = _processor(Path(path))
        self._pieces = self._processor.get_piece_size()
        self._extra_ids = extra_ids
        self._known: set[str] = set()  # characters that are pieces, or made of some

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

    def unknown(self, text: str) -> str | None:
        """The first character of a text that comes out as the unknown piece, None if none does."""
        strange = set(text) - self._known
        fine = {letter for letter in strange if UNKNOWN not in self.encode(letter)}
        self._known |= fine
        if strange == fine and text.isascii():  # others may be composed to what is unknown
            return None
        if UNKNOWN not in self.encode(text):
            return None
        return next((letter for letter in text if letter not in self._known), text.strip()[:1])

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
    """ByT5's bytes: a byte has id 3 + byte, from 3 to 258 (Xue et al. 2022, section 3.1).

    ByT5's checkpoints have 384 rows of embeddings; the 125 ids from 259 on (`<extra_id_0>` to
    `<extra_id_124>` in transformers) were not used in pretraining.
    """

    def __init__(self, size: int = 384) -> None:
        """Raises InvalidInput for fewer ids than there are bytes."""
        if size < _BYTES_END:
            raise InvalidInput(
                f"ByT5's bytes need {_BYTES_END} rows of embeddings, the model has {size}",
                field="vocab_size",
            )
        self._size = size

    @property
    def size(self) -> int:
        """Count of ids, extra ids included."""
        return self._size

    def encode(self, text: str) -> list[int]:
        """UTF-8 bytes, each plus 3."""
        return [b + 3 for b in text.encode()]

    def decode(self, ids: Iterable[int]) -> str:
        """Text up to the first end of row; what is not UTF-8, sentinels among it, is left out."""
        kept = (i - 3 for i in until_end(ids) if 3 <= i < _BYTES_END)
        return bytes(kept).decode(errors="ignore")

    def unknown(self, text: str) -> str | None:
        """None: every text is bytes."""
        return None

    def sentinels(self) -> Sequence[int]:
        """The last 100 bytes, from 258 downwards, as ByT5 was pretrained: it has no ids of its own
        for them (Xue et al. 2022, section 3.1; transformers, "ByT5", usage example)."""
        return range(_BYTES_END - 1, _BYTES_END - 101, -1)

    def common_pieces(self, count: int) -> list[int]:
        """Printable ASCII, in its own order: all that can be said without a corpus."""
        return [b + 3 for b in range(32, 127)][:count]


def until_end(ids: Iterable[int]) -> Iterable[int]:
    """Ids before the first end of row."""
    for i in ids:
        if i == EOS:
            return
        yield int(i)


def _processor(path: Path) -> sentencepiece.SentencePieceProcessor:
    if not path.is_file():
        raise InvalidInput(
            f"there is no vocabulary file {path}; check the path", field="vocabulary"
        )
    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError):
        raise InvalidInput(f"{path} is not a SentencePiece model", field="vocabulary") from None
    layout = (processor.pad_id(), processor.eos_id(), processor.unk_id())
    if layout != (PAD, EOS, UNKNOWN):
        raise InvalidInput(
            f"{path} has padding, end and unknown at ids {layout}; T5's layout is 0, 1 and 2",
            field="vocabulary",
        )
    return processor
