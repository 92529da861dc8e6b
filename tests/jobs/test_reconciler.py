import contextlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from kombu import Connection
from waiting import until

from ptsys.config import Settings
from ptsys.jobs.queue import Queue, device_queue
from ptsys.jobs.reconciler import Report, reconcile, run_reconciler
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_server import EmbeddedRedis
from ptsys.jobs.service import Service
from ptsys.types.records import JobState
from ptsys.types.training import TrainingSpec


class Movable(Protocol):
    def move(self, seconds: float) -> None: ...


def _received(address: RedisAddress, model: str = "tiny") -> list[str]:
    """The ids in all messages that wait for this model, taken off the queue as a worker would."""
    ids: list[str] = []
    options = {"global_keyprefix": address.keys.celery}
    with Connection(address.celery_url, transport_options=options) as connection:
        waiting = connection.SimpleQueue(device_queue(model))
        with contextlib.suppress(waiting.Empty):
            while True:
                message = waiting.get(block=False)
                assert message.headers["task"] == "ptsys.look"
                ids.append(message.payload[0][0])
                message.ack()
        waiting.close()
    return ids


def test_a_redis_that_lost_everything_is_told_again(
    server: EmbeddedRedis, service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    job = service.submit(spec, "ann")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: server.pid is None or not _alive(server.pid), 20)
    second = service.submit(spec, "bob")  # while it is away
    assert reconcile(service).unreachable is not None
    address = server.start()
    assert _received(address) == []
    assert reconcile(service).sent == (second.id,)  # never sent: at once
    clock.move(16)
    assert reconcile(service).sent == (job.id,)  # perhaps lost: after a while
    assert _received(address) == [second.id, job.id]


def test_messages_do_not_pile_up_without_a_worker(
    server: EmbeddedRedis, service: Service, queue: Queue, spec: TrainingSpec, clock: Movable
) -> None:
    for owner in ("ann", "bob"):
        service.submit(spec, owner)
    for _ in range(5):
        clock.move(3600)
        assert reconcile(service).sent == ()
    assert queue.depth("tiny") == 2


def test_a_message_that_was_read_for_nothing_is_sent_again(
    server: EmbeddedRedis, service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    job = service.submit(spec, "ann")
    assert _received(server.address) == [job.id]
    assert reconcile(service).sent == ()
    clock.move(16)
    assert reconcile(service).sent == (job.id,)


def test_of_a_long_queue_a_few_are_announced_and_all_in_time(
    server: EmbeddedRedis, service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    """A message only wakes a worker: one for each of thousands would be work for nothing."""
    jobs = [
        service.submit(spec.model_copy(update={"name": f"p{number}"}), "ann").id
        for number in range(40)
    ]
    assert len(_received(server.address)) == 40
    clock.move(16)
    first = reconcile(service).sent
    assert list(first) == jobs[: len(first)]
    assert 0 < len(first) <= 32
    assert reconcile(service).sent == ()  # those are still to be read
    assert len(_received(server.address)) == len(first)
    assert set(reconcile(service).sent) == set(jobs) - set(first)


def test_a_silent_workers_job_waits_again_and_is_announced(
    server: EmbeddedRedis, service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    job = service.submit(spec, "ann")
    assert _received(server.address) == [job.id]
    claim = service.leases.claim(job.id, "w1")
    assert claim is not None
    service.leases.progress(claim, 40, {})
    assert reconcile(service) == Report()
    clock.move(16)
    assert reconcile(service) == Report(sent=(job.id,), requeued=(job.id,))
    after = service.get(job.id, "ann")
    assert (after.state, after.attempts, after.step) == (JobState.QUEUED, 1, 40)
    assert "w1 fell silent at step 40" in service.events(job.id, "ann")[-1].data["reason"]
    assert reconcile(service) == Report()
    assert _received(server.address) == [job.id]


def test_a_job_whose_workers_keep_dying_fails(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    job = service.submit(spec, "ann")
    failed: tuple[str, ...] = ()
    for worker in ("w1", "w2", "w3"):
        assert failed == ()
        assert service.leases.claim(job.id, worker) is not None
        clock.move(16)
        failed = reconcile(service).failed
    assert failed == (job.id,)
    assert service.leases.claim(job.id, "w4") is None
    ended = service.get(job.id, "ann")
    assert (ended.state, ended.attempts) == (JobState.FAILED, 3)
    assert "w3 fell silent" in (ended.error or "")
    assert reconcile(service).failed == ()


def test_a_cancelled_job_whose_worker_died_ends(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    job = service.submit(spec, "ann")
    assert service.leases.claim(job.id, "w1") is not None
    service.cancel(job.id, "ann")
    clock.move(16)
    assert service.leases.claim(job.id, "w2") is None
    assert reconcile(service).cancelled == (job.id,)
    assert service.get(job.id, "ann").state is JobState.CANCELLED


def test_several_reconcilers_do_each_thing_once(
    server: EmbeddedRedis, settings: Settings, service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    ids = set()
    for number in range(6):
        job = service.submit(spec.model_copy(update={"name": f"p{number}"}), "ann")
        ids.add(job.id)
        assert service.leases.claim(job.id, "w1") is not None
    assert set(_received(server.address)) == ids
    clock.move(16)
    others = [Service(settings, clock=service.clock) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(reconcile, others))
    for other in others:
        other.close()
    requeued = [job for report in reports for job in report.requeued]
    sent = [job for report in reports for job in report.sent]
    reconcile(service)
    assert sorted(requeued) == sorted(ids)
    assert len(sent) == len(set(sent))
    assert sorted(_received(server.address)) == sorted(ids)
    assert {service.get(job, "ann").attempts for job in ids} == {1}


def test_the_loop_goes_on_until_told_to_stop(service: Service, spec: TrainingSpec) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=run_reconciler, args=(service, stop))
    thread.start()
    time.sleep(0.2)
    stop.set()
    thread.join(timeout=10)
    assert not thread.is_alive()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
