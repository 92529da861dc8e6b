"""What a prompt kind is: the only place that knows what a prompt is made of.

The engine, jobs, the wire and the store carry trees of arrays and ask here. A new kind is a file of
`ptsys.prompts` and a line of `ptsys.kinds.registry`; see docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ptsys.kinds.trees import Layout, Shapes, Tree
from ptsys.types.training import JobSpec, Optimizer


class Reader(NamedTuple):
    """In traced code: the frozen model, its kind, how it is computed, and of V readings the context
    that each is made in, arrays [V, ...] by name (see `ptsys.kinds.trees.Layout`)."""

    kind: Any
    model: Any
    execution: Any
    context: Mapping[str, Any]


class PromptKind(Protocol):
    """A kind of prompt, of any frozen model that reads what it gives."""

    @property
    def name(self) -> str:
        """As it is registered and recorded."""
        ...

    def shapes(self, length: int, model: Any) -> Shapes:
        """The arrays of a prompt so long, for a model of this configuration."""
        ...

    def start(self, rows: NDArray[np.float32], model: Any) -> Tree:
        """A prompt so long as there are `rows` [length, d_model], the soft tokens that a prompt of
        the model's starts with, for a model of this configuration."""
        ...

    def starts_at(self, initialization: str) -> bool:
        """Whether a prompt can start as an `Initialization` of this kind says: what `start` makes
        of rows depends on them."""
        ...

    def layout(self, shapes: Shapes) -> Layout:
        """The padded shapes of prompts with arrays of these. Raises InvalidInput for what is no
        prompt of this kind, or too large."""
        ...

    def check(self, tree: Mapping[str, NDArray[Any]], model: Any, name: str | None = None) -> Tree:
        """The prompt as contiguous float32 arrays, once it is known to be one for a model of
        configuration `model`, called `name`. Raises InvalidInput naming what is wrong."""
        ...

    def resolve(self, values: Any, length: Any, layout: Layout, reader: Reader) -> tuple[Any, Any]:
        """What the model reads of U prompts, in traced code: `values` are the arrays by name
        [U, ...], or [U, N, ...] of members, `length` [U] the real positions of each. Gives the
        arrays [U * N, P, ...] of all members' readings, one after another, and their lengths."""
        ...

    def penalty(self, values: Any, layout: Layout, reader: Reader) -> Any:
        """What is added to the loss of each of V readings, [V], in traced code; None for nothing.
        `values` are its arrays [V, P, ...] as `resolve` gave them."""
        ...

    def reading(self, tree: Tree, member: int = 0) -> Tree:
        """The same of one prompt on the host: what the model reads for one member."""
        ...

    def compared(self, tree: Tree, start: NDArray[np.float32]) -> NDArray[np.float32]:
        """What training changed of a prompt, [P, W]: the library compares prompts of this kind,
        and of no other, by it. `start` [S, D] are the soft tokens at whose end all prompts of the
        model start; positions P are counted from the end, W is one for all prompts of a model.
        Raises InvalidInput for a prompt that does not compare with others of its kind."""
        ...

    def optimizers(self, spec: JobSpec) -> Mapping[str, Optimizer]:
        """Of each array, as a job of this spec trains it; the spec's own where one is missing."""
        ...


class ReadAsItIs:
    """What all kinds have in common whose arrays a model reads as they are."""

    def resolve(self, values: Any, length: Any, layout: Layout, reader: Reader) -> tuple[Any, Any]:
        """The prompts themselves."""
        return values, length

    def penalty(self, values: Any, layout: Layout, reader: Reader) -> Any:
        """None."""
        return None

    def reading(self, tree: Tree, member: int = 0) -> Tree:
        """The prompt itself."""
        return tree

    def optimizers(self, spec: JobSpec) -> Mapping[str, Optimizer]:
        """The spec's for every array."""
        return {}


def optimizers_of(tree: Mapping[str, Any], kind: PromptKind, spec: JobSpec) -> dict[str, Optimizer]:
    """The optimizer of every array of a prompt."""
    own = kind.optimizers(spec)
    return {name: own.get(name, spec.optimizer) for name in tree}
