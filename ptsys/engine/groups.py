"""Groups: work that can share one compiled step; shapes: the programs compiled for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ptsys.kinds.trees import Layout, RowLayout, row_layout
from ptsys.passes.answers import Options


class Group(NamedTuple):
    """An operation (see `ptsys.engine.operations`), the padded arrays of its prompts and rows, and
    what else it is compiled for. A row takes as much room as so many `copies` of it. What another
    `generator` reads than the frozen model's encoder, by its key, is a step of its own."""

    operation: str
    prompt: Layout
    rows: RowLayout
    options: Options = ()
    copies: int = 1
    generator: str = ""

    @property
    def program(self) -> Group:
        """The group as its steps are compiled: for every generator alike."""
        return self._replace(generator="")

    @property
    def positions(self) -> int:
        """That the model reads of a row: its prompt's, and of the first feature, by whose size
        rows are told apart."""
        return self.prompt.positions + self.rows[0].size

    def resized(self, size: int) -> Group:
        """The group of rows whose first feature is so long."""
        first, *rest = self.rows
        return self._replace(rows=(first._replace(shape=(size, *first.shape[1:])), *rest))


class Shape(NamedTuple):
    """One compiled step of a group: `rows` rows on each data shard, and `slots` prompts, which are
    each shard's own too where something comes back for a whole prompt."""

    group: Group
    slots: int
    rows: int

    @property
    def readings(self) -> int:
        """What the model reads of all prompts."""
        return self.slots * self.group.prompt.members

    @property
    def kind(self) -> str:
        """Shapes of one kind take about as long to compile."""
        group = self.group
        return group.operation if group.copies == 1 else f"{group.operation} by beams"

    def plain(self) -> list[Any]:
        """As plain lists, for a wire; `Shape.of` reads them back."""
        return [*self.group, self.slots, self.rows]

    @classmethod
    def of(cls, plain: Sequence[Any]) -> Shape:
        """What `plain` gave, also after its tuples have become lists."""
        operation, prompt, rows, options, *rest, slots, count = plain
        named: Options = tuple((name, value) for name, value in options)
        group = Group(operation, Layout.of(prompt), row_layout(rows), named, *rest)
        return cls(group, slots, count)
