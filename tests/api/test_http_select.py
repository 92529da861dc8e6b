"""Examples chosen over HTTP and by the client: what is refused, and what comes back."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tiny_model
from http_clients import MODEL, Connect, InProcess, add_rows, refused, upload
from worker_deployment import Deployment

from ptsys.api.app import create_app
from ptsys.client import Client
from ptsys.engine.engine import Engine
from ptsys.engine.workbench import load_workbench
from ptsys.errors import InvalidInput, QuotaExceeded
from ptsys.selection.pool import Pool
from ptsys.selection.registry import choose
from ptsys.types.requests import Decoding

PATH = "/v1/select"
ROWS = [{"input": row.input, "target": row.target} for row in tiny_model.rows(40)]
FEW = [{"input": "red river", "target": "red"}, {"input": "cold", "target": "blue"}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "rows"),
        ({"rows": FEW, "dataset": "d"}, "rows"),
        ({"rows": []}, "rows"),
        ({"rows": [{"input": "a"}, {"input": "\0"}]}, "rows.1.input"),
        ({"rows": [{"input": "a", "label": "b"}]}, "rows.0.label"),
        ({"rows": FEW, "method": "nearest"}, "method"),
        ({"rows": FEW, "count": 0}, "count"),
        ({"rows": FEW, "count": 1001}, "count"),
        ({"rows": FEW, "count": 3}, "count"),
        ({"rows": FEW, "seed": -1}, "seed"),
        ({"rows": FEW, "count": 1, "method": "margin"}, "prompt"),
        ({"rows": FEW, "count": 1, "labels": ["a", "b"]}, "labels"),
        ({"rows": FEW, "count": 1, "general": "g"}, "general"),
        ({"rows": FEW, "count": 1, "prompt": "p", "model": "tiny"}, "model"),
        ({"rows": FEW, "count": 1, "method": "badge", "prompt": "p", "labels": ["a"]}, "labels"),
        ({"rows": FEW[:1], "count": 1, "method": "badge", "prompt": "p"}, "labels"),
        ({"rows": [{"input": "a"}], "count": 1, "per_class": True}, "rows.0.target"),
        ({"rows": [{"input": "a " * 200}], "count": 1}, "rows.0"),
        ({"rows": [{"input": "a"}] * 10_001, "count": 1}, "rows"),
        (
            {
                "rows": FEW * 500,
                "count": 1,
                "method": "margin",
                "prompt": "p",
                "labels": [f"l{i}" for i in range(201)],
            },
            "labels",
        ),
    ],
)
def test_wrong_bodies_name_the_field(
    connect: Connect, prompt: np.ndarray, body: dict[str, Any], field: str
) -> None:
    ann = connect("choosing-ann")
    upload(ann, "p", prompt)
    refused(ann.post(PATH, json=body), 422, field)


def test_what_is_not_yours_or_not_there_is_404_and_a_strange_form_406(
    connect: Connect, prompt: np.ndarray
) -> None:
    ann, eve = connect("own-ann"), connect("own-eve")
    secret = upload(ann, "p", prompt).json()["id"]
    hidden = add_rows(ann, "rows").json()["id"]
    body = {"rows": FEW, "count": 1}
    refused(eve.post(PATH, json={**body, "prompt": secret}), 404)
    refused(eve.post(PATH, json={"dataset": hidden, "count": 1}), 404)
    refused(ann.post(PATH, json=body, headers={"Accept": "text/csv-x"}), 406)
    refused(ann.post(PATH, json=body), 503)  # no worker reads rows
    streamed = ann.post(PATH, json=body, headers={"Accept": "text/event-stream"})
    refused(streamed, 503)  # a problem of its own, not one within a stream


def test_random_rows_need_no_worker(connect: Connect) -> None:
    ann = connect("random-ann")
    told = ann.post(PATH, json={"rows": ROWS, "method": "random", "count": 5, "seed": 3}).json()
    again = ann.post(PATH, json={"rows": ROWS, "method": "random", "count": 5, "seed": 3}).json()
    assert told == again
    assert (told["rows"], told["model"], told["places"]) == (40, MODEL, None)
    assert [ROWS[one["row"]]["input"] for one in told["chosen"]] == [
        one["input"] for one in told["chosen"]
    ]


@pytest.fixture(scope="module")
def engine(worker: Deployment) -> Iterator[Engine]:
    engine = Engine(load_workbench(worker.root, MODEL).served).start()
    yield engine
    engine.close()


def post(client: httpx.Client, **body: Any) -> dict[str, Any]:
    made = client.post(PATH, json=body)
    assert made.status_code == 200, made.text
    told: dict[str, Any] = made.json()
    return told


@pytest.mark.device
def test_every_method_chooses_by_what_the_model_makes_of_the_rows(
    worker: Deployment, connect: Connect, prompt: np.ndarray, engine: Engine
) -> None:
    """The same as the methods choose of the engine's own encodings and scores."""
    ann = connect("method-ann")
    identifier = upload(ann, "p", prompt).json()["id"]
    add_rows(ann, "rows", "".join(json.dumps(row) + "\n" for row in ROWS).encode())
    inputs, labels = [row["input"] for row in ROWS], ("blue", "red")
    answers = engine.predict(inputs, prompt, Decoding(labels=labels)).result(200)
    scores = np.array([[(one.label_scores or {})[x] for x in labels] for one in answers])
    for method in ("kmeans", "contrastive", "margin", "badge"):
        for named in (None, "p") if method in ("kmeans", "contrastive") else ("p",):
            read = engine.encodings(inputs, None if named is None else prompt).result(200)
            pool = Pool([row["target"] for row in ROWS], np.stack(read), scores, labels)
            for way in ({"rows": ROWS}, {"dataset": "rows"}):
                told = post(ann, method=method, count=6, seed=2, prompt=named, **way)
                wanted = choose(method, pool, 6, seed=2)
                assert [one["row"] for one in told["chosen"]] == [one.row for one in wanted]
                for one, pick in zip(told["chosen"], wanted, strict=True):
                    assert one["numbers"] == pytest.approx(pick.numbers, abs=1e-3)
                    assert one["partner"] == pick.partner
                assert told["prompt"] == (None if named is None else identifier)
                scored = labels if method in ("margin", "badge") else ()
                assert tuple(told["labels"]) == scored
    each = post(ann, dataset="rows", count=3, per_class=True)["chosen"]
    assert [one["target"] for one in each] == ["blue"] * 3 + ["red"] * 3


