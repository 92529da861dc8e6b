import base64
import json
import pickle
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tiny_model
from blocking_asker import BlockingAsker
from waiting import until
from worker_deployment import Deployment

from ptsys.engine.engine import Engine
from ptsys.engine.workbench import load_workbench
from ptsys.errors import InvalidInput, NotFound, PtsysError
from ptsys.jobs.queue import QUEUE_CPU, device_queue
from ptsys.library.starts import read_start
from ptsys.prompts.safetensors_format import decode, encode
from ptsys.types.records import Job
from ptsys.types.requests import Decoding, EncodeRequest, GradientsRequest, PredictRequest

pytestmark = pytest.mark.device
MODEL = tiny_model.NAME
INPUTS = ("red stone house", "quick river", "paper music window")
TARGETS = ("red", "blue", "blue")
WAIT = 200.0  # seconds: the machine may be busy, and shapes have to be compiled


@pytest.fixture(scope="module")
def job(served: Deployment) -> Job:
    return served.wait(served.submit("mine"))


@pytest.fixture(scope="module")
def engine(served: Deployment) -> Iterator[Engine]:
    engine = Engine(load_workbench(served.root, MODEL).served).start()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def asker(served: Deployment) -> BlockingAsker:
    return served.asker()


def ask(asker: BlockingAsker, user: str, tensors: bytes | None = None, **fields: Any) -> Any:
    request = PredictRequest(model=MODEL, inputs=INPUTS, **fields)
    header = request.model_dump(mode="json") | {"user": user}
    return asker.call(MODEL, "predict", header, tensors, timeout=WAIT)[0]["predictions"]


def differentiate(
    asker: BlockingAsker, user: str, tensors: bytes | None = None, **fields: Any
) -> tuple[dict[str, Any], bytes | None]:
    request = GradientsRequest(model=MODEL, inputs=INPUTS, targets=TARGETS, **fields)
    header = request.model_dump(mode="json") | {"user": user}
    return asker.call(MODEL, "gradients", header, tensors, timeout=WAIT)


@pytest.mark.parametrize(
    "decoding",
    [Decoding(max_tokens=4), Decoding(labels=("red", "blue"))],
    ids=["greedy", "labels"],
)
def test_answers_are_the_engines(
    served: Deployment, asker: BlockingAsker, engine: Engine, job: Job, decoding: Decoding
) -> None:
    wanted = engine.predict(INPUTS, served.tensor(job), decoding).result(WAIT)
    stored = ask(asker, "ann", prompt="mine", decoding=decoding)
    brought = ask(asker, "bob", encode(served.tensor(job)), decoding=decoding)
    for answers in (stored, brought):
        assert [row["prediction"] for row in answers] == [row.prediction for row in wanted]
        scores = [row["score"] for row in answers]
        assert scores == pytest.approx([row.score for row in wanted], abs=1e-4)
    if decoding.labels:
        assert set(stored[0]["label_scores"]) == {"red", "blue"}


def test_an_ensemble_answers_as_its_members_do_together(
    served: Deployment, asker: BlockingAsker, job: Job
) -> None:
    names = ["mine"]
    for seed in (1, 2):
        served.wait(served.submit(f"mine-{seed}", seed=seed, steps=5 * seed))
        names.append(f"mine-{seed}")
    labels = Decoding(labels=("red", "blue", "green"))
    alone = [ask(asker, "ann", prompt=name, decoding=labels) for name in names]
    together = ask(asker, "ann", prompts=names, ensemble="mean", decoding=labels)
    for row, answer in enumerate(together):
        scores = {
            label: np.mean([member[row]["label_scores"][label] for member in alone])
            for label in labels.labels or ()
        }
        assert answer["label_scores"] == pytest.approx(scores, abs=1e-4)
        assert answer["prediction"] == max(scores, key=scores.__getitem__)
    voted = ask(asker, "ann", prompts=["mine", "mine", "mine-1"], decoding=Decoding(max_tokens=4))
    mine = ask(asker, "ann", prompt="mine", decoding=Decoding(max_tokens=4))
    assert [row["prediction"] for row in voted] == [row["prediction"] for row in mine]
    with pytest.raises(NotFound, match="ann/mine"):
        ask(asker, "bob", prompts=["ann/mine"])


