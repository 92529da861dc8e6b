"""Predictions and gradients through the API, Redis and a real worker."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from http_clients import MODEL, SAFETENSORS, WIDTH, Connect, refused, upload
from worker_deployment import Deployment

from ptsys.prompts.safetensors_format import decode, encode

pytestmark = pytest.mark.device

QUESTION = {
    "model": MODEL,
    "inputs": ["red river stone", "cold table window"],
    "targets": ["red", "blue"],
}
BINARY = {"Content-Type": SAFETENSORS}


def packed(array: np.ndarray, question: Any = QUESTION) -> bytes:
    return encode(array, {"request": json.dumps(question)})


@pytest.fixture(autouse=True)
def _served(worker: Deployment) -> None:
    pass


def test_one_gradient_in_every_form(ann: httpx.Client, prompt: np.ndarray) -> None:
    upload(ann, "gradient", prompt)
    named = ann.post("/v1/gradients", json={**QUESTION, "prompt": "gradient"})
    assert named.status_code == 200, named.text
    by_name = named.json()
    listed = ann.post("/v1/gradients", json={**QUESTION, "tensor": prompt.tolist()}).json()
    binary = ann.post("/v1/gradients", content=packed(prompt), headers=BINARY)
    assert binary.headers["content-type"] == SAFETENSORS
    array, notes = decode(binary.content, tensor="gradient")
    told = json.loads(notes["response"])
    assert array.shape == prompt.shape
    assert array.dtype == np.float32
    assert np.abs(array).max() > 0
    for other in (by_name, listed):
        np.testing.assert_array_equal(np.array(other.pop("gradient"), np.float32), array)
        assert other == told
    assert told["loss"] == pytest.approx(np.mean(told["row_losses"]), rel=1e-5)  # 2 tokens each
    mixed = ann.post(
        "/v1/gradients",
        content=packed(prompt),
        headers={**BINARY, "Accept": "application/json"},
    )
    np.testing.assert_array_equal(np.array(mixed.json()["gradient"], np.float32), array)


def test_the_gradient_goes_downhill(ann: httpx.Client, prompt: np.ndarray) -> None:
    losses = []
    for _ in range(8):
        answer = ann.post("/v1/gradients", content=packed(prompt), headers=BINARY)
        gradient, notes = decode(answer.content, tensor="gradient")
        losses.append(json.loads(notes["response"])["loss"])
        prompt = prompt - 0.5 * gradient
    assert losses[-1] < losses[0]


def test_predictions_and_label_scores(ann: httpx.Client, prompt: np.ndarray) -> None:
    upload(ann, "predict", prompt)
    inputs = ["red river stone", "cold table window", "red river stone"]
    body = {"model": MODEL, "prompt": "predict", "inputs": inputs}
    answers = ann.post("/v1/predict", json=body).json()["predictions"]
    assert len(answers) == 3
    assert answers[0] == answers[2]
    assert answers[0]["label_scores"] is None
    scored = {**body, "decoding": {"labels": ["red", "blue"]}}
    for answer in ann.post("/v1/predict", json=scored).json()["predictions"]:
        assert set(answer["label_scores"]) == {"red", "blue"}
        assert answer["score"] == max(answer["label_scores"].values())
    bare = ann.post("/v1/predict", json={"model": MODEL, "inputs": inputs[:1]})
    assert bare.status_code == 200
    sent = ann.post(
        "/v1/predict", content=packed(prompt, {"model": MODEL, "inputs": inputs}), headers=BINARY
    )
    assert sent.json()["predictions"] == answers


def test_another_users_prompt_is_not_there(
    ann: httpx.Client, bob: httpx.Client, prompt: np.ndarray
) -> None:
    identifier = upload(ann, "hers", prompt).json()["id"]
    for reference in (identifier, "ann/hers", "hers", "none", "' OR 1=1", "../hers"):
        refused(bob.post("/v1/gradients", json={**QUESTION, "prompt": reference}), 404)
    ann.patch("/v1/prompts/hers", json={"visibility": "shared", "shared_with": ["bob"]})
    answer = bob.post("/v1/gradients", json={**QUESTION, "prompt": "ann/hers"})
    assert answer.status_code == 200


def test_hostile_requests_disturb_no_one(
    ann: httpx.Client, bob: httpx.Client, prompt: np.ndarray
) -> None:
    """While one user sends what is refused, another's answers keep their bits."""
    expected = bob.post("/v1/gradients", content=packed(prompt), headers=BINARY).content
    nan = np.full_like(prompt, np.nan)

    def hostile(number: int) -> int:
        bodies = [packed(nan), packed(prompt[:, :3]), b"\xff" * 100, packed(prompt, [])]
        body = bodies[number % len(bodies)]
        return ann.post("/v1/gradients", content=body, headers=BINARY).status_code

    def good(_: int) -> bytes:
        return bob.post("/v1/gradients", content=packed(prompt), headers=BINARY).content

    with ThreadPoolExecutor(8) as pool:
        statuses = pool.map(hostile, range(40))
        answers = list(pool.map(good, range(10)))
        assert set(statuses) == {422}
    loss = json.loads(decode(expected, tensor="gradient")[1]["response"])["loss"]
    for answer in answers:
        told = json.loads(decode(answer, tensor="gradient")[1]["response"])
        assert told["loss"] == pytest.approx(loss, rel=1e-5)


