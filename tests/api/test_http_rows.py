"""Rows that a model cannot write or read whole, at the doors of jobs, searches and generation."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from http_clients import MODEL, WIDTH, add_rows, refused, upload

LONG = "river stone " * 100
UNWRITABLE = [{"input": "a", "target": "b"}, {"input": "a", "target": "b▁"}]
TOO_LONG = [{"input": "a", "target": "b"}, {"input": LONG, "target": "b"}]


@pytest.fixture(autouse=True)
def datasets(ann: httpx.Client) -> None:
    for name, rows in {"fine": TOO_LONG[:1], "strange": UNWRITABLE, "long": TOO_LONG}.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        answer = add_rows(ann, name, text.encode())
        assert answer.status_code in (201, 409), answer.text


JOBS: dict[str, Callable[[str], tuple[dict[str, Any], str]]] = {
    "train": lambda rows: ({"dataset": rows}, "dataset"),
    "validation": lambda rows: ({"dataset": "fine", "validation": rows}, "validation"),
    "multitask": lambda rows: ({"tasks": [{"name": "a", "dataset": rows}]}, "tasks.0.dataset"),
    "augment": lambda rows: (
        {"kind": "augment", "strategy": "curriculum", "dataset": rows},
        "dataset",
    ),
}


@pytest.mark.parametrize("kind", JOBS)
def test_jobs(ann: httpx.Client, kind: str) -> None:
    for rows, told in (("strange", "row 2: 'target' holds '▁'"), ("long", "row 2: 'input' has")):
        spec, field = JOBS[kind](rows)
        body = {"name": f"cut-{kind}", "model": MODEL, **spec}
        refused(ann.post("/v1/jobs", json=body), 422, field)
        assert told in ann.post("/v1/jobs", json=body).text
    made = ann.post("/v1/jobs", json={**body, "truncate": True})
    assert made.status_code == 201, made.text
    assert ann.post(f"/v1/jobs/{made.json()['id']}/cancel").status_code == 200


def test_searches(ann: httpx.Client) -> None:
    body = {"model": MODEL, "examples": UNWRITABLE}
    refused(ann.post("/v1/prompts/search", json=body), 422, "examples")
    body = {"model": MODEL, "examples": TOO_LONG}
    refused(ann.post("/v1/prompts/search", json=body), 422, "examples")
    refused(
        ann.post("/v1/prompts/search", json={"model": MODEL, "dataset": "long"}), 422, "dataset"
    )
    answer = ann.post("/v1/prompts/search", json={**body, "truncate": True})
    assert answer.status_code == 202, answer.text  # its job waits for a worker
    assert ann.post(f"/v1/jobs/{answer.json()['id']}/cancel").status_code == 200


def test_generation(ann: httpx.Client) -> None:
    assert upload(ann, "answering", np.ones((2, WIDTH), np.float32)).status_code == 201
    body = {"name": "made", "prompt": "answering"}
    path = "/v1/datasets/generate"
    refused(ann.post(path, json={**body, "inputs": ["a", LONG]}), 422, "inputs.1")
    refused(ann.post(path, json={**body, "dataset": "long"}), 422, "dataset")
    refused(ann.post(path, json={**body, "inputs": ["a", LONG], "truncate": True}), 503)
