"""The client against the real application and its database; no worker is needed for these."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from asgi_transport import AsgiTransport, Lossy

from ptsys.api.app import create_app
from ptsys.client import Client, Example, Retries
from ptsys.config import Settings
from ptsys.errors import (
    Conflict,
    InvalidInput,
    JobCancelled,
    NotFound,
    PtsysError,
    Unauthenticated,
    Unavailable,
)
from ptsys.jobs.service import Service
from ptsys.store.keys import ApiKeys
from ptsys.types.records import JobState

ROWS = [Example("a fine film", "positive"), Example("dull\u2028and long", "negative")]


@dataclasses.dataclass
class World:
    """A service, and clients of its users."""

    transport: AsgiTransport
    keys: ApiKeys

    def client(self, user: str, *, lost: Callable[[int], bool] = lambda _: False) -> Client:
        _, secret = self.keys.create(user)
        return Client(
            "http://ptsys.test",
            secret,
            transport=Lossy(self.transport, lost),
            retries=Retries(attempts=4, sleep=lambda _: None),
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    service = Service(Settings(data_dir=tmp_path))
    app = create_app(service.settings, service)
    transport = AsgiTransport(app)
    yield World(transport, ApiKeys(service.database))
    app.state.context.close()
    transport.stop()
    service.close()


@pytest.fixture
def ann(world: World) -> Client:
    return world.client("ann")


def first_lost(number: int) -> bool:
    return number == 1


def prompt_of(client: Client, length: int = 4) -> np.ndarray:
    width = client.models.get("tiny").d_model
    return np.random.default_rng(0).normal(size=(length, width)).astype(np.float32)


def test_models(ann: Client) -> None:
    (tiny,) = ann.models.list()
    assert tiny == ann.models.get("tiny")
    assert (tiny.name, tiny.builtin, tiny.default, tiny.ready) == ("tiny", True, True, False)
    assert tiny.max_input_length
    with pytest.raises(NotFound):
        ann.models.get("huge")


def test_a_dataset_comes_back_row_for_row(ann: Client, tmp_path: Path) -> None:
    made = ann.datasets.add("films", ROWS, description="a few films")
    assert (made.rows, made.description, made.owner) == (2, "a few films", "ann")
    assert ann.datasets.rows("films") == ROWS
    assert ann.datasets.get(made) == made == next(ann.datasets.list(name="films"))
    file = tmp_path / "films.jsonl"
    file.write_text("".join(row.to_json() + "\n" for row in ROWS))
    assert ann.datasets.add("again", file).digest == made.digest
    assert ann.datasets.ensure("films", file) == made
    with pytest.raises(Conflict):
        ann.datasets.ensure("films", ROWS[:1])
    ann.datasets.delete(made)
    with pytest.raises(NotFound):
        ann.datasets.get("films")


def test_a_large_dataset_travels_compressed(ann: Client) -> None:
    rows = [Example(f"row {n}", "even" if n % 2 == 0 else "odd") for n in range(5000)]
    assert ann.datasets.add("numbers", rows).rows == 5000
    assert ann.datasets.rows("numbers") == rows


def test_listings_run_over_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptsys.client.connection._PAGE", 2)
    ann = world.client("ann")
    for number in range(5):
        ann.datasets.add(f"set-{number}", ROWS)
    assert [one.name for one in ann.datasets.list()] == [f"set-{n}" for n in (4, 3, 2, 1, 0)]


def test_a_prompt_comes_back_bit_for_bit(ann: Client) -> None:
    tensor = prompt_of(ann)
    made = ann.prompts.add("start", tensor, tags=["first"])
    assert (made.length, made.d_model, made.tags) == (*tensor.shape, ("first",))
    np.testing.assert_array_equal(ann.prompts.tensor("start"), tensor)
    assert ann.prompts.update(made, name="renamed", tags=[]).tags == ()
    assert [one.name for one in ann.prompts.list(model="tiny")] == ["renamed"]
    with pytest.raises(Conflict):
        ann.prompts.add("renamed", tensor)
    with pytest.raises(InvalidInput, match="width"):
        ann.prompts.add("narrow", tensor[:, :3])
    with pytest.raises(InvalidInput, match="finite"):
        ann.prompts.add("broken", tensor * np.nan)
    ann.prompts.delete("renamed")
    assert list(ann.prompts.list()) == []


def test_what_is_shared_is_seen_and_nothing_else(world: World) -> None:
    ann, bob = world.client("ann"), world.client("bob")
    shared = ann.prompts.add("start", prompt_of(ann))
    with pytest.raises(NotFound):
        bob.prompts.get(shared.id)
    ann.prompts.update(shared, visibility="shared", shared_with=["bob"])
    assert bob.prompts.get(shared.id).name == "start"
    data = ann.datasets.add("films", ROWS)
    with pytest.raises(NotFound):
        bob.datasets.rows(data.id)
    ann.datasets.update(data, visibility="public")
    assert bob.datasets.rows(data.id) == ROWS


def test_one_job_however_many_answers_are_lost(world: World) -> None:
    ann = world.client("ann", lost=lambda number: number % 2 == 1)  # every request's first answer
    job = ann.train("films", ROWS, steps=7)
    assert [one.id for one in ann.jobs.list()] == [job.id]
    assert job.record.spec.steps == 7
    assert [one.name for one in ann.datasets.list()] == ["films-train"]


def test_datasets_and_prompts_are_made_once(world: World) -> None:
    assert world.client("ann", lost=first_lost).datasets.add("films", ROWS).rows == 2
    tensor = prompt_of(world.client("ann"))
    assert world.client("ann", lost=first_lost).prompts.add("start", tensor).length == len(tensor)
    with pytest.raises(Conflict):  # somebody else's, not an earlier attempt of this one
        world.client("ann", lost=first_lost).prompts.add("start", tensor + 1)
    world.client("ann", lost=first_lost).prompts.delete("start")
    assert list(world.client("ann").prompts.list()) == []


def test_the_same_key_gives_the_same_job(ann: Client) -> None:
    first = ann.train("films", ROWS, idempotency_key="mine")
    assert ann.train("films", ROWS, idempotency_key="mine").id == first.id
    with pytest.raises(Conflict):
        ann.train("films", ROWS, idempotency_key="mine", steps=9)


def test_a_cancelled_job_ends_its_events_and_its_wait(ann: Client) -> None:
    job = ann.train("films", ROWS)
    assert job.cancel().state is JobState.CANCELLED
    assert [event.data["state"] for event in job.events()] == ["queued", "cancelled"]
    assert [event.sequence for event in job.events(after=1)] == [2]
    with pytest.raises(JobCancelled):
        ann.jobs.get(job.id).wait()
    with pytest.raises(Conflict, match="wait"):
        job.tensor()
    assert [one.id for one in ann.jobs.list(state="cancelled")] == [job.id]


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("steps", {"steps": 0}),
        ("optimizer.learning_rate", {"optimizer": {"learning_rate": -1}}),
        ("speed", {"speed": 3}),
    ],
)
def test_wrong_settings_are_named_before_anything_is_stored(
    ann: Client, field: str, settings: dict[str, object]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        ann.train("films", ROWS, **settings)
    assert caught.value.field == field
    assert list(ann.datasets.list()) == []


def test_the_services_own_checks_name_the_field(ann: Client) -> None:
    with pytest.raises(InvalidInput) as caught:
        ann.gradients(prompt_of(ann), [("a", "positive"), ("b", " ")])
    assert caught.value.field == "targets.1"
    with pytest.raises(InvalidInput) as caught:
        ann.gradients(prompt_of(ann)[:, :2], [("a", "b")])
    assert caught.value.field == "prompt"
    with pytest.raises(InvalidInput) as caught:
        ann.predict(None, ["word " * 2000])
    assert caught.value.field == "inputs.0"


def test_without_a_worker_the_service_is_unavailable(ann: Client) -> None:
    with pytest.raises(Unavailable):
        ann.predict(None, ["a fine film"])


def test_rows_in_every_form(ann: Client) -> None:
    forms = [ROWS[0], {"input": "b", "target": "c"}, ("e", "f")]
    ann.datasets.add("mixed", forms)
    assert [row.target for row in ann.datasets.rows("mixed")] == ["positive", "c", "f"]
    for wrong in ([("a",)], [{"text": "a"}], ["a"], [(1, 2)], []):
        with pytest.raises(InvalidInput):
            ann.datasets.add("wrong", wrong)
        with pytest.raises(InvalidInput):
            ann.gradients(prompt_of(ann), wrong)
    with pytest.raises(InvalidInput, match="no target"):
        ann.gradients(prompt_of(ann), [{"input": "d"}])


def test_a_wrong_key_is_told(world: World) -> None:
    client = Client("http://ptsys.test", "ptsys_wrong", transport=world.transport)
    with pytest.raises(Unauthenticated):
        client.me()


def test_address_and_key_come_from_the_environment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PTSYS_API_KEY", raising=False)
    with pytest.raises(InvalidInput) as caught:
        Client()
    assert caught.value.field == "key"
    _, secret = world.keys.create("eve")
    monkeypatch.setenv("PTSYS_API_KEY", secret)
    monkeypatch.setenv("PTSYS_URL", "http://ptsys.test/")
    client = Client(transport=world.transport)
    assert client.me()["user"] == "eve"
    assert secret not in repr(client)
    with pytest.raises(InvalidInput) as caught:
        Client("ptsys.test:8765")
    assert caught.value.field == "url"


def test_every_error_has_one_root() -> None:
    down = Client("http://127.0.0.1:9", "ptsys_key", retries=Retries(attempts=1))
    with pytest.raises(PtsysError, match="ptsys up"):
        down.models.get("tiny")


def test_the_transport_is_the_callers() -> None:
    client = Client(
        "http://a.test", "k", transport=httpx.MockTransport(lambda _: httpx.Response(404))
    )
    with pytest.raises(NotFound):
        client.me()


def test_an_augmentation_takes_rows_or_a_query_with_its_own(ann: Client) -> None:
    few = [Example(f"film {n}", "good") for n in range(8)]
    job = ann.augment("lifted", few, query_steps=9, budget=400)
    spec = job.record.spec
    assert (spec.kind, spec.strategy, spec.steps) == ("augment", "auto", 200)
    assert spec.dataset == ann.datasets.get("lifted-train").id
    assert repr(job).endswith(" queued 0/400>")
    job.cancel()

    ann.prompts.add("start", prompt_of(ann))
    query = ann.prompts.get("start")
    with pytest.raises(InvalidInput) as caught:
        ann.augment("again", query="start")  # nobody knows what it was trained on
    assert caught.value.field == "data"
    job = ann.augment("again", few, "curriculum", query=query)
    assert (job.record.spec.query, job.record.spec.length) == (query.id, query.length)
    job.cancel()
    for field, value in (("neighbours", 0), ("colour", 1)):
        with pytest.raises(InvalidInput) as caught:
            ann.augment("wrong", few, **{field: value})
        assert caught.value.field == field
    with pytest.raises(InvalidInput) as caught:
        ann.augment("wrong", few[:7])
    assert caught.value.field == "validation"


def test_a_refused_job_leaves_no_rows_behind(ann: Client) -> None:
    """What was stored for it alone is deleted again; what was there stays."""
    held = ann.train("held", ROWS)
    kept = ann.datasets.add("mine", ROWS)
    before = {dataset.name for dataset in ann.datasets.list()}
    for refused in (
        lambda: ann.train("held", ROWS[:1], validation=ROWS[1:]),
        lambda: ann.train("held", kept),
        lambda: ann.train("n", ROWS, initialization={"kind": "prompt", "prompt": "nope"}),
        lambda: ann.train_multitask("held", {"a": ROWS}),
    ):
        with pytest.raises((Conflict, NotFound)):
            refused()
        assert {dataset.name for dataset in ann.datasets.list()} == before
    held.cancel()