def test_rows_beyond_the_minute_must_wait(connect: Connect) -> None:
    sam = connect("sam", rows_per_minute=4)
    body = {"model": MODEL, "inputs": ["red", "blue", "green"]}
    assert sam.post("/v1/predict", json=body).status_code == 200
    response = sam.post("/v1/predict", json=body)
    refused(response, 429)
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    refused(sam.post("/v1/predict", json={**body, "inputs": ["red"] * 5}), 422, "inputs")


def test_nothing_of_a_request_is_kept(
    ann: httpx.Client, worker: Deployment, prompt: np.ndarray
) -> None:
    secret = "zeppelin"
    question = {**QUESTION, "inputs": [secret, "red"]}
    assert ann.post("/v1/gradients", content=packed(prompt, question), headers=BINARY).is_success
    wrong = {**question, "targets": ["red " * 500, "x"]}
    problem = refused(ann.post("/v1/gradients", content=packed(prompt, wrong), headers=BINARY), 422)
    assert secret not in str(problem)
    with worker.redis.address.client() as redis:
        assert [key for key in redis.keys("*") if b"request:" in key or b"result:" in key] == []
    # by another process: whoever closes SQLite's file gives up all locks that its process has on it
    holding = ["grep", "--recursive", "--files-with-matches", secret, str(worker.root)]
    found = subprocess.run(holding, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")


def test_what_is_served_is_told(ann: httpx.Client) -> None:
    model = ann.get(f"/v1/models/{MODEL}").json()
    assert model["ready"]
    assert (model["d_model"], model["max_input_length"]) == (WIDTH, 64)
    assert "path" not in model
    assert model.get("source") is None  # a folder's own user alone is told where weights came from
    assert model["parameters"] > 0
    assert MODEL in ann.get("/readyz").json()["models"]
    ann.post("/v1/predict", json={"model": MODEL, "inputs": ["red"]})
    metrics = ann.get("/metrics").text
    assert 'ptsys_rows_total{kind="predict",model="mini"} 1.0' in metrics
    assert 'path="/v1/models/{model}",status="200"' in metrics


def test_several_prompts_give_one_answer(ann: httpx.Client, prompt: np.ndarray) -> None:
    names = [f"member-{number}" for number in range(3)]
    for number, name in enumerate(names):
        assert upload(ann, name, prompt * (1 + number)).status_code == 201
    question = {
        "model": MODEL,
        "inputs": QUESTION["inputs"],
        "decoding": {"labels": ["red", "blue"]},
    }
    alone = [
        ann.post("/v1/predict", json={**question, "prompt": name}).json()["predictions"]
        for name in names
    ]
    answer = ann.post("/v1/predict", json={**question, "prompts": names, "ensemble": "mean"})
    assert answer.status_code == 200, answer.text
    for row, found in enumerate(answer.json()["predictions"]):
        for label in ("red", "blue"):
            mean = np.mean([member[row]["label_scores"][label] for member in alone])
            assert found["label_scores"][label] == pytest.approx(mean, abs=1e-4)
    for change, field in (
        ({"prompts": names, "prompt": names[0]}, "prompts"),
        ({"prompts": [names[0]] * 2}, "prompts"),
        ({"prompts": names, "ensemble": "mean", "decoding": {}}, "ensemble"),
        ({"prompts": names, "general": names[0]}, "general"),
        ({"prompts": names, "inputs": ["red"] * 200}, "inputs"),
        ({"prompts": names, "ensemble": "best"}, "ensemble"),
    ):
        refused(ann.post("/v1/predict", json={**question, **change}), 422, field)
    refused(ann.post("/v1/predict", json={**question, "prompts": [*names, "no-such"]}), 404)
