import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptsys.data.features import encode_examples, encode_inputs, encode_targets
from ptsys.data.vocabulary import EOS, ByteVocabulary
from ptsys.errors import InvalidInput
from ptsys.types.example import Example

VOCABULARY = ByteVocabulary()
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8)


@given(texts=TEXTS, limit=st.integers(1, 40))
def test_inputs_are_cut_to_the_limit_and_always_end(texts, limit):
    for text, ids in zip(texts, encode_inputs(VOCABULARY, texts, limit), strict=True):
        whole = VOCABULARY.encode(text)
        assert ids == [*whole[: limit - 1], EOS]
        assert len(ids) == min(len(whole) + 1, limit)


@given(texts=TEXTS, limit=st.integers(1, 40))
def test_targets_are_whole_or_refused(texts, limit):
    lengths = [len(VOCABULARY.encode(text)) + 1 for text in texts]
    wrong = [row for row, length in enumerate(lengths, start=1) if length > limit]
    if wrong:
        with pytest.raises(InvalidInput, match=rf"^row {wrong[0]}: 'target' has") as caught:
            encode_targets(VOCABULARY, texts, limit)
        assert caught.value.field == "target"
    else:
        for text, ids in zip(texts, encode_targets(VOCABULARY, texts, limit), strict=True):
            assert ids[-1] == EOS
            assert VOCABULARY.decode(ids) == text


def test_a_dataset_tells_its_longest_rows_and_what_was_cut():
    rows = [Example("abcdef", "x"), Example("abc", " yes "), Example("", "no")]
    encoded = encode_examples(VOCABULARY, rows, 4, 6)
    assert len(encoded) == 3
    assert encoded.texts == ["x", " yes ", "no"]
    assert [len(ids) for ids in encoded.inputs] == [4, 4, 1]
    assert (encoded.max_input, encoded.max_target, encoded.truncated) == (4, 6, 1)
    assert encoded.inputs == encode_inputs(VOCABULARY, [row.input for row in rows], 4)


def test_what_cannot_be_trained_on_names_its_row():
    with pytest.raises(InvalidInput, match=r"row 2 has no 'target'.* too short .* 1 tokens"):
        encode_examples(VOCABULARY, [Example("a", "b"), Example("a")], 4, 4)
    with pytest.raises(InvalidInput, match=r"row 1 has no 'target'.* within 2 input"):
        encode_examples(VOCABULARY, [Example("abc")], 2, 4)
    with pytest.raises(InvalidInput, match=r"row 1: 'target' has 5 tokens .* at most 4"):
        encode_examples(VOCABULARY, [Example("a", "long")], 4, 4)
    with pytest.raises(InvalidInput, match="at least one example"):
        encode_examples(VOCABULARY, [], 4, 4)
    with pytest.raises(InvalidInput, match="max_input_length must be at least 1"):
        encode_inputs(VOCABULARY, ["a"], 0)
