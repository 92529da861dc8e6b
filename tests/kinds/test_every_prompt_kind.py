"""What holds for every prompt kind there is: a new one is tested by its line in the registry."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ptsys.kinds.batch import Readings, Rows
from ptsys.kinds.prompt_kind import Reader
from ptsys.kinds.registry import PROMPT_KINDS, READ_AS, kind_of, prompt_kind
from ptsys.kinds.trees import Layout, Tree, laid, shapes_of, taken
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import create
from ptsys.passes.frozen import Frozen, freeze
from ptsys.passes.gradients import slot_gradients
from ptsys.passes.optimizers import SlotState, hyperparameters, initial_state
from ptsys.passes.train import train_step
from ptsys.types.training import Optimizer

CONFIG = T5Config(
    vocab_size=48, d_model=16, num_heads=2, head_dim=8, d_ff=32, encoder_layers=2, decoder_layers=2
)
MEMBERS = 3
ALL = sorted(set(PROMPT_KINDS) - {"meta"})  # which needs examples: tests/engine
ALONE = Reader(None, None, None, {})


@pytest.fixture(scope="module")
def frozen() -> Frozen:
    return freeze(create(CONFIG, 3))


def tree_of(name: str, length: int, seed: int) -> Tree:
    """A random prompt; of kinds with members one of three."""
    kind, draw = prompt_kind(name), np.random.default_rng(seed)
    shapes = dict(kind.shapes(length, CONFIG))
    for leaf in kind.layout(shapes).leaves:
        if leaf.members:
            shapes[leaf.name] = (MEMBERS, *shapes[leaf.name][1:])
    return {
        array: draw.normal(scale=0.5, size=shape).astype(np.float32)
        for array, shape in shapes.items()
    }


def put_together(trees: list[Tree], layout: Layout) -> tuple[dict[str, Any], dict[str, Any]]:
    """Prompts of one layout as the device has them, and their lengths."""
    values = {
        leaf.name: jnp.stack([jnp.asarray(laid(tree[leaf.name], leaf)) for tree in trees])
        for leaf in layout.leaves
    }
    length = {
        leaf.name: jnp.array([tree[leaf.name].shape[bool(leaf.members)] for tree in trees])
        for leaf in layout.leaves
    }
    return values, length


def rows(slot: list[int], seed: int = 0) -> Rows:
    draw = np.random.default_rng(seed)
    count = len(slot)
    features = {
        "inputs": jnp.asarray(draw.integers(2, 48, (count, 6)), jnp.int32),
        "targets": jnp.asarray(draw.integers(2, 48, (count, 3)), jnp.int32),
    }
    return Rows(features, jnp.array(slot, jnp.int32))


def losses_of(
    frozen: Frozen, layout: Layout, values: dict[str, Any], length: dict[str, Any], some: Rows
) -> Any:
    """The mean loss of each prompt's rows, [U]."""
    read, of_read = prompt_kind(layout.kind).resolve(values, length, layout, ALONE)
    readings = Readings(read, of_read)
    found = slot_gradients(frozen, readings, some, members=layout.members)
    tokens = found.tokens.reshape(-1, layout.members)
    loss = jnp.sum(found.loss.reshape(tokens.shape) * tokens, axis=1)
    return loss / jnp.maximum(jnp.sum(tokens, axis=1), 1)


@pytest.mark.parametrize("name", ALL)
def test_what_is_laid_into_a_slot_is_taken_out_of_it(name: str) -> None:
    tree = tree_of(name, 3, seed=1)
    for leaf in prompt_kind(name).layout(shapes_of(tree)).leaves:
        whole = laid(tree[leaf.name], leaf)
        assert whole.shape == leaf.whole
        again = taken(whole, leaf, tree[leaf.name].shape)
        np.testing.assert_array_equal(again, tree[leaf.name])


