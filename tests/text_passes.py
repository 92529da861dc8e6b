"""The passes on batches of texts and soft tokens, with one array an argument.

Tests of text models say what they mean by it: `Prompts` [U, P, D] and `Rows` of inputs and targets
instead of trees by name.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ptsys.kinds.batch import Readings, gather
from ptsys.kinds.batch import Rows as TreeRows
from ptsys.kinds.model_kind import RowLosses
from ptsys.kinds.trees import Layout, Leaf
from ptsys.models.t5.decoding import Choices, Generated
from ptsys.models.t5.kind import Scores, T5Kind, text_rows, token_readings
from ptsys.models.t5.network import T5
from ptsys.passes import answers, optimizers, train
from ptsys.passes import gradients as passes
from ptsys.passes.frozen import Frozen
from ptsys.passes.optimizers import Hyperparameters, LeafState


class Prompts(NamedTuple):
    """Right-aligned soft tokens [U, P, D] and their lengths [U]."""

    values: Any
    length: Any

    @property
    def tree(self) -> Readings:
        return token_readings(self.values, self.length)


class Rows(NamedTuple):
    """Token ids [B, L] and [B, T], and each row's slot [B]."""

    inputs: Any
    targets: Any
    slot: Any

    @property
    def tree(self) -> TreeRows:
        return text_rows(*self)


class Gradients(NamedTuple):
    """As the pass gives them, the gradient an array."""

    loss: Any
    tokens: Any
    values: Any
    row_loss: Any
    predicted: Any


def gradients(
    frozen: Frozen, prompts: Prompts, rows: Rows, z_loss: Any = None, *, packed: bool = False
) -> Gradients:
    found = passes.gradients(frozen, prompts.tree, rows.tree, z_loss, packed=packed)
    return Gradients(*found._replace(values=found.values["prompt"]))


def row_losses(
    model: T5,
    prompts: Prompts,
    rows: Rows,
    z_loss: Any = None,
    capacity: int | None = None,
) -> RowLosses:
    own = gather(jax.tree.map(jnp.asarray, prompts.tree), jnp.asarray(rows.slot))
    features = {"inputs": rows.inputs, "targets": rows.targets}
    of_rows = None if z_loss is None else jnp.take(z_loss, rows.slot, mode="fill", fill_value=0)
    return T5Kind(model.config).losses(model, own, features, of_rows, capacity)


def score(frozen: Frozen, prompts: Prompts, rows: Rows) -> Scores:
    found: Scores = answers.answer(frozen, prompts.tree, rows.tree, operation="score")
    return found


def encode(frozen: Frozen, prompts: Prompts, rows: Rows) -> Any:
    inputs = TreeRows({"inputs": rows.inputs}, rows.slot)
    return answers.answer(frozen, prompts.tree, inputs, operation="encode")


def emit(frozen: Frozen, prompts: Prompts, rows: Rows) -> Any:
    inputs = TreeRows({"inputs": rows.inputs}, rows.slot)
    return answers.answer(frozen, prompts.tree, inputs, operation="emit")


def generate(
    frozen: Frozen, prompts: Prompts, inputs: Any, slot: Any, choices: Choices, **options: Any
) -> Generated:
    rows = TreeRows({"inputs": inputs, **choices._asdict()}, slot)
    found: Generated = answers.answer(
        frozen,
        prompts.tree,
        rows,
        operation="generate",
        options=tuple(sorted(options.items())),
    )
    return found


class SlotState(NamedTuple):
    """Slots of soft tokens, `prompt` [U, P, D]."""

    prompt: Any
    length: Any
    first: Any
    second: Any
    step: Any

    @property
    def leaf(self) -> LeafState:
        return LeafState(*self)

    @property
    def tree(self) -> optimizers.SlotState:
        """The array's own count of updates is a buffer of its own: both are given away."""
        step = self.step if isinstance(self.step, jax.ShapeDtypeStruct) else self.step + 0
        return optimizers.SlotState({"prompt": self.leaf._replace(step=step)}, self.step)


def initial_state(prompt: Any, length: Any) -> SlotState:
    return SlotState(*optimizers.initial_state(prompt, length))


def update(state: SlotState, gradient: Any, hyper: Hyperparameters) -> SlotState:
    return SlotState(*optimizers.update(state.leaf, gradient, hyper))


def tokens_layout(state: SlotState) -> Layout:
    _, length, width = state.prompt.shape
    return Layout("tokens", (Leaf("prompt", (length, width)),), length)


def train_step(
    frozen: Frozen,
    state: SlotState,
    hyper: Hyperparameters,
    residents: Any,
    rows: Rows,
    *,
    packed: bool = False,
) -> tuple[SlotState, train.TrainMetrics]:
    new, metrics = train.train_step(
        frozen,
        state.tree,
        {"prompt": hyper},
        residents,
        rows.tree,
        {},
        layout=tokens_layout(state),
        packed=packed,
    )
    return SlotState(*new.leaves["prompt"]), metrics
