"""Rankings, maps and difficulty over HTTP: their forms, and what they tell to whom."""

from typing import Any

import httpx
import numpy as np
import pytest
from http_clients import MODEL, WIDTH, Connect, refused, upload
from worker_deployment import Deployment

from ptsys.library.starts import write_start

START = np.random.default_rng(5).normal(size=(64, WIDTH)).astype(np.float32)
MAP, RANKING = "/v1/prompts/map", "/v1/prompts/ranking"


@pytest.fixture(autouse=True)
def start(deployment: Deployment) -> None:
    fingerprint = deployment.service.models.get(MODEL).fingerprint
    write_start(deployment.root, fingerprint, START)


def put(client: httpx.Client, name: str, axis: int = 0, **params: Any) -> dict[str, Any]:
    array = START[-4:] + np.eye(WIDTH, dtype=np.float32)[axis] + 0.1
    made = upload(client, name, array, **params)
    assert made.status_code == 201, made.text
    record: dict[str, Any] = made.json()
    return record


def test_a_ranking_tells_what_the_caller_may_see(deployment: Deployment, connect: Connect) -> None:
    ann, eve = connect("rank-ann"), connect("rank-eve")
    used, secret = put(ann, "used", visibility="public"), put(ann, "secret")
    deployment.service.prompts.count_uses({used["id"]: 10**6, secret["id"]: 10**7})
    told = eve.get(RANKING).json()
    assert told["by"] == "prompt"
    assert told["ranking"][0]["prompt"]["id"] == used["id"]
    assert told["ranking"][0]["uses"] == 10**6
    assert secret["id"] not in eve.get(RANKING, params={"count": 1000}).text
    mine = ann.get(RANKING, params={"count": 1, "model": MODEL}).json()["ranking"]
    assert [one["prompt"]["id"] for one in mine] == [secret["id"]]
    told = eve.get(RANKING, params={"by": "submitter"}).json()
    first = told["ranking"][0]
    assert (told["by"], first["submitter"], first["prompts"]) == ("submitter", "rank-ann", 1)
    assert first["uses"] == 10**6
    assert eve.get(RANKING, params={"model": "none"}).json()["ranking"] == []


def test_a_map_comes_in_three_forms(connect: Connect) -> None:
    ann, eve = connect("map-ann"), connect("map-eve")
    put(ann, "shown-here", visibility="public", tags=["<b>tag"])
    put(ann, "secret-here")
    params = {"model": MODEL, "color_by": "tag"}
    told = eve.get(MAP, params=params).json()
    names = [one["name"] for one in told["points"]]
    assert "shown-here" in names
    assert "secret-here" not in names
    assert "secret-here" in [one["name"] for one in ann.get(MAP, params=params).json()["points"]]
    picture = eve.get(MAP, params=params, headers={"Accept": "image/*"})
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")
    web = eve.get(MAP, params=params, headers={"Accept": "text/html,*/*;q=0.8"})
    assert web.headers["content-type"].startswith("text/html")
    assert "shown-here" in web.text
    assert "secret-here" not in web.text
    assert "<b>tag" not in web.text


def test_difficulty_is_told_of_what_the_caller_may_see(connect: Connect) -> None:
    ann, eve = connect("hard-ann"), connect("hard-eve")
    made = put(ann, "hard")
    told = ann.get("/v1/prompts/hard/difficulty").json()
    assert (told["prompt"], told["own"], told["rows"]) == (made["id"], None, None)
    refused(eve.get(f"/v1/prompts/{made['id']}/difficulty"), 404)


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        (RANKING, {"by": "model"}, "by"),
        (RANKING, {"count": 0}, "count"),
        (RANKING, {"count": 1001}, "count"),
        (RANKING, {"model": "\0"}, "model"),
        (MAP, {"model": "none"}, "model"),
        (MAP, {"model": "\0"}, "model"),
        (MAP, {"kind": "x"}, "kind"),
        (MAP, {"color_by": "x"}, "color_by"),
    ],
)
def test_wrong_questions_name_the_field(
    ann: httpx.Client, path: str, params: dict[str, Any], field: str
) -> None:
    refused(ann.get(path, params=params), 422, field)


def test_another_form_is_refused(ann: httpx.Client) -> None:
    refused(ann.get(MAP, params={"model": MODEL}, headers={"Accept": "image/gif"}), 406)
