"""Rankings, maps, difficulty and generated datasets by the client, on the real application."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from asgi_transport import AsgiTransport

from ptsys.api.app import create_app
from ptsys.client import Client, Retries
from ptsys.config import Settings
from ptsys.errors import InvalidInput, NotFound, Unavailable
from ptsys.jobs.limits import read_limits
from ptsys.jobs.service import Service
from ptsys.library.starts import write_start


@pytest.fixture
def users(tmp_path: Path) -> Iterator[Callable[[str], Client]]:
    service = Service(Settings(data_dir=tmp_path / "data"))
    app = create_app(service.settings, service)
    transport = AsgiTransport(app)

    def client(user: str) -> Client:
        _, secret = service.keys.create(user)
        return Client("http://ptsys.test", secret, transport=transport, retries=Retries(attempts=1))

    limits = read_limits(service.settings.root, "tiny")
    start = np.zeros((64, limits.d_model), np.float32)
    write_start(service.settings.root, limits.fingerprint, start)
    ann = client("ann")
    for name, visibility in (("open", "public"), ("closed", "private")):
        tensor = np.ones((4, limits.d_model), np.float32)
        ann.prompts.add(name, tensor, visibility=visibility, tags=["nice"])  # type: ignore[arg-type]
    yield client
    app.state.context.close()
    transport.stop()
    service.close()


def test_what_the_library_tells_as_a_whole(users: Callable[[str], Client], tmp_path: Path) -> None:
    ann, eve = users("ann"), users("eve")
    assert [one.prompt.name for one in eve.prompts.ranking(model="tiny")] == ["open"]
    assert sorted(one.prompt.name for one in ann.prompts.ranking()) == ["closed", "open"]
    [submitter] = eve.prompts.ranking("submitter", count=3)
    assert (submitter.submitter, submitter.prompts) == ("ann", 1)
    told = eve.prompts.coordinates(model="tiny")
    assert [(one.name, one.tags) for one in told.points] == [("open", ("nice",))]
    picture = eve.prompts.map(tmp_path / "map.png", color_by="owner")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "open" in eve.prompts.map(tmp_path / "map.html").read_text()
    assert sorted(path.name for path in tmp_path.glob("*map*")) == ["map.html", "map.png"]
    assert ann.prompts.difficulty("open").difficulty is None
    with pytest.raises(NotFound):
        eve.prompts.difficulty(ann.prompts.get("closed").id)
    for wrong, field in (("map.gif", "path"), ("none/map.png", "path")):
        with pytest.raises(InvalidInput) as refused:
            eve.prompts.map(tmp_path / wrong)
        assert refused.value.field == field
    with pytest.raises(InvalidInput) as refused:
        eve.prompts.ranking(count=0)
    assert refused.value.field == "count"


def test_generating_asks_the_service_and_says_why_it_cannot(
    users: Callable[[str], Client],
) -> None:
    eve = users("eve")
    with pytest.raises(NotFound):
        eve.datasets.generate("made", "ann/closed", ["a"])
    with pytest.raises(InvalidInput) as refused:
        eve.datasets.generate("made", "ann/open", ["a"], min_score=1.0)
    assert refused.value.field == "min_score"
    with pytest.raises(Unavailable):  # nobody serves the model
        eve.datasets.generate("made", "ann/open", ["a"])
    assert list(eve.datasets.list()) == []


def test_what_is_sent_and_read_for_a_generated_dataset(
    talking_to: Callable[..., Client],
) -> None:
    sent: dict[str, object] = {}
    dataset = {"id": "ds-1", "name": "made", "owner": "eve", "rows": 1, "digest": "d"}
    dataset |= {"created": "2024-01-01T00:00:00Z", "generated_by": "pr-1", "newer": 1}

    def service(request: httpx.Request) -> httpx.Response:
        sent.update(json.loads(request.content))
        return httpx.Response(201, json={"dataset": dataset, "asked": 2, "left_out": 1})

    made = talking_to(service).datasets.generate(
        "made", "p", (text for text in ("a", "b")), min_score=-0.5, labels=["x"]
    )
    assert (made.asked, made.left_out, made.dataset.generated_by) == (2, 1, "pr-1")
    assert sent == {
        **{"name": "made", "prompt": "p", "inputs": ["a", "b"], "min_score": -0.5},
        **{"decoding": {"labels": ["x"]}, "visibility": "private", "shared_with": []},
    }
