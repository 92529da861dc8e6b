"""Bodies: nobody without a key has one read, and none of them holds up the others."""

import asyncio
import gzip
import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from http_clients import JSONL, MODEL, SAFETENSORS, WIDTH, Connect, add_rows, refused
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import save
from worker_deployment import Deployment

from ptsys.api.app import create_app
from ptsys.api.context import SMALL_BODY
from ptsys.api.incoming import CONTROL_BYTES, LARGE_PATHS
from ptsys.config import Settings
from ptsys.types.specs import Spec

JSON = {"Content-Type": "application/json"}
BIG = b"[" * (SMALL_BODY + 1)


def operations() -> Iterator[tuple[str, str, bool]]:
    """Every method and path that a key is asked for, and whether it takes a body."""
    described = create_app(Settings(data_dir=Path("/nowhere"))).openapi()["paths"]
    for path, methods in described.items():
        if path.startswith("/v1/"):
            for method, told in methods.items():
                yield method.upper(), path, "requestBody" in told


async def asked(
    app: Any, method: str, path: str, headers: dict[str, str]
) -> tuple[int, int, dict[bytes, bytes]]:
    """The status, how often the body was asked for, and the answer's headers."""
    reads, told = 0, {}

    async def receive() -> dict[str, Any]:
        nonlocal reads
        reads += 1
        return {"type": "http.request", "body": b"{", "more_body": True}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            told["status"], told["headers"] = message["status"], dict(message["headers"])

    given = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"name=x",
        "headers": given,
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    return told["status"], reads, told["headers"]


@pytest.mark.parametrize("key", ["", f"Bearer ptsys_{'a' * 43}", "Bearer x", "Basic YW5u"])
def test_without_a_key_no_byte_of_a_body_is_read(deployment: Deployment, key: str) -> None:
    app = create_app(deployment.settings)
    headers = {"Transfer-Encoding": "chunked", **JSON, "Authorization": key}

    async def check() -> None:
        for method, path, _ in operations():
            status, reads, told = await asked(app, method, path, headers)
            assert (status, reads) == (401, 0), path
            assert told[b"connection"] == b"close"

    asyncio.run(check())
    app.state.context.close()


