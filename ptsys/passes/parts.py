"""The update of some of many prompts of one shape, with one optimizer, from host to host.

For multi-task training, whose parts (the general prompt, the tasks' own, their affine maps) are
updated apart from the gradient pass, which sees only their combinations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from ptsys.passes.optimizers import (
    Hyperparameters,
    LeafState,
    hyperparameters,
    learning_rate,
    update,
)
from ptsys.types.training import Optimizer


@dataclasses.dataclass
class Parts:
    """U arrays of one shape [P, D] with their optimizer states; `updates` [U] counts each one's."""

    value: NDArray[np.float32]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    updates: NDArray[np.int32]

    @classmethod
    def start(cls, value: NDArray[np.float32]) -> Parts:
        """Before the first update, from `value` [U, P, D]."""
        empty = np.zeros_like(value)
        return cls(value.copy(), empty, empty.copy(), np.zeros((len(value),), np.int32))

    def tree(self) -> dict[str, NDArray[np.generic]]:
        """The arrays by name, for a checkpoint; later updates do not change them."""
        fields = dataclasses.fields(self)
        return {field.name: getattr(self, field.name).copy() for field in fields}

    @classmethod
    def of(cls, tree: Mapping[str, NDArray[np.generic]]) -> Parts:
        """What `tree` gave."""
        return cls(**{name: np.array(value) for name, value in tree.items()})

    def advance(
        self,
        which: Sequence[int],
        gradients: NDArray[np.float32],
        optimizer: Optimizer,
        step: int,
        total_steps: int,
    ) -> None:
        """Update those numbered in `which` by their gradients [len(which), P, D]; the others keep
        value and state.

        The learning rate is that of the run's `step` (updates made before this one) of
        `total_steps`, whereas moments count a part's own updates: a part that sits out steps does
        not lag behind the schedule.
        """
        count = len(which)
        room = 1 << (count - 1).bit_length()  # few shapes to compile
        index = np.resize(np.array(which, np.int32), room)

        def padded(x: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.concatenate([x, np.zeros((room - count, *x.shape[1:]), np.float32)])

        length = np.full((room,), self.value.shape[1], np.int32)
        state = LeafState(
            self.value[index],  # type: ignore[arg-type]
            length,  # type: ignore[arg-type]
            self.first[index],  # type: ignore[arg-type]
            self.second[index],  # type: ignore[arg-type]
            self.updates[index],  # type: ignore[arg-type]
        )
        hyper = hyperparameters([optimizer] * room, [total_steps] * room)
        new = _updated(state, padded(gradients), hyper, np.full((room,), step, np.int32))
        chosen = index[:count]
        self.value[chosen] = np.asarray(new.value)[:count]
        self.first[chosen] = np.asarray(new.first)[:count]
        self.second[chosen] = np.asarray(new.second)[:count]
        self.updates[chosen] += 1


@jax.jit
def _updated(
    state: LeafState,
    gradient: Float[Array, "U P D"],
    hyper: Hyperparameters,
    step: Int[Array, " U"],
) -> LeafState:
    none = jnp.zeros_like(hyper.decay)
    rate = learning_rate(hyper, step)
    return update(
        state, gradient, hyper._replace(learning_rate=rate, decay=none, warmup_steps=none)
    )
