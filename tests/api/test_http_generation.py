"""Datasets made of a prompt's answers, over HTTP and by the client."""

from typing import Any

import httpx
import numpy as np
import pytest
from http_clients import MODEL, Connect, add_rows, refused, upload
from worker_deployment import Deployment

PATH = "/v1/datasets/generate"
INPUTS = ["red river stone", "cold table", "green door"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"inputs": ["a"], "dataset": "b"}, "inputs"),
        ({}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": ["a"] * 9}, "inputs"),
        ({"inputs": ["a", "a\0"]}, "inputs.1"),
        ({"inputs": ["a"], "min_score": 0.1}, "min_score"),
        ({"inputs": ["a"], "name": "a/b"}, "name"),
        ({"inputs": ["a"], "decoding": {"max_tokens": 0}}, "decoding.max_tokens"),
        ({"inputs": ["a"], "generated_by": "x"}, "generated_by"),
    ],
)
def test_wrong_bodies_name_the_field(
    connect: Connect, prompt: np.ndarray, body: dict[str, Any], field: str
) -> None:
    ann = connect("wrong-ann", max_request_rows=8)
    upload(ann, "p", prompt)
    refused(ann.post(PATH, json={"name": "made", "prompt": "p", **body}), 422, field)


def test_what_cannot_be_is_refused_before_a_worker_is_asked(
    connect: Connect, prompt: np.ndarray
) -> None:
    ann, eve = connect("early-ann"), connect("early-eve")
    secret = upload(ann, "p", prompt).json()["id"]
    add_rows(ann, "taken")
    body = {"name": "taken", "prompt": "p", "inputs": ["a"]}
    refused(ann.post(PATH, json=body), 409)
    refused(eve.post(PATH, json={**body, "prompt": secret}), 404)
    rows = {"name": "made", "prompt": "p", "dataset": "none"}
    refused(ann.post(PATH, json=rows), 404)
    refused(ann.post(PATH, json={**body, "name": "made"}), 503)  # nobody is there to answer
    assert [one["name"] for one in ann.get("/v1/datasets").json()["data"]] == ["taken"]


def post(client: httpx.Client, **body: Any) -> dict[str, Any]:
    made = client.post(PATH, json=body)
    assert made.status_code == 201, made.text
    told: dict[str, Any] = made.json()
    assert made.headers["location"] == f"/v1/datasets/{told['dataset']['id']}"
    return told


@pytest.mark.device
def test_answers_become_a_dataset_that_tells_its_prompt_to_those_who_may_see_it(
    worker: Deployment, connect: Connect, prompt: np.ndarray
) -> None:
    ann, eve = connect("gen-ann"), connect("gen-eve")
    maker = upload(ann, "maker", prompt).json()["id"]
    body = {"prompt": "maker", "inputs": INPUTS, "decoding": {"labels": ["red", "blue"]}}
    told = post(ann, name="made", visibility="public", **body)
    dataset = told["dataset"]
    assert (told["asked"], told["left_out"], dataset["rows"]) == (3, 0, 3)
    assert dataset["generated_by"] == maker
    assert "gen-ann/maker" in dataset["description"]
    rows = [line.split('"')[3] for line in ann.get("/v1/datasets/made/rows").text.splitlines()]
    assert rows == INPUTS
    answers = ann.post("/v1/predict", json={"model": MODEL, **body}).json()["predictions"]
    for line, answer in zip(
        ann.get("/v1/datasets/made/rows").text.splitlines(), answers, strict=True
    ):
        assert f'"target":"{answer["prediction"]}"' in line

    def seen(client: httpx.Client) -> list[dict[str, Any]]:
        listed = client.get("/v1/datasets", params={"owner": "gen-ann"}).json()["data"]
        return [client.get(f"/v1/datasets/{dataset['id']}").json(), *listed]

    for one in seen(eve):  # the dataset is public, its prompt is not
        assert one["generated_by"] is None
        assert "maker" not in one["description"]
    ann.patch("/v1/prompts/maker", json={"visibility": "public"})
    assert [one["generated_by"] for one in seen(eve)] == [maker] * 2
    ann.delete("/v1/prompts/maker")
    assert [one["generated_by"] for one in [*seen(eve), *seen(ann)]] == [None] * 4


@pytest.mark.device
def test_uncertain_answers_are_left_out_and_counted(
    worker: Deployment, connect: Connect, prompt: np.ndarray
) -> None:
    ann = connect("sure-ann")
    upload(ann, "maker", prompt)
    add_rows(ann, "inputs", "".join(f'{{"input": "{text}"}}\n' for text in INPUTS).encode())
    body = {"prompt": "maker", "dataset": "inputs", "decoding": {"labels": ["red", "blue"]}}
    answers = ann.post(
        "/v1/predict",
        json={"model": MODEL, "prompt": "maker", "inputs": INPUTS, "decoding": body["decoding"]},
    ).json()["predictions"]
    tokens = {label: len(worker_vocabulary(worker).encode(label)) + 1 for label in ("red", "blue")}
    scores = sorted(one["score"] / tokens[one["prediction"]] for one in answers)
    told = post(ann, name="sure", min_score=(scores[0] + scores[1]) / 2, **body)
    assert (told["asked"], told["left_out"], told["dataset"]["rows"]) == (3, 1, 2)
    assert "1 were left out" in told["dataset"]["description"]
    problem = refused(ann.post(PATH, json={"name": "none", "min_score": 0, **body}), 422)
    assert problem["field"] == "min_score"
    assert "none" not in [one["name"] for one in ann.get("/v1/datasets").json()["data"]]
    job = ann.post(
        "/v1/jobs", json={"name": "later", "dataset": "sure", "model": MODEL, "steps": 2}
    )
    assert job.status_code in (201, 202), job.text


def worker_vocabulary(deployment: Deployment) -> Any:
    from ptsys.jobs.limits import read_limits

    return read_limits(deployment.root, MODEL).vocabulary
