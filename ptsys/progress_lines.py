"""Progress where no terminal is, in a log or a pipe: a line now and then, instead of a bar."""

from __future__ import annotations

import time
from collections.abc import Callable

_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 60.0
_STILL_SECONDS = 30.0
_SHARE = 0.05  # of the time that has passed, between two lines


class ProgressLines:
    """Says how many of `total` are done: after five seconds, ever less often, once a minute at
    last, and when all are."""

    def __init__(
        self,
        say: Callable[[str], object],
        title: str,
        total: float,
        *,
        done: float = 0,
        at_once: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`done` were done before. `at_once` says the first line before anything is done."""
        self._say = say
        self._title = title
        self._total = total
        self._clock = clock
        self._began = self._last = clock()
        self._before = self._told = done
        self._spoke = False
        if at_once:
            self._line(done, {})

    def tell(self, done: float, *, title: str | None = None, **shown: str) -> None:
        """So many are done by now; `shown` are other numbers, as text."""
        self._title = title or self._title
        now = self._clock()
        pause = min(max(_FIRST_SECONDS, _SHARE * (now - self._began)), _LONGEST_SECONDS)
        if done == self._told and self._spoke:
            pause = max(pause, _STILL_SECONDS)  # a sign of life, no more
        ended = done >= self._total and self._spoke and done != self._told
        if ended or (now - self._last >= pause and done < self._total):
            self._line(done, shown)

    def _line(self, done: float, shown: dict[str, str]) -> None:
        now = self._clock()
        parts = [f"{self._title}: {done:.0f} of {self._total:.0f}"]
        parts += [f"{name} {text}" for name, text in shown.items()]
        if self._before < done < self._total:
            left = (now - self._began) * (self._total - done) / (done - self._before)
            parts.append(f"about {_time(left)} left")
        self._say(", ".join(parts))
        self._last, self._told, self._spoke = now, done, True


def _time(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"
