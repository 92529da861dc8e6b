"""The client's search against the real application; no worker runs."""

import json
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from asgi_transport import AsgiTransport

from ptsys.api.app import create_app
from ptsys.client import Client, Example, Retries
from ptsys.config import Settings
from ptsys.errors import InvalidInput, JobCancelled, NotFound, Unavailable
from ptsys.jobs.service import Service
from ptsys.library.starts import read_start
from ptsys.types.records import JobState

ROWS = [Example("a fine film", "positive"), Example("dull", "negative")]


@pytest.fixture
def service(tmp_path: Path):
    service = Service(Settings(data_dir=tmp_path))
    yield service
    service.close()


@pytest.fixture
def clients(service: Service):
    """Clients of ann and bob."""
    app = create_app(service.settings, service)
    transport = AsgiTransport(app)
    retries = Retries(attempts=2, sleep=lambda _: None)
    yield [
        Client("http://p.test", service.keys.create(user)[1], transport=transport, retries=retries)
        for user in ("ann", "bob")
    ]
    app.state.context.close()
    transport.stop()


def moved(client: Client, service: Service, axis: int, length: int = 4) -> np.ndarray:
    """A prompt that moved from the built-in model's start along an axis."""
    model = client.models.get("tiny")
    start = read_start(service.settings.root, model.fingerprint)
    return start[-length:] + np.eye(model.d_model, dtype=np.float32)[axis]


def test_search_by_prompt_by_words_and_by_both(clients: list[Client], service: Service) -> None:
    ann, bob = clients
    for axis, length in ((0, 4), (1, 9)):
        ann.prompts.add(
            f"axis-{axis}",
            moved(ann, service, axis, length),
            visibility="public",
            tags=[f"tag-{axis}"],
            description="Film reviews",
        )
    query = bob.prompts.add("query", moved(bob, service, 1))
    first, second = bob.prompts.search(query)
    assert [first.prompt.name, second.prompt.name] == ["axis-1", "axis-0"]
    assert first.score == pytest.approx(1, abs=1e-4)
    assert bob.prompts.search("query", count=1) == [first]
    assert {one.prompt.name for one in bob.prompts.search(text="reviews")} == {"axis-0", "axis-1"}
    [one] = bob.prompts.search("query", text="film", tags=["tag-0"], owner="ann")
    assert one == second
    assert bob.prompts.search(text="query", owner="ann") == []
    assert ann.prompts.search(text="query") == []


def test_what_is_told_of_a_prompt_can_change(clients: list[Client], service: Service) -> None:
    ann, _ = clients
    made = ann.prompts.add("p", moved(ann, service, 0), licence="MIT", contact="ann@example.org")
    assert (made.licence, made.contact, made.description) == ("MIT", "ann@example.org", None)
    changed = ann.prompts.update("p", description="films", contact="")
    assert (changed.licence, changed.contact, changed.description) == ("MIT", None, "films")


def test_wrong_searches_are_refused(clients: list[Client]) -> None:
    ann, _ = clients
    for wrong, field in (
        ({}, "prompt"),
        ({"examples": []}, "rows"),
        ({"examples": ROWS, "data": "x"}, "data"),
        ({"prompt": "a", "examples": ROWS}, "prompt"),
        ({"text": "a", "min_accuracy": 7}, "min_accuracy"),
        ({"text": "a", "colour": "red"}, "colour"),
    ):
        with pytest.raises(InvalidInput) as raised:
            ann.prompts.search(**wrong)  # type: ignore[arg-type]
        assert raised.value.field == field
    with pytest.raises(NotFound):
        ann.prompts.search("none")


def test_a_search_by_rows_waits_for_its_job(clients: list[Client], service: Service) -> None:
    ann, _ = clients
    with pytest.raises(Unavailable):
        ann.prompts.search(examples=ROWS, timeout=0)
    [job] = service.list("ann")
    threading.Timer(0.3, lambda: service.cancel(job.id, "ann")).start()
    with pytest.raises(JobCancelled):
        ann.prompts.search(examples=ROWS)
    assert [one.state for one in service.list("ann")] == [JobState.CANCELLED]


def test_the_same_request_goes_out_again_once_the_job_is_done(
    clients: list[Client], service: Service, talking_to
) -> None:
    """As the service asks for with 202; a script stands for a service whose worker is done."""
    ann, _ = clients
    with pytest.raises(Unavailable):
        ann.prompts.search(examples=ROWS, timeout=0)
    [job] = service.list("ann")
    told = json.loads(httpx.Response(200, content=job.model_dump_json()).content)
    done = {**told, "state": "succeeded", "prompt": "pr-1"}
    asked: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return httpx.Response(200, content=b'event: end\ndata: {"state": "succeeded"}\n\n')
        if request.method == "GET":
            return httpx.Response(200, json=done)
        asked.append(request.content)
        if len(asked) == 1:
            return httpx.Response(202, json=told, headers={"Retry-After": "5"})
        return httpx.Response(200, json={"results": [], "query": {}})

    assert talking_to(answer).prompts.search(examples=ROWS) == []
    assert len(asked) == 2
    assert asked[0] == asked[1]
