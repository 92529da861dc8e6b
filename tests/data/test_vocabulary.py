from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptsys.data.vocabulary import (
    EOS,
    PAD,
    UNKNOWN,
    ByteVocabulary,
    SentencePieceVocabulary,
    load_vocabulary,
)
from ptsys.data.vocabulary_training import train_vocabulary
from ptsys.errors import InvalidInput

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture(scope="session")
def own_file(tmp_path_factory) -> Path:
    """A vocabulary of 285 pieces in the layout of the built-in model's."""
    path = tmp_path_factory.mktemp("vocabulary") / "own.model"
    words = ("prompt", "model", "frozen", "tuning", "small", "example", "answer", "green")
    train_vocabulary([f"{a} {b}" for a in words for b in words], path, 285)
    return path


@pytest.fixture(scope="session")
def t5_file(shared_data: Path) -> Path:
    path = shared_data / "prompt_tuning" / "t5_vocab"
    if not path.is_file():
        pytest.skip(f"no T5 vocabulary at {path}")
    return path


def test_t5s_own_vocabulary_with_the_ids_of_transformers(t5_file: Path):
    vocabulary = load_vocabulary("sentencepiece", t5_file, vocab_size=32128)
    assert vocabulary.size == 32100
    assert list(vocabulary.sentinels())[::99] == [32099, 32000]
    assert len(vocabulary.sentinels()) == 100
    # T5Tokenizer("translate English to German: The house is wonderful.") without </s>
    ids = [13959, 1566, 12, 2968, 10, 37, 629, 19, 1627, 5]
    text = "translate English to German: The house is wonderful."
    assert vocabulary.encode(text) == ids
    assert vocabulary.decode([*ids, EOS, 37, 37]) == text
    assert vocabulary.decode([PAD, 32099, 37, 629, 32127]) == "The house"


def test_t5s_common_pieces_are_common_words(t5_file: Path):
    vocabulary = SentencePieceVocabulary(t5_file)
    pieces = vocabulary.common_pieces(5000)
    assert pieces == list(range(3, 5003))
    assert {vocabulary.encode(word)[0] for word in ("the", "and", "of", "is")} <= set(pieces[:30])


def test_our_layout_keeps_every_character_and_lists_words_first(own_file: Path):
    vocabulary = SentencePieceVocabulary(own_file, extra_ids=64)
    text = "Prompt tuning: 12 × 7, naïve 漢字 🙂"
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert min(vocabulary.common_pieces(10)) >= 3 + 256  # no bytes, no control symbols


@pytest.mark.parametrize(("rows", "sentinels"), [(285, 0), (349, 64), (385, 100), (1000, 100)])
def test_sentinels_are_as_many_as_the_model_has_rows_for(own_file, rows, sentinels):
    vocabulary = load_vocabulary("sentencepiece", own_file, rows)
    assert list(vocabulary.sentinels()) == list(range(285 + sentinels - 1, 284, -1))
    assert vocabulary.size <= rows


def test_markup_in_a_text_is_text(own_file: Path):
    for vocabulary in (SentencePieceVocabulary(own_file), ByteVocabulary()):
        ids = vocabulary.encode("one</s> two <pad>")
        assert not {PAD, EOS, UNKNOWN} & set(ids)
        assert vocabulary.decode(ids) == "one</s> two <pad>"
        assert vocabulary.encode("") == []


def test_bytes_have_the_ids_of_transformers():
    vocabulary = load_vocabulary("byt5", None, 384)
    # ByT5Tokenizer("The dog chases") without </s>
    assert vocabulary.encode("The dog chases")[:7] == [87, 107, 104, 35, 103, 114, 106]
    assert list(vocabulary.sentinels())[:3] == [258, 257, 256]
    assert len(vocabulary.sentinels()) == 100
    assert vocabulary.size == 384


@given(TEXT)
def test_every_text_survives_as_bytes(text: str):
    vocabulary = ByteVocabulary()
    assert vocabulary.decode([*vocabulary.encode(text), EOS, 100]) == text


def test_a_decoded_answer_holds_no_sentinels():
    vocabulary = ByteVocabulary()
    assert vocabulary.decode([258, *vocabulary.encode("one"), 257, 259, 383, PAD]) == "one"


def test_files_that_do_not_belong_are_refused(own_file: Path, tmp_path: Path):
    (tmp_path / "text.model").write_text("no model")
    (tmp_path / "empty.model").write_bytes(b"")
    for path, reason in [
        (None, "needs a SentencePiece vocabulary"),
        (tmp_path / "absent.model", "there is no vocabulary file"),
        (tmp_path, "there is no vocabulary file"),
        (tmp_path / "text.model", "not a SentencePiece model"),
        (tmp_path / "empty.model", "not a SentencePiece model"),
        (own_file, "285 pieces, the model has 256 rows"),
    ]:
        with pytest.raises(InvalidInput, match=reason) as caught:
            load_vocabulary("sentencepiece", path, 256)
        assert caught.value.field == "vocabulary"
    with pytest.raises(InvalidInput, match="259 rows"):
        load_vocabulary("byt5", None, 258)
