"""What is refused of predictions and gradients before any worker sees it."""

import gzip
import json
from typing import Any

import httpx
import numpy as np
import pytest
from http_clients import MODEL, SAFETENSORS, WIDTH, Connect, refused

from ptsys.prompts.safetensors_format import encode

FINE = np.ones((2, WIDTH), np.float32)
TENSOR = FINE.tolist()
GOOD = {"model": MODEL, "tensor": TENSOR, "inputs": ["red"], "targets": ["blue"]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"inputs": []}, "inputs"),
        ({"inputs": "red"}, "inputs"),
        ({"inputs": [1]}, "inputs.0"),
        ({"inputs": [None]}, "inputs.0"),
        ({"inputs": ["red\0"]}, "inputs.0"),
        ({"inputs": ["red"] * 513, "targets": ["blue"] * 513}, "inputs"),
        ({"inputs": ["river stone " * 10_000]}, "inputs.0"),
        ({"inputs": ["x" * 300_000], "truncate": True}, "inputs.0"),
        ({"targets": []}, "targets"),
        ({"targets": ["blue", "red"]}, "targets"),
        ({"targets": ["  "]}, "targets.0"),
        ({"targets": ["river " * 300]}, "targets"),
        ({"targets": ["river▁"]}, "targets"),
        ({"tensor": [[1.0]]}, "tensor"),
        ({"tensor": [1.0]}, "tensor.0"),
        ({"tensor": [TENSOR]}, "tensor.0.0"),
        ({"tensor": []}, "tensor"),
        ({"tensor": [[1.0, "x"]]}, "tensor.0.1"),
        ({"tensor": [[1.0] * WIDTH, [1.0]]}, "tensor"),
        ({"tensor": [[1e39] * WIDTH]}, "tensor"),
        ({"prompt": "both"}, "prompt"),
        ({"tensor": None, "prompt": "a\0b"}, "prompt"),
        ({"model": "none"}, "model"),
        ({"model": "../mini"}, "model"),
        ({"model": "a\0"}, "model"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_gradients(ann: httpx.Client, change: dict[str, Any], field: str) -> None:
    refused(ann.post("/v1/gradients", json={**GOOD, **change}), 422, field)


@pytest.mark.parametrize(
    ("decoding", "field"),
    [
        ({"method": "guess"}, "decoding.method"),
        ({"max_tokens": 0}, "decoding.max_tokens"),
        ({"temperature": 0}, "decoding.temperature"),
        ({"labels": []}, "decoding.labels"),
        ({"labels": [""]}, "decoding.labels.0"),
        ({"labels": ["a", "a"]}, "decoding.labels"),
        ({"labels": ["river " * 300]}, "decoding.labels"),
        ({"labels": ["red", "▁"]}, "decoding.labels"),
        ({"labels": [str(i) for i in range(257)]}, "decoding.labels"),
    ],
)
def test_wrong_decoding(ann: httpx.Client, decoding: dict[str, Any], field: str) -> None:
    body = {"model": MODEL, "inputs": ["red"], "decoding": decoding}
    refused(ann.post("/v1/predict", json=body), 422, field)


def test_gradients_need_a_prompt(ann: httpx.Client) -> None:
    refused(ann.post("/v1/gradients", json={**GOOD, "tensor": None}), 422, "prompt")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (encode(FINE), "request"),
        (encode(FINE, {"request": "{"}), "request"),
        (encode(FINE, {"request": "[]"}), "request"),
        (encode(FINE, {"request": json.dumps(GOOD)}), "tensor"),
        (encode(FINE[:, :3], {"request": json.dumps({**GOOD, "tensor": None})}), "prompt"),
        (encode(FINE * np.nan, {"request": json.dumps({**GOOD, "tensor": None})}), "prompt"),
        (b"\0" * 100, "prompt"),
        (b"", "prompt"),
    ],
)
def test_wrong_binary_bodies(ann: httpx.Client, body: bytes, field: str) -> None:
    headers = {"Content-Type": SAFETENSORS}
    refused(ann.post("/v1/gradients", content=body, headers=headers), 422, field)


def test_kinds_that_are_not_known(ann: httpx.Client) -> None:
    for path in ("/v1/gradients", "/v1/predict"):
        refused(ann.post(path, content=b"x", headers={"Content-Type": "text/plain"}), 415)
    refused(ann.post("/v1/gradients", json=GOOD, headers={"Accept": "text/html"}), 406)
    refused(ann.put("/v1/gradients", json=GOOD), 405)
    refused(ann.get("/v1/none"), 404)


def test_without_a_worker_it_says_so_at_once(connect: Connect) -> None:
    ann = connect("ann")
    response = ann.post("/v1/predict", json={"model": "tiny", "inputs": ["red"]})
    refused(response, 503)
    assert int(response.headers["Retry-After"]) >= 1


def test_bodies_have_a_bound(connect: Connect) -> None:
    ann = connect("ann", max_body_bytes=10_000)
    big = json.dumps({**GOOD, "inputs": ["x" * 20_000]}).encode()
    kinds = {"Content-Type": "application/json"}
    for path in ("/v1/gradients", "/v1/jobs", "/v1/predict", "/v1/prompts?name=x"):
        refused(ann.post(path, content=big, headers=kinds), 413)
        refused(ann.post(path, content=iter([big[:9000], big[9000:]]), headers=kinds), 413)
        bomb = gzip.compress(b" " * 10_000_000)
        assert len(bomb) < 10_000
        zipped = {**kinds, "Content-Encoding": "gzip"}
        response = ann.post(path, content=bomb, headers=zipped)
        refused(response, 413)
    response = ann.post("/v1/jobs", content=b"x", headers={**kinds, "Content-Length": "9" * 5000})
    assert response.status_code == 413
    for encoding, content, status in (
        ("gzip", b"no gzip", 422),
        ("gzip", gzip.compress(b"{}")[:-4], 422),
        ("br", b"{}", 415),
    ):
        headers = {**kinds, "Content-Encoding": encoding}
        refused(ann.post("/v1/jobs", content=content, headers=headers), status)


def test_the_request_id_is_given_back(ann: httpx.Client) -> None:
    assert ann.get("/v1/me", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    other = ann.get("/v1/me", headers={"X-Request-ID": "no id\twith blanks"})
    assert len(other.headers["x-request-id"]) == 16
