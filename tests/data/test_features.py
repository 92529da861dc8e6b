import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptsys.data.features import encode_examples, encode_inputs, encode_targets, pad
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


@given(
    rows=st.lists(st.lists(st.integers(1, 300), max_size=6), max_size=5),
    wider=st.integers(0, 3),
    more=st.integers(0, 3),
)
def test_padding_adds_zeros_on_the_right_and_below_only(rows, wider, more):
    width, count = max(map(len, rows), default=0) + wider, len(rows) + more
    padded = pad(rows, width, count)
    assert padded.shape == (count, width)
    assert padded.dtype == np.int32
    again = [row[row > 0].tolist() for row in padded]
    assert again == rows + [[]] * more
    assert (padded > 0).sum() == sum(map(len, rows))


def test_padding_never_cuts():
    with pytest.raises(ValueError, match=r"row 1 has 3 tokens"):
        pad([[1], [1, 2, 3]], 2, 2)
    with pytest.raises(ValueError, match="2 rows do not fit into 1"):
        pad([[1], [2]], 2, 1)


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