def test_the_bare_model_answers_too(asker: BlockingAsker, engine: Engine) -> None:
    decoding = Decoding(max_tokens=4)
    wanted = engine.predict(INPUTS, None, decoding).result(WAIT)
    answers = ask(asker, "ann", decoding=decoding)
    assert [row["prediction"] for row in answers] == [row.prediction for row in wanted]


def test_gradients_are_the_engines(
    served: Deployment, asker: BlockingAsker, engine: Engine, job: Job
) -> None:
    wanted = engine.gradients(INPUTS, TARGETS, served.tensor(job)).result(WAIT)
    for header, tensors in (
        differentiate(asker, "ann", prompt=job.prompt),
        differentiate(asker, "bob", encode(served.tensor(job))),
    ):
        assert header["loss"] == pytest.approx(wanted.loss, abs=1e-5)
        assert header["tokens"] == wanted.tokens
        assert header["row_losses"] == pytest.approx(wanted.row_losses, abs=1e-5)
        assert header["predictions"] == wanted.predictions
        gradient, _ = decode(tensors or b"", tensor="gradient")
        assert np.allclose(gradient, wanted.gradient, atol=1e-6)
        assert np.abs(gradient).max() > 0


def test_encodings_are_the_engines(
    served: Deployment, asker: BlockingAsker, engine: Engine, job: Job
) -> None:
    def encode_rows(user: str, tensors: bytes | None = None, **fields: Any) -> np.ndarray:
        header = EncodeRequest(model=MODEL, inputs=INPUTS, **fields).model_dump(mode="json")
        told = asker.call(MODEL, "encode", header | {"user": user}, tensors, timeout=WAIT)
        assert told[0] == {"rows": 3}
        return decode(told[1] or b"", tensor="encodings")[0]

    bare = np.stack(engine.encodings(INPUTS).result(WAIT))
    assert np.allclose(encode_rows("ann"), bare, atol=1e-5)
    prompted = np.stack(engine.encodings(INPUTS, served.tensor(job)).result(WAIT))
    assert not np.allclose(prompted, bare, atol=1e-3)
    assert np.allclose(encode_rows("ann", prompt="mine"), prompted, atol=1e-5)
    assert np.allclose(encode_rows("bob", encode(served.tensor(job))), prompted, atol=1e-5)
    with pytest.raises(NotFound, match="ann/mine"):
        encode_rows("bob", prompt="ann/mine")


def test_many_users_are_answered_together(
    served: Deployment, asker: BlockingAsker, job: Job
) -> None:
    tensor = encode(served.tensor(job))
    alone = ask(asker, "ann", tensor, decoding=Decoding(max_tokens=4))
    with ThreadPoolExecutor(16) as pool:
        found = [
            pool.submit(ask, asker, f"user-{n}", tensor, decoding=Decoding(max_tokens=4))
            for n in range(32)
        ]
        answers = [future.result() for future in found]
    for answer in answers:
        assert [row["prediction"] for row in answer] == [row["prediction"] for row in alone]


@pytest.mark.parametrize(
    ("user", "fields", "width", "error", "text"),
    [
        ("bob", {"prompt": "ann/mine"}, None, NotFound, "ann/mine"),
        ("bob", {"prompt": "mine"}, None, NotFound, "mine"),
        ("ann", {"prompt": "mine"}, 32, InvalidInput, "one of the two"),
        ("ann", {}, 31, InvalidInput, "width 31"),
        ("", {}, None, InvalidInput, "who asks"),
    ],
)
def test_what_is_wrong_is_told(
    asker: BlockingAsker,
    job: Job,
    user: str,
    fields: dict[str, Any],
    width: int | None,
    error: type[PtsysError],
    text: str,
) -> None:
    tensors = None if width is None else encode(np.zeros((4, width), np.float32))
    with pytest.raises(error, match=text):
        ask(asker, user, tensors, **fields)


def test_a_private_prompt_hides_by_its_id_too_until_it_is_shared(
    served: Deployment, asker: BlockingAsker, job: Job
) -> None:
    with pytest.raises(NotFound):
        differentiate(asker, "eve", prompt=job.prompt)
    served.service.prompts.update("mine", "ann", visibility="shared", shared_with=["eve"])
    differentiate(asker, "eve", prompt=job.prompt)
    served.service.prompts.update("mine", "ann", visibility="private")
    with pytest.raises(NotFound):  # although its tensor is in the worker's memory
        differentiate(asker, "eve", prompt=job.prompt)


