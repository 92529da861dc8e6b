"""Groups: work that can share one compiled step, and the programs compiled for them."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from ptsys.engine.slot_memory import SlotMemory
from ptsys.kinds.batch import Prompts, Rows
from ptsys.models.t5.decoding import Choices, Method
from ptsys.passes.frozen import Frozen
from ptsys.passes.gradients import gradients
from ptsys.passes.predict import generate, score
from ptsys.passes.train import train_step
from ptsys.sharding.mesh import ROWS, WHOLE, placed, shards_of

Kind = Literal["train", "gradients", "score", "generate"]


class Group(NamedTuple):
    """Kind and padded lengths; `method` and `beams` are of `generate` alone, `packed` of `train`:
    whether rows are much shorter than the longest."""

    kind: Kind
    prompt: int
    inputs: int
    targets: int
    method: Method = "greedy"
    beams: int = 1
    packed: bool = False


class Shape(NamedTuple):
    """One compiled step of a group: `rows` rows on each data shard, and `slots` prompts, which are
    each shard's own too where gradients are taken."""

    group: Group
    slots: int
    rows: int

    @property
    def kind(self) -> str:
        """Shapes of one kind take about as long to compile."""
        return self.group.kind if self.group.beams == 1 else f"{self.group.kind} by beams"

    @property
    def what(self) -> str:
        """In words for users."""
        group = self.group
        prompts = "1 prompt" if self.slots == 1 else f"{self.slots} prompts"
        return (
            f"{_WORDS[group.kind]} for {self.rows} rows and {prompts} (at most {group.prompt} "
            f"prompt, {group.inputs} input and {group.targets} target tokens)"
        )


_WORDS = {
    "train": "a training step",
    "gradients": "gradients",
    "score": "scores of labels",
    "generate": "answers",
}


def lowered(frozen: Frozen, shape: Shape, memory: SlotMemory | None) -> Any:
    """A shape's program, ready to be compiled. `memory` holds the residents' slots of the group's
    width, for training."""
    mesh, group = frozen.mesh, shape.group
    rows, whole = _Arrays(mesh, ROWS, shards_of(mesh)), _Arrays(mesh, WHOLE)

    def texts() -> Rows:
        return Rows(
            rows.ints(shape.rows, group.inputs),
            rows.ints(shape.rows, group.targets),
            rows.ints(shape.rows),
        )

    def generator(prompts: Prompts) -> Any:
        options = Choices(
            limit=rows.ints(shape.rows),
            temperature=rows.floats(shape.rows),
            top_p=rows.floats(shape.rows),
            seed=rows.struct(jnp.uint32, shape.rows),
            length_penalty=rows.floats(shape.rows),
        )
        return generate.lower(
            frozen,
            prompts,
            rows.ints(shape.rows, group.inputs),
            rows.ints(shape.rows),
            options,
            method=group.method,
            max_tokens=group.targets,
            beams=group.beams,
        )

    if group.kind == "train":
        assert memory is not None
        residents = rows.ints(shape.slots)
        state, hyper = jax.tree.map(_like, (memory.state, memory.hyper))
        return train_step.lower(frozen, state, hyper, residents, texts(), packed=group.packed)
    where = rows if group.kind == "gradients" else whole
    prompts = Prompts(
        where.floats(shape.slots, group.prompt, frozen.config.d_model),
        where.ints(shape.slots),
    )
    if group.kind == "gradients":
        return gradients.lower(frozen, prompts, texts())
    if group.kind == "score":
        return score.lower(frozen, prompts, texts())
    return generator(prompts)


@dataclasses.dataclass(frozen=True)
class _Arrays:
    """Shapes of arrays that lie on a mesh in one way, their first axis `times` as long."""

    mesh: Mesh | None
    spec: PartitionSpec
    times: int = 1

    def ints(self, *shape: int) -> Any:
        return self.struct(jnp.int32, *shape)

    def floats(self, *shape: int) -> Any:
        return self.struct(jnp.float32, *shape)

    def struct(self, dtype: Any, first: int, *rest: int) -> Any:
        shape = (self.times * first, *rest)
        return jax.ShapeDtypeStruct(shape, dtype, sharding=placed(self.mesh, self.spec))


def _like(x: jax.Array) -> Any:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
