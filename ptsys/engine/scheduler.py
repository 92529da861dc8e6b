"""What the device does next. Plain Python: no arrays, no device, no clock of its own.

Training residents and interactive requests both wait here. Interactive ones go first once they
are due; users share capacity by deficit round robin (Shreedhar & Varghese 1995), rows being the
cost, so a user with a hundred jobs gets no more than one with a single job.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Group = Any  # hashable; what it means is the caller's


@dataclasses.dataclass(frozen=True)
class Item(Generic[Key]):
    """Something that wants `rows` rows of a compiled step of kind `group`."""

    key: Key
    user: str
    group: Group
    rows: int


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much of a group one step can take."""

    items: int
    rows: int


@dataclasses.dataclass(frozen=True)
class Waiting:
    """What waits of a group: items, their rows, and the rows of the largest of them."""

    items: int = 0
    rows: int = 0
    largest: int = 0

    def plus(self, rows: int) -> Waiting:
        """With an item more, of so many rows."""
        return Waiting(self.items + 1, self.rows + rows, max(self.largest, rows))


LimitsOf = Callable[[Group], Limits | None]  # None: this group cannot run now


class FairQueue(Generic[Key]):
    """Items of many users under deficit round robin; each pick is one step of one group."""

    def __init__(self, *, recurring: bool) -> None:
        self._recurring = recurring  # training: an item stays until removed
        self._users: collections.OrderedDict[str, collections.deque[Item[Key]]] = (
            collections.OrderedDict()
        )
        self._deficit: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(len(items) for items in self._users.values())

    def add(self, item: Item[Key]) -> None:
        """Let an item wait its turn."""
        self._users.setdefault(item.user, collections.deque()).append(item)
        self._deficit.setdefault(item.user, 0)

    def remove(self, key: Key) -> bool:
        """Take an item out; False if it is not here."""
        for user, items in self._users.items():
            for item in items:
                if item.key == key:
                    items.remove(item)
                    self._forget_if_empty(user)
                    return True
        return False

    def items(self) -> Iterable[Item[Key]]:
        """All that wait."""
        for items in self._users.values():
            yield from items

    def groups(self) -> dict[Group, Waiting]:
        """What waits, by group."""
        found: dict[Group, Waiting] = {}
        for item in self.items():
            found[item.group] = found.get(item.group, Waiting()).plus(item.rows)
        return found

    def pick(self, limits_of: LimitsOf) -> list[Item[Key]]:
        """Items of one group for one step, or none.

        The user whose turn it is chooses the group by its longest waiting item that can run;
        the others then ride along, round by round, each paying from its own deficit. Riding along
        does not use up a turn: turns share the device's steps among users, and a user of a common
        group gains from the turns of the others in it.
        """
        lead = self._lead(limits_of)
        if lead is None:
            return []
        group = lead.group
        limits = limits_of(group)
        assert limits is not None
        chosen = self._fill(group, limits)
        for item in chosen:
            items = self._users[item.user]
            items.remove(item)
            if self._recurring:
                items.append(item)
        for user in {item.user for item in chosen}:
            self._forget_if_empty(user)
        first = lead.user
        if first in self._users:
            self._users.move_to_end(first)
        return chosen

    def _lead(self, limits_of: LimitsOf) -> Item[Key] | None:
        known: dict[Group, Limits | None] = {}
        for items in self._users.values():
            for item in items:
                if item.group not in known:
                    known[item.group] = limits_of(item.group)
                limits = known[item.group]
                if limits is not None and limits.items >= 1 and limits.rows >= item.rows:
                    return item
        return None

    def _fill(self, group: Group, limits: Limits) -> list[Item[Key]]:
        waiting = {
            user: collections.deque(item for item in items if item.group == group)
            for user, items in self._users.items()
        }
        waiting = {user: items for user, items in waiting.items() if items}
        quantum = max(item.rows for items in waiting.values() for item in items)
        chosen: list[Item[Key]] = []
        rows = 0

        def fits(item: Item[Key]) -> bool:
            return len(chosen) < limits.items and rows + item.rows <= limits.rows

        while any(fits(items[0]) for items in waiting.values()):
            for user in list(waiting):
                items = waiting[user]
                if not fits(items[0]):
                    continue  # no credit for a turn that the step has no room for
                self._deficit[user] += quantum
                while items and items[0].rows <= self._deficit[user] and fits(items[0]):
                    item = items.popleft()
                    self._deficit[user] -= item.rows
                    chosen.append(item)
                    rows += item.rows
                if not items:
                    self._deficit[user] = 0
                    del waiting[user]
        return chosen

    def _forget_if_empty(self, user: str) -> None:
        if not self._users[user]:
            del self._users[user], self._deficit[user]


