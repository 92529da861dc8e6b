"""A shape that is being compiled, as it is told to those who wait for it."""

from __future__ import annotations

from ptsys.types.model import Value


class Compiling(Value):
    """`what` is compiled since so many `seconds`; such shapes took from `least` to `most` seconds
    before, None where none was compiled before."""

    what: str
    seconds: float
    least: float | None = None
    most: float | None = None

    @property
    def text(self) -> str:
        """In a line."""
        if self.least is None or self.most is None:
            return f"compiling {self.what}; it is the first of its kind here"
        least, most = _rounded(self.least), _rounded(self.most)
        took = f"{most} s" if least == most else f"{least} to {most} s"
        return f"compiling {self.what}; such shapes took {took} before"


def _rounded(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds < 2 else f"{seconds:.0f}"