def test_a_prompt_of_other_weights_is_refused(
    served: Deployment, asker: BlockingAsker, job: Job
) -> None:
    mine = served.service.prompts.read(job.prompt or "")
    changes = {"id": "pr-other", "name": "other", "model_fingerprint": "0" * 16}
    served.service.prompts.add(mine.model_copy(update=changes))
    with pytest.raises(InvalidInput, match="fingerprint") as caught:
        ask(asker, "ann", prompt="other")
    assert caught.value.field == "prompt"


def test_malformed_requests_are_refused_and_harm_nobody(
    asker: BlockingAsker, served: Deployment
) -> None:
    good = PredictRequest(model=MODEL, inputs=INPUTS).model_dump(mode="json") | {"user": "ann"}
    for header, tensors, field in (
        (good | {"inputs": 3}, None, "inputs"),
        (good | {"surprise": 1}, None, "surprise"),
        (good | {"model": "other"}, None, "model"),
        (good | {"inputs": []}, None, "inputs"),
        (good, b"no safetensors", "prompt"),
    ):
        with pytest.raises(InvalidInput) as caught:
            asker.call(MODEL, "predict", header, tensors, timeout=WAIT)
        assert caught.value.field == field
    with pytest.raises(InvalidInput, match="need a prompt"):
        differentiate(asker, "ann")
    request = GradientsRequest(model=MODEL, inputs=("a",), targets=("window " * 20,))
    header = request.model_dump(mode="json") | {"user": "ann"}
    tensor = encode(np.ones((4, tiny_model.D_MODEL), np.float32))
    with pytest.raises(InvalidInput, match="row 1"):
        asker.call(MODEL, "gradients", header, tensor, timeout=WAIT)
    assert "window window" not in served.workers[0].said


def test_messages_are_plain_data_and_a_pickle_is_refused(deploy: Any, served: Deployment) -> None:
    quiet = deploy()
    job = quiet.submit("waiting", steps=5)  # no worker takes its message
    quiet.service.queue().send_serve(MODEL)
    with quiet.redis.address.client() as client:
        waiting = quiet.redis.address.keys.celery + device_queue(MODEL)
        messages = [json.loads(text) for text in client.lrange(waiting, 0, -1)]
    assert {message["content-type"] for message in messages} == {"application/json"}
    bodies = [json.loads(base64.b64decode(message["body"])) for message in messages]
    assert sorted(body[0] for body in bodies) == [[job.id], [MODEL]]
    _send_pickle(served)
    until(lambda: "ContentDisallowed" in served.workers[0].said, WAIT)
    assert not (served.root / "unpickled").exists()
    served.wait(served.submit(f"after-{uuid.uuid4().hex[:6]}", steps=5))
    assert served.workers[0].process.poll() is None


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


def _send_pickle(deployment: Deployment) -> None:
    from celery import Celery

    app = Celery("stranger", set_as_current=False)
    address = deployment.redis.address
    app.conf.update(
        broker_url=address.celery_url,
        broker_transport_options={"global_keyprefix": address.keys.celery},
        task_serializer="pickle",
    )
    bomb = Bomb(str(deployment.root / "unpickled"))
    assert pickle.dumps(bomb)
    for queue in (device_queue(MODEL), QUEUE_CPU):
        app.send_task("ptsys.look", args=[bomb], queue=queue, serializer="pickle")
    app.close()


def test_uses_of_stored_prompts_are_counted(served: Deployment, asker: BlockingAsker) -> None:
    """Of every member of an ensemble too; of a request that brings its tensor nobody's."""
    prompts, names = served.service.prompts, ("used", "used-too")
    members = [served.wait(served.submit(name, steps=2)).prompt for name in names]
    ask(asker, "ann", prompt="used")
    ask(asker, "ann", prompts=members)
    ask(asker, "ann", encode(np.zeros((4, tiny_model.D_MODEL), np.float32)))
    until(lambda: [prompts.get(name, "ann").uses for name in names] == [2, 1], 60)


def test_a_worker_tells_where_prompts_start(served: Deployment, job: Job) -> None:
    """So that a process without the model can search among what it made."""
    assert job.prompt is not None
    service = served.service
    prompt = service.prompts.get(job.prompt, "ann")
    start = read_start(served.root, prompt.model_fingerprint)
    assert start.shape == (1024, tiny_model.D_MODEL)
    found = service.library.search(start[-8:], "ann", fingerprint=prompt.model_fingerprint)
    assert prompt.id in [one.prompt.id for one in found]
