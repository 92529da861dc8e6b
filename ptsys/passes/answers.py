"""The pass that answers rows of many users: whatever a model kind can be asked that gives rows."""

from __future__ import annotations

import functools
from typing import Any

import jax

from ptsys.kinds.batch import Readings, Rows, gather, real_rows
from ptsys.passes.frozen import Frozen
from ptsys.sharding.mesh import ROWS, WHOLE, each_shard

Options = tuple[tuple[str, Any], ...]
"""What an operation is compiled for, by name."""


@functools.partial(jax.jit, static_argnames=("operation", "options"))
def answer(
    frozen: Frozen, readings: Readings, rows: Rows, *, operation: str, options: Options = ()
) -> Any:
    """The model kind's answers to rows, each with its own reading; see `ModelKind.answer`. Every
    data shard has its part of the rows, and all readings."""

    def shard(frozen: Frozen, readings: Readings, rows: Rows) -> Any:
        own = gather(readings, rows.slot)
        real = real_rows(rows.slot, readings.number)
        return frozen.kind.answer(
            operation, frozen.model(), own, rows.features, real, dict(options)
        )

    return each_shard(frozen.mesh, shard, (WHOLE, WHOLE, ROWS), ROWS)(frozen, readings, rows)
