import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ptsys import errors
from ptsys.client import Client
from ptsys.errors import InvalidInput, PtsysError, Unavailable

Make = Callable[..., Client]


def problem(status: int, **fields: Any) -> httpx.Response:
    return httpx.Response(
        status,
        headers={"Content-Type": "application/problem+json", "X-Request-ID": "r-7"},
        content=json.dumps({"status": status, **fields}),
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.Unauthenticated),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.InvalidInput),
        (415, errors.InvalidInput),
        (422, errors.InvalidInput),
        (429, errors.QuotaExceeded),
        (500, errors.PtsysError),
        (503, errors.Unavailable),
    ],
)
def test_a_problem_is_the_error_the_library_itself_raises(
    talking_to: Make, status: int, kind: type[PtsysError]
) -> None:
    client = talking_to(lambda _: problem(status, detail="what and why"), attempts=1)
    with pytest.raises(PtsysError, match="what and why") as caught:
        client.models.get("tiny")
    assert type(caught.value) is kind
    assert caught.value.__notes__ == ["request r-7"]


def test_the_wrong_field_is_named(talking_to: Make) -> None:
    client = talking_to(lambda _: problem(422, detail="too long", field="inputs.3"))
    with pytest.raises(InvalidInput) as caught:
        client.models.get("tiny")
    assert caught.value.field == "inputs.3"


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(500, text="<html>proxy broke</html>"),
        httpx.Response(500, headers={"Content-Type": "application/json"}, content=b"{"),
        httpx.Response(500, json=[1]),
        httpx.Response(500, json={"detail": {"odd": 1}, "field": 3}),
    ],
)
def test_answers_that_are_no_problem_details_still_tell_the_status(
    talking_to: Make, response: httpx.Response
) -> None:
    with pytest.raises(PtsysError, match="500"):
        talking_to(lambda _: response).models.get("tiny")


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<html>another service</html>"),
        httpx.Response(200, json=["model"]),
        httpx.Response(200, json={"name": "tiny", "d_model": "wide"}),
    ],
)
def test_a_success_that_is_not_ours_is_told_apart(
    talking_to: Make, response: httpx.Response
) -> None:
    with pytest.raises(Unavailable):
        talking_to(lambda _: response).models.get("tiny")


def test_a_redirect_is_not_followed_with_the_key(talking_to: Make) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(302, headers={"Location": "http://elsewhere.test/"})

    with pytest.raises(InvalidInput) as caught:
        talking_to(handle).models.get("tiny")
    assert caught.value.field == "url"
    assert len(seen) == 1


def test_fields_of_a_newer_service_are_left_out(talking_to: Make) -> None:
    model = {"name": "tiny", "fingerprint": "f", "d_model": 8, "colour": "blue"}
    client = talking_to(lambda _: httpx.Response(200, json=model))
    assert client.models.get("tiny").name == "tiny"


@pytest.mark.parametrize("name", ["", ".", "..", "a/../b"])
def test_names_cannot_lead_elsewhere(talking_to: Make, name: str) -> None:
    client = talking_to(lambda request: pytest.fail(f"asked for {request.url}"))
    for call in (client.prompts.get, client.datasets.delete, client.jobs.get, client.models.get):
        with pytest.raises(InvalidInput):
            call(name)


def test_odd_names_are_quoted(talking_to: Make) -> None:
    seen: list[bytes] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(404)

    with pytest.raises(errors.NotFound):
        talking_to(handle).prompts.get("a?b#c d")
    assert seen == [b"/v1/prompts/a%3Fb%23c%20d"]
