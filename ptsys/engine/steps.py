"""What the engine tells of each step of the device that has ended."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ptsys.engine.scheduler import Step


@dataclasses.dataclass(frozen=True)
class StepEnded:
    """A step: its kind (`train`, `gradients`, `score`, `generate`), rows, the rows that its shape
    had room for, how long the device was busy with it (seconds), and each user's rows."""

    kind: str
    rows: int
    room: int
    seconds: float
    failed: bool
    users: Mapping[str, int]

    @classmethod
    def of(cls, step: Step[Any], room: int, seconds: float, *, failed: bool) -> StepEnded:
        """What is told of this step."""
        users: collections.Counter[str] = collections.Counter()
        for item in step.items:
            users[item.user] += item.rows
        return cls(step.group.operation, users.total(), room, seconds, failed, users)


Observer = Callable[[StepEnded], None]


class StepClock:
    """Times steps that overlap: each is busy from when it began, or the one before it ended."""

    def __init__(self) -> None:
        self._ended = 0.0
        self._began: dict[int, float] = {}

    def begin(self, step: Step[Any], now: float) -> None:
        """A step is dispatched."""
        self._began[id(step)] = now

    def end(self, step: Step[Any], now: float) -> float:
        """A step is over; how long it kept the device busy (seconds)."""
        busy = now - max(self._began.pop(id(step)), self._ended)
        self._ended = now
        return max(busy, 0.0)

    def longest(self, now: float) -> float:
        """For how long the oldest step under way runs already (seconds); from any thread."""
        began = list(self._began.values())
        return now - min(began) if began else 0.0


@dataclasses.dataclass
class Work:
    """Steps and rows dispatched since the engine's start."""

    interactive_steps: int = 0
    interactive_rows: int = 0
    training_steps: int = 0
    training_rows: int = 0

    def count(self, step: Step[Any]) -> None:
        """One more step."""
        rows = sum(item.rows for item in step.items)
        if step.interactive:
            self.interactive_steps += 1
            self.interactive_rows += rows
        else:
            self.training_steps += 1
            self.training_rows += rows
