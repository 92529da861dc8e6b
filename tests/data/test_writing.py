"""What a vocabulary cannot write is refused as a target, and what it cannot read is counted."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from ptsys.data.features import encode_examples, encode_targets
from ptsys.data.metrics import exact_match, normalize_answer
from ptsys.data.reading import input_notes, refuse_long
from ptsys.data.vocabulary import ByteVocabulary, SentencePieceVocabulary, Vocabulary
from ptsys.data.writing import unwritable
from ptsys.errors import InvalidInput
from ptsys.types.example import Example
from ptsys.types.input_notes import InputNotes

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> SentencePieceVocabulary:
    """As T5's: no bytes stand in for what is rare, and text is normalized by NFKC."""
    path = tmp_path_factory.mktemp("narrow") / "narrow.model"
    letters = "abcdefghijklmnopqrstuvwxyz ABC.,:é"
    with path.open("wb") as writer:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([letters, "a fine film", "bad film. good, fine: a café"] * 20),
            model_writer=writer, vocab_size=60, model_type="unigram", character_coverage=1.0,
            normalization_rule_name="nmt_nfkc", hard_vocab_limit=False,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
        )  # fmt: skip
    return SentencePieceVocabulary(path, extra_ids=4)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("fine", None),
        ("  fine\tfilm\n", None),
        ("fine…", None),  # written as three dots, and answers are compared so
        ("ﬁne", None),
        ("cafe\u0301", None),  # composed
        ("{fine}", "{"),
        ("fine \N{THUMBS UP SIGN}", "\N{THUMBS UP SIGN}"),
        ("正", "正"),
        ("fi\u200bne", "\u200b"),  # left out by the vocabulary
        ("a▁b", "▁"),  # written as a space
    ],
)
def test_the_first_character_that_does_not_come_back(
    narrow: Vocabulary, text: str, letter: str | None
) -> None:
    assert unwritable(narrow, text) == letter
    assert unwritable(ByteVocabulary(), text) is None


@settings(deadline=None)
@given(text=TEXT)
def test_what_is_let_through_comes_back_as_the_same_answer(narrow: Vocabulary, text: str) -> None:
    if unwritable(narrow, text) is None:
        assert exact_match([narrow.decode(narrow.encode(text))], [text]) == 1.0
    else:
        assert normalize_answer(narrow.decode(narrow.encode(text))) != normalize_answer(text)


@settings(deadline=None)
@given(text=TEXT)
def test_the_unknown_is_found_wherever_it_stands(narrow: Vocabulary, text: str) -> None:
    assert (narrow.unknown(text) is not None) == (2 in narrow.encode(text))


@pytest.mark.parametrize(
    "encode",
    [
        lambda vocabulary, rows: encode_targets(vocabulary, [row.target for row in rows], 32),
        lambda vocabulary, rows: encode_examples(vocabulary, rows, 32, 32),
    ],
    ids=["targets", "examples"],
)
def test_unwritable_targets_are_refused_by_row_character_and_count(
    narrow: Vocabulary, encode: Callable[[Vocabulary, list[Example]], object]
) -> None:
    rows = [Example("a", "fine"), Example("{", "good {"), Example("a", "bad"), Example("a", "}")]
    with pytest.raises(InvalidInput, match=r"row 2: 'target' holds '\{' \(U\+007B\).*2 of 4 rows"):
        encode(narrow, rows)
    encode(ByteVocabulary(), rows)


def test_unknown_inputs_are_counted(narrow: Vocabulary) -> None:
    rows = [Example("a {", "fine"), Example("a", "bad"), Example("正 film", "good")]
    notes = encode_examples(narrow, rows, 32, 32).notes
    assert notes == input_notes(narrow, [row.input for row in rows], 32)
    assert (notes.rows, notes.cut, notes.unknown) == (3, 0, 2)
    assert "2 of 3 inputs hold characters" in (notes.warning or "")


def test_long_inputs_are_refused_or_counted() -> None:
    inputs, bytes_ = ["abc", "abcd", "a", "abcdefg"], ByteVocabulary()
    notes = input_notes(bytes_, inputs, 4)
    assert (notes.rows, notes.cut) == (4, 2)
    assert notes.warning == (
        "2 of 4 inputs are longer than the 4 tokens that are read; their ends are cut off"
    )
    refuse_long(bytes_, inputs, 8, field="inputs")
    with pytest.raises(InvalidInput, match=r"row 2: 'input' has 5 .* 4 .*2 of 4.*truncate") as one:
        refuse_long(bytes_, inputs, 4, field="data")
    assert one.value.field == "data"
    with pytest.raises(InvalidInput, match="the input has 5") as two:
        refuse_long(bytes_, inputs, 4, field="inputs", by_place=True)
    assert two.value.field == "inputs.1"


def test_notes_of_parts_are_told_together() -> None:
    whole = sum((InputNotes(rows=3, cut=1), InputNotes(rows=4, unknown=2)), InputNotes())
    assert whole.warning == (
        "1 of 7 inputs are longer than the model reads; their ends are cut off; 2 of 7 inputs hold "
        "characters that the model's vocabulary does not know; it reads each of them as the same "
        "unknown piece"
    )
    assert InputNotes(rows=9).warning is None


def test_t5s_own_vocabulary(shared_data: Path) -> None:
    path = shared_data / "prompt_tuning" / "t5_vocab"
    if not path.is_file():
        pytest.skip(f"no T5 vocabulary at {path}")
    vocabulary = SentencePieceVocabulary(path)
    found = [unwritable(vocabulary, text) for text in ("{a}", "\N{THUMBS UP SIGN}", "正", "Paris…")]
    assert found == ["{", "\N{THUMBS UP SIGN}", "正", None]
