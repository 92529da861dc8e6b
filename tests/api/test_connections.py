"""What strangers do with sockets: uvicorn with the bounded protocol, and real connections."""

import asyncio
import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from waiting import until

from ptsys.api.connections import ConnectionBounds, Connections, counted_address
from ptsys.api.protocol import bounded_protocol

HOST = "127.0.0.1"
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
BOUNDS = ConnectionBounds(
    most=50,
    most_of_address=50,
    header_seconds=30,
    header_bytes=16 * 2**10,
    write_seconds=30,
    linger_seconds=0.3,
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads no body, unless asked to; answers at once, with much, or never."""
    path, body = scope["path"], b"fine"
    if path == "/read":
        more = True
        while more:
            message = await receive()
            more = message["type"] == "http.request" and message["more_body"]
    elif path == "/wait":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    elif path == "/much":
        body = bytes(64 * 2**20)
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})


class Served:
    """A server in a thread of its own."""

    def __init__(self, **changes: Any) -> None:
        self.connections = Connections(dataclasses.replace(BOUNDS, **changes))
        self.listening = socket.create_server((HOST, 0), backlog=256)
        config = uvicorn.Config(
            app,
            http=bounded_protocol(self.connections),
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        self.server = uvicorn.Server(config)
        self.server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self.thread = threading.Thread(
            target=lambda: asyncio.run(self.server.serve(sockets=[self.listening]))
        )
        self.thread.start()
        until(lambda: self.server.started, 20)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.listening.getsockname(), timeout=20)

    def ask(self, sent: bytes = HEAD + b"\r\n") -> bytes:
        with self.connect() as one:
            one.sendall(sent)
            return status(one)


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    opened: list[Served] = []

    def make(**changes: Any) -> Served:
        opened.append(Served(**changes))
        return opened[-1]

    yield make
    for one in opened:
        one.server.should_exit = True
        one.thread.join(20)
        one.listening.close()
        assert not len(one.connections)


def status(one: socket.socket) -> bytes:
    """The status of the answer; nothing if the connection was closed without one."""
    with contextlib.suppress(ConnectionError):
        answer = one.recv(4096)
        return answer.split(b" ")[1] if answer else b""
    return b""


def closed(one: socket.socket) -> bool:
    """The server closed it, maybe after an answer."""
    try:
        while one.recv(65536):
            pass
    except ConnectionError:
        return True
    return True


def sent_until_refused(one: socket.socket, pieces: Iterator[bytes]) -> None:
    with contextlib.suppress(OSError):
        for piece in pieces:
            one.sendall(piece)


@pytest.mark.parametrize(
    "start",
    [b"GET /", HEAD + b"X: ", HEAD + b"X"],
    ids=["path", "value", "name"],
)
def test_a_head_without_end_is_cut(serve: Serve, start: bytes) -> None:
    served = serve()
    with served.connect() as one:
        one.sendall(start)
        sent_until_refused(one, (b"a" * 65536 for _ in range(4096)))
        assert status(one) in (b"431", b"")  # b"" where the system threw the answer away
        assert closed(one)
    assert served.ask() == b"200"


def test_a_head_is_bounded_in_bytes_and_in_headers(serve: Serve) -> None:
    served = serve()
    assert served.ask(HEAD + b"X: " + b"a" * 15_000 + b"\r\n\r\n") == b"200"
    assert served.ask(HEAD + b"X: " + b"a" * 17_000 + b"\r\n\r\n") == b"431"
    assert served.ask(HEAD + b"X: y\r\n" * 99 + b"\r\n") == b"200"
    assert served.ask(HEAD + b"X: y\r\n" * 100 + b"\r\n") == b"431"


def test_what_follows_a_body_is_bounded_too(serve: Serve) -> None:
    served = serve()
    chunked = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    assert served.ask(chunked + b"X: y\r\n\r\n") == b"200"
    for wrong in (b"X: y\r\n" * 200, b"X: " + b"a" * 400_000):
        with served.connect() as one:
            one.sendall(chunked)
            sent_until_refused(one, iter([wrong]))
            assert closed(one)
    extended = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;"
    with served.connect() as one:
        one.sendall(extended)
        sent_until_refused(one, (b"a" * 65536 for _ in range(16)))
        assert closed(one)


def test_a_body_in_crumbs_is_refused(serve: Serve) -> None:
    served = serve()
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert served.ask(head + b"1\r\na\r\n" * 3000 + b"0\r\n\r\n") == b"200"
    with served.connect() as one:
        one.sendall(head)
        sent_until_refused(one, iter([b"1\r\na\r\n" * 20_000]))
        assert closed(one)


def test_a_head_has_a_deadline(serve: Serve) -> None:
    served = serve(header_seconds=0.4)
    with served.connect() as silent, served.connect() as slow:
        since = time.monotonic()
        with contextlib.suppress(OSError):
            for letter in HEAD * 10:
                slow.sendall(bytes([letter]))
                time.sleep(0.02)
        assert status(slow) in (b"408", b"")
        assert closed(silent)
        assert time.monotonic() - since < 15
    with served.connect() as again:  # a second request's head has one too
        again.sendall(HEAD + b"\r\n")
        got = b""
        while b"fine" not in got:
            got += again.recv(4096)
        again.sendall(HEAD)
        assert status(again) == b"408"
    until(lambda: not len(served.connections), 10)


def test_who_says_nothing_keeps_nobody_out(serve: Serve) -> None:
    served = serve(most=10)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(served.connect()) for _ in range(10)]
        until(lambda: len(served.connections) == 10, 10)
        assert served.ask() == b"200"
        assert closed(silent[0])  # the one that was silent for longest made room
        for _ in range(30):
            silent.append(stack.enter_context(served.connect()))
        assert served.ask() == b"200"
        assert len(served.connections) <= 10


@pytest.mark.parametrize("bounds", [{"most": 3}, {"most_of_address": 3}], ids=["all", "address"])
def test_no_more_connections_than_there_may_be(serve: Serve, bounds: dict[str, int]) -> None:
    wait = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
    served = serve(**bounds)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(served.connect()).sendall(wait)
        until(lambda: len(served.connections) == 3 and not served.connections.idle_ones, 10)
        assert served.ask() == b"503"
    until(lambda: not len(served.connections), 10)
    assert served.ask() == b"200"


def test_who_does_not_read_is_cut_off(serve: Serve) -> None:
    served = serve(write_seconds=0.3)
    with served.connect() as one:
        one.sendall(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: len(served.connections) == 1, 10)
        until(lambda: not len(served.connections), 20)


def test_an_answer_reaches_who_still_sends(serve: Serve) -> None:
    served = serve()
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n"
    with served.connect() as one:
        one.sendall(head)
        sent_until_refused(one, (b"a" * 65536 for _ in range(50)))
        assert status(one) == b"200"
        assert closed(one)  # nobody wanted the rest


def test_a_trickling_body_that_nobody_reads_ends_with_its_answer(serve: Serve) -> None:
    served = serve()
    with served.connect() as one:
        one.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert status(one) == b"200"
        since = time.monotonic()
        with contextlib.suppress(OSError):
            for _ in range(1000):
                one.sendall(b"a")
                time.sleep(0.02)
        assert time.monotonic() - since < 15


def test_requests_in_a_row_are_answered_in_order(serve: Serve) -> None:
    served = serve()
    with served.connect() as one:
        post = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        one.sendall((HEAD + b"\r\n" + post) * 3)
        got = b""
        until_all = time.monotonic() + 20
        while got.count(b"fine") < 6 and time.monotonic() < until_all:
            got += one.recv(65536)
        assert got.count(b"HTTP/1.1 200") == 6
        one.sendall(HEAD + b"Connection: close\r\n\r\n")
        assert status(one) == b"200"
        assert closed(one)


def test_what_counts_as_one_address() -> None:
    assert counted_address("10.0.0.1") == "10.0.0.1"
    assert counted_address("::ffff:10.0.0.1") == "10.0.0.1"
    assert counted_address("2001:db8:1:2::7") == counted_address("2001:db8:1:2:ffff::9")
    assert counted_address("2001:db8:1:2::7") != counted_address("2001:db8:1:3::7")
    assert counted_address(None) == ""
