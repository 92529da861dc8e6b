"""Meta-prompts as they are learned: prompts written in traced code, so that what a frozen model
makes of them can be differentiated back to the numbers that wrote them (WO2023022727A1, figures 4
and 9), or their distance from prompts that were tuned (figures 3 and 8).

`ptsys.prompts.meta` says what a meta-prompt is, and writes the same prompts on the host.

Shape letters: U meta-prompts, V readings (the prompts written, as many of each), K examples of a
reading, n = V * K of all, L their positions, A those of a label, M meta-prompt tokens, Q outputs
averaged, D width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from ptsys.data.shown_examples import LABEL
from ptsys.errors import InvalidInput
from ptsys.kinds.batch import Readings, take_slots
from ptsys.kinds.prompt_kind import Reader
from ptsys.kinds.registry import GENERATOR
from ptsys.kinds.registry import META as NAME
from ptsys.kinds.trees import Feature, Layout, Leaf, RowLayout, Shapes, Tree
from ptsys.prompts.distance import TERMS, distances
from ptsys.prompts.meta import META, SIDE, generator_of
from ptsys.prompts.side_by_side import last_real
from ptsys.prompts.tokens import NAME as TOKENS
from ptsys.types.requests import Aggregate
from ptsys.types.training import JobSpec, Optimizer

EXAMPLES = "examples"
TEACHER = "teacher"
CENTRE = "centre"
SCALE = "scale"
PULL = "pull"


@dataclasses.dataclass(frozen=True)
class Writing:
    """See `ptsys.kinds.prompt_kind.PromptKind`."""

    name: str = NAME

    def shapes(self, length: int, model: Any) -> Shapes:
        """See `ptsys.prompts.meta.MetaPrompts.shapes`."""
        return META.shapes(length, model)

    def start(self, rows: NDArray[np.float32], model: Any) -> Tree:
        """One that writes these rows, whatever it reads: its maps of what is averaged are zero."""
        shapes = self.shapes(len(rows), model)
        tree: Tree = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        return tree | {"start": np.array(rows), "tokens": np.concatenate([rows, rows[-1:]])}

    def starts_at(self, initialization: str) -> bool:
        """Any of them."""
        return True

    def layout(self, shapes: Shapes) -> Layout:
        """Of arrays as they are; nothing is written without `written_layout`."""
        leaves = tuple(
            Leaf(name, tuple(shape), like=_parameter(name))
            for name, shape in sorted(shapes.items())
        )
        return Layout(self.name, leaves, shapes["start"][0])

    def check(self, tree: Mapping[str, NDArray[Any]], model: Any, name: str | None = None) -> Tree:
        """See `ptsys.prompts.meta.MetaPrompts.check`."""
        return META.check(tree, model, name)

    def resolve(self, values: Any, length: Any, layout: Layout, reader: Reader) -> tuple[Any, Any]:
        """The prompts that are written from each reading's `examples` [V, K, L] of the context:
        ids as `ptsys.data.shown_examples` lays them out; rows of zeros are none."""
        shown = reader.context[EXAMPLES]
        readings, examples, size = shown.shape
        users, means = values["start"].shape[:2]
        owner = jnp.repeat(jnp.arange(users), readings // users * examples)
        emitted = _read(reader, values, shown.reshape(-1, size), owner)
        real = jnp.any(shown > 0, axis=2)
        by_user = jax.tree.map(lambda x: x.reshape(users, -1, *x.shape[1:]), emitted)
        outputs = normed(by_user.tokens)

        tail = _mapped(outputs[:, :, :means], values["tail"])
        tail = tail.reshape(readings, examples, *tail.shape[2:])
        weight = real.astype(tail.dtype)
        weight = weight / jnp.maximum(jnp.sum(weight, axis=1, keepdims=True), 1)
        mean = jnp.einsum("vk,vkqd->vqd", weight, tail)
        end = jnp.repeat(values["start"], readings // users, axis=0) + mean
        count = jnp.full((readings,), means, jnp.int32)
        width = layout.positions - means
        if not width:
            return {TOKENS: end}, {TOKENS: count}

        summary = _mapped(outputs[:, :, means : means + 1], values["summary"][:, None])
        scale = values["embedding_scale"][:, :, None, None]
        label = _mapped(normed(by_user.label), values["label"][:, None])
        slots = jnp.concatenate([summary, label + scale * by_user.embedded], axis=2)
        there = shown[:, :, :LABEL] > 0
        told = jnp.any(there, axis=(1, 2), keepdims=True)  # of labels, else only the mean counts
        there = jnp.concatenate([real[:, :, None] & told, there], axis=2).reshape(readings, -1)
        side, beside = last_real(slots.reshape(*there.shape, -1), there, width)
        return {TOKENS: jnp.concatenate([side, end], axis=1)}, {TOKENS: beside + count}

    def penalty(self, values: Any, layout: Layout, reader: Reader) -> Any:
        """How far the written prompts' ends [V, Q, D] are from the `teacher`, both less `centre`
        and times `scale` [V], as the weights `pull` [V, terms] count the kinds of distance."""
        context = reader.context
        if TEACHER not in context:
            return None
        centre, scale = context[CENTRE], context[SCALE][:, None, None]
        own = values[TOKENS][:, -centre.shape[1] :]
        far = distances((own - centre) * scale, (context[TEACHER] - centre) * scale)
        return jnp.sum(far * context[PULL], axis=1)

    def reading(self, tree: Tree, member: int = 0) -> Tree:
        """There is none without examples."""
        raise NotImplementedError

    def compared(self, tree: Tree, start: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raises InvalidInput: a meta-prompt has no place among prompts."""
        raise InvalidInput("a meta-prompt is compared with no prompt", field="prompt")

    def optimizers(self, spec: JobSpec) -> Mapping[str, Optimizer]:
        """The spec's for every array."""
        return {}


