"""Whatever dies, a job ends with the prompt it would have ended with anyhow."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import tiny_model
from undisturbed import COMPANY, LONG, Undisturbed
from waiting import until
from worker_deployment import Deployment, alive

from ptsys.types.records import Job, JobState

pytestmark = [pytest.mark.device, pytest.mark.databases("postgres")]


def resumed_from(deployment: Deployment, job: Job) -> int:
    """The step of its one resumption."""
    [message] = [event.data["message"] for event in deployment.events(job, "log")]
    return int(message.removeprefix("resumed from step "))


@pytest.mark.databases("sqlite", "postgres")
def test_a_killed_worker_changes_no_bit(
    deploy: Callable[..., Deployment], undisturbed: Undisturbed
) -> None:
    deployment = deploy()
    worker = deployment.start_worker().ready()
    job = deployment.submit("long", **LONG)
    reached = deployment.past_checkpoint(job)
    worker.kill()
    saved = max(deployment.checkpoints(job))
    assert deployment.job(job).state is JobState.RUNNING  # nobody could say otherwise
    assert reached > LONG["checkpoint_every"]
    assert saved < LONG["steps"]

    deployment.start_worker()
    ended = deployment.wait(job)
    assert saved <= resumed_from(deployment, job) < LONG["steps"]
    [charged] = [e for e in deployment.events(job, "state") if e.data.get("attempts")]
    assert charged.data["attempts"] == 1
    assert ended.attempts == int(saved == max(deployment.checkpoints(job)))  # progress clears it
    assert np.array_equal(deployment.tensor(job), undisturbed.long)


def test_a_killed_worker_in_company_changes_next_to_nothing(
    deploy: Callable[..., Deployment], undisturbed: Undisturbed
) -> None:
    deployment = deploy()
    worker = deployment.start_worker().ready()
    jobs = {owner: deployment.submit("alone", owner, **spec) for owner, spec in COMPANY.items()}
    for job in jobs.values():
        deployment.past_checkpoint(job, number=1, beyond=1)
    worker.kill()
    assert all(deployment.job(job).state is JobState.RUNNING for job in jobs.values())
    deployment.start_worker()
    for owner, job in jobs.items():
        deployment.wait(job)
        assert resumed_from(deployment, job) > 0
        difference = np.abs(deployment.tensor(job) - undisturbed.company[owner]).max()
        assert difference < 1e-5, (owner, difference)


def test_a_drained_worker_loses_no_step(
    deploy: Callable[..., Deployment], undisturbed: Undisturbed
) -> None:
    deployment = deploy()
    worker = deployment.start_worker().ready()
    job = deployment.submit("long", **LONG)
    deployment.past_checkpoint(job)
    code, seconds = worker.terminate()
    assert (code, seconds < 15) == (0, True), worker.said
    left = deployment.job(job)
    assert (left.state, left.attempts, left.worker) == (JobState.QUEUED, 0, None)
    assert left.step == max(deployment.checkpoints(job))
    assert left.step == max(e.data["step"] for e in deployment.events(job, "progress"))

    deployment.start_worker()
    ended = deployment.wait(job)
    assert resumed_from(deployment, job) == left.step
    assert ended.attempts == 0
    assert np.array_equal(deployment.tensor(job), undisturbed.long)


def test_a_lost_redis_loses_no_job(
    deploy: Callable[..., Deployment], undisturbed: Undisturbed
) -> None:
    deployment = deploy(max_residents=1)
    worker = deployment.start_worker(max_residents=1).ready()
    running = deployment.submit("long", **LONG)
    waiting = deployment.submit("waiting", "bob", steps=20)
    deployment.past_checkpoint(running, number=1)
    assert deployment.job(waiting).state is JobState.QUEUED
    deployment.lose_redis()
    unheard = deployment.submit("unheard", "eve", steps=20)  # recorded although nothing answers
    time.sleep(1.0)
    deployment.redis.start()
    assert deployment.service.queue().depth(tiny_model.NAME) == 0  # it knows of nothing

    for job in (running, waiting, unheard):
        assert deployment.wait(job).attempts == 0
    assert worker.process.poll() is None
    assert not deployment.events(running, "log")  # it went on all the while
    assert np.allclose(deployment.tensor(running), undisturbed.long, atol=1e-5)


def test_a_worker_hears_again_after_redis_was_away(deploy: Callable[..., Deployment]) -> None:
    # it looks into the database so rarely that only a message can bring the job in time
    deployment = deploy(reconcile_seconds=120.0)
    deployment.start_worker().ready()
    time.sleep(0.5)
    deployment.lose_redis()
    time.sleep(1.0)
    deployment.redis.start()
    job = deployment.submit("heard", steps=5)
    deployment.wait(job, 100)


def test_a_redis_lost_with_all_its_messages_is_told_again(
    deploy: Callable[..., Deployment],
) -> None:
    deployment = deploy()
    job = deployment.submit("early", steps=5)  # no worker yet: the message waits in Redis
    assert deployment.service.queue().depth(tiny_model.NAME) == 1
    deployment.lose_redis()
    assert not alive(deployment.redis.pid)
    deployment.redis.start()
    helper = deployment.start_worker("--cpu-only").ready()  # reconciles, and serves no model
    until(lambda: deployment.service.queue().depth(tiny_model.NAME) == 1, 60)
    until(lambda: "sent=(" in helper.said, 10)  # it writes after it has sent
    assert f"sent=('{job.id}',)" in helper.said
    assert deployment.job(job).state is JobState.QUEUED
    deployment.start_worker()
    deployment.wait(job)


def test_a_job_that_gave_its_place_to_another_user_ends_with_the_same_bits(
    deploy: Callable[..., Deployment], undisturbed: Undisturbed
) -> None:
    deployment = deploy(max_residents=1, turn_seconds=0.05)
    deployment.start_worker().ready()
    long = deployment.submit("long", **LONG)
    deployment.past_checkpoint(long, number=1)
    short = deployment.submit("short", "bob", steps=5)
    assert deployment.wait(short).attempts == 0
    left = deployment.job(long)
    assert not left.state.final  # bob did not have to wait for its end
    reasons = [event.data.get("reason", "") for event in deployment.events(long, "state")]
    assert any("another user has a turn" in reason for reason in reasons)
    ended = deployment.wait(long)
    assert 0 < resumed_from(deployment, long) < LONG["steps"]
    assert ended.attempts == 0
    assert np.array_equal(deployment.tensor(long), undisturbed.long)
