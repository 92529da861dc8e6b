"""Event streams: one poller for all, a few a user, and none for a revoked key."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from http_clients import MODEL, Connect, add_rows, asgi_scope
from worker_deployment import Deployment

from ptsys.api.app import create_app
from ptsys.api.event_feed import EventFeed
from ptsys.jobs.service import Service
from ptsys.types.records import ApiKey


class Stream:
    """One open stream on an application, read as it comes."""

    def __init__(self, app: Any, secret: str, path: str) -> None:
        self.text = ""
        self.status = 0
        self._gone = asyncio.Event()
        self._begun = False
        headers = {"authorization": f"Bearer {secret}", "accept": "text/event-stream"}
        scope = asgi_scope("GET", path, headers)
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> Any:
        if not self._begun:
            self._begun = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.text += message.get("body", b"").decode()

    async def until(self, words: str) -> None:
        async with asyncio.timeout(30):
            while words not in self.text:
                await asyncio.sleep(0.01)

    async def leave(self) -> None:
        self._gone.set()
        async with asyncio.timeout(30):
            await self.task


@contextlib.asynccontextmanager
async def application(deployment: Deployment, **changes: Any) -> AsyncIterator[Any]:
    app = create_app(deployment.settings.model_copy(update={"model": MODEL, **changes}))
    yield app
    await app.state.context.aclose()


def _job(connect: Connect, user: str) -> tuple[httpx.Client, str]:
    client = connect(user)
    add_rows(client, "colours")
    body = {"name": "followed", "model": MODEL, "dataset": "colours", "steps": 5}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["id"]
    return client, made


def test_however_many_listen_one_poller_looks(deployment: Deployment, connect: Connect) -> None:
    _, job = _job(connect, "wes")
    _, secret = deployment.service.keys.create("wes")

    async def run() -> None:
        async with application(deployment) as app:
            streams = [Stream(app, secret, f"/v1/jobs/{job}/events") for _ in range(20)]
            for stream in streams:
                await stream.until("id: 1")
            feed = app.state.context.feed
            before = feed.looks
            await asyncio.sleep(1.0)
            assert feed.looks - before <= 21  # one pause is at least a twentieth of a second
            await asyncio.to_thread(deployment.service.cancel, job, "wes")
            for stream in streams:
                await stream.until("event: end")
                await stream.task
                ids = [line for line in stream.text.splitlines() if line.startswith("id: ")]
                assert ids == ["id: 1", "id: 2"]
            assert feed._users == {}
            assert feed._jobs == {}

    asyncio.run(run())


def test_a_user_has_so_many_streams_and_closing_one_makes_room(
    deployment: Deployment, connect: Connect
) -> None:
    _, job = _job(connect, "xan")
    _, secret = deployment.service.keys.create("xan")

    async def run() -> None:
        async with application(deployment, max_user_streams=2) as app:
            path = f"/v1/jobs/{job}/events"
            streams = [Stream(app, secret, path) for _ in range(2)]
            for stream in streams:
                await stream.until("id: 1")
            third = Stream(app, secret, path)
            await third.task
            assert third.status == 429
            assert "2 event streams" in json.loads(third.text)["detail"]
            await streams[0].leave()
            fourth = Stream(app, secret, path)
            await fourth.until("id: 1")
            for stream in (streams[1], fourth):
                await stream.leave()

    asyncio.run(run())


def test_a_stream_ends_with_its_key(deployment: Deployment, connect: Connect) -> None:
    _, job = _job(connect, "yan")
    revoked, secret = deployment.service.keys.create("yan")
    _, other = deployment.service.keys.create("yan")

    async def run() -> None:
        async with application(deployment) as app:
            path = f"/v1/jobs/{job}/events"
            ending, staying = Stream(app, secret, path), Stream(app, other, path)
            for stream in (ending, staying):
                await stream.until("id: 1")
            await asyncio.to_thread(deployment.service.keys.revoke, revoked.id)
            async with asyncio.timeout(30):
                await ending.task
            assert "revoked" in ending.text
            assert "event: end" not in ending.text  # the job goes on
            assert not staying.task.done()
            await staying.leave()

    asyncio.run(run())


@pytest.fixture
def key(deployment: Deployment) -> ApiKey:
    return deployment.service.keys.create("zoe")[0]


def test_who_comes_late_or_reads_slowly_misses_nothing(
    deployment: Deployment, connect: Connect, key: ApiKey
) -> None:
    _, job = _job(connect, "zoe")
    service: Service = deployment.service
    claim = service.leases.claim(job, "w")
    assert claim is not None

    async def run() -> None:
        feed = EventFeed(lambda: service, 2)
        with feed.listening(job, key) as early:
            async with asyncio.timeout(30):
                assert await early.wait(0, 20)
                assert early.told(0) is None  # from before it listened: to be read by itself
                assert early.told(2) is not None
                await asyncio.to_thread(service.leases.progress, claim, 1, {})
                assert await early.wait(2, 20)
            told = early.told(2)
            assert told is not None
            assert [event.sequence for event in told[1]] == [3]
            with feed.listening(job, key) as late:
                assert await late.wait(2, 0.1)
                assert late.told(2) == told
                assert late.told(1) is None
                assert not await late.wait(3, 0.1)
        await feed.aclose()

    asyncio.run(run())
    service.leases.cancelled(claim)
