"""How long those who wait will wait, played through with what is known now."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ptsys.jobs.turns import may_take

_MOST_EVENTS = 1000
_MOST_WORK = 200_000  # events times those who run or wait: a fraction of a second


@dataclasses.dataclass(frozen=True)
class Running:
    """A job that has a place, for `held` seconds by now. It ends in `left` seconds, as far as it
    told how fast it is."""

    owner: str
    held: float
    left: float | None


@dataclasses.dataclass(eq=False)
class _Placed:
    owner: str
    since: float
    until: float


def wait_seconds(
    running: Sequence[Running], waiting: Sequence[str], places: int, turn: float
) -> list[float | None]:
    """For each who waits, given as owners in the order of the queue, the seconds until it gets one
    of the `places`; None where that follows from nothing known.

    The rules are those of `ptsys.jobs.turns`. A job that does not run yet is never expected to end
    by itself: then nothing is promised that its steps, which nobody timed, might break.
    """
    never = float("inf")
    placed = [_Placed(r.owner, -r.held, never if r.left is None else r.left) for r in running]
    queue: list[tuple[int | None, str]] = list(enumerate(waiting))
    found: list[float | None] = [None] * len(waiting)
    now, left = 0.0, len(waiting)
    for _ in range(min(_MOST_EVENTS, _MOST_WORK // (len(placed) + len(queue) + 1))):
        placed = [one for one in placed if one.until > now]
        counts: dict[str, int] = {}
        for one in placed:
            counts[one.owner] = counts.get(one.owner, 0) + 1
        if not left or not queue:
            break
        place = min(range(len(queue)), key=lambda i: (counts.get(queue[i][1], 0), i))
        number, owner = queue[place]
        if len(placed) >= places:
            level = counts.get(owner, 0)
            victim, when = _first_to_yield(placed, counts, owner, level, now, turn)
            soonest = min([one.until for one in placed] + [when])
            if soonest == never:
                break
            if victim is None or soonest < when or when > now:
                now = max(soonest, now)
                continue
            placed.remove(victim)
            queue.append((None, victim.owner))
        queue.pop(place)
        placed.append(_Placed(owner, now, never))
        if number is not None:
            found[number] = now
            left -= 1
    return found


def _first_to_yield(
    placed: Sequence[_Placed],
    counts: dict[str, int],
    owner: str,
    level: int,
    now: float,
    turn: float,
) -> tuple[_Placed | None, float]:
    """Who gives its place to a user who runs `level` jobs, and when."""
    best: tuple[float, int, float] = (float("inf"), 0, 0.0)
    victim = None
    for one in placed:
        if one.owner == owner or not may_take(level, counts[one.owner], turn_over=True):
            continue
        at_once = may_take(level, counts[one.owner], turn_over=False)
        when = now if at_once else max(now, one.since + turn)
        key = (when, -counts[one.owner], -one.since)
        if victim is None or key < best:
            best, victim = key, one
    return victim, best[0]
