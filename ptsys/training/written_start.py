"""Where a prompt starts that a meta-prompt writes, from some of the rows that it will train on."""

from __future__ import annotations

from collections.abc import Sequence

from ptsys.data.order import permutation
from ptsys.engine.engine import Engine
from ptsys.engine.model import ServedModel
from ptsys.errors import InvalidInput
from ptsys.kinds.trees import Tree
from ptsys.prompts.tokens import tokens
from ptsys.types.example import Example
from ptsys.types.training import WRITTEN_START, Initialization

MOST_ROWS = 32
"""Examples that are read; more cost time and add little."""

_DRAW = 0x6D657461  # keeps the choice of rows apart from their order


def shipped_meta_prompt(served: ServedModel, field: str) -> Tree:
    """The meta-prompt that comes with a model. Raises InvalidInput naming the field where there is
    none."""
    if served.meta_prompt is None:
        raise InvalidInput(
            f"no meta-prompt ships with model {served.name!r}; name a stored one", field=field
        )
    return served.meta_prompt


def shown_rows(rows: Sequence[Example], seed: int) -> list[Example]:
    """The rows to write from: all that have an answer, or of many some that the seed draws. Raises
    InvalidInput where there are none."""
    told = [row for row in rows if row.target is not None and row.target.strip()]
    if not told:
        raise InvalidInput(
            "no row has a target, and a start is written from rows with their answers; give some, "
            "or choose another initialization",
            field="initialization.kind",
        )
    order = permutation(len(told), (seed, _DRAW))[:MOST_ROWS]
    return [told[place] for place in sorted(order.tolist())]


def written_start(
    engine: Engine,
    meta: Tree,
    start: Initialization,
    rows: Sequence[Example],
    *,
    seed: int,
    user: str,
) -> Tree:
    """The prompt that `meta` writes, to be fitted to a job's length: see `initialize`. Waits for
    the engine, which has to run. Raises InvalidInput where no row has an answer."""
    shown = shown_rows(rows, seed)
    aggregate = start.aggregate or WRITTEN_START
    return tokens(engine.written(meta, shown, aggregate=aggregate, user=user).result())
