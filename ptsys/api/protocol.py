"""HTTP on a socket: uvicorn's fast protocol, with the bounds that it and httptools lack.

httptools keeps an unfinished header in memory however long it grows, and copies all of it for
each piece that comes; uvicorn knows no deadline for a request's head, for a reader that does not
read, or for a body that nobody wants any more.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ptsys.api.connections import ConnectionBounds, Connections, counted_address

_SMALL_PIECE = 64  # bytes: bodies in smaller pieces cost more to take apart than to read
_FREE_PIECES = 4096


def bounded_protocol(connections: Connections) -> type[HttpToolsProtocol]:
    """The protocol for a server with these connections."""

    class Bounded(BoundedProtocol):
        all = connections

    return Bounded


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `bounded_protocol` makes it for a server."""

    all: Connections

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.address = ""
        self._in_head = True  # a request's head is still to come, or to end
        self._whole = True  # and nothing of a body
        self._over = False  # no more is listened to
        self._told_bytes = 0  # of this head, by the parser
        self._told_headers = 0
        self._quiet_bytes = 0  # taken by the parser since it last told of anything
        self._pieces = 0
        self._piece_bytes = 0
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def receiving(self) -> bool:
        """Something of a request's body is still to come."""
        return not self._whole

    @property
    def _bounds(self) -> ConnectionBounds:
        return self.all.bounds

    # asyncio's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, or say that there is no room."""
        super().connection_made(transport)
        self.address = counted_address(self.client[0] if self.client else None)
        if not self.all.admit(self):
            self._over = True
            self.transport.write(_refusal(503, "too many connections are open; try again soon"))
            self.close()
            return
        self._alarm("head", self._bounds.header_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.all.leave(self)
        for name in list(self._timers):
            self._calm(name)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse it, within bounds."""
        if self._over:
            return
        if self._in_head and "head" not in self._timers:  # the next request's first bytes
            self._alarm("head", self._bounds.header_seconds, self._head_is_late)
        self._quiet_bytes += len(data)
        super().data_received(data)
        if not self._over and self._quiet_bytes > self._bounds.header_bytes:
            self._refuse(431, f"the head has more than {self._bounds.header_bytes} bytes")

    def pause_writing(self) -> None:
        """The client reads more slowly than it is written to."""
        super().pause_writing()
        left = self.transport.get_write_buffer_size()
        self._alarm("write", self._bounds.write_seconds, self._look_whether_it_reads, left)

    def resume_writing(self) -> None:
        """It has read on."""
        self._calm("write")
        super().resume_writing()

    def make_room(self) -> None:
        """Close: another one needs the place."""
        self._over = True
        self.close()

    def close(self) -> None:
        """Close once what was written is read, or has been left unread for long."""
        self._unset_keepalive_if_required()
        self.transport.close()
        self._alarm("abort", self._bounds.write_seconds, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        """No next request came."""
        if not self.transport.is_closing():
            self.close()

    # the parser's side

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._in_head, self._whole = True, False
        self._told_bytes = self._told_headers = self._quiet_bytes = 0
        self._pieces = self._piece_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the path."""
        super().on_url(url)
        self._told(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or one of those that may follow a body."""
        self._told_headers += 1
        self._told(len(name) + len(value) + 4)
        if not self._over and self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: the request begins."""
        self._in_head = False
        self._calm("head")
        if self._over:
            return
        self.all.busy(self)
        super().on_headers_complete()
        cycle = self.cycle
        cycle.transport = _Lingering(self, self.transport)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._quiet_bytes = 0
        self._pieces += 1
        self._piece_bytes += len(body)
        if self._over:
            return
        if self._pieces > _FREE_PIECES + self._piece_bytes // _SMALL_PIECE:
            self._refuse(400, "the body comes in too many pieces; send larger chunks")
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is whole."""
        self._in_head = self._whole = True
        if not self._over:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer was written."""
        if self._over:
            self.server_state.total_requests += 1
            self.flow.resume_reading()  # to throw away what still comes
            return
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if not self._whole:  # nobody wants the rest of the body
            self.linger()
        elif not self.pipeline:
            self.all.idle(self)

    def linger(self) -> None:
        """Close soon, once the client has had the time to read the answer: a socket closed with
        bytes unread takes the answer back."""
        if self._over:
            return
        self._over = True
        self._unset_keepalive_if_required()
        self.all.idle(self)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._alarm("linger", self._bounds.linger_seconds, self.close)

    def _told(self, size: int) -> None:
        self._quiet_bytes = 0
        self._told_bytes += size
        if self._over:
            return
        if self._told_bytes > self._bounds.header_bytes:
            self._refuse(431, f"the head has more than {self._bounds.header_bytes} bytes")
        elif self._told_headers > self._bounds.header_count:
            self._refuse(431, f"the head has more than {self._bounds.header_count} headers")

    def _head_is_late(self) -> None:
        self._timers.pop("head", None)
        self._refuse(408, f"no request's head came within {self._bounds.header_seconds:g} s")

    def _look_whether_it_reads(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= before:
            self.transport.abort()
        else:
            self._alarm("write", self._bounds.write_seconds, self._look_whether_it_reads, left)

    def _refuse(self, status: int, detail: str) -> None:
        """Answer so unless an answer is under way, and listen no more."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._over = True
            self.close()
            return
        self.transport.write(_refusal(status, detail))
        self.linger()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, msg)

    def _alarm(self, name: str, seconds: float, call: Any, *arguments: Any) -> None:
        self._calm(name)
        self._timers[name] = self.loop.call_later(seconds, call, *arguments)

    def _calm(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()


def _refusal(status: int, detail: str) -> bytes:
    told = {
        "type": "urn:ptsys:problem:refused",
        "title": "The connection was refused",
        "status": status,
        "detail": detail,
    }
    body = json.dumps(told).encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        "content-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


class _Lingering:
    """A request's way to the socket, which it closes only once what the client still sends cannot
    take the answer back."""

    def __init__(self, protocol: BoundedProtocol, transport: asyncio.Transport) -> None:
        self._protocol = protocol
        self._transport = transport

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        if self._protocol.receiving:
            self._protocol.linger()
        else:
            self._protocol.close()
