import time

import httpx
import pytest
from http_clients import Connect, refused
from worker_deployment import Deployment

from ptsys.api.recent_keys import RECENT_SECONDS


def test_a_key_says_who_asks(ann: httpx.Client) -> None:
    me = ann.get("/v1/me").json()
    assert (me["user"], me["role"]) == ("ann", "user")
    assert me["limits"]["rows_per_request"] == 512


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic YW5u", "Bearer ptsys_", f"Bearer ptsys_{'a' * 43}", "x"],
)
def test_no_valid_key_no_answer(ann: httpx.Client, header: str | None) -> None:
    del ann.headers["Authorization"]
    headers = {} if header is None else {"Authorization": header}
    for path in ("/v1/me", "/v1/models", "/v1/prompts", "/v1/jobs", "/v1/datasets"):
        response = ann.get(path, headers=headers)
        refused(response, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"


def test_keeping_needs_no_key(ann: httpx.Client) -> None:
    del ann.headers["Authorization"]
    for path in ("/healthz", "/readyz?serving=false", "/metrics", "/openapi.json"):
        assert ann.get(path).status_code == 200


def test_a_key_revoked_elsewhere_opens_nothing_a_second_later(
    connect: Connect, deployment: Deployment
) -> None:
    client = connect("eve")
    assert client.get("/v1/me").status_code == 200
    deployment.service.keys.revoke(client.get("/v1/me").json()["key"])
    time.sleep(RECENT_SECONDS)
    refused(client.get("/v1/me"), 401)


def test_a_key_revoked_here_opens_nothing_at_once(connect: Connect) -> None:
    admin = connect("root", role="admin")
    made = admin.post("/v1/keys", json={"user": "eve"}).json()
    secret = {"Authorization": f"Bearer {made['secret']}"}
    assert admin.get("/v1/me", headers=secret).json()["user"] == "eve"
    assert admin.delete(f"/v1/keys/{made['id']}").status_code == 204
    refused(admin.get("/v1/me", headers=secret), 401)


def test_an_admin_makes_and_revokes_keys(connect: Connect) -> None:
    admin = connect("root", role="admin")
    made = admin.post("/v1/keys", json={"user": "dan", "note": "laptop"})
    assert made.status_code == 201
    secret = made.json()["secret"]
    dan = {"Authorization": f"Bearer {secret}"}
    assert admin.get("/v1/me", headers=dan).json()["user"] == "dan"
    listed = admin.get("/v1/keys", params={"limit": 1}).json()
    assert listed["data"][0]["id"] == made.json()["id"]
    assert secret not in str(listed)
    assert listed["next"] is not None
    assert admin.delete(f"/v1/keys/{made.json()['id']}").status_code == 204
    refused(admin.get("/v1/me", headers=dan), 401)
    refused(admin.delete("/v1/keys/key-none"), 404)


def test_users_are_no_admins(ann: httpx.Client) -> None:
    refused(ann.get("/v1/keys"), 403)
    refused(ann.post("/v1/keys", json={"user": "ann", "role": "admin"}), 403)
    refused(ann.delete("/v1/keys/key-none"), 403)


@pytest.mark.parametrize("user", ["", "a/b", "../x", "ann\n", "a b", "x" * 101, "'; DROP TABLE x"])
def test_names_of_users_are_checked(connect: Connect, user: str) -> None:
    admin = connect("root", role="admin")
    refused(admin.post("/v1/keys", json={"user": user}), 422, "user")
