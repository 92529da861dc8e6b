"""The serve loop: takes interactive requests and sends their answers, and waits for neither."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import logging
import queue
import threading
import time
import traceback
from collections.abc import Sequence
from typing import Any

from ptsys.errors import PtsysError, Unavailable
from ptsys.jobs.requests import Answer, Request, RequestChannel
from ptsys.process import traces
from workers.interactive import Interactive, Pending

logger = logging.getLogger(__name__)

IDLE_SECONDS = 60.0
"""After this long without a request the loop sleeps until a «serve» message wakes it."""

_MOST_AT_ONCE = 1024  # requests taken and not yet answered
_BLOCK_SECONDS = 0.5
_THREADS = 4
_ANSWERS_AT_ONCE = 64
_LOOK_SECONDS = 0.25  # how often it is looked whether those who asked still wait


@dataclasses.dataclass
class _UnderWay:
    """A request that was taken and has no answer yet."""

    request: Request
    since: float
    result: concurrent.futures.Future[Any] | None = None
    left: bool = False

    def began(self, result: concurrent.futures.Future[Any]) -> None:
        """Its rows are in the engine."""
        self.result = result
        if self.left:
            result.cancel()

    def withdraw(self) -> None:
        """Nobody waits for it: its rows leave the engine."""
        self.left = True
        if self.result is not None:
            self.result.cancel()


class ServeLoop:
    """Serves one model's requests from one channel."""

    def __init__(self, channel: RequestChannel, model: str, interactive: Interactive) -> None:
        """Nothing starts yet. The loop begins awake: requests may wait from before."""
        self._channel = channel
        self._model = model
        self._interactive = interactive
        self._awake = threading.Event()
        self._awake.set()
        self._stopping = threading.Event()
        self._busy = 0
        self._changed = threading.Condition()
        self._beginners = concurrent.futures.ThreadPoolExecutor(_THREADS, "begin")
        self._answers: queue.SimpleQueue[tuple[Request, Pending | Exception]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="serve", daemon=True)
        self._replier = threading.Thread(target=self._run_replies, name="reply", daemon=True)
        self._withdrawer = threading.Thread(target=self._run_withdrawals, name="left", daemon=True)
        self._under_way: dict[str, _UnderWay] = {}

    def start(self) -> None:
        """Begin to take requests."""
        self._thread.start()
        self._replier.start()
        self._withdrawer.start()

    def wake(self) -> None:
        """Requests wait."""
        self._awake.set()

    def stop(self, timeout: float) -> None:
        """Take no more; those taken go on. What comes in now waits for another worker."""
        self._stopping.set()
        self._awake.set()
        self._thread.join(timeout)

    def wait_idle(self, timeout: float) -> bool:
        """Wait until every request taken is answered; False if the time is over before."""
        with self._changed:
            return self._changed.wait_for(lambda: self._busy == 0, timeout)

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stopping.is_set():
            self._awake.wait()
            try:
                if self._turn():
                    last = time.monotonic()
                elif time.monotonic() - last > IDLE_SECONDS:
                    self._sleep()
                    last = time.monotonic()
            except Unavailable as error:
                logger.warning("no requests can be taken: %s", error)
                self._stopping.wait(1.0)
            except Exception as error:
                logger.error("the serve loop stumbled: %s", _where(error))
                self._stopping.wait(1.0)
        self._leave()

    def _turn(self) -> bool:
        """Take what waits; True if something happens here."""
        if self._busy >= _MOST_AT_ONCE:
            self._channel.keep_awake(self._model)
            self._stopping.wait(0.02)
            return True
        requests = self._channel.take(self._model, block_seconds=_BLOCK_SECONDS)
        for request in requests:
            self._welcome(request)
        return bool(requests) or self._busy > 0

    def _welcome(self, request: Request) -> None:
        """Begin with a request: at once, unless a stored prompt has to be read first."""
        self._count(1)
        under_way = self._under_way[request.id] = _UnderWay(request, time.monotonic())
        if self._interactive.reads(request):
            self._beginners.submit(self._begin, under_way)
        else:
            self._begin(under_way)

    def _sleep(self) -> None:
        """Stop listening, unless a request came in this moment."""
        self._awake.clear()
        if not self._channel.retire(self._model):
            self._awake.set()

    def _leave(self) -> None:
        """Take the last requests, so that clients learn at once that nobody listens here."""
        try:
            for _ in range(3):
                if self._channel.retire(self._model):
                    return
                for request in self._channel.take(self._model, block_seconds=0.01):
                    self._welcome(request)
        except Unavailable:
            return  # then its word that it listens ends by itself

    def _begin(self, under_way: _UnderWay) -> None:
        request = under_way.request
        try:
            if under_way.left:
                raise Unavailable("whoever asked has left")
            pending = self._interactive.begin(request)
        except Exception as error:
            self._answers.put((request, error))
        else:
            under_way.began(pending.result)
            traced = traces.begin(request.kind, request.header.get("trace"), model=request.model)
            if traced is not None:
                pending.result.add_done_callback(lambda _: traced.end())
            pending.result.add_done_callback(lambda _: self._answers.put((request, pending)))

    # ---- those who left -----------------------------------------------------------------------

    def _run_withdrawals(self) -> None:
        """Take out of the engine what nobody waits for any more. Whoever asks deletes the payload
        when it gives up; nothing else has to be told, so nothing can be missed."""
        while True:
            time.sleep(_LOOK_SECONDS)
            old = time.monotonic() - _LOOK_SECONDS
            waiting = [one for one in list(self._under_way.values()) if one.since < old]
            try:
                gone = {x.id for x in self._channel.abandoned([one.request for one in waiting])}
            except Unavailable:
                continue  # then nobody knows
            except Exception as error:
                logger.error("nobody can be withdrawn: %s", _where(error))
                continue
            for one in waiting:
                if one.request.id in gone:
                    one.withdraw()

    # ---- answers, on a thread of their own ----------------------------------------------------

    def _run_replies(self) -> None:
        while True:
            ready = [self._answers.get()]
            while len(ready) < _ANSWERS_AT_ONCE:
                try:
                    ready.append(self._answers.get_nowait())
                except queue.Empty:
                    break
            self._reply(ready)

    def _reply(self, ready: Sequence[tuple[Request, Pending | Exception]]) -> None:
        """Answers that are ready at the same time go together."""
        try:
            self._channel.reply([(request, _answer(request, end)) for request, end in ready])
        except Exception as error:
            logger.warning("%d answers were not sent: %s", len(ready), type(error).__name__)
        finally:
            for request, _ in ready:
                self._under_way.pop(request.id, None)
            self._count(-len(ready))

    def _count(self, change: int) -> None:
        with self._changed:
            self._busy += change
            self._changed.notify_all()


def _answer(request: Request, end: Pending | Exception) -> Answer | Exception:
    """What to send of a request's end."""
    try:
        if isinstance(end, Exception):
            raise end
        return end.reply(end.result.result())
    except PtsysError as error:
        return error
    except concurrent.futures.CancelledError:
        return Unavailable("whoever asked has left")
    except Exception as error:
        logger.error("a %s request failed: %s", request.kind, _where(error))
        return error


def _where(error: BaseException) -> str:
    """Kind and place of an error, without its text, which may quote a user's rows."""
    frames = "".join(traceback.format_tb(error.__traceback__)[-8:])
    return f"{type(error).__name__}\n{frames}"