WRITING = Writing()


def written_layout(
    shapes: Shapes,
    readings: int,
    examples: int,
    size: int,
    aggregate: Aggregate,
    *,
    taught: bool,
    generator_learns: bool = True,
) -> Layout:
    """Of meta-prompts with arrays of these shapes of which each writes so many prompts a step, from
    at most so many examples of at most `size` tokens; `taught` by prompts that were tuned. A
    generator of its own is fixed unless it `generator_learns`."""
    means, width = shapes["start"]
    context: RowLayout = (Feature(EXAMPLES, (examples, size)),)
    if taught:
        prompt = (means, width)
        context += (Feature(TEACHER, prompt, "float32"), Feature(CENTRE, prompt, "float32"))
        context += (Feature(SCALE, (), "float32"), Feature(PULL, (len(TERMS),), "float32"))
    side = min(SIDE, examples * (1 + LABEL)) if aggregate == "each" else 0
    plain = WRITING.layout(shapes)
    leaves = tuple(
        leaf._replace(fixed=bool(leaf.like) and not generator_learns) for leaf in plain.leaves
    )
    return plain._replace(leaves=leaves, positions=side + means, readings=readings, context=context)


def _parameter(name: str) -> str:
    """The frozen model's parameter that an array stands for, if it does for one."""
    return f"encoder.{name.removeprefix(GENERATOR)}" if name.startswith(GENERATOR) else ""


def _read(
    reader: Reader,
    values: Mapping[str, Any],
    ids: Int[Array, "n L"],
    owner: Int[Array, " n"],
) -> Any:
    """What becomes of every example: of each meta-prompt's in turn, where generators are their
    own."""
    generators = generator_of(values)
    if generators is None:
        return _emitted(reader, values["tokens"], ids, owner)
    users = len(values["tokens"])

    def one(given: tuple[Any, jax.Array, jax.Array]) -> Any:
        generator, tokens, rows = given
        own = reader.kind.with_generator(reader.model, generator)
        nobody_else = jnp.zeros((len(rows),), owner.dtype)
        return _emitted(reader._replace(model=own), tokens[None], rows, nobody_else)

    given = (generators, values["tokens"], ids.reshape(users, -1, ids.shape[1]))
    if users == 1:
        return one(jax.tree.map(lambda x: x[0], given))
    found = jax.lax.map(one, given)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)


def _emitted(
    reader: Reader,
    tokens: Float[Array, "U M D"],
    ids: Int[Array, "n L"],
    owner: Int[Array, " n"],
) -> Any:
    """What the model's encoder makes of every example behind its owner's tokens. Of more than fit
    at a time each part is read again in the backward pass, so that one's activations are held."""

    def some(part: tuple[jax.Array, jax.Array]) -> Any:
        rows, whose = part
        own = take_slots(tokens, whose, 0)
        length = jnp.full(whose.shape, tokens.shape[1], jnp.int32)
        behind = Readings({TOKENS: own}, {TOKENS: length})
        real = whose < len(tokens)
        return reader.kind.answer("emit", reader.model, behind, {"inputs": rows}, real, {})

    count = len(ids)
    size = reader.kind.chunk({TOKENS: tokens}, {"inputs": ids}, reader.execution, packed=False).rows
    parts = -(-count // size)
    if parts == 1:
        return some((ids, owner))
    room = parts * size - count
    rows = jnp.pad(ids, ((0, room), (0, 0))).reshape(parts, size, -1)
    whose = jnp.pad(owner, (0, room), constant_values=len(tokens)).reshape(parts, size)
    found = jax.lax.map(jax.checkpoint(some), (rows, whose))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:count], found)


def _mapped(x: Float[Array, "U n P D"], maps: Float[Array, "U _ *rest"]) -> jax.Array:
    """Every position through its map, of each user's own: a matrix, or factors [D] alone."""
    if maps.ndim == x.ndim - 1:
        return x * maps[:, None]
    if maps.shape[1] == 1:
        return jnp.einsum("unpd,udf->unpf", x, maps[:, 0], precision="highest")
    return jnp.einsum("unpd,updf->unpf", x, maps, precision="highest")


def normed(x: Float[Array, "*lead D"]) -> Float[Array, "*lead D"]:
    """Divided by the root of its mean square."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6)
