"""Texts that no database keeps and UTF-8 cannot tell: refused wherever a request may hold them."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from http_clients import JSONL, MODEL, Connect, refused

from ptsys.api.app import create_app
from ptsys.api.problems import problem
from ptsys.config import Settings

OPTIMIZER = {"kind": "adamw"}
START = {"kind": "labels", "labels": ["a"], "text": "a", "prompt": "p"}
JOB = {"name": "n", "model": MODEL, "tags": ["t"], "initialization": START, "optimizer": OPTIMIZER}
DECODING = {"method": "greedy", "labels": ["red"]}
BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/jobs", {**JOB, "kind": "train", "dataset": "d", "validation": "v"}),
    ("POST", "/v1/jobs", {**JOB, "kind": "multitask", "tasks": [{"name": "t", "dataset": "d"}]}),
    ("POST", "/v1/jobs", {"kind": "augment", "name": "n", "dataset": "d", "query": "q"}),
    ("POST", "/v1/keys", {"user": "u", "role": "user", "note": "n"}),
    ("PATCH", "/v1/datasets/d", {"visibility": "shared", "shared_with": ["u"]}),
    ("PATCH", "/v1/prompts/p", {"name": "n", "tags": ["t"], "description": "d", "licence": "l"}),
    ("PATCH", "/v1/prompts/p", {"contact": "c", "shared_with": ["u"], "visibility": "shared"}),
    ("POST", "/v1/predict", {"model": MODEL, "prompt": "p", "general": "g", "inputs": ["i"]}),
    (
        "POST",
        "/v1/predict",
        {"model": MODEL, "prompts": ["p"], "inputs": ["i"], "ensemble": "vote"},
    ),
    ("POST", "/v1/predict", {"model": MODEL, "inputs": ["i"], "decoding": DECODING}),
    ("POST", "/v1/predict", {"inputs": ["i"], "examples": [{"input": "i", "target": "t"}]}),
    (
        "POST",
        "/v1/meta-prompts/generic/generate",
        {"model": MODEL, "description": "d", "examples": [{"input": "i", "target": "t"}]},
    ),
    ("POST", "/v1/gradients", {"model": MODEL, "prompt": "p", "inputs": ["i"], "targets": ["t"]}),
    ("POST", "/v1/datasets/generate", {"name": "n", "prompt": "p", "inputs": ["i"]}),
    ("POST", "/v1/datasets/generate", {"name": "n", "prompt": "p", "dataset": "d", "general": "g"}),
    ("POST", "/v1/select", {"rows": [{"input": "i", "target": "t"}], "method": "kmeans"}),
    ("POST", "/v1/select", {"dataset": "d", "prompt": "p", "general": "g", "labels": ["l"]}),
    ("POST", "/v1/prompts/search", {"text": "t", "model": "m", "owner": "o", "tags": ["t"]}),
    ("POST", "/v1/prompts/search", {"examples": [{"input": "i", "target": "t"}], "licence": "l"}),
    ("POST", "/v1/prompts/search", {"dataset": "d", "prompt": "p", "created_after": "2026-01-01"}),
    ("POST", "/v1/prompts?name=x", {"tensor": [[1.0]]}),
]
WRONG = ["\ud800", "a\udfffb", "a\0b", "\udc00" * 5000]


def changed(body: Any, wrong: str) -> Iterator[Any]:
    """The body with each of its texts replaced, and with each of its objects having a key more."""
    if isinstance(body, str):
        yield wrong
    elif isinstance(body, list):
        for place, item in enumerate(body):
            for one in changed(item, wrong):
                yield [*body[:place], one, *body[place + 1 :]]
    elif isinstance(body, dict):
        yield {**body, wrong: 1}
        for key, item in body.items():
            for one in changed(item, wrong):
                yield {**copy.deepcopy(body), key: one}


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_wrong_texts_are_told_wherever_they_stand(connect: Connect, wrong: str) -> None:
    admin = connect("root", role="admin")
    for method, path, body in BODIES:
        for sent in changed(body, wrong):
            content = json.dumps(sent).encode()
            headers = {"Content-Type": "application/json"}
            response = admin.request(method, path, content=content, headers=headers)
            assert response.status_code in (404, 422), (path, sent, response.text[:300])
            assert len(response.content) < 20_000


def test_wrong_rows_are_told(ann: httpx.Client) -> None:
    for row in changed({"input": "i", "target": "t"}, "\ud800"):
        content = json.dumps(row).encode()
        response = ann.post("/v1/datasets?name=x", content=content, headers={"Content-Type": JSONL})
        refused(response, 422)


def test_a_problem_can_tell_anything() -> None:
    response = problem("id", 422, "a\ud800" * 5000, field="\udc00" * 500)
    told = json.loads(response.body)
    assert told["detail"].startswith("a\\ud800a")
    assert told["field"].startswith("\\udc00")
    assert len(response.body) < 50_000


def test_no_request_holds_a_bare_string() -> None:
    """Each text of a request is of the one type, a name, or one of some words."""
    described = create_app(Settings(data_dir=Path("/nowhere"))).openapi()
    schemas = described["components"]["schemas"]
    bare: list[str] = []

    def look(node: Any, where: str, seen: frozenset[str]) -> None:
        if isinstance(node, list):
            for item in node:
                look(item, where, seen)
        if not isinstance(node, dict):
            return
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            if name not in seen:
                look(schemas[name], name, seen | {name})
            return
        if node.get("type") == "string" and not {"pattern", "enum", "const", "format"} & set(node):
            bare.append(where)
        for key, value in node.items():
            if key == "properties":
                for name, field in value.items():
                    look(field, f"{where}.{name}", seen)
            elif key not in ("example", "examples", "default"):
                look(value, where, seen)

    for path, methods in described["paths"].items():
        for method, told in methods.items():
            for parameter in told.get("parameters", ()):
                look(parameter["schema"], f"{method} {path} {parameter['name']}", frozenset())
            for kind, content in told.get("requestBody", {}).get("content", {}).items():
                if kind == "application/json":
                    look(content["schema"], f"{method} {path}", frozenset())
    assert not bare
