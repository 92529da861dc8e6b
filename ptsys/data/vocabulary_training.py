"""Training a small SentencePiece vocabulary."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import sentencepiece


def train_vocabulary(sentences: Iterable[str], path: Path, pieces: int) -> None:
    """Write a unigram model of `pieces` pieces (Kudo 2018) to `path`, in T5's layout.

    Ids 0, 1 and 2 are padding, end and unknown; bytes stand in for rare characters, digits are
    split, case is kept. The file appears whole or not at all.
    """
    part = path.with_suffix(".part")
    with part.open("wb") as writer:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=writer,
            vocab_size=pieces,
            model_type="unigram",
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            character_coverage=0.9995,
            max_sentence_length=2000,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            num_threads=os.cpu_count() or 1,
            minloglevel=1,
        )
    part.replace(path)
