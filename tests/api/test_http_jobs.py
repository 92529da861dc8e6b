import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from http_clients import MODEL, WIDTH, Connect, add_rows, refused
from worker_deployment import Deployment

EVENTS = {"Accept": "application/json"}


def spec(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "model": MODEL, "dataset": "colours", "steps": 5, **changes}


def submit(client: httpx.Client, body: dict[str, Any], key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/v1/jobs", json=body, headers=headers)


@pytest.fixture
def kim(connect: Connect) -> httpx.Client:
    """A user with a dataset; her unfinished jobs are cancelled before the next test."""
    client = connect("kim")
    add_rows(client, "colours")
    for job in client.get("/v1/jobs", params={"state": "queued"}).json()["data"]:
        client.post(f"/v1/jobs/{job['id']}/cancel")
    return client


def test_a_job_is_queued_listed_and_cancelled(kim: httpx.Client, bob: httpx.Client) -> None:
    made = submit(kim, spec("queued"))
    assert made.status_code == 201, made.text
    job = made.json()
    assert made.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["spec"]["dataset"].startswith("ds-")
    assert {"worker", "traceback"}.isdisjoint(job)
    assert kim.get("/v1/jobs", params={"limit": 1}).json()["data"] == [job]
    assert kim.get(f"/v1/jobs/{job['id']}").json() == job
    for call in (bob.get, lambda path: bob.post(f"{path}/cancel")):
        refused(call(f"/v1/jobs/{job['id']}"), 404)
    refused(bob.get(f"/v1/jobs/{job['id']}/events"), 404)
    cancelled = kim.post(f"/v1/jobs/{job['id']}/cancel").json()
    assert cancelled["state"] == "cancelled"
    assert kim.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
    [found] = kim.get("/v1/jobs", params={"state": "cancelled", "limit": 1}).json()["data"]
    assert found["id"] == job["id"]
    refused(kim.get("/v1/jobs", params={"state": "asleep"}), 422, "state")


def test_events_stream_until_the_last(kim: httpx.Client) -> None:
    job = submit(kim, spec("streamed")).json()["id"]
    kim.post(f"/v1/jobs/{job}/cancel")
    response = kim.get(f"/v1/jobs/{job}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = [block for block in response.text.split("\n\n") if block]
    assert blocks[0].startswith("retry:")
    assert blocks[-1] == 'event: end\ndata: {"state": "cancelled"}'
    first = dict(line.split(": ", 1) for line in blocks[1].splitlines())
    assert (first["id"], first["event"]) == ("1", "state")
    assert json.loads(first["data"])["data"] == {"state": "queued"}
    later = kim.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": "1"}).text
    assert "id: 1\n" not in later
    assert "id: 2\n" in later
    page = kim.get(f"/v1/jobs/{job}/events", headers=EVENTS, params={"limit": 1}).json()
    assert (page["data"][0]["sequence"], page["next"]) == (1, "1")
    refused(kim.get(f"/v1/jobs/{job}/events", headers={"Accept": "image/png"}), 406)


def test_the_same_key_makes_one_job(kim: httpx.Client, bob: httpx.Client) -> None:
    first = submit(kim, spec("once"), "key-1")
    assert submit(kim, spec("once"), "key-1").json() == first.json()
    refused(submit(kim, spec("once", steps=6), "key-1"), 409)
    refused(submit(kim, spec("once")), 409)  # without the key: the name is taken
    add_rows(bob, "colours")
    other = submit(bob, spec("once"), "key-1").json()
    assert other["id"] != first.json()["id"]
    bob.post(f"/v1/jobs/{other['id']}/cancel")
    refused(submit(kim, spec("once"), "two words"), 422, "Idempotency-Key")


def test_many_retries_at_once_make_one_job(kim: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: submit(kim, spec("retried"), "key-2"), range(16)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_too_many_jobs_must_wait(connect: Connect) -> None:
    lee = connect("lee", max_user_jobs=2)
    add_rows(lee, "colours")
    jobs = [submit(lee, spec(f"job-{i}"), f"k{i}").json()["id"] for i in range(2)]
    response = submit(lee, spec("job-2"))
    refused(response, 429)
    assert int(response.headers["Retry-After"]) >= 1
    assert submit(lee, spec("job-1"), "k1").json()["id"] == jobs[1]  # a retry is no new job
    lee.post(f"/v1/jobs/{jobs[0]}/cancel")
    assert submit(lee, spec("job-2")).status_code == 201


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"name": "../x"}, 422, "name"),
        ({"name": "'; DROP TABLE jobs; --"}, 422, "name"),
        ({"steps": 0}, 422, "steps"),
        ({"steps": "many"}, 422, "steps"),
        ({"optimizer": {"learning_rate": -1}}, 422, "optimizer.learning_rate"),
        ({"optimizer": {"learning_rate": "NaN"}}, 422, "optimizer.learning_rate"),
        ({"colour": 1}, 422, "colour"),
        ({"model": "none"}, 422, "model"),
        ({"dataset": "none"}, 404, None),
        ({"dataset": "a\0b"}, 422, "dataset"),
        ({"dataset": "ann/private"}, 404, None),
        ({"validation": "none"}, 404, None),
        ({"initialization": {"kind": "prompt", "prompt": "none"}}, 404, None),
        ({"initialization": {"kind": "text"}}, 422, "initialization"),
    ],
)
def test_wrong_jobs_are_refused(
    kim: httpx.Client, ann: httpx.Client, change: dict[str, Any], status: int, field: str | None
) -> None:
    add_rows(ann, "private")
    refused(submit(kim, spec("wrong") | change), status, field)