@pytest.mark.parametrize("name", ALL)
def test_the_host_reads_what_the_device_reads(name: str) -> None:
    kind, tree = prompt_kind(name), tree_of(name, 3, seed=2)
    layout = kind.layout(shapes_of(tree))
    read, length = kind.resolve(*put_together([tree, tree], layout), layout, ALONE)
    members = MEMBERS if layout.members > 1 else 1
    for member in range(members):
        expected = kind.reading(tree, member)
        assert kind_of(expected).layout(shapes_of(expected)).leaves
        for array, values in expected.items():
            place = layout.members + member  # the second prompt's
            own = np.asarray(read[array][place])[-int(length[array][place]) :]
            np.testing.assert_allclose(own, values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_nobodys_rows_have_a_gradient_on_anothers_prompt(frozen: Frozen, name: str) -> None:
    """And a member's rows have none on another member's own arrays."""
    trees = [tree_of(name, 3, seed) for seed in range(2)]
    layout = prompt_kind(name).layout(shapes_of(trees[0]))
    values, length = put_together(trees, layout)
    metrics, gradient = step(frozen, layout, values, length, rows([0, 0]))
    assert metrics.loss[0] > 0
    assert metrics.loss[1] == 0
    for leaf in layout.leaves:
        change = np.asarray(gradient[leaf.name])
        assert np.abs(change[0]).max() > 0
        assert not change[1].any()
        if leaf.members:
            assert np.abs(change[0, 0]).max() > 0
            assert not change[0, 1:].any()


@pytest.mark.parametrize("name", ALL)
def test_the_gradient_is_that_of_the_loss(frozen: Frozen, name: str) -> None:
    """Of a step, seen through plain SGD; against differences along random directions."""
    trees = [tree_of(name, 3, seed) for seed in range(2)]
    layout = prompt_kind(name).layout(shapes_of(trees[0]))
    values, length = put_together(trees, layout)
    each = layout.members
    some = rows([0, each, 0, min(1, each - 1), each, each])
    _, gradient = step(frozen, layout, values, length, some)
    loss = jax.jit(lambda v: losses_of(frozen, layout, v, length, some).sum())
    draw = np.random.default_rng(5)
    for leaf in layout.leaves:
        direction = draw.normal(size=values[leaf.name].shape).astype(np.float32)
        direction *= np.asarray(gradient[leaf.name] != 0)  # padding is not read
        small = 1e-2 / np.linalg.norm(direction)
        sides = [
            float(loss({**values, leaf.name: values[leaf.name] + sign * small * direction}))
            for sign in (1, -1)
        ]
        numeric = (sides[0] - sides[1]) / (2 * small)
        exact = float(np.sum(np.asarray(gradient[leaf.name]) * direction))
        assert numeric == pytest.approx(exact, rel=0.05, abs=0.02), leaf.name


@pytest.mark.parametrize("name", ALL)
def test_company_of_another_length_changes_no_loss(frozen: Frozen, name: str) -> None:
    """Where a layout has room for longer ones, a prompt is the same beside them."""
    kind, short = prompt_kind(name), tree_of(name, 2, seed=8)
    layout = kind.layout(shapes_of(short))
    longer = tree_of(name, 3, seed=9)
    if kind.layout(shapes_of(longer)) != layout:
        pytest.skip("lengths of this kind have shapes of their own")
    alone = losses_of(frozen, layout, *put_together([short], layout), rows([0, 0]))
    both = losses_of(frozen, layout, *put_together([short, longer], layout), rows([0, 0]))
    assert float(both[0]) == pytest.approx(float(alone[0]), rel=1e-5)


def test_kinds_that_are_read_as_they_are_are_known_by_their_arrays() -> None:
    for names, kind in READ_AS.items():
        assert kind in PROMPT_KINDS
        assert kind_of(dict.fromkeys(names)).name == kind


def step(
    frozen: Frozen,
    layout: Layout,
    values: dict[str, Any],
    length: dict[str, Any],
    some: Rows,
) -> tuple[Any, dict[str, np.ndarray]]:
    """A step of plain SGD at rate 1 for two prompts: its metrics, and the gradient it followed."""
    count = 2
    leaves = {}
    for leaf in layout.leaves:
        of_leaf = jnp.array(length[leaf.name], jnp.int32) + 0
        if leaf.members:
            of_leaf = jnp.repeat(of_leaf[:, None], leaf.members, axis=1)
        leaves[leaf.name] = initial_state(values[leaf.name] + 0, of_leaf)
    one = hyperparameters([Optimizer(kind="sgd", learning_rate=1)] * count, [9] * count)
    state, metrics = train_step(
        frozen,
        SlotState(leaves, jnp.zeros((count,), jnp.int32)),
        dict.fromkeys(leaves, one),
        jnp.arange(count),
        some,
        {},
        layout=layout,
    )
    gradient = {
        name: np.asarray(values[name]) - np.asarray(leaf.value)
        for name, leaf in state.leaves.items()
    }
    return jax.tree.map(np.asarray, metrics), gradient
