"""A client that leaves takes its question back."""

import asyncio
import json
from typing import Any

import pytest
from http_clients import MODEL, asgi_scope
from worker_deployment import Deployment

from ptsys.api.app import create_app
from ptsys.jobs.presence import Presence, announce, withdraw
from ptsys.store.clock import utc_now


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/gradients"])
def test_who_leaves_takes_the_question_back(deployment: Deployment, path: str) -> None:
    _, secret = deployment.service.keys.create("ann")
    worker = Presence(worker="worker-x", model=MODEL, ready=True, host="h", pid=1, since=utc_now())
    announce(deployment.redis.address, worker)
    app = create_app(deployment.settings.model_copy(update={"model": MODEL}))
    body: dict[str, Any] = {"model": MODEL, "inputs": ["red"], "tensor": [[0.0] * 32]}
    if path == "/v1/gradients":
        body["targets"] = ["red"]
    data = json.dumps(body).encode()
    headers = {
        "authorization": f"Bearer {secret}",
        "content-type": "application/json",
        "content-length": str(len(data)),
    }
    scope = asgi_scope("POST", path, headers)
    sent: list[Any] = []

    async def run() -> None:
        gone = asyncio.Event()
        messages = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        client = deployment.redis.address.async_client()
        asking = asyncio.create_task(app(scope, receive, send))
        async with asyncio.timeout(60):
            while not await client.keys("ptsys:request:*"):
                assert not asking.done(), sent
                await asyncio.sleep(0.02)
            gone.set()
            await asking
            while await client.keys("ptsys:request:*"):
                await asyncio.sleep(0.02)
        await client.aclose()
        await app.state.context.aclose()

    try:
        asyncio.run(run())
    finally:
        withdraw(deployment.redis.address, "worker-x")
    assert [m["status"] for m in sent if m["type"] == "http.response.start"] in ([], [499])
