"""What a model does not read of the inputs it is given, counted, to be told once."""

from __future__ import annotations

from ptsys.types.model import Value


class InputNotes(Value):
    """Of so many `rows`, how many inputs are `cut`, as they are longer than the model reads, and
    how many hold characters `unknown` to its vocabulary; `limit` counts tokens, 0 if unsaid."""

    rows: int = 0
    cut: int = 0
    unknown: int = 0
    limit: int = 0

    def __add__(self, other: InputNotes) -> InputNotes:
        """Of both together."""
        return InputNotes(
            rows=self.rows + other.rows,
            cut=self.cut + other.cut,
            unknown=self.unknown + other.unknown,
            limit=max(self.limit, other.limit),
        )

    @property
    def warning(self) -> str | None:
        """What there is to be told, in one line; None if nothing is."""
        tokens = f"the {self.limit} tokens that are read" if self.limit else "the model reads"
        told = []
        if self.cut:
            told.append(
                f"{self.cut} of {self.rows} inputs are longer than {tokens}; their ends are cut off"
            )
        if self.unknown:
            told.append(
                f"{self.unknown} of {self.rows} inputs hold characters that the model's vocabulary "
                "does not know; it reads each of them as the same unknown piece"
            )
        return "; ".join(told) or None