@pytest.mark.device
def test_as_a_picture_with_places_and_as_a_stream(
    worker: Deployment, connect: Connect, prompt: np.ndarray
) -> None:
    ann = connect("form-ann")
    upload(ann, "p", prompt)
    body = {"rows": ROWS * 8, "count": 4, "method": "badge", "prompt": "p"}
    picture = ann.post(PATH, json=body, headers={"Accept": "image/png"})
    assert picture.content.startswith(b"\x89PNG")
    told = post(ann, **body, places=True)
    assert [one["row"] for one in told["places"]["points"]] == list(range(320))
    streamed = ann.post(PATH, json=body, headers={"Accept": "text/event-stream"}).text
    events = [block.split("\n") for block in streamed.strip().split("\n\n")]
    kinds = [kind.removeprefix("event: ") for kind, _ in events]
    done = [json.loads(data[6:]).get("done") for kind, data in events[:-1]]
    assert kinds == ["progress"] * 4 + ["selection"]
    assert done == [256, 320, 576, 640]
    assert json.loads(events[-1][1][6:]) == {**told, "places": None}


@pytest.mark.device
def test_what_goes_wrong_on_the_way_is_a_problem_in_the_stream(
    worker: Deployment, connect: Connect
) -> None:
    ann = connect("greedy-ann", rows_per_minute=300)
    body = {"rows": ROWS * 8, "count": 4}
    streamed = ann.post(PATH, json=body, headers={"Accept": "text/event-stream"})
    assert streamed.status_code == 200
    first, last = (block.split("\n") for block in streamed.text.strip().split("\n\n"))
    assert json.loads(first[1][6:]) == {"done": 256, "total": 320}
    assert last[0] == "event: problem"
    told = json.loads(last[1][6:])
    assert (told["status"], told["type"]) == (429, "urn:ptsys:problem:quota-exceeded")
    client = Client("http://ptsys", "unused", transport=Canned(streamed.content))
    with client, pytest.raises(QuotaExceeded):
        client.select(ROWS * 8, count=4)


class Canned(httpx.BaseTransport):
    """Gives again what a service gave."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=self._content)


@pytest.mark.device
def test_the_client_follows_the_stream_and_draws(
    worker: Deployment, connect: Connect, prompt: np.ndarray, tmp_path: Any
) -> None:
    settings = worker.settings.model_copy(update={"model": MODEL})
    _, secret = worker.service.keys.create("client-ann")
    transport = InProcess(create_app(settings))
    with Client("http://ptsys", secret, transport=transport) as client:
        seen: list[int] = []
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        for data in (file, str(file), [(row["input"], row["target"]) for row in ROWS]):
            found = client.select(
                data, "kmeans", 4, plot=tmp_path / "map.png", progress=seen.append
            )
            assert len(found.chosen) == 4
            assert found.places is not None
        assert sum(seen) == 120
        assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
        stored = client.datasets.add("chosen-from", file)
        assert client.select(stored, count=4).chosen == found.chosen
        assert client.select("chosen-from", count=4).chosen == found.chosen
        with pytest.raises(InvalidInput) as caught:
            client.select(stored, "margin", 2)
        assert caught.value.field == "prompt"