def tasks(name: str, **changes: Any) -> dict[str, Any]:
    described = [{"name": "a", "dataset": "colours"}, {"name": "b", "dataset": "colours"}]
    return {"kind": "multitask", "name": name, "model": MODEL, "tasks": described, **changes}


def test_a_multitask_job_is_a_job(kim: httpx.Client) -> None:
    made = submit(kim, tasks("several"), "several-1")
    assert made.status_code == 201, made.text
    job = made.json()
    assert (job["kind"], job["spec"]["kind"]) == ("multitask", "multitask")
    assert {task["dataset"][:3] for task in job["spec"]["tasks"]} == {"ds-"}
    assert kim.get(f"/v1/jobs/{job['id']}").json() == job
    assert submit(kim, tasks("several"), "several-1").json() == job
    refused(submit(kim, spec("several.a")), 409)
    refused(kim.delete("/v1/datasets/colours"), 409)
    assert kim.post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"kind": "none"}, 422, "kind"),
        ({"steps": 0}, 422, "steps"),
        ({"tasks": []}, 422, "tasks"),
        ({"tasks": [{"name": "a", "dataset": "colours", "rate": 1}]}, 422, "tasks.0.rate"),
        ({"tasks": [{"name": "a/b", "dataset": "colours"}]}, 422, "tasks.0.name"),
        ({"tasks": [{"name": "a", "dataset": "none"}]}, 404, None),
        ({"tasks": [{"name": "a", "dataset": "ann/private"}]}, 404, None),
        ({"tasks": [{"name": "a", "dataset": "empty"}]}, 422, "tasks.0.dataset"),
        (
            {"tasks": [{"name": "a", "dataset": "colours", "validation": "bare"}]},
            422,
            "tasks.0.validation",
        ),
        ({"dataset": "colours"}, 422, "dataset"),
        ({"optimizer": {"z_loss": 0.1}}, 422, "optimizer.z_loss"),
    ],
)
def test_wrong_multitask_jobs_are_refused(
    kim: httpx.Client, ann: httpx.Client, change: dict[str, Any], status: int, field: str | None
) -> None:
    add_rows(ann, "private")
    add_rows(kim, "empty", b'{"input": ""}')
    add_rows(kim, "bare", b'{"input": "red river stone"}')
    refused(submit(kim, tasks("wrong") | change), status, field)


def test_rows_without_a_target_are_for_training_alone(kim: httpx.Client) -> None:
    add_rows(kim, "bare", b'{"input": "red river stone"}')
    refused(submit(kim, spec("scored", validation="bare")), 422, "validation")
    assert submit(kim, spec("bare", dataset="bare")).status_code == 201


def test_targets_too_long_are_refused_at_once(kim: httpx.Client) -> None:
    rows = json.dumps({"input": "red", "target": "river " * 200}).encode()
    add_rows(kim, "long-targets", rows)
    refused(submit(kim, spec("long", dataset="long-targets")), 422, "dataset")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 50_000, b"NaN"])
def test_bodies_that_are_no_job(kim: httpx.Client, body: bytes) -> None:
    response = kim.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    refused(response, 422)


@pytest.mark.device
def test_a_job_trains_and_its_prompt_comes_home(kim: httpx.Client, worker: Deployment) -> None:
    body = spec("home", steps=20, length=4, checkpoint_every=10, evaluate_every=10)
    job = submit(kim, body, "home").json()["id"]
    stream = kim.get(f"/v1/jobs/{job}/events").text
    assert 'event: end\ndata: {"state": "succeeded"}' in stream
    assert "event: progress" in stream
    ended = kim.get(f"/v1/jobs/{job}").json()
    assert (ended["state"], ended["step"]) == ("succeeded", 20)
    prompt = kim.get(f"/v1/prompts/{ended['prompt']}").json()
    assert (prompt["name"], prompt["length"], prompt["d_model"]) == ("home", 4, WIDTH)
    rows = kim.get("/v1/prompts/home/tensor", headers={"Accept": "application/json"})
    assert len(rows.json()["tensor"]) == 4
    refused(kim.post(f"/v1/jobs/{job}/cancel"), 409)
