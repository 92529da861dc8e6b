"""`/v1/models` over HTTP: what is listed, and deleting by admins."""

import shutil
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from http_clients import MODEL, WIDTH, Connect, add_rows, refused, upload
from worker_deployment import Deployment

from ptsys.jobs.presence import Presence, announce, withdraw
from ptsys.models.registry import Registry
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import create
from ptsys.store.clock import utc_now

SPARE = "spare"
PROMPT = np.ones((2, WIDTH), np.float32)


@pytest.fixture
def spare(deployment: Deployment) -> Iterator[str]:
    """A model without a vocabulary."""
    config = T5Config(
        vocab_size=64,
        d_model=WIDTH,
        num_heads=2,
        head_dim=8,
        d_ff=16,
        encoder_layers=1,
        decoder_layers=1,
    )
    deployment.service.models.replace(
        Registry(deployment.root).add(create(config, seed=1), SPARE, source="a test")
    )
    yield SPARE
    shutil.rmtree(deployment.root / "models" / SPARE, ignore_errors=True)


@pytest.fixture
def admin(connect: Connect) -> httpx.Client:
    return connect("ada", role="admin")


def names(client: httpx.Client) -> dict[str, dict]:
    return {model["name"]: model for model in client.get("/v1/models").json()["data"]}


def test_a_model_without_vocabulary_is_listed_and_keeps_prompts(
    ann: httpx.Client, spare: str
) -> None:
    assert names(ann)[spare]["vocabulary"] is False
    assert names(ann)[MODEL]["vocabulary"] is True
    kept = upload(ann, "for-spare", PROMPT, model=spare)
    assert kept.status_code == 201, kept.text
    data = add_rows(ann, "spare-rows").json()["id"]
    job = ann.post("/v1/jobs", json={"name": "n", "dataset": data, "model": spare})
    assert "without its vocabulary" in refused(job, 422, "model")["detail"]
    asked = ann.post("/v1/predict", json={"inputs": ["a"], "model": spare})
    assert "without its vocabulary" in refused(asked, 422, "model")["detail"]
    assert ann.delete(f"/v1/prompts/{kept.json()['id']}").status_code == 204


def test_a_damaged_model_hides_no_other(
    ann: httpx.Client, deployment: Deployment, spare: str
) -> None:
    (deployment.root / "models" / spare / "config.json").write_text("{}")
    assert set(names(ann)) >= {MODEL, "tiny"}
    assert spare not in names(ann)
    told = refused(ann.get(f"/v1/models/{spare}"), 422, "model")["detail"]
    assert "damaged" in told
    assert str(deployment.root) not in told


def test_an_admin_deletes_a_model(
    ann: httpx.Client, admin: httpx.Client, deployment: Deployment, spare: str
) -> None:
    refused(ann.delete(f"/v1/models/{spare}"), 403)
    assert admin.delete(f"/v1/models/{spare}").status_code == 204
    assert spare not in names(ann)
    assert not (deployment.root / "models" / spare).exists()
    refused(admin.delete(f"/v1/models/{spare}"), 404)
    refused(admin.delete("/v1/models/tiny"), 409)


def test_prompts_hold_their_model_unless_they_are_to_be_kept(
    ann: httpx.Client, admin: httpx.Client, spare: str
) -> None:
    kept = upload(ann, "for-spare", PROMPT, model=spare).json()["id"]
    told = refused(admin.delete(f"/v1/models/{spare}"), 409)["detail"]
    assert "1 prompt belongs" in told
    assert "for-spare" not in told  # an admin of models is no reader of prompts
    gone = admin.delete(f"/v1/models/{spare}", params={"keep_prompts": True})
    assert gone.status_code == 204
    assert ann.get(f"/v1/prompts/{kept}").json()["model"] == spare
    assert ann.delete(f"/v1/prompts/{kept}").status_code == 204


def test_a_served_model_is_refused(admin: httpx.Client, deployment: Deployment, spare: str) -> None:
    of = {"host": "here", "pid": 4242, "since": utc_now()}
    announce(deployment.redis.address, Presence(worker="w-spare", model=spare, **of))
    try:
        told = refused(admin.delete(f"/v1/models/{spare}"), 409)["detail"]
        assert "a worker serves model 'spare'" in told
    finally:
        withdraw(deployment.redis.address, "w-spare")
