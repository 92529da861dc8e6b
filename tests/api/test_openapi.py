"""The description is whole, and the application does what it says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from http_clients import MODEL, SAFETENSORS
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from worker_deployment import Deployment

from ptsys.api.app import create_app
from ptsys.api.context import Context
from ptsys.config import Settings

EXAMPLES = 6


APP = create_app(Settings(data_dir=Path("/nowhere")))
"""Opens nothing by itself; `secret` below gives it a deployment."""


@schemathesis.serializer(
    "application/x-ndjson", SAFETENSORS, "application/x-npy", "application/x-peft+zip"
)
def as_it_is(_context: Any, value: Any) -> bytes:
    """Bodies that are no JSON: any bytes."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


schema = schemathesis.openapi.from_asgi("/openapi.json", APP)


@pytest.fixture(scope="module")
def secret(deployment: Deployment) -> Iterator[str]:
    changed = deployment.settings.model_copy(update={"model": MODEL, "max_user_jobs": 4})
    APP.state.context = context = Context(changed)
    yield deployment.service.keys.create("fuzz", role="admin")[1]
    context.close()


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_breaks_it(case: Case, secret: str) -> None:
    """No worker runs, so a question that is right ends in the documented 503."""
    response = case.call(headers={"Authorization": f"Bearer {secret}"})
    checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
    if response.status_code != 503:
        checks.append(not_a_server_error)
    case.validate_response(response, checks=checks)


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return create_app(Settings(data_dir=tmp_path_factory.mktemp("none"))).openapi()


def operations(description: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_operation_tells_its_errors(description: dict[str, Any]) -> None:
    for name, operation in operations(description):
        assert operation["description"], name
        if "/v1/" not in name:
            continue
        for status in ("401", "422", "503"):
            content = operation["responses"][status]["content"]
            assert set(content) == {"application/problem+json"}, name
            assert content["application/problem+json"]["example"]["status"] == int(status)
        assert operation["security"], name


def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    known = description["components"]["schemas"]

    def check(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                assert node["$ref"].removeprefix("#/components/schemas/") in known
            for value in node.values():
                check(value)
        elif isinstance(node, list):
            for value in node:
                check(value)

    check(description)


def test_tensors_have_both_forms(description: dict[str, Any]) -> None:
    for path in ("/v1/gradients", "/v1/predict"):
        content = description["paths"][path]["post"]["requestBody"]["content"]
        assert set(content) == {"application/json", SAFETENSORS}


def test_opening_it_needs_no_service(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path / "none"))
    assert app.openapi()["info"]["title"] == "ptsys"
    assert not (tmp_path / "none").exists()
