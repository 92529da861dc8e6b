"""Bodies on their way in: bounded in size, in time and in sum, unzipped piece by piece."""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections import Counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ptsys.api.authentication import user_of
from ptsys.api.problems import Refused, problem
from ptsys.config import Settings

CONTROL_BYTES = 2**20
"""The most that a path takes to which neither rows nor tensors are sent."""

LARGE_PATHS = frozenset(
    {
        "/v1/datasets",
        "/v1/datasets/check",
        "/v1/datasets/generate",
        "/v1/gradients",
        "/v1/predict",
        "/v1/prompts",
        "/v1/prompts/search",
        "/v1/select",
        "/v1/tokens",
    }
)
"""Rows and tensors are POSTed to these; they take `max_body_bytes`."""

_PIECE = 256 * 2**10  # bytes that are unzipped at a time, a millisecond's work
_RETRY_SECONDS = 2.0


class BodyLimits:
    """Middleware: no handler sees more of a body than its path takes, or waits longer than
    `body_seconds` for the next byte or `whole_body_seconds` for the last one; and all bodies
    together hold no more memory than `max_bodies_bytes`, those of one user half of it."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._held = _Held(settings.max_bodies_bytes, settings.max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse at once what says that it is too large; watch the rest as it comes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        encoding = headers.get("content-encoding", "identity").strip().lower()
        most = self._most(scope)
        body = _Body(receive, most, self._settings, self._held, scope)

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and not body.ended(headers):
                MutableHeaders(scope=message)["Connection"] = "close"  # the rest stays unread
            await send(message)

        refusal = _refusal(headers.get("content-length"), encoding, most)
        if refusal is not None:
            request_id = str(scope.get("ptsys.request_id", ""))
            await problem(request_id, refusal.status_code, refusal.detail)(scope, receive, closing)
            return
        if encoding == "gzip":
            body.unzip()
        try:
            await self._app(scope, body.receive, closing)
        finally:
            body.release()

    def _most(self, scope: Scope) -> int:
        most = self._settings.max_body_bytes
        large = scope["method"] == "POST" and scope["path"] in LARGE_PATHS
        return most if large else min(most, CONTROL_BYTES)


def _refusal(length: str | None, encoding: str, most: int) -> Refused | None:
    declared = length or ""
    # thousands of digits are no size, and int() refuses them
    if re.fullmatch(r"[0-9]+", declared) and int(declared[:18]) > most:
        return _too_large(most)
    if encoding not in ("identity", "gzip", ""):
        return Refused(415, "bodies come plain or with Content-Encoding: gzip")
    return None


class _Held:
    """The bytes of all bodies that are on their way or being worked on."""

    def __init__(self, most: int, largest: int) -> None:
        self._most = max(most, largest)
        self._share = max(most // 2, largest)
        self._by_user: Counter[str] = Counter()
        self._all = 0

    def take(self, user: str, size: int) -> None:
        """Raises Refused where that would be more than there may be."""
        if self._all + size > self._most:
            raise _busy(503, "too many large bodies are on their way; try again soon")
        if self._by_user[user] + size > self._share:
            raise _busy(429, "too many large bodies of yours are on their way; send fewer at once")
        self._all += size
        self._by_user[user] += size

    def give(self, user: str, size: int) -> None:
        self._all -= size
        self._by_user[user] -= size
        if not self._by_user[user]:
            del self._by_user[user]


class _Body:
    def __init__(
        self, receive: Receive, most: int, settings: Settings, held: _Held, scope: Scope
    ) -> None:
        self._receive = receive
        self._most = most
        self._patience = settings.body_seconds
        self._whole_seconds = settings.whole_body_seconds
        self._deadline: float | None = None
        self._held = held
        self._scope = scope
        self._seen = 0
        self._arrived = False  # all bytes have come from the client
        self._told = False  # and were passed on
        self._zipped: _Zipped | None = None

    @property
    def _user(self) -> str:
        return user_of(self._scope) or ""

    def unzip(self) -> None:
        """What comes is gzip."""
        self._zipped = _Zipped()

    def ended(self, headers: Headers) -> bool:
        """No byte of it is to come any longer."""
        declared = headers.get("content-length", "0")
        return self._arrived or ("transfer-encoding" not in headers and declared == "0")

    def release(self) -> None:
        """Nobody holds it any longer."""
        if self._seen:
            self._held.give(self._user, self._seen)
        self._seen = 0

    async def receive(self) -> Message:
        if self._told:  # what comes now is the disconnect, for which a stream may wait long
            return await self._receive()
        if self._zipped is not None and self._zipped.waiting:
            await asyncio.sleep(0)  # others' turn, between two pieces
            return self._passed_on(self._zipped.piece())
        message = await self._next()
        if message["type"] != "http.request":
            return message
        self._arrived = not message.get("more_body", False)
        given = message.get("body", b"")
        if self._zipped is None:
            return self._passed_on(given)
        self._zipped.feed(given, whole=self._arrived)
        return self._passed_on(self._zipped.piece())

    def _passed_on(self, body: bytes) -> Message:
        if self._seen + len(body) > self._most:
            raise _too_large(self._most)
        self._held.take(self._user, len(body))
        self._seen += len(body)
        self._told = self._arrived and not (self._zipped is not None and self._zipped.waiting)
        return {"type": "http.request", "body": body, "more_body": not self._told}

    async def _next(self) -> Message:
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._whole_seconds
        left = self._deadline - now
        try:
            async with asyncio.timeout(max(min(self._patience, left), 0)):
                return await self._receive()
        except TimeoutError:
            if left <= self._patience:
                told = f"the body took longer than {self._whole_seconds:g} s; send it in parts"
            else:
                told = f"no byte of the body came within {self._patience:g} s; send it at once"
            raise Refused(408, told) from None


class _Zipped:
    """A gzip body, unzipped in pieces of bounded size."""

    def __init__(self) -> None:
        self._unzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._rest = b""
        self._whole = False

    @property
    def waiting(self) -> bool:
        """Some of what came is not unzipped yet."""
        return bool(self._rest)

    def feed(self, data: bytes, *, whole: bool) -> None:
        """More has come. Only to be called while nothing waits."""
        self._rest = data
        self._whole = whole

    def piece(self) -> bytes:
        """The next plain bytes. Raises Refused for what is no gzip, not whole, or goes on."""
        try:
            plain = self._unzip.decompress(self._rest, _PIECE)
        except zlib.error:
            raise Refused(422, "the body is not gzip, though its header says so") from None
        self._rest = self._unzip.unconsumed_tail
        if self._unzip.unused_data:
            raise Refused(422, "something follows the gzip body; send one gzip stream")
        if len(plain) == _PIECE and not self._rest and not self._unzip.eof:
            plain += self._unzip.decompress(b"", _PIECE)  # the end of a match that was cut
        if self._whole and not self._rest and not self._unzip.eof:
            raise Refused(422, "the gzip body is not whole")
        return plain


def _too_large(most: int) -> Refused:
    return Refused(413, f"the body has more than the {most} bytes allowed; send it in parts")


def _busy(status: int, detail: str) -> Refused:
    return Refused(status, detail, retry_after=_RETRY_SECONDS)
