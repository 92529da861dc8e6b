"""Groups: work that can share one compiled step, and the programs compiled for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from ptsys.engine.slots import Slots
from ptsys.passes.batch import Prompts, Rows
from ptsys.passes.decoding import Choices, Method
from ptsys.passes.frozen import Frozen
from ptsys.passes.gradients import gradients
from ptsys.passes.predict import generate, score
from ptsys.passes.train import train_step

Kind = Literal["train", "gradients", "score", "generate"]


class Group(NamedTuple):
    """Kind and padded lengths; `method` and `beams` are of `generate` alone."""

    kind: Kind
    prompt: int
    inputs: int
    targets: int
    method: Method = "greedy"
    beams: int = 1


class Shape(NamedTuple):
    """One compiled step of a group: `slots` prompts and `rows` rows."""

    group: Group
    slots: int
    rows: int


def builder(frozen: Frozen, shape: Shape, slots: Slots | None) -> Callable[[], Any]:
    """How to compile a shape. `slots` are the residents' of the group's width, for training."""

    def build() -> Any:
        group = shape.group
        if group.kind == "train":
            assert slots is not None
            residents = _ints(shape.slots)
            state, hyper = jax.tree.map(_like, (slots.state, slots.hyper))
            return train_step.lower(frozen, state, hyper, residents, _rows(shape)).compile()
        prompts = Prompts(
            _floats(shape.slots, group.prompt, frozen.config.d_model), _ints(shape.slots)
        )
        if group.kind == "gradients":
            return gradients.lower(frozen, prompts, _rows(shape)).compile()
        if group.kind == "score":
            return score.lower(frozen, prompts, _rows(shape)).compile()
        return _generate(frozen, shape, prompts)

    return build


def _generate(frozen: Frozen, shape: Shape, prompts: Prompts) -> Any:
    rows, group = shape.rows, shape.group
    options = Choices(
        limit=_ints(rows),
        temperature=_floats(rows),
        top_p=_floats(rows),
        seed=_struct((rows,), jnp.uint32),
        length_penalty=_floats(rows),
    )
    return generate.lower(
        frozen,
        prompts,
        _ints(rows, group.inputs),
        _ints(rows),
        options,
        method=group.method,
        max_tokens=group.targets,
        beams=group.beams,
    ).compile()


def _rows(shape: Shape) -> Rows:
    group = shape.group
    return Rows(
        _ints(shape.rows, group.inputs), _ints(shape.rows, group.targets), _ints(shape.rows)
    )


def _ints(*shape: int) -> Any:
    return _struct(shape, jnp.int32)


def _floats(*shape: int) -> Any:
    return _struct(shape, jnp.float32)


def _like(x: jax.Array) -> Any:
    return _struct(x.shape, x.dtype)


def _struct(shape: tuple[int, ...], dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)
