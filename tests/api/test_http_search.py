"""Search over HTTP: what is asked, what is told, and to whom."""

from typing import Any

import httpx
import numpy as np
import pytest
import tiny_model
from http_clients import JSONL, MODEL, WIDTH, Connect, add_rows, refused, upload
from worker_deployment import Deployment

from ptsys.library.starts import write_start

PATH = "/v1/prompts/search"
DRAW = np.random.default_rng(5)
START = DRAW.normal(size=(64, WIDTH)).astype(np.float32)


@pytest.fixture(autouse=True)
def start(deployment: Deployment) -> None:
    """Where prompts start, as a worker would have written it."""
    fingerprint = deployment.service.models.get(MODEL).fingerprint
    write_start(deployment.root, fingerprint, START)


def put(client: httpx.Client, name: str, axis: int, **params: Any) -> dict[str, Any]:
    array = START[-4:] + np.eye(WIDTH, dtype=np.float32)[axis] + 0.1
    made = upload(client, name, array, **params)
    assert made.status_code == 201, made.text
    record: dict[str, Any] = made.json()
    return record


def found(client: httpx.Client, **body: Any) -> list[str]:
    answer = client.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    return [one["prompt"]["name"] for one in answer.json()["results"]]


def test_nearest_first_by_both_methods(connect: Connect) -> None:
    ann = connect("near-ann")
    for axis in (3, 1, 2):
        put(ann, f"axis-{axis}", axis)
    query = put(ann, "twin", 2)
    told = ann.post(PATH, json={"prompt": "twin", "count": 2, "owner": "near-ann"}).json()
    assert told["query"] == {
        "prompt": query["id"],
        "text": "",
        "metric": "cosine",
        "kind": "token",
        "count": 2,
    }
    first, second = told["results"]
    assert first["prompt"]["name"] == "axis-2"
    assert first["score"] == pytest.approx(1, abs=1e-5)
    assert first["score"] > second["score"]
    assert first["comparable"] is False  # it was uploaded
    assert first["dataset"] is None
    params = {"prompt": query["id"], "count": 2, "owner": "near-ann"}
    assert ann.get(PATH, params=params).json() == told


def test_only_what_the_caller_may_see(connect: Connect) -> None:
    ann, bob, eve = connect("see-ann"), connect("see-bob"), connect("see-eve")
    query = put(bob, "query", 0)["id"]
    secret = put(ann, "secret-thing", 0)
    assert found(bob, prompt=query, owner="see-ann") == found(bob, text="secret-thing") == []
    assert secret["id"] not in bob.post(PATH, json={"prompt": query, "count": 100}).text
    refused(bob.post(PATH, json={"prompt": secret["id"]}), 404)
    refused(bob.get(PATH, params={"prompt": secret["id"]}), 404)
    ann.patch(
        f"{PATH[:-7]}/secret-thing", json={"visibility": "shared", "shared_with": ["see-bob"]}
    )
    assert found(bob, prompt=query, owner="see-ann") == ["secret-thing"]
    assert found(eve, text="secret-thing") == []
    ann.patch("/v1/prompts/secret-thing", json={"visibility": "private"})
    assert found(bob, prompt=query, owner="see-ann") == []
    put(ann, "gone", 0, visibility="public")
    assert found(bob, text="gone", owner="see-ann") == ["gone"]
    ann.delete("/v1/prompts/gone")
    assert found(bob, prompt=query, owner="see-ann") == []


