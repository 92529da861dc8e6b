import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ptsys.errors import (
    Conflict,
    InvalidInput,
    JobCancelled,
    JobFailed,
    NotFound,
    QuotaExceeded,
    Unavailable,
)
from ptsys.jobs.queue import Queue
from ptsys.jobs.redis_server import EmbeddedRedis
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.types.example import Example
from ptsys.types.records import Job, JobState, Prompt
from ptsys.types.training import Initialization, TrainingSpec


def test_a_job_is_recorded_and_announced(
    server: EmbeddedRedis, service: Service, queue: Queue, spec: TrainingSpec
) -> None:
    job = service.submit(spec, "ann")
    assert (job.state, job.owner, job.attempts) == (JobState.QUEUED, "ann", 0)
    assert job.spec.dataset == service.datasets.get("reviews", "ann").id
    assert service.get(job.id, "ann") == job
    assert [event.data for event in service.events(job.id, "ann")] == [{"state": "queued"}]
    assert queue.depth("tiny") == 1


def test_a_job_is_recorded_even_without_redis(service: Service, spec: TrainingSpec) -> None:
    job = service.submit(spec, "ann")
    assert service.get(job.id, "ann").state is JobState.QUEUED


def test_what_is_another_users_is_not_there(service: Service, spec: TrainingSpec) -> None:
    job = service.submit(spec, "ann")
    for act in (service.get, service.cancel, service.events, service.wait):
        with pytest.raises(NotFound):
            act(job.id, "bob")
    assert service.list("bob") == []
    dataset = service.datasets.get("reviews", "ann").id
    for reference in (dataset, "ann/reviews"):
        with pytest.raises(NotFound):
            service.submit(spec.model_copy(update={"dataset": reference}), "bob")
        with pytest.raises(NotFound):
            service.submit(spec.model_copy(update={"validation": reference}), "bob")


def test_a_public_dataset_can_be_trained_on(service: Service, spec: TrainingSpec) -> None:
    service.datasets.add("open", "ann", [Example("a", "b")], visibility="public")
    job = service.submit(spec.model_copy(update={"dataset": "ann/open"}), "bob")
    assert job.spec.dataset == service.datasets.get("open", "ann").id


def test_an_unknown_model_is_refused_at_the_door(service: Service, spec: TrainingSpec) -> None:
    with pytest.raises(NotFound, match="models import"):
        service.submit(spec.model_copy(update={"model": "huge"}), "ann")


def test_a_name_belongs_to_one_prompt_or_job(service: Service, spec: TrainingSpec) -> None:
    job = service.submit(spec, "ann")
    with pytest.raises(Conflict, match=f"jobs cancel {job.id}"):
        service.submit(spec, "ann")
    service.submit(spec, "bob")
    service.cancel(job.id, "ann")
    service.prompts.add(_prompt(service, "p"))
    with pytest.raises(Conflict, match="prompts delete p"):
        service.submit(spec, "ann")
    service.prompts.delete("p", "ann")
    service.submit(spec, "ann")


def test_of_16_submissions_of_one_name_one_is_made(service: Service, spec: TrainingSpec) -> None:
    def submit(_: int) -> Job | Conflict:
        try:
            return service.submit(spec, "ann")
        except Conflict as error:
            return error

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(submit, range(16)))
    assert sum(isinstance(outcome, Job) for outcome in outcomes) == 1
    assert len(service.list("ann")) == 1


def test_a_key_makes_one_job(service: Service, spec: TrainingSpec) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: service.submit(spec, "ann", idempotency_key="k"), range(8)))
    assert len({job.id for job in made}) == 1
    assert len(service.list("ann")) == 1
    with pytest.raises(Conflict, match="new key"):
        service.submit(spec.model_copy(update={"steps": 1}), "ann", idempotency_key="k")
    assert service.submit(spec, "bob", idempotency_key="k").id != made[0].id
    with pytest.raises(InvalidInput):
        service.submit(spec, "ann", idempotency_key="k" * 201)


def test_a_first_prompt_must_be_visible_and_of_the_same_model(
    service: Service, spec: TrainingSpec
) -> None:
    def starting_from(prompt: str) -> TrainingSpec:
        start = Initialization(kind="prompt", prompt=prompt)
        return spec.model_copy(update={"initialization": start})

    mine = service.prompts.add(_prompt(service, "first"))
    assert service.submit(starting_from("first"), "ann").spec.initialization.prompt == mine.id
    with pytest.raises(NotFound):
        service.submit(starting_from(mine.id), "bob")
    service.prompts.add(_prompt(service, "other", model="huge"))
    with pytest.raises(InvalidInput) as caught:
        service.submit(starting_from("other").model_copy(update={"name": "q"}), "ann")
    assert caught.value.field == "initialization.prompt"


def test_a_waiting_job_is_cancelled_at_once(service: Service, spec: TrainingSpec) -> None:
    job = service.submit(spec, "ann")
    cancelled = service.cancel(job.id, "ann")
    assert cancelled.state is JobState.CANCELLED
    assert service.cancel(job.id, "ann") == cancelled
    assert service.leases.claim(job.id, "w") is None
    with pytest.raises(JobCancelled):
        service.wait(job.id, "ann")


