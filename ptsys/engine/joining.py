"""One future for several."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

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