def test_control_routes_take_a_mebibyte(connect: Connect) -> None:
    admin = connect("root", role="admin")
    takers = {(method, path) for method, path, body in operations() if body}
    assert {("POST", path) for path in LARGE_PATHS} <= takers
    small = takers - {("POST", path) for path in LARGE_PATHS}
    assert small
    for method, path in small:
        body = iter([b" " * (CONTROL_BYTES // 2)] * 3)
        refused(admin.request(method, path, content=body, headers=JSON), 413)


def test_a_bomb_is_unzipped_in_pieces_and_given_up_at_the_bound(connect: Connect) -> None:
    ann = connect("ann", max_body_bytes=4 * 2**20)
    zipped = {**JSON, "Content-Encoding": "gzip"}
    bomb = gzip.compress(b" " * 50_000_000)
    refused(ann.post("/v1/predict", content=bomb, headers=zipped), 413)
    question = {"model": "tiny", "inputs": ["red"]}
    fine = gzip.compress(json.dumps(question).encode() + b" " * 3_000_000)
    refused(ann.post("/v1/predict", content=fine, headers=zipped), 503)  # no worker: it was read
    for wrong in (fine + b"more", fine + fine, fine[:-1]):
        refused(ann.post("/v1/predict", content=wrong, headers=zipped), 422)


LARGE_AND_WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/predict", {"inputs": [7] * 200_000}, "inputs.0"),
    ("/v1/gradients", {"prompt": "p", "inputs": ["a"] * 90_000, "targets": ["b"]}, "inputs"),
    ("/v1/datasets/generate", {"name": "x", "prompt": "p", "inputs": [[]] * 90_000}, "inputs.0"),
    (
        "/v1/meta-prompts/generic/generate",
        {"examples": [{"input": "i", "target": 7}] * 128, "description": "d" * 300_000},
        "examples.0.target",
    ),
    ("/v1/select", {"rows": [{"input": "a"}] * 90_000}, "rows"),
    ("/v1/datasets/generate", {"name": "x", "prompt": "p", "inputs": ["a"] * 90_000}, "inputs"),
    ("/v1/tokens", {"texts": ["a"] * 90_000}, "texts"),
    ("/v1/tokens", {"texts": ["a"] * 90_000}, "texts"),
    ("/v1/prompts/search", {"examples": [{"input": "a"}] * 60_000}, "examples"),
    ("/v1/prompts?name=x", {"tensor": [[0]] * 100_000 + [["a"]]}, "tensor.100000.0"),
]


def test_large_json_is_read_apart(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = connect("ann", max_body_bytes=8 * 2**20)

    def parsed(*_: Any, **__: Any) -> None:
        raise AssertionError("parsed beside the others")

    for module in ("tensors", "json_bodies", "questions"):
        monkeypatch.setattr(f"ptsys.api.{module}.json_object", parsed)
    for path, wrong, field in LARGE_AND_WRONG:
        content = json.dumps(wrong).encode()
        assert len(content) > SMALL_BODY
        refused(ann.post(path, content=content, headers=JSON), 422, field)
        refused(ann.post(path, content=BIG, headers=JSON), 422)


def test_large_bodies_arrive_whole(connect: Connect) -> None:
    ann = connect("ann")
    tensor = np.random.default_rng(0).normal(size=(500, WIDTH)).astype(np.float32)
    body = {"tensor": tensor.astype(np.float64).tolist()}
    assert len(json.dumps(body)) > SMALL_BODY
    params = {"name": "large", "model": MODEL}
    assert ann.post("/v1/prompts", params=params, json=body).status_code == 201
    answer = ann.get("/v1/prompts/large/tensor", headers={"Accept": "application/json"})
    assert np.array_equal(np.array(answer.json()["tensor"], np.float32), tensor)
    question = {"model": MODEL, "inputs": ["x" * 1000] * 300, "truncate": True}
    refused(ann.post("/v1/predict", json=question), 503)  # no worker runs: it was read
    told = {"request": json.dumps({**question, "targets": ["red"] * 299})}
    header = save({"prompt": tensor}, metadata=told)
    refused(
        ann.post("/v1/gradients", content=header, headers={"Content-Type": SAFETENSORS}),
        422,
        "targets",
    )


def test_a_body_that_needs_too_much_memory_ends_its_reader_alone(
    connect: Connect,
) -> None:
    ann = connect("ann", reader_bytes=64 * 2**20)
    lists = b'{"inputs": [' + b"[[]]," * 500_000 + b"[]]}"  # 2.5 MB of text, 100 MB of lists
    problem = refused(ann.post("/v1/predict", content=lists, headers=JSON), 422)
    assert "memory" in problem["detail"]
    assert ann.get("/v1/me").status_code == 200
    refused(ann.post("/v1/predict", content=BIG, headers=JSON), 422)


def test_an_adapter_that_is_a_bomb_is_refused(connect: Connect) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("adapter_config.json", b"[" * 30_000_000)
        archive.writestr("adapter_model.safetensors", b"")
    headers = {"Content-Type": "application/x-peft+zip"}
    ann = connect("ann")
    response = ann.post("/v1/prompts?name=x", content=buffer.getvalue(), headers=headers)
    refused(response, 422, "adapter_config.json")


def test_rows_are_read_a_line_at_a_time(connect: Connect) -> None:
    ann = connect("ann")
    blank = b"\n" * 5_000_000 + b'{"input": "a", "target": "b"}\n'
    assert add_rows(ann, "blank", blank).json()["rows"] == 1
    problem = refused(add_rows(ann, "long", b'{"input": "a"}\n' + BIG * 17), 422)
    assert "line 2" in problem["detail"]


def test_all_bodies_together_have_a_bound(connect: Connect) -> None:
    ann = connect("ann", max_body_bytes=2**20, max_bodies_bytes=2 * 2**20)
    app = ann._transport._app  # type: ignore[attr-defined]
    secret = ann.headers["Authorization"]

    async def check() -> None:
        hold = asyncio.Event()
        statuses: list[int] = []
        head = [(b"authorization", secret.encode()), (b"content-type", JSONL.encode())]

        async def one(size: int) -> None:
            async def receive() -> dict[str, Any]:
                if size and not sent:
                    sent.append(size)
                    return {"type": "http.request", "body": b" " * size, "more_body": True}
                await hold.wait()
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])

            sent: list[int] = []
            scope = {"type": "http", "method": "POST", "path": "/v1/datasets", "headers": head}
            scope |= {"raw_path": b"/v1/datasets", "query_string": b"name=x"}
            await app(scope, receive, send)

        first = asyncio.create_task(one(900_000))
        await asyncio.sleep(0.3)
        await one(400_000)
        assert statuses == [429]
        hold.set()
        await first
        await one(900_000)  # the first one's bytes are free again
        assert statuses == [429, 422, 422]

    asyncio.run_coroutine_threadsafe(check(), ann._transport._loop).result(60)  # type: ignore[attr-defined]


def test_a_body_has_a_deadline_for_its_whole(connect: Connect) -> None:
    ann = connect("ann", whole_body_seconds=0.5, body_seconds=20)

    app = ann._transport._app  # type: ignore[attr-defined]
    secret = ann.headers["Authorization"]

    async def check() -> None:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://ptsys"
        ) as client:

            async def slowly() -> Any:
                for _ in range(100):
                    await asyncio.sleep(0.05)
                    yield b" "

            headers = {**JSON, "Authorization": secret}
            since = time.monotonic()
            response = await client.post("/v1/predict", content=slowly(), headers=headers)
            refused(response, 408)
            assert time.monotonic() - since < 4

    asyncio.run_coroutine_threadsafe(check(), ann._transport._loop).result(60)  # type: ignore[attr-defined]


MANY: list[tuple[str, dict[str, Any]]] = [
    ("tasks.0", {"tasks": [7] * 200_000}),
    ("tags.0", {"dataset": "d", "tags": [7] * 200_000}),
    ("initialization.labels.0", {"dataset": "d", "initialization": {"labels": [7] * 200_000}}),
    ("k0", {"dataset": "d", **{f"k{number}": 1 for number in range(50_000)}}),
]


@pytest.mark.parametrize(("field", "body"), MANY, ids=range(len(MANY)))
def test_of_many_faults_one_is_told(field: str, body: dict[str, Any]) -> None:
    """Each would be an object of its own, for seconds, where all are served."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Spec).validate_python({"name": "n", **body})
    assert caught.value.error_count() <= 2
    assert ".".join(map(str, caught.value.errors()[0]["loc"])) == field