@dataclasses.dataclass(frozen=True)
class Step(Generic[Key]):
    """One step for the device."""

    interactive: bool
    group: Group
    items: tuple[Item[Key], ...]


class Scheduler(Generic[Key]):
    """Decides between interactive requests and training residents.

    An interactive request that could run waits for company: at most `max_wait` seconds and a
    seventh of what the last interactive step took, no longer once as many rows wait as were there
    then, and not at all when that step found no company. Behind an interactive step that still runs
    it would wait anyhow, so there it waits until as many rows wait as run. Between two interactive
    steps in a row training gets one.
    """

    def __init__(self, max_wait: float) -> None:
        self._max_wait = max_wait
        self.training: FairQueue[Key] = FairQueue(recurring=True)
        self.interactive: FairQueue[Key] = FairQueue(recurring=False)
        self._arrival: dict[Key, float] = {}
        self._company = False
        self._served_last = False
        self._running = 0
        self._began: dict[Key, float] = {}
        self._patience = max_wait
        self._free = float("-inf")  # when the last interactive step ended
        self._crowd: float = float("inf")  # rows in that step, and rows that waited then

    def request(self, item: Item[Key], now: float) -> None:
        """An interactive request arrives."""
        self.interactive.add(item)
        self._arrival[item.key] = now

    def withdraw(self, key: Key) -> bool:
        """An interactive request is given up."""
        self._arrival.pop(key, None)
        return self.interactive.remove(key)

    def began(self, step: Step[Key], now: float) -> None:
        """The device has this step to do now."""
        if step.interactive:
            self._running += sum(item.rows for item in step.items)
            self._began[step.items[0].key] = now

    def ended(self, step: Step[Key], now: float) -> None:
        """The device has done this step, or failed to."""
        if step.interactive:
            self._running -= sum(item.rows for item in step.items)
            took = now - max(self._began.pop(step.items[0].key), self._free)
            self._patience = min(self._max_wait, took / 7)
            self._free = now
            self._crowd = sum(item.rows for item in step.items) + self._waiting_rows

    @property
    def _gathering(self) -> bool:
        """More rows run than wait."""
        return self._running > self._waiting_rows

    @property
    def _waiting_rows(self) -> int:
        return sum(item.rows for item in self.interactive.items())

    def due(self, now: float, full: LimitsOf) -> bool:
        """Whether interactive requests should go now."""
        if not self._arrival or self._gathering:
            return False
        if not self._company or now >= self._latest or self._waiting_rows >= self._crowd:
            return True
        for group, waiting in self.interactive.groups().items():
            limits = full(group)
            if limits and (waiting.rows > limits.rows or waiting.items > limits.items):
                return True
        return False

    @property
    def _latest(self) -> float:
        """When those that wait for company go without more of it."""
        return max(min(self._arrival.values()), self._free) + self._patience

    def wait(self, now: float) -> float | None:
        """Seconds until the next request becomes due by itself; None if none does."""
        if not self._arrival or self._gathering:
            return None
        return max(0.0, self._latest - now)

    def next(self, now: float, limits_of: LimitsOf) -> Step[Key] | None:
        """The next step, or None if nothing can run now."""
        turn_of_training = self._served_last and len(self.training) > 0
        if self.due(now, limits_of) and not turn_of_training:
            step = self._interactive(limits_of)
            if step:
                return step
        self._served_last = False
        items = self.training.pick(limits_of)
        if items:
            return Step(False, items[0].group, tuple(items))
        return self._interactive(limits_of) if self.due(now, limits_of) else None

    def _interactive(self, limits_of: LimitsOf) -> Step[Key] | None:
        items = self.interactive.pick(limits_of)
        if not items:
            return None
        for item in items:
            self._arrival.pop(item.key, None)
        self._company = len(items) > 1 or len(self.interactive) > 0
        self._served_last = True
        return Step(True, items[0].group, tuple(items))
