"""Quotas of what is stored are shown where they are met, and in `/v1/usage`."""

import json

import httpx
import numpy as np
from http_clients import MODEL, Connect, add_rows, refused, upload

from ptsys.client.problems import error_of
from ptsys.errors import InvalidInput, StorageUsedUp


def test_a_full_share_is_told_with_its_size(connect: Connect, prompt: np.ndarray) -> None:
    tom = connect("tom", max_user_objects=2)
    add_rows(tom, "one")
    job = {"name": "coming", "model": MODEL, "dataset": "one", "steps": 5}
    made = tom.post("/v1/jobs", json=job)
    assert made.status_code == 201, made.text
    used = tom.get("/v1/usage").json()
    assert used["stored_objects"] == {"used": 2, "most": 2}
    assert used["jobs"]["used"] == 1
    full = add_rows(tom, "two")
    problem = refused(full, 507)
    assert problem["type"] == "urn:ptsys:problem:storage-used-up"
    assert "may store 2" in problem["detail"]
    assert "Retry-After" not in full.headers
    assert isinstance(error_of(full), StorageUsedUp)
    refused(upload(tom, "two", prompt), 507)
    refused(tom.post("/v1/jobs", json={**job, "name": "two"}), 507)
    tom.post(f"/v1/jobs/{made.json()['id']}/cancel")
    assert add_rows(tom, "two").status_code == 201


def test_what_will_never_fit_is_too_large(connect: Connect, prompt: np.ndarray) -> None:
    una = connect("una", max_user_bytes=600)
    large = add_rows(una, "large", b'{"input": "a", "target": "b"}\n' * 40)
    problem = refused(large, 413)
    assert "600" in problem["detail"]
    assert isinstance(error_of(large), InvalidInput)
    refused(upload(una, "large", prompt), 413)
    assert add_rows(una, "small").status_code == 201
    stored = una.get("/v1/usage").json()["stored_bytes"]
    assert (0 < stored["used"] < 600, stored["most"]) == (True, 600)
    assert una.get("/v1/datasets/small").json()["bytes"] == stored["used"]
    assert una.get("/v1/me").json()["limits"]["stored_bytes"] == 600


def test_admins_see_what_others_store(connect: Connect, bob: httpx.Client) -> None:
    vic = connect("vic")
    add_rows(vic, "mine")
    root = connect("root", role="admin")
    assert root.get("/v1/usage", params={"user": "vic"}).json() == vic.get("/v1/usage").json()
    refused(bob.get("/v1/usage", params={"user": "vic"}), 403)
    assert json.loads(vic.get("/v1/usage").text)["user"] == "vic"
