"""An application in this process is asked as one over a network is: in pieces, in time, until one
leaves."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from ptsys.client.in_process import InProcess


@pytest.fixture
def client() -> Iterator[Callable[..., httpx.Client]]:
    with contextlib.ExitStack() as stack:

        def make(app: Any, **options: Any) -> httpx.Client:
            transport = InProcess(app)
            return stack.enter_context(
                httpx.Client(base_url="http://local", transport=transport, **options)
            )

        yield make


async def begin(send: Any, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-a", b"b")]})


def test_a_question_arrives_whole_and_so_does_its_answer(client: Any) -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        told = await receive()
        assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/a b", b"c=d")
        assert b"accept-encoding" not in dict(scope["headers"])
        await begin(send, 201)
        await send({"type": "http.response.body", "body": told["body"] * 2})

    answer = client(echo).post("/a%20b", params={"c": "d"}, content=b"xy")
    assert (answer.status_code, answer.headers["x-a"], answer.content) == (201, "b", b"xyxy")


def test_a_stream_is_read_as_it_comes_and_ends_when_one_leaves(client: Any) -> None:
    left = threading.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await begin(send)
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        told = await receive()
        assert told["type"] == "http.disconnect"
        left.set()

    with client(endless).stream("GET", "/") as answer:
        assert next(answer.iter_raw()) == b"first"
    assert left.wait(10)


def test_what_takes_too_long_or_fails_is_told(client: Any) -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    with pytest.raises(httpx.ReadTimeout):
        client(slow, timeout=0.05).get("/")

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        client(broken).get("/")
