"""How rows fit a model: what a user is told of them before anything is asked or stored."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ptsys.types.input_notes import InputNotes
from ptsys.types.model import Value

RowsUse = Literal["answer", "score", "train"]
"""What rows are for: inputs to answer, rows whose answers are scored, or rows to train on."""


class RowsFit(Value):
    """Rows that fit, and what the model does not read of them."""

    rows: int
    without_target: int = Field(description="These train by span corruption.")
    cut_inputs: int = Field(description="Inputs longer than the model reads; their ends are cut.")
    unknown_inputs: int = Field(
        description="Inputs with characters that the model's vocabulary does not know."
    )
    read_tokens: int = Field(description="The most tokens that are read of an input.")
    target_tokens: int = Field(description="Of the longest target, its end included; 0 for none.")
    max_target_length: int = Field(description="The most tokens that the model writes.")

    def __add__(self, other: RowsFit) -> RowsFit:
        """Of both together."""
        return RowsFit(
            rows=self.rows + other.rows,
            without_target=self.without_target + other.without_target,
            cut_inputs=self.cut_inputs + other.cut_inputs,
            unknown_inputs=self.unknown_inputs + other.unknown_inputs,
            read_tokens=self.read_tokens,
            target_tokens=max(self.target_tokens, other.target_tokens),
            max_target_length=self.max_target_length,
        )

    @property
    def notes(self) -> InputNotes:
        """What there is to be told of the inputs."""
        return InputNotes(
            rows=self.rows, cut=self.cut_inputs, unknown=self.unknown_inputs, limit=self.read_tokens
        )
