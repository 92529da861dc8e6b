import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptsys.errors import InvalidInput
from ptsys.prompts.multitask import Affine, Method, combine, split_gradient

LENGTHS = st.integers(1, 7)
SEEDS = st.integers(0, 2**32 - 1)


def draw(seed: int, *shapes: tuple[int, int]) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.standard_normal(shape) for shape in shapes]


@functools.partial(jax.jit, static_argnames="method")
def _autodiff(parts: dict[str, Any], weight: Any, shift: Any, method: Method) -> Any:
    def loss(parts: dict[str, Any], shift: Any) -> Any:
        rows = [parts["general"]] + ([parts["task"]] if "task" in parts else [])
        combined = sum(rows) if method == "add" else jnp.concatenate(rows, axis=0)
        if method == "affine":
            combined = parts["matrix"] @ combined + parts["bias"]
        combined = combined + shift
        return jnp.sum(jnp.sin(combined * weight) + 0.1 * combined**3)  # not linear

    return jax.grad(loss, argnums=(0, 1))(parts, shift)


def autodiff(
    method: Method, parts: dict[str, Any], weight: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The combined prompt's gradient, and each part's, by jax in float64."""
    with jax.enable_x64(True):
        wanted, whole = _autodiff(parts, weight, np.zeros_like(weight), method)
    assert whole.dtype == np.float64
    return np.asarray(whole), {name: np.asarray(value) for name, value in wanted.items()}


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)


@given(length=LENGTHS, width=LENGTHS, seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_added_parts_have_the_gradient_of_autodiff(length: int, width: int, seed: int) -> None:
    general, task, weight = draw(seed, *[(length, width)] * 3)
    whole, wanted = autodiff("add", {"general": general, "task": task}, weight)
    split = split_gradient(whole, general, task, method="add")
    close(split.general, wanted["general"])
    close(split.task, wanted["task"])
    assert split.affine is None


@given(first=LENGTHS, second=LENGTHS, width=LENGTHS, seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_concatenated_parts_have_the_gradient_of_autodiff(
    first: int, second: int, width: int, seed: int
) -> None:
    shapes = (first, width), (second, width), (first + second, width)
    general, task, weight = draw(seed, *shapes)
    whole, wanted = autodiff("concat", {"general": general, "task": task}, weight)
    split = split_gradient(whole, general, task, method="concat")
    close(split.general, wanted["general"])
    close(split.task, wanted["task"])


@given(first=LENGTHS, second=st.integers(0, 7), length=LENGTHS, width=LENGTHS, seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_an_affine_map_and_its_parts_have_the_gradient_of_autodiff(
    first: int, second: int, length: int, width: int, seed: int
) -> None:
    """No task-specific rows (second = 0): the general prompt alone is projected."""
    shapes = (first, width), (second, width), (length, first + second), (length, width)
    general, rows, matrix, bias, weight = draw(seed, *shapes, (length, width))
    task = rows if second else None
    parts = {"general": general, "matrix": matrix, "bias": bias}
    whole, wanted = autodiff("affine", parts | ({"task": task} if second else {}), weight)
    split = split_gradient(whole, general, task, method="affine", affine=Affine(matrix, bias))
    close(split.general, wanted["general"])
    assert split.affine is not None
    close(split.affine.matrix, wanted["matrix"])
    close(split.affine.bias, wanted["bias"])
    if second:
        close(split.task, wanted["task"])
    else:
        assert split.task is None


@pytest.mark.parametrize("method", ["add", "concat", "affine"])
def test_a_small_move_of_every_part_moves_the_loss_as_the_gradients_say(method: Method) -> None:
    """Without jax: finite differences of `combine` itself."""
    general, task, matrix, bias = draw(3, (3, 4), (3, 4), (5, 6), (5, 4))
    moves = draw(4, (3, 4), (3, 4), (5, 6), (5, 4))

    def loss(step: float) -> float:
        g, t, a, b = (
            x + step * move for x, move in zip((general, task, matrix, bias), moves, strict=True)
        )
        affine = Affine(a, b) if method == "affine" else None
        return float(np.sum(np.sin(combine(g, t, method=method, affine=affine))))

    affine = Affine(matrix, bias) if method == "affine" else None
    slope = np.cos(combine(general, task, method=method, affine=affine))
    split = split_gradient(slope, general, task, method=method, affine=affine)
    parts = [split.general, split.task]
    parts += [split.affine.matrix, split.affine.bias] if split.affine else []
    told = sum(float(np.sum(part * move)) for part, move in zip(parts, moves, strict=False))
    assert (loss(1e-5) - loss(-1e-5)) / 2e-5 == pytest.approx(told, rel=1e-8)


def test_task_specific_rows_lie_next_to_the_input() -> None:
    general, task = np.zeros((2, 3), np.float32), np.ones((1, 3), np.float32)
    combined = combine(general, task)
    assert combined.tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 1]]
    assert combined.dtype == np.float32


def test_the_identity_map_keeps_the_rows_next_to_the_input() -> None:
    general, task = (x.astype(np.float32) for x in draw(1, (2, 3), (4, 3)))
    rows = np.concatenate([general, task])
    for length in (3, 6, 8):
        affine = Affine.identity(length, 6, 3)
        combined = combine(general, task, method="affine", affine=affine)
        assert combined.dtype == np.float32
        kept = min(length, 6)
        np.testing.assert_array_equal(combined[-kept:], rows[-kept:])
        assert not combined[: length - kept].any()


def test_what_is_returned_is_the_callers_own() -> None:
    gradient, general, task = draw(1, (2, 3), (2, 3), (2, 3))
    split = split_gradient(gradient, general, task, method="add")
    split.general[:] = 0
    assert split.task is not None
    assert split.task.all()
    assert gradient.all()


TWO, THREE = np.zeros((2, 4)), np.zeros((3, 4))
MAP = Affine(np.zeros((6, 5)), np.zeros((6, 4)))


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("method", {"general": TWO, "task": TWO, "method": "multiply"}),
        ("general", {"general": np.zeros(4), "task": TWO}),
        ("task", {"general": TWO, "task": np.zeros((2, 5))}),
        ("task", {"general": TWO, "task": THREE, "method": "add"}),
        ("task", {"general": TWO, "method": "concat"}),
        ("affine", {"general": TWO, "task": THREE, "method": "affine"}),
        ("affine", {"general": TWO, "task": THREE, "method": "concat", "affine": MAP}),
        ("affine", {"general": TWO, "method": "affine", "affine": MAP}),
        (
            "affine",
            {
                "general": TWO,
                "task": THREE,
                "method": "affine",
                "affine": Affine(np.zeros((6, 5)), np.zeros((1, 4))),
            },
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_name(field: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        combine(**arguments)
    assert caught.value.field == field


def test_a_gradient_of_something_else_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"\[5, 4\]") as caught:
        split_gradient(TWO, TWO, THREE, method="concat")
    assert caught.value.field == "gradient"