def test_what_is_told_of_a_prompt_is_searched_and_filtered(connect: Connect) -> None:
    ann, bob = connect("tell-ann"), connect("tell-bob")
    made = put(
        ann,
        "told",
        1,
        tags=["nice"],
        description="Weather of Böblingen",
        licence="MIT",
        contact="ann@example.org",
        visibility="public",
    )
    assert (made["licence"], made["contact"]) == ("MIT", "ann@example.org")
    params = {"text": "böblingen", "tags": "nice", "licence": "mit", "owner": "tell-ann"}
    [one] = bob.get(PATH, params=params).json()["results"]
    assert one["prompt"]["contact"] == "ann@example.org"
    assert found(bob, text="weather", tags=["other"]) == []
    assert found(bob, text="weather", min_accuracy=0.1) == []
    changes = {"description": "", "licence": "Apache-2.0", "contact": ""}
    changed = ann.patch("/v1/prompts/told", json=changes).json()
    assert (changed["description"], changed["licence"], changed["contact"]) == (
        None,
        "Apache-2.0",
        None,
    )
    assert found(bob, text="weather") == []
    refused(ann.patch("/v1/prompts/told", json={"contact": "x" * 201}), 422, "contact")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt"),
        ({"text": "  "}, "prompt"),
        ({"prompt": "a", "dataset": "b"}, "prompt"),
        ({"examples": []}, "examples"),
        ({"examples": [{"input": "a", "output": "b"}]}, "examples.0.output"),
        ({"text": "a", "count": 0}, "count"),
        ({"text": "a", "count": 101}, "count"),
        ({"text": "a", "metric": "manhattan"}, "metric"),
        ({"text": "a", "kind": "x"}, "kind"),
        ({"text": "a\0"}, "text"),
        ({"text": "a", "min_accuracy": 2}, "min_accuracy"),
        ({"text": "a", "owner": "\0"}, "owner"),
        ({"text": "a", "created_after": "0001-01-01T00:00:00+14:00"}, "created_after"),
        ({"text": "a", "vector": [1]}, "vector"),
    ],
)
def test_wrong_searches_name_the_field(ann: httpx.Client, body: dict[str, Any], field: str) -> None:
    refused(ann.post(PATH, json=body), 422, field)


def test_halves_of_letters_are_refused(ann: httpx.Client) -> None:
    body = b'{"text": "\\ud800"}'
    sent = ann.post(PATH, content=body, headers={"Content-Type": "application/json"})
    refused(sent, 422, "text")


def test_rows_that_nobody_trains_on_end_in_their_job(connect: Connect) -> None:
    """No worker runs: the answer comes at once, and asked again it is the same job."""
    cas = connect("cas", max_user_jobs=1, max_request_rows=3)
    rows = [{"input": "red river", "target": "red"}]
    first = cas.post(PATH, json={"examples": rows, "model": MODEL})
    assert first.status_code == 202, first.text
    job = first.json()
    assert first.headers["location"] == f"/v1/jobs/{job['id']}"
    assert int(first.headers["retry-after"]) >= 1
    assert (job["state"], job["spec"]["tags"]) == ("queued", ["query"])
    again = cas.post(PATH, json={"examples": rows, "model": MODEL, "count": 3})
    assert (again.status_code, again.json()["id"]) == (202, job["id"])
    other = {"examples": [{"input": "cold table", "target": "blue"}], "model": MODEL}
    refused(cas.post(PATH, json=other), 429)
    refused(cas.post(PATH, json={"examples": 4 * rows, "model": MODEL}), 422, "examples")
    long = [{"input": "a", "target": "red " * 50}]
    refused(cas.post(PATH, json={"examples": long, "model": MODEL}), 422, "examples")
    refused(cas.post(PATH, json={"dataset": "none", "model": MODEL}), 404)
    refused(cas.post(PATH, json={"examples": rows, "model": "none"}), 422, "model")
    cas.post(f"/v1/jobs/{job['id']}/cancel")


@pytest.mark.device
def test_rows_are_searched_by_once_a_prompt_is_trained(
    worker: Deployment, connect: Connect
) -> None:
    ann, bob = connect("rows-ann"), connect("rows-bob")
    add_rows(ann, "colours", "".join(row.to_json() + "\n" for row in tiny_model.rows()).encode())
    put(bob, "theirs", 1, visibility="public")
    rows = [{"input": row.input, "target": row.target} for row in tiny_model.rows(8)]
    answer = ann.post(PATH, json={"examples": rows, "model": MODEL, "steps": 3, "count": 50})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert "theirs" in [one["prompt"]["name"] for one in told["results"]]
    query = ann.get(f"/v1/prompts/{told['query']['prompt']}").json()
    assert (query["visibility"], query["tags"], query["steps"]) == ("private", ["query"], 3)
    again = ann.post(PATH, json={"examples": rows, "model": MODEL, "steps": 3, "count": 50})
    assert again.json()["query"] == told["query"]
    stored = ann.post(PATH, json={"dataset": "colours", "model": MODEL, "steps": 3, "count": 50})
    ids = [one["prompt"]["id"] for one in stored.json()["results"]]
    assert ids
    assert query["id"] not in ids
    refused(bob.post(PATH, json={"prompt": query["id"]}), 404)
    refused(bob.get(f"/v1/jobs/{query['job']}"), 404)


def test_rows_sent_as_lines_are_no_search(ann: httpx.Client) -> None:
    sent = ann.post(PATH, content=b'{"input": "a"}\n', headers={"Content-Type": JSONL})
    refused(sent, 415)
