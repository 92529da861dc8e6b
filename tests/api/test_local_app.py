"""The application that makes routes when they are asked for is the whole one, path by path."""

import importlib
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from ptsys.api.app import ROUTERS, create_app
from ptsys.api.local_app import LocalApp, modules_of
from ptsys.client.in_process import InProcess
from ptsys.config import Settings
from ptsys.jobs.service import Service

ROUTES = [
    (name, route)
    for name in ROUTERS
    for route in importlib.import_module(f"ptsys.api.routes.{name}").router.routes
    if isinstance(route, APIRoute)
]


@pytest.mark.parametrize(("name", "route"), ROUTES, ids=lambda x: getattr(x, "path", ""))
def test_a_path_brings_every_route_that_could_be_its_own(name: str, route: APIRoute) -> None:
    """In the order of the whole application, where the first that matches answers."""
    path = route.path.replace("{", "").replace("}", "")
    modules = modules_of(path)
    could = [other for other, one in ROUTES if one.path_regex.match(path)]
    assert name in could
    assert set(could) <= set(modules)
    assert list(modules) == [one for one in ROUTERS if one in modules]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs"),
        ("GET", "/v1/jobs/none"),
        ("PUT", "/v1/jobs"),
        ("POST", "/v1/prompts/map"),
        ("GET", "/v1/jobs/"),
        ("GET", "/v1/nothing"),
        ("GET", "/v1"),
        ("GET", "/"),
        ("GET", "/v1/me"),
        ("GET", "/openapi.json"),
        ("POST", "/v1/predict"),
    ],
)
def test_it_answers_as_the_whole_one(tmp_path: Path, method: str, path: str) -> None:
    settings = Settings(data_dir=tmp_path)
    service = Service(settings)
    whole = create_app(settings, service, owner="ann")
    parts = LocalApp(settings, service, owner="ann")
    answers = []
    for transport in (
        InProcess(whole, closing=whole.state.context.aclose),
        InProcess(parts, closing=parts.context.aclose),
    ):
        with httpx.Client(transport=transport, base_url="http://local") as client:
            answer = client.request(method, path, headers={"X-Request-ID": "one"})
            answers.append((answer.status_code, answer.headers.get("Allow"), answer.text))
    service.close()
    assert answers[0] == answers[1]
