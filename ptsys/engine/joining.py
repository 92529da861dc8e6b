"""One future for several, together or one after another."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Part = TypeVar("Part")
Whole = TypeVar("Whole")


def joined(
    parts: Sequence[concurrent.futures.Future[Part]], combine: Callable[[list[Part]], Whole]
) -> concurrent.futures.Future[Whole]:
    """What `combine` makes of all results, in the order of the parts; the first part's error that
    failed, or `combine`'s own, once all parts are done. Who cancels it cancels the parts."""
    whole: concurrent.futures.Future[Whole] = concurrent.futures.Future()
    left = len(parts)
    lock = threading.Lock()

    def finished(_: concurrent.futures.Future[Part]) -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        if whole.cancelled():
            return
        with contextlib.suppress(concurrent.futures.InvalidStateError):  # cancelled just now
            try:
                whole.set_result(combine([part.result() for part in parts]))
            except Exception as error:
                whole.set_exception(error)

    def cancel_parts(_: concurrent.futures.Future[Whole]) -> None:
        if whole.cancelled():
            for part in parts:
                part.cancel()

    whole.add_done_callback(cancel_parts)
    for part in parts:
        part.add_done_callback(finished)
    return whole


def chained(
    first: concurrent.futures.Future[Part],
    then: Callable[[Part], concurrent.futures.Future[Whole]],
) -> concurrent.futures.Future[Whole]:
    """What comes of the future that `then` makes of the first one's result; the first's error, or
    that of `then`. Who cancels it cancels what is under way."""
    whole: concurrent.futures.Future[Whole] = concurrent.futures.Future()
    current: list[concurrent.futures.Future[Any]] = [first]

    def begun(_: concurrent.futures.Future[Part]) -> None:
        if whole.cancelled():
            return
        try:
            second = then(first.result())
        except Exception as error:
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                whole.set_exception(error)
            return
        current.append(second)
        second.add_done_callback(ended)
        if whole.cancelled():  # just now
            second.cancel()

    def ended(second: concurrent.futures.Future[Whole]) -> None:
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            if second.cancelled():
                whole.cancel()
            elif (error := second.exception()) is not None:
                whole.set_exception(error)
            else:
                whole.set_result(second.result())

    def cancel_current(_: concurrent.futures.Future[Whole]) -> None:
        if whole.cancelled():
            current[-1].cancel()

    whole.add_done_callback(cancel_current)
    first.add_done_callback(begun)
    return whole
