"""Bodies on their way in: bounded in size and in patience, unzipped within the same bound."""

from __future__ import annotations

import asyncio
import re
import zlib

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ptsys.api.problems import Refused, problem


class BodyLimits:
    """Middleware: no handler sees more than `most_bytes` of a body, or waits for one longer than
    `patience` seconds without a byte."""

    def __init__(self, app: ASGIApp, *, most_bytes: int, patience: float) -> None:
        self._app = app
        self._most = most_bytes
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse at once what says that it is too large; watch the rest as it comes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        encoding = headers.get("content-encoding", "identity").strip().lower()
        refusal = self._refusal(headers.get("content-length"), encoding)
        if refusal is not None:
            response = problem(
                str(scope.get("ptsys.request_id", "")), refusal.status_code, refusal.detail
            )
            response.headers["Connection"] = "close"  # the body stays unread
            await response(scope, receive, send)
            return
        body = _Body(receive, self._most, self._patience, zipped=encoding == "gzip")
        await self._app(scope, body.receive, send)

    def _refusal(self, length: str | None, encoding: str) -> Refused | None:
        declared = length or ""
        # thousands of digits are no size, and int() refuses them
        if re.fullmatch(r"[0-9]+", declared) and int(declared[:18]) > self._most:
            return _too_large(self._most)
        if encoding not in ("identity", "gzip", ""):
            return Refused(415, "bodies come plain or with Content-Encoding: gzip")
        return None


class _Body:
    def __init__(self, receive: Receive, most: int, patience: float, *, zipped: bool) -> None:
        self._receive = receive
        self._most = most
        self._patience = patience
        self._seen = 0
        self._whole = False
        self._unzip = zlib.decompressobj(16 + zlib.MAX_WBITS) if zipped else None

    async def receive(self) -> Message:
        if self._whole:  # what comes now is the disconnect, for which a stream may wait long
            return await self._receive()
        try:
            async with asyncio.timeout(self._patience):
                message = await self._receive()
        except TimeoutError:
            raise Refused(
                408, f"no byte of the body came within {self._patience:g} s; send it at once"
            ) from None
        if message["type"] != "http.request":
            return message
        self._whole = not message.get("more_body", False)
        body = message.get("body", b"")
        if self._unzip is not None:
            body = self._unzipped(body)
        self._seen += len(body)
        if self._seen > self._most:
            raise _too_large(self._most)
        return {**message, "body": body}

    def _unzipped(self, body: bytes) -> bytes:
        assert self._unzip is not None
        try:
            plain = self._unzip.decompress(body, self._most + 1 - self._seen)
        except zlib.error:
            raise Refused(422, "the body is not gzip, though its header says so") from None
        if self._unzip.unconsumed_tail:
            raise _too_large(self._most)
        if self._whole and not self._unzip.eof:
            raise Refused(422, "the gzip body is not whole")
        return plain


def _too_large(most: int) -> Refused:
    return Refused(413, f"the body has more than the {most} bytes allowed; send it in parts")
