import itertools
from pathlib import Path

import numpy as np
import pytest

from ptsys.errors import InvalidInput, Unavailable
from ptsys.library.starts import kept_start, library_folder, read_start, write_start
from ptsys.library.vectors import prompt_vector, token_vector
from ptsys.models.registry import load_builtin
from ptsys.prompts.check import MAX_LENGTH
from ptsys.prompts.initialization import shared_start
from ptsys.prompts.tokens import TOKENS, tokens
from ptsys.types.library import MOST_NUMBERS, VectorKind

KINDS: tuple[VectorKind, ...] = ("mean", "token", "projection")
WIDTH = 24


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


START = normal(64, WIDTH, seed=99)


def vector_of(prompt: np.ndarray, start: np.ndarray, kind: VectorKind) -> np.ndarray:
    """Of soft tokens that began at the end of a start."""
    return prompt_vector(TOKENS.compared(tokens(prompt), start), kind)


def test_token_vectors_multiply_to_the_mean_cosine_of_all_pairs() -> None:
    """SPoT's per-token average similarity, pair by pair."""
    first, second = normal(5, WIDTH), normal(9, WIDTH, seed=1)
    pairs = [
        float(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
        for a, b in itertools.product(first.astype(np.float64), second.astype(np.float64))
    ]
    assert token_vector(first) @ token_vector(second) == pytest.approx(np.mean(pairs), abs=1e-6)


def test_mean_is_the_mean_change_counted_from_the_end() -> None:
    moved = normal(6, WIDTH)
    vector = vector_of(START[-6:] + moved, START, "mean")
    np.testing.assert_allclose(vector, moved.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_an_untrained_prompt_has_no_direction(kind: VectorKind) -> None:
    assert not vector_of(START[-8:], START, kind).any()
    assert not np.isnan(vector_of(START[-8:], START, kind)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_has_the_models_width_and_is_the_same_again(kind: VectorKind) -> None:
    prompt = normal(7, WIDTH)
    vector = vector_of(prompt, START, kind)
    assert (vector.shape, vector.dtype) == ((WIDTH,), np.float32)
    np.testing.assert_array_equal(vector, vector_of(prompt.copy(), START[-20:], kind))


def test_projection_keeps_lengths_and_angles_in_the_mean() -> None:
    """Over many pairs, the projected inner product has the true one as its mean."""
    width, length = 128, 16
    start = np.zeros((length, width), np.float32)
    errors = []
    for seed in range(200):
        a = normal(length, width, seed=2 * seed)
        b = (a + normal(length, width, seed=2 * seed + 1)) / 2
        true = float((a * b).sum()) / float((a * a).sum())
        made = vector_of(a, start, "projection") @ vector_of(b, start, "projection")
        errors.append(float(made) / float((a * a).sum()) - true)
    assert abs(np.mean(errors)) < 0.03
    assert np.std(errors) < 3 / np.sqrt(width)


def test_projection_takes_missing_tokens_as_unmoved() -> None:
    short = START[-3:] + normal(3, WIDTH)
    long = np.concatenate([START[-10:-3], short])
    np.testing.assert_allclose(
        vector_of(short, START, "projection"), vector_of(long, START, "projection")
    )


def test_order_matters_to_the_projection_alone() -> None:
    moved = normal(5, WIDTH)
    start = np.zeros((5, WIDTH), np.float32)
    for kind in KINDS:
        same = np.allclose(
            vector_of(moved, start, kind), vector_of(moved[::-1], start, kind), atol=1e-5
        )
        assert same == (kind != "projection")


@pytest.mark.parametrize("kind", KINDS)
def test_a_wide_change_is_projected_to_fewer_numbers(kind: VectorKind) -> None:
    """Alike prompts of many layers stay alike, others stay apart."""
    width = 3 * MOST_NUMBERS
    one, other = normal(4, width), normal(4, width, seed=1)
    vectors = [prompt_vector(x, kind) for x in (one, one + 0.5 * other, other)]
    assert {x.shape for x in vectors} == {(MOST_NUMBERS,)}
    first, twin, stranger = (x / np.linalg.norm(x) for x in vectors)
    assert first @ twin == pytest.approx(1 / np.hypot(1, 0.5), abs=0.05)
    assert first @ stranger == pytest.approx(0, abs=0.05)


def test_other_widths_and_longer_prompts_are_refused() -> None:
    for shape in ((3, WIDTH + 1), (65, WIDTH), (WIDTH,)):
        with pytest.raises(InvalidInput) as raised:
            TOKENS.compared(tokens(np.zeros(shape, np.float32)), START)
        assert raised.value.field == "prompt"


def test_the_builtin_models_start_needs_no_worker(tmp_path: Path) -> None:
    loaded = load_builtin("tiny")
    assert loaded.initialization is not None
    start = read_start(tmp_path, loaded.fingerprint)
    assert len(start) == MAX_LENGTH
    for length in (1, 16, 100, 1000):
        wanted = shared_start(
            length,
            embeddings=loaded.initialization,
            shared=loaded.initialization,
            common_pieces=(),
        )
        np.testing.assert_array_equal(start[-length:], wanted)
    assert not (tmp_path / "library").exists()


def test_a_start_is_kept_and_a_missing_or_damaged_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="start a worker"):
        read_start(tmp_path, "f" * 16)
    write_start(tmp_path, "f" * 16, START)
    np.testing.assert_array_equal(read_start(tmp_path, "f" * 16), START)
    path = library_folder(tmp_path, "f" * 16) / "start.npy"
    path.write_bytes(path.read_bytes()[:-5])
    assert kept_start(tmp_path, "f" * 16) is None
    with pytest.raises(Unavailable):
        read_start(tmp_path, "f" * 16)
    write_start(tmp_path, "f" * 16, START)
    np.testing.assert_array_equal(read_start(tmp_path, "f" * 16), START)
    assert [child.name for child in path.parent.iterdir()] == ["start.npy"]
