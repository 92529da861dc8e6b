"""Augmentation jobs over HTTP: how they are asked for, and what is refused."""

import json
from typing import Any

import httpx
import numpy as np
import pytest
from http_clients import MODEL, WIDTH, Connect, add_rows, refused, upload

ROWS = b"".join(
    json.dumps({"input": f"red river {n}", "target": "red"}).encode() + b"\n" for n in range(8)
)


def spec(name: str, **changes: Any) -> dict[str, Any]:
    return {"kind": "augment", "name": name, "model": MODEL, "dataset": "eight", **changes}


@pytest.fixture
def lou(connect: Connect) -> httpx.Client:
    """A user with eight rows and a prompt; her unfinished jobs are cancelled before a test."""
    client = connect("lou")
    add_rows(client, "eight", ROWS)
    add_rows(client, "two", ROWS[: 2 * ROWS.index(b"\n") + 2])
    add_rows(client, "empty", b'{"input": ""}')
    upload(client, "own", np.ones((5, WIDTH), np.float32))
    for job in client.get("/v1/jobs", params={"state": "queued"}).json()["data"]:
        client.post(f"/v1/jobs/{job['id']}/cancel")
    return client


def test_it_is_a_job_like_others(lou: httpx.Client) -> None:
    body = spec("lifted", query="own", length=5)
    made = lou.post("/v1/jobs", json=body, headers={"Idempotency-Key": "lift-1"})
    assert made.status_code == 201, made.text
    job = made.json()
    assert (job["kind"], job["spec"]["kind"], job["spec"]["strategy"]) == (
        *("augment", "augment"),
        "auto",
    )
    assert job["spec"]["query"] == lou.get("/v1/prompts/own").json()["id"]
    again = lou.post("/v1/jobs", json=body, headers={"Idempotency-Key": "lift-1"})
    assert again.json() == job
    assert lou.get(f"/v1/jobs/{job['id']}").json() == job
    refused(lou.delete("/v1/datasets/eight"), 409)
    assert lou.post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"strategy": "magic"}, 422, "strategy"),
        ({"neighbours": 0}, 422, "neighbours"),
        ({"rounds": 9}, 422, "rounds"),
        ({"temperature": 0}, 422, "temperature"),
        ({"own_share": 1}, 422, "own_share"),
        ({"minimum_similarity": "NaN"}, 422, "minimum_similarity"),
        ({"budget": 3}, 422, "budget"),
        ({"budget": 3000, "strategy": "multitask"}, 422, "budget"),
        ({"initialization": {"kind": "labels"}}, 422, "initialization.kind"),
        ({"tasks": []}, 422, "tasks"),
        ({"query": "none"}, 404, None),
        ({"query": "own"}, 422, "query"),
        ({"dataset": "two"}, 422, "validation"),
        ({"dataset": "empty"}, 422, "dataset"),
        ({"dataset": "ann/private"}, 404, None),
        ({"validation": "empty"}, 422, "validation"),
    ],
)
def test_what_cannot_work_is_refused(
    lou: httpx.Client, ann: httpx.Client, change: dict[str, Any], status: int, field: str | None
) -> None:
    add_rows(ann, "private")
    refused(lou.post("/v1/jobs", json=spec("wrong") | change), status, field)
