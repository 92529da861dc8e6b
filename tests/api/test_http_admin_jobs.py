"""Who waits is told where it stands; an admin sees and stops everybody's jobs."""

import httpx
import pytest
from http_clients import MODEL, Connect, add_rows, refused


def _submit(client: httpx.Client, name: str) -> str:
    body = {"name": name, "model": MODEL, "dataset": "colours", "steps": 5}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["id"]
    return made


@pytest.fixture
def lea(connect: Connect) -> httpx.Client:
    client = connect("lea")
    add_rows(client, "colours")
    return client


def test_a_waiting_job_tells_its_place_and_that_nobody_serves(lea: httpx.Client) -> None:
    jobs = [_submit(lea, f"waits{number}") for number in range(2)]
    first, second = (lea.get(f"/v1/jobs/{job}").json()["queue"] for job in jobs)
    assert second["position"] > first["position"] >= 1
    assert second["waiting"] == first["waiting"] >= 2
    assert (first["seconds"], MODEL in first["basis"]) == (None, True)
    [listed, _] = lea.get("/v1/jobs", params={"limit": 2}).json()["data"]
    assert listed["queue"] == second
    for job in jobs:
        assert lea.post(f"/v1/jobs/{job}/cancel").json()["queue"] is None


def test_an_admin_sees_and_stops_the_jobs_of_all(
    connect: Connect, lea: httpx.Client, bob: httpx.Client
) -> None:
    root = connect("root", role="admin")
    job = _submit(lea, "stopped")
    for which in ({"owner": "lea"}, {"everyone": True}):
        found = root.get("/v1/jobs", params=which).json()["data"]
        assert job in [one["id"] for one in found]
        refused(bob.get("/v1/jobs", params=which), 403)
    assert root.get("/v1/jobs").json()["data"] == []
    assert lea.get("/v1/jobs", params={"owner": "lea"}).status_code == 200
    assert root.get(f"/v1/jobs/{job}").json()["owner"] == "lea"
    ended = root.post(f"/v1/jobs/{job}/cancel").json()
    assert (ended["state"], ended["error"]) == ("cancelled", "cancelled by an admin of the service")
    events = root.get(f"/v1/jobs/{job}/events", headers={"Accept": "application/json"}).json()
    assert events["data"][-1]["data"]["error"] == ended["error"]
    assert lea.get(f"/v1/jobs/{job}").json()["error"] == ended["error"]


def test_the_owners_delete_wins_and_the_others_are_told_why(
    connect: Connect, lea: httpx.Client, bob: httpx.Client
) -> None:
    owner = connect("ned")
    add_rows(owner, "given", visibility="public")
    body = {"name": "borrowed", "model": MODEL, "dataset": "ned/given", "steps": 5}
    job = lea.post("/v1/jobs", json=body).json()["id"]
    assert owner.delete("/v1/datasets/given").status_code == 204
    ended = lea.get(f"/v1/jobs/{job}").json()
    assert ended["state"] == "cancelled"
    assert ended["error"] == "dataset ned/given, which it needs, was deleted by its owner"


def test_a_revoked_keys_jobs_end_with_it(connect: Connect, lea: httpx.Client) -> None:
    root = connect("root", role="admin")
    job = _submit(lea, "revoked")
    key = lea.get("/v1/me").json()["key"]
    assert root.delete(f"/v1/keys/{key}").status_code == 204
    ended = root.get(f"/v1/jobs/{job}").json()
    assert (ended["state"], "was revoked" in ended["error"]) == ("cancelled", True)
