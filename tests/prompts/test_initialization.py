import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptsys.errors import InvalidInput
from ptsys.prompts.initialization import COMMON, initialize, shared_start
from ptsys.types.training import Initialization

EMBEDDINGS = np.arange(12_000, dtype=np.float32)[:, None] * np.array([1, -1], np.float32)
COMMON_PIECES = range(3, 9_003)
SHARED = np.arange(10, dtype=np.float32).reshape(5, 2) + 0.5
OTHER = -np.ones((3, 2), np.float32)
LENGTHS = st.integers(1, 40)
SEEDS = st.integers(0, 2**31 - 1)


def start(kind="shared", length=8, seed=0, *, text=None, labels=None, **model):
    values = {
        "embeddings": EMBEDDINGS,
        "shared": SHARED,
        "encode": lambda text: [ord(letter) for letter in text],
        "common_pieces": COMMON_PIECES,
        "labels": ["yes", "no"],
        "other": OTHER,
    }
    prompt = "pr_1" if kind == "prompt" else None
    spec = Initialization(kind=kind, text=text, labels=labels, prompt=prompt)
    return initialize(spec, length, seed, **(values | model))


def ids(rows):
    return rows[:, 0].astype(int).tolist()


def refused(*arguments, **options):
    with pytest.raises(InvalidInput) as caught:
        start(*arguments, **options)
    return caught.value.field


@pytest.mark.parametrize("kind", ["shared", "vocabulary", "labels", "text", "prompt"])
@pytest.mark.parametrize("length", [1, 4, 9])
def test_every_start_is_a_float32_prompt_of_its_own(kind, length):
    rows = start(kind, length, text="some words", embeddings=EMBEDDINGS.astype(np.float64))
    assert rows.shape == (length, 2)
    assert rows.dtype == np.float32
    rows[:] = 7  # the model's arrays stay as they are
    assert not (SHARED == 7).any()
    assert not (OTHER == 7).any()


@given(longer=LENGTHS, shorter=LENGTHS, seeds=st.tuples(SEEDS, SEEDS), own=st.booleans())
def test_shared_starts_agree_from_the_end_for_all_users(longer, shorter, seeds, own):
    shared = SHARED if own else None
    a = start(length=longer, seed=seeds[0], shared=shared)
    b = start(length=shorter, seed=seeds[1], shared=shared)
    both = min(longer, shorter)
    np.testing.assert_array_equal(a[-both:], b[-both:])


def test_the_shared_start_ends_with_the_models_rows():
    np.testing.assert_array_equal(start(length=3), SHARED[-3:])
    np.testing.assert_array_equal(start(length=12), np.tile(SHARED, (3, 1))[-12:])


def test_a_model_without_a_shared_start_gets_distinct_common_pieces():
    chosen = ids(shared_start(40, embeddings=EMBEDDINGS, shared=None, common_pieces=COMMON_PIECES))
    assert len(set(chosen)) == 40
    assert set(chosen) <= set(COMMON_PIECES[:COMMON])


def test_the_drawn_start_of_a_model_never_changes():
    """Stored prompts are compared with this start: changing it makes them strangers, so this
    may only change together with a migration of every library."""
    rows = shared_start(4, embeddings=EMBEDDINGS, shared=None, common_pieces=COMMON_PIECES)
    assert ids(rows) == [4782, 4414, 612, 1390]


@given(length=LENGTHS, seed=SEEDS)
def test_vocabulary_rows_are_distinct_common_and_the_seeds_own(length, seed):
    chosen = ids(start("vocabulary", length, seed))
    assert len(set(chosen)) == length
    assert set(chosen) <= set(COMMON_PIECES[:COMMON])
    assert chosen == ids(start("vocabulary", length, seed))


def test_seeds_differ():
    assert ids(start("vocabulary", 8, 1)) != ids(start("vocabulary", 8, 2))


def test_rows_repeat_only_where_pieces_are_too_few():
    assert sorted(ids(start("vocabulary", 5, common_pieces=range(3, 8)))) == list(range(3, 8))
    chosen = ids(start("vocabulary", 30, common_pieces=range(3, 8)))
    assert set(chosen) <= set(range(3, 8))


def test_labels_come_first_with_their_pieces_averaged():
    rows = start("labels", 8, 3)
    expected = [np.mean([ord(letter) for letter in label]) for label in ("yes", "no")]
    np.testing.assert_allclose(rows[:2, 0], expected, rtol=1e-6)
    rest = ids(rows[2:])
    assert len(set(rest)) == 6
    assert set(rest) <= set(COMMON_PIECES[:COMMON])


def test_named_labels_win_over_the_datasets_and_what_does_not_fit_is_left():
    np.testing.assert_array_equal(ids(start("labels", 2, labels=("b", "c", "d"))), [98, 99])
    np.testing.assert_array_equal(ids(start("labels", 2, labels=("b", "b", "c"))), [98, 99])


def test_a_text_is_cut_or_repeated():
    assert ids(start("text", 2, text="abc")) == [97, 98]
    assert ids(start("text", 7, text="abc")) == [97, 98, 99, 97, 98, 99, 97]


def test_another_prompt_keeps_its_last_rows_and_is_filled_from_the_shared_start():
    tall = np.arange(40, dtype=np.float32).reshape(20, 2)
    np.testing.assert_array_equal(start("prompt", 6, other=tall), tall[-6:])
    rows = start("prompt", 6)
    np.testing.assert_array_equal(rows[-3:], OTHER)
    np.testing.assert_array_equal(rows[:3], start(length=6)[:3])


def test_impossible_starts_name_their_field():
    assert refused("labels", labels=()) == "initialization.labels"
    nothing = {"encode": lambda text: []}
    assert refused("labels", **nothing) == "initialization.labels"
    assert refused("text", text=" ", **nothing) == "initialization.text"
    assert refused("prompt", other=np.ones((3, 5), np.float32)) == "initialization.prompt"
    assert refused("prompt", other=None) == "initialization.prompt"
    assert refused("shared", shared=np.ones((3, 5), np.float32)) == "shared"
    assert refused("vocabulary", common_pieces=[]) == "vocabulary"
    assert refused("text", text="abc", embeddings=EMBEDDINGS[:50]) == "vocabulary"
    assert refused(length=0) == "length"
    assert refused(length=1025) == "length"
