"""Several requests under way at once, their answers in order."""

from __future__ import annotations

import collections
import concurrent.futures
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

A = TypeVar("A")
P = TypeVar("P")

AT_ONCE = 4
"""Requests under way: what one costs on its way is hidden behind the others."""


def in_order(ask: Callable[[P], A], parts: Iterable[P], at_once: int = AT_ONCE) -> Iterator[A]:
    """The answers, in the order of the parts; the first error ends it.

    A lone part is asked in this thread. Whoever stops early, by Ctrl-C for example, waits for
    nobody: the threads of what is under way hold no process up.
    """
    waiting: collections.deque[concurrent.futures.Future[A]] = collections.deque()
    rest = iter(parts)
    first = next(rest, None)
    second = next(rest, None)
    if first is None:
        return
    if second is None:
        yield ask(first)
        return
    waiting.append(_started(ask, first))
    part: P | None = second
    while part is not None:
        waiting.append(_started(ask, part))
        if len(waiting) >= at_once:
            yield waiting.popleft().result()
        part = next(rest, None)
    while waiting:
        yield waiting.popleft().result()


def _started(ask: Callable[[P], A], part: P) -> concurrent.futures.Future[A]:
    answer: concurrent.futures.Future[A] = concurrent.futures.Future()

    def run() -> None:
        try:
            answer.set_result(ask(part))
        except BaseException as error:  # told to whoever waits
            answer.set_exception(error)

    threading.Thread(target=run, name="ask", daemon=True).start()
    return answer
