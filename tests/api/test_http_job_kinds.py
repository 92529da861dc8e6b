"""Jobs whose prompt cannot be are refused when they are submitted: a worker would refuse them too,
but only when their turn has come."""

import json
from typing import Any

import httpx
import numpy as np
import pytest
import tiny_model
from http_clients import MODEL, SAFETENSORS, WIDTH, Connect, add_rows, refused
from sqlalchemy import update
from worker_deployment import Deployment

from ptsys.kinds.registry import prompt_kind
from ptsys.prompts.safetensors_format import encode_tree
from ptsys.store.tables import PromptRow

TRAIN: dict[str, Any] = {"name": "j", "model": MODEL, "dataset": "eight"}
TASKS = [{"name": "a", "dataset": "eight"}]
TOGETHER = {"kind": "multitask", "name": "j", "model": MODEL, "tasks": TASKS}
AUGMENT = TRAIN | {"kind": "augment"}
ROWS = b"".join(
    json.dumps({"input": f"red river {n}", "target": "red"}).encode() + b"\n" for n in range(8)
)


@pytest.fixture
def ivy(connect: Connect, deployment: Deployment) -> httpx.Client:
    """A user with rows and prompts of several kinds: `outdated` is of weights that the model had
    before."""
    client = connect("ivy")
    if client.get("/v1/prompts/outdated").status_code == 200:
        return client
    add_rows(client, "eight", ROWS)
    soft = np.ones((4, WIDTH), np.float32)
    trees = {
        "soft": {"prompt": soft},
        "both": {"prompt": soft, "decoder_prompt": soft},
        "layers": prompt_kind("deep").start(soft, tiny_model.CONFIG),
        "outdated": {"prompt": soft},
    }
    for name, tree in trees.items():
        client.post(
            "/v1/prompts",
            params={"name": name, "model": MODEL},
            content=encode_tree(tree),
            headers={"Content-Type": SAFETENSORS},
        ).raise_for_status()
    with deployment.service.database.session() as session:
        changed = update(PromptRow).where(PromptRow.name == "outdated", PromptRow.owner == "ivy")
        session.execute(changed.values(model_fingerprint="0" * 16))
    return client


def starting(kind: str, **told: Any) -> dict[str, Any]:
    return {"initialization": {"kind": kind, **told}}


def from_prompt(name: str) -> dict[str, Any]:
    return starting("prompt", prompt=name)


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (TRAIN | {"prompt_kind": "sparse"}, "prompt_kind", "choose tokens"),
        (TRAIN | {"prompt_kind": "deep", "length": 257}, "length", "256"),
        (TRAIN | {"prompt_kind": "deep"} | starting("labels"), "initialization.kind", "`shared`"),
        (
            TRAIN | {"prompt_kind": "deep"} | from_prompt("soft"),
            *("initialization.prompt", "not of the kind 'deep'"),
        ),
        (
            TRAIN | {"prompt_kind": "decoder"} | from_prompt("both"),
            *("initialization.prompt", "not of the kind 'decoder'"),
        ),
        (TRAIN | from_prompt("layers"), "initialization.prompt", "no tokens before the input"),
        (TOGETHER | from_prompt("layers"), "initialization.prompt", "no tokens before the input"),
        (TRAIN | from_prompt("outdated"), "initialization.prompt", "name another prompt"),
        (AUGMENT | {"query": "outdated", "length": 4}, "query", "name another prompt"),
        (AUGMENT | {"query": "layers", "length": 4}, "query", "an augmentation makes 'tokens'"),
        (AUGMENT | {"prompt_kind": "deep"}, "prompt_kind", "the kind 'tokens' alone; leave it out"),
        (
            TOGETHER | {"prompt_kind": "deep"},
            "prompt_kind",
            "the kind 'tokens' alone; leave it out",
        ),
        (TRAIN | starting("text", text=" "), "initialization.text", "some words"),
        (TOGETHER | starting("text", text=" "), "initialization.text", "some words"),
        (TRAIN | starting("labels", labels=["red", " "]), "initialization.labels", "has no tokens"),
        (TRAIN | starting("labels", labels=[]), "initialization.labels", "no labels"),
    ],
)
def test_a_prompt_that_cannot_be_is_refused(
    ivy: httpx.Client, body: dict[str, Any], field: str, words: str
) -> None:
    answer = ivy.post("/v1/jobs", json=body)
    refused(answer, 422, field)
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        TRAIN | {"prompt_kind": "deep", "length": 256},
        TRAIN | {"prompt_kind": "deep"} | from_prompt("layers"),
        TRAIN | {"prompt_kind": "decoder"} | starting("labels"),
        TRAIN | {"prompt_kind": "encoder_decoder"} | from_prompt("soft"),
        TRAIN | from_prompt("both"),
        TOGETHER | from_prompt("soft"),
        AUGMENT | {"query": "soft", "length": 4},
    ],
)
def test_one_that_can_be_is_not(ivy: httpx.Client, body: dict[str, Any]) -> None:
    made = ivy.post("/v1/jobs", json=body)
    assert made.status_code == 201, made.text
    ivy.post(f"/v1/jobs/{made.json()['id']}/cancel")
