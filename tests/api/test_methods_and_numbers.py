"""The description and what is done agree: methods, numbers, and requests that it calls right."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from http_clients import MODEL, Connect, refused

from ptsys.api.app import create_app
from ptsys.config import Settings

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def paths() -> Iterator[tuple[str, set[str]]]:
    described = create_app(Settings(data_dir=Path("/nowhere"))).openapi()["paths"]
    for path, methods in described.items():
        yield re.sub(r"{\w+}", "x", path), {method.upper() for method in methods}


def test_a_method_that_a_path_lacks_is_told_with_all_it_has(connect: Connect) -> None:
    admin = connect("root", role="admin")
    for path, known in paths():
        for method in set(METHODS) - known:
            response = admin.request(method, path)
            refused(response, 405)
            assert set(response.headers["Allow"].split(", ")) == known, (method, path)


NUMBERS: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/jobs", {"name": "n", "dataset": "d", "steps": True}, "steps"),
    ("/v1/jobs", {"name": "n", "dataset": "d", "steps": "5"}, "steps"),
    ("/v1/jobs", {"name": "n", "dataset": "d", "max_input_length": False}, "max_input_length"),
    ("/v1/jobs", {"name": "n", "dataset": "d", "optimizer": {"beta1": True}}, "optimizer.beta1"),
    ("/v1/jobs", {"kind": "augment", "name": "n", "dataset": "d", "budget": True}, "budget"),
    (
        "/v1/jobs",
        {"name": "n", "tasks": [{"name": "t", "dataset": "d", "rate": True}], "mixing": "rates"},
        "tasks.0.rate",
    ),
    ("/v1/predict", {"inputs": ["i"], "decoding": {"seed": True}}, "decoding.seed"),
    ("/v1/predict", {"inputs": ["i"], "decoding": {"top_p": True}}, "decoding.top_p"),
    ("/v1/predict", {"inputs": ["i"], "truncate": 1}, "truncate"),
    ("/v1/predict", {"inputs": ["i"], "truncate": "yes"}, "truncate"),
    ("/v1/predict", {"inputs": ["i"], "tensor": [[True]]}, "tensor.0.0"),
    ("/v1/predict", {"inputs": ["i"], "tensor": [["1"]]}, "tensor.0.0"),
    (
        "/v1/meta-prompts/generic/generate",
        {"description": "d", "truncate": 1},
        "truncate",
    ),
    ("/v1/select", {"rows": [{"input": "i"}], "count": True}, "count"),
    ("/v1/select", {"rows": [{"input": "i"}], "per_class": 1}, "per_class"),
    ("/v1/datasets/generate", {"name": "n", "prompt": "p", "min_score": False}, "min_score"),
    ("/v1/prompts/search", {"text": "t", "count": True}, "count"),
    ("/v1/prompts/search", {"text": "t", "count": "5"}, "count"),
    ("/v1/prompts/search", {"text": "t", "min_accuracy": True}, "min_accuracy"),
]


@pytest.mark.parametrize(("path", "body", "field"), NUMBERS, ids=range(len(NUMBERS)))
def test_a_number_is_a_number(
    ann: httpx.Client, path: str, body: dict[str, Any], field: str
) -> None:
    refused(ann.post(path, json=body), 422, field)


def test_numbers_in_a_query_are_words(ann: httpx.Client) -> None:
    found = ann.get("/v1/prompts/search", params={"text": "t", "count": "5", "min_accuracy": "0.5"})
    assert found.json()["query"]["count"] == 5


def test_whole_floats_are_integers(ann: httpx.Client) -> None:
    body = {"name": "n", "dataset": "none", "steps": 5.0, "model": MODEL}
    refused(ann.post("/v1/jobs", json=body), 404)


def test_the_description_says_what_goes_together() -> None:
    """A body that lacks what it is about, or has it twice, is wrong by its schema already."""
    schemas = create_app(Settings(data_dir=Path("/nowhere"))).openapi()["components"]["schemas"]
    right: dict[str, list[dict[str, Any]]] = {
        "SearchBody": [{"text": "t"}, {"prompt": "p", "text": "t"}, {"dataset": "d"}],
        "GenerateBody": [{"name": "n", "prompt": "p", "inputs": ["i"]}],
        "GradientsBody": [{"inputs": ["i"], "targets": ["t"], "prompt": "p"}],
        "PredictBody": [{"inputs": ["i"]}, {"inputs": ["i"], "tensor": [[1.0]], "prompt": None}],
    }
    wrong: dict[str, list[dict[str, Any]]] = {
        "SearchBody": [{}, {"text": " "}, {"prompt": "p", "dataset": "d"}, {"prompt": None}],
        "GenerateBody": [
            {"name": "n", "prompt": "p"},
            {"name": "n", "prompt": "p", "inputs": ["i"], "dataset": "d"},
        ],
        "GradientsBody": [
            {"inputs": ["i"], "targets": ["t"]},
            {"inputs": ["i"], "targets": [], "prompt": "p"},
            {"inputs": ["i"], "targets": ["t"], "prompt": "p", "tensor": [[1.0]]},
        ],
        "PredictBody": [
            {"inputs": ["i"], "tensor": [[1.0]], "prompt": "p"},
            {"inputs": ["i"], "prompts": ["p", "p"]},
            {"inputs": ["i"], "decoding": {"labels": ["a", "a"]}},
            {"inputs": ["i"], "decoding": {"labels": []}},
            {"inputs": ["i"], "decoding": {"labels": [" "]}},
        ],
    }
    for name in right:
        schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        check = jsonschema_rs.validator_for(schema)
        for body in right[name]:
            assert check.is_valid(body), (name, body)
        for body in wrong[name]:
            assert not check.is_valid(body), (name, body)


def test_no_parameter_is_null() -> None:
    described = create_app(Settings(data_dir=Path("/nowhere"))).openapi()["paths"]
    for methods in described.values():
        for told in methods.values():
            for parameter in told.get("parameters", ()):
                assert "null" not in str(parameter["schema"].get("anyOf", "")), parameter
