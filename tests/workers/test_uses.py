"""Counts of uses survive a database that is away."""

from collections.abc import Mapping
from typing import Any

from ptsys.errors import Unavailable
from workers.uses import Uses


class Prompts:
    """What `Prompts.count_uses` is called with; away until told otherwise."""

    def __init__(self) -> None:
        self.away = True
        self.written: list[dict[str, int]] = []

    def count_uses(self, uses: Mapping[str, int]) -> None:
        if self.away:
            raise Unavailable("away")
        self.written.append(dict(uses))


def test_what_cannot_be_written_is_written_later() -> None:
    uses, prompts = Uses(), Prompts()
    store: Any = prompts
    uses.add(["a", "b"])
    uses.flush(store)
    uses.add(["a"])
    prompts.away = False
    uses.flush(store)
    uses.flush(store)
    assert prompts.written == [{"a": 2, "b": 1}, {}]