def test_a_running_job_is_cancelled_by_its_worker(service: Service, spec: TrainingSpec) -> None:
    claim = service.leases.claim(service.submit(spec, "ann").id, "w")
    assert claim is not None
    job = service.cancel(claim.job.id, "ann")
    assert (job.state, job.cancel_requested) == (JobState.RUNNING, True)
    assert service.leases.heartbeat(claim) is True
    assert service.leases.cancelled(claim).state is JobState.CANCELLED


@pytest.mark.parametrize("how", ["release", "retry"])
def test_a_job_to_be_cancelled_does_not_wait_again(
    service: Service, spec: TrainingSpec, how: str
) -> None:
    claim = service.leases.claim(service.submit(spec, "ann").id, "w")
    assert claim is not None
    service.cancel(claim.job.id, "ann")
    if how == "release":
        job = service.leases.release(claim, "draining")
    else:
        job = service.leases.fail(claim, "x", retry=True)
    assert job.state is JobState.CANCELLED


def test_an_ended_job_cannot_be_cancelled(service: Service, spec: TrainingSpec) -> None:
    claim = service.leases.claim(service.submit(spec, "ann").id, "w")
    assert claim is not None
    service.leases.fail(claim, "no such label", retry=False)
    with pytest.raises(Conflict, match="already failed"):
        service.cancel(claim.job.id, "ann")
    with pytest.raises(JobFailed, match="no such label"):
        service.wait(claim.job.id, "ann")


def test_a_dataset_in_use_stays(service: Service, spec: TrainingSpec) -> None:
    job = service.submit(spec, "ann")
    with pytest.raises(Conflict, match=job.id):
        service.datasets.delete("reviews", "ann")
    service.cancel(job.id, "ann")
    service.datasets.delete("reviews", "ann")


def test_watching_shows_every_event_once_and_ends(service: Service, spec: TrainingSpec) -> None:
    job = service.submit(spec, "ann")

    def work() -> None:
        watched.wait(30)
        claim = service.leases.claim(job.id, "w")
        assert claim is not None
        for step in range(1, 6):
            service.leases.progress(claim, step, {"loss": 1 / step})
            time.sleep(0.02)
        service.leases.checkpoint(claim, 5)
        service.leases.succeed(claim, _prompt(service, "p"), {"loss": 0.2})

    watched = threading.Event()
    worker = threading.Thread(target=work)
    worker.start()
    seen = []
    for event in service.watch(job.id, "ann", timeout=30):
        seen.append(event)
        watched.set()
    worker.join()
    kinds = ["state", "state", *["progress"] * 5, "checkpoint", "state"]
    assert [event.kind for event in seen] == kinds
    assert [event.sequence for event in seen] == list(range(1, len(kinds) + 1))
    assert service.wait(job.id, "ann").state is JobState.SUCCEEDED
    assert list(service.watch(job.id, "ann", after=8)) == seen[-1:]


def test_watching_reads_more_than_one_page(service: Service, spec: TrainingSpec) -> None:
    claim = service.leases.claim(service.submit(spec, "ann").id, "w")
    assert claim is not None
    for step in range(520):
        service.leases.progress(claim, step, {})
    service.leases.cancelled(claim)
    assert len(list(service.watch(claim.job.id, "ann"))) == 523


def test_waiting_ends_with_its_time(service: Service, spec: TrainingSpec) -> None:
    job = service.submit(spec, "ann")
    with pytest.raises(Unavailable, match="a worker runs"):
        service.wait(job.id, "ann", timeout=0.2)


def test_lists_come_newest_first_in_pages(service: Service, spec: TrainingSpec) -> None:
    ids = [
        service.submit(spec.model_copy(update={"name": f"p{number}"}), "ann").id
        for number in range(5)
    ]
    service.cancel(ids[2], "ann")
    first = service.list("ann", limit=3)
    second = service.list("ann", limit=3, before=first[-1].id)
    assert [job.id for job in first + second] == ids[::-1]
    assert [job.id for job in service.list("ann", state=JobState.CANCELLED)] == [ids[2]]


def test_importing_jobs_brings_no_accelerator_stack() -> None:
    program = (
        "import sys, ptsys.jobs.service, ptsys.jobs.reconciler, ptsys.jobs.requests\n"
        "heavy = {'jax', 'flax', 'optax', 'orbax', 'numpy', 'tensorflow', 'celery'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _prompt(service: Service, name: str, model: str = "tiny") -> Prompt:
    return Prompt(
        id=service.prompts.new_id(),
        name=name,
        owner="ann",
        model=model,
        model_fingerprint="f",
        length=16,
        d_model=64,
        created=utc_now(),
    )


def test_many_at_once_get_no_more_jobs_than_allowed(service: Service, spec: TrainingSpec) -> None:
    def submit(number: int) -> bool:
        mine = spec.model_copy(update={"name": f"p{number}"})
        try:
            service.submit(mine, "ann", most_unfinished=3)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(submit, range(24))) == 3
    assert len(service.list("ann")) == 3
