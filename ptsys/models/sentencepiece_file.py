"""Whether a SentencePiece file fits a model."""

from __future__ import annotations

import sentencepiece

from ptsys.errors import InvalidInput

SENTINELS = 100  # T5's; ids beyond them only round the table up


def count_sentinels(content: bytes, vocab_size: int) -> int:
    """How many sentinel ids follow the file's pieces in a table of `vocab_size` entries.

    Raises InvalidInput if the file is damaged, has more pieces than the model has entries, or
    does not pad with 0 and end with 1 as T5's do.
    """
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=content)
    except RuntimeError as error:
        raise InvalidInput(
            "the vocabulary is not a SentencePiece model file; T5's is called spiece.model",
            field="vocabulary",
        ) from error
    pieces = int(processor.get_piece_size())
    if pieces > vocab_size:
        raise InvalidInput(
            f"the vocabulary has {pieces} pieces but the model embeds {vocab_size}; use the file "
            "that belongs to the model",
            field="vocabulary",
        )
    if processor.pad_id() != 0 or processor.eos_id() != 1:
        raise InvalidInput(
            "the vocabulary must give padding the id 0 and the end of a row the id 1, as T5 does",
            field="vocabulary",
        )
    return min(SENTINELS, vocab_size - pieces)
