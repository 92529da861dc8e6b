"""Any order of acts of users, workers, clocks and the reconciler leaves the books of jobs right.

The machine acts on the real store, leases and reconciler, with a clock that it moves, and keeps a
small book of its own: who holds what, what has ended, what was acknowledged. Workers that are
killed come back as ghosts, who try to write what they meant to.
"""

import dataclasses
import datetime
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from postgres_server import fresh_database
from sqlalchemy import select

from ptsys.config import Settings
from ptsys.errors import Conflict, LeaseLost, QuotaExceeded
from ptsys.jobs.leases import Claim
from ptsys.jobs.reconciler import reconcile
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.store.tables import EventRow, JobRow, PromptRow
from ptsys.types.example import Example
from ptsys.types.records import Job, JobState, Model, Prompt
from ptsys.types.training import TrainingSpec

WORKERS = ("w1", "w2")
USERS = ("ann", "bob")
MOST = 3  # unfinished jobs a user may have
_numbers = itertools.count()


@dataclasses.dataclass
class Known:
    """What the machine knows of one job."""

    id: str
    owner: str
    key: str
    spec: TrainingSpec
    fence: int = 0
    saved: int = 0
    final: JobState | None = None
    cancelled: bool = False
    prompt: str | None = None
    prompt_deleted: bool = False


class Life(RuleBasedStateMachine):
    """Users of its own on a deployment that all machines of a test share."""

    service: Service
    move: Callable[[float], None]

    jobs = Bundle("jobs")
    claims = Bundle("claims")
    ghosts = Bundle("ghosts")

    def __init__(self) -> None:
        super().__init__()
        self.number = next(_numbers)
        self.model = f"m{self.number}"
        self.known: dict[str, Known] = {}
        self.secrets: dict[str, str] = {}
        self.service.models.add(
            Model(
                name=self.model,
                fingerprint="f",
                source="s",
                parameters=1,
                d_model=8,
                vocab_size=8,
            )
        )
        for user in USERS:
            self._new_key(self._name(user))
            self._new_rows(self._name(user))

    # ---- users --------------------------------------------------------------------------------

    @rule(target=jobs, user=st.sampled_from(USERS), rows=st.sampled_from(USERS))
    def submit(self, user: str, rows: str) -> str:
        """Of the own rows, or of another's public ones."""
        owner = self._name(user)
        name = f"p{next(_numbers)}"
        spec = TrainingSpec(name=name, model=self.model, dataset=f"{self._name(rows)}/rows")
        key = f"key-{name}"
        unfinished = sum(
            job.final is None and job.owner == owner for job in self._looked_at().values()
        )
        try:
            job = self.service.submit(
                spec,
                owner,
                idempotency_key=key,
                most_unfinished=MOST,
                api_key=self.secrets[owner],
            )
        except QuotaExceeded:
            assert unfinished >= MOST
            return multiple()  # type: ignore[no-any-return]
        assert unfinished < MOST
        self.known[job.id] = Known(job.id, owner, key, spec)
        return job.id

    @rule(job=jobs)
    def submit_again(self, job: str) -> None:
        """The answer was lost on its way."""
        known = self.known[job]
        again = self.service.submit(known.spec, known.owner, idempotency_key=known.key)
        assert again.id == job

    @rule(job=jobs)
    def cancel(self, job: str) -> None:
        known = self.known[job]
        try:
            self.service.cancel(job, known.owner)
        except Conflict:
            assert self._row(job).state in (JobState.SUCCEEDED, JobState.FAILED)
            return
        known.cancelled = True

    @rule(user=st.sampled_from(USERS))
    def delete_rows(self, user: str) -> None:
        """Others' jobs on them end; the own ones stand in the way."""
        owner = self._name(user)
        try:
            gone = self.service.datasets.delete("rows", owner)
        except Conflict:
            return
        for job in self.known.values():
            if gone.id == self._row(job.id).spec["dataset"] and job.final is None:
                job.cancelled = True
        self.service.settle()
        self._new_rows(owner)

    @rule(user=st.sampled_from(USERS))
    def revoke(self, user: str) -> None:
        owner = self._name(user)
        self.service.keys.revoke(self.secrets[owner])
        for job in self._looked_at().values():
            if job.owner == owner and job.final is None:
                job.cancelled = True
        self.service.settle()
        self._new_key(owner)

    @rule(job=jobs)
    def delete_prompt(self, job: str) -> None:
        known = self.known[job]
        if known.prompt is None or known.prompt_deleted:
            return
        self.service.prompts.delete(known.prompt, known.owner)
        known.prompt_deleted = True

    # ---- workers ------------------------------------------------------------------------------

    @rule(target=claims, worker=st.sampled_from(WORKERS), empty=st.booleans())
    def claim_next(self, worker: str, empty: bool) -> Claim:
        return self._claimed(self.service.leases.claim_next(worker, [self.model], empty=empty))

    @rule(target=claims, job=jobs, worker=st.sampled_from(WORKERS))
    def claim(self, job: str, worker: str) -> Claim:
        """By a message, perhaps an old one."""
        return self._claimed(self.service.leases.claim(job, worker))

    @rule(target=ghosts, claim=consumes(claims))
    def kill(self, claim: Claim) -> Claim:
        return claim

    @rule(target=claims, claim=claims)
    def fall_silent_and_take_it_again(self, claim: Claim) -> Claim:
        """Under the same name: only the fence tells the two holds apart."""
        type(self).move(30)
        reconcile(self.service)
        return self._claimed(self.service.leases.claim(claim.job.id, claim.worker))

    @rule(claim=claims | ghosts)
    def heartbeat(self, claim: Claim) -> None:
        asked = self._written(claim, lambda: self.service.leases.heartbeat(claim))
        if asked is not None:
            assert asked == self.known[claim.job.id].cancelled

    @rule(claim=claims | ghosts, steps=st.integers(1, 30))
    def checkpoint(self, claim: Claim, steps: int) -> None:
        known = self.known[claim.job.id]
        step = known.saved + steps
        if self._written(claim, lambda: self.service.leases.progress(claim, step, {})) is None:
            return
        self.service.leases.checkpoint(claim, step)
        known.saved = step
        assert self._row(claim.job.id).attempts == 0

    @rule(claim=claims | ghosts)
    def give_back(self, claim: Claim) -> None:
        job = self._written(claim, lambda: self.service.leases.release(claim, "draining"))
        if job is not None:
            self._ends(job, JobState.QUEUED)

    @rule(claim=claims | ghosts)
    def succeed(self, claim: Claim) -> None:
        known = self.known[claim.job.id]
        prompt = Prompt(
            id=self.service.prompts.new_id(),
            name=known.spec.name,
            owner=known.owner,
            model=self.model,
            model_fingerprint="f",
            length=4,
            d_model=8,
            created=utc_now(),
            job=known.id,
        )
        job = self._written(claim, lambda: self.service.leases.succeed(claim, prompt, {}))
        if job is not None:
            self._ends(job, JobState.SUCCEEDED)
            known.prompt = job.prompt

    @rule(claim=claims | ghosts, retry=st.booleans())
    def fail(self, claim: Claim, retry: bool) -> None:
        job = self._written(claim, lambda: self.service.leases.fail(claim, "why", retry=retry))
        if job is not None:
            last = job.attempts >= self.service.settings.max_attempts
            self._ends(job, JobState.QUEUED if retry and not last else JobState.FAILED)

    # ---- time ---------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 8.0, 16.0, 400.0, -3.0, -60.0]))
    def pass_time(self, seconds: float) -> None:
        type(self).move(seconds)

    @rule()
    def reconcile(self) -> None:
        report = reconcile(self.service)
        for job in report.cancelled:
            assert job not in self.known or self.known[job].cancelled

    # ---- what always holds --------------------------------------------------------------------

    @invariant()
    def books(self) -> None:
        rows = self._rows()
        assert set(rows) == set(self.known)
        with self.service.database.reading() as session:
            events: dict[str, list[EventRow]] = {job: [] for job in rows}
            query = select(EventRow).where(EventRow.job.in_(rows))
            for event in session.scalars(query.order_by(EventRow.sequence)):
                events[event.job].append(event)
            made = {row.job: row.id for row in session.scalars(self._prompts())}
        for job, known in self.known.items():
            row = rows[job]
            state = JobState(row.state)
            if known.final is not None:
                assert state is known.final
            elif state.final:
                known.final = state
            assert row.fence >= known.fence
            assert (row.worker is not None) == (state is JobState.RUNNING)
            assert (row.finished is not None) == state.final
            assert (row.active_name is None) == state.final
            assert row.attempts <= self.service.settings.max_attempts
            assert (row.prompt is not None) == (state is JobState.SUCCEEDED)
            there = state is JobState.SUCCEEDED and not known.prompt_deleted
            assert made.get(job) == (row.prompt if there else None)
            assert not (known.cancelled and state in (JobState.SUCCEEDED, JobState.FAILED))
            numbers = [event.sequence for event in events[job]]
            assert numbers == list(range(1, row.sequence + 1))
            states = [event.data["state"] for event in events[job] if event.kind == "state"]
            assert states[-1] == state
            assert sum(JobState(one).final for one in states) == state.final
            assert not state.final or events[job][-1].kind == "state"

    def teardown(self) -> None:
        """Nothing unfinished is left to others."""
        for job, known in self._looked_at().items():
            if known.final is None:
                self.service.cancel(job, known.owner)
        for _ in range(3):
            type(self).move(60)
            reconcile(self.service)
        assert all(JobState(row.state).final for row in self._rows().values())

    # ---- how it is done -----------------------------------------------------------------------

    def _written(self, claim: Claim, write: Callable[[], object]) -> object:
        """What the write gave; None if it was refused. Only who holds the job may write."""
        row = self._row(claim.job.id)
        holds = (row.state, row.worker, row.fence) == ("running", claim.worker, claim.fence)
        try:
            result = write()
        except LeaseLost:
            assert not holds
            return None
        assert holds
        return True if result is None else result

    def _ends(self, job: object, wanted: JobState) -> None:
        """The state it is in now: cancelled, if somebody asked for that."""
        assert isinstance(job, Job)
        cancelled = self.known[job.id].cancelled
        assert job.state is (JobState.CANCELLED if cancelled else wanted)

    def _claimed(self, claim: Claim | None) -> Claim:
        if claim is None:
            return multiple()  # type: ignore[no-any-return]
        known = self.known[claim.job.id]
        assert claim.fence > known.fence
        assert known.final is None
        assert not known.cancelled
        known.fence = claim.fence
        return claim

    def _name(self, user: str) -> str:
        return f"{user}{self.number}"

    def _new_key(self, owner: str) -> None:
        self.secrets[owner] = self.service.keys.create(owner)[0].id

    def _new_rows(self, owner: str) -> None:
        rows = [Example("good", "yes")]
        self.service.datasets.add("rows", owner, rows, visibility="public")

    def _row(self, job: str) -> JobRow:
        return self._rows()[job]

    def _rows(self) -> dict[str, JobRow]:
        with self.service.database.reading() as session:
            query = select(JobRow).where(JobRow.model == self.model)
            return {row.id: row for row in session.scalars(query)}

    def _looked_at(self) -> dict[str, Known]:
        """All that is known, with what ended since."""
        for job, row in self._rows().items():
            if JobState(row.state).final:
                self.known[job].final = JobState(row.state)
        return self.known

    def _prompts(self) -> object:
        return select(PromptRow).where(PromptRow.model == self.model)


@pytest.fixture(params=["sqlite", "postgres"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Service, int]]:
    """A service on a clock that machines move, and how many of them are worth their time."""
    ahead = datetime.timedelta()

    def move(seconds: float) -> None:
        nonlocal ahead
        ahead += datetime.timedelta(seconds=seconds)

    def serve(url: str | None) -> Service:
        given = Settings(data_dir=tmp_path, database_url=url, redis_url=None, max_attempts=4)
        return Service(given, clock=lambda: utc_now() + ahead)

    Life.move = staticmethod(move)  # type: ignore[assignment]
    if request.param == "sqlite":
        service = serve(None)
        yield service, 40
        service.close()
        return
    with fresh_database(request.getfixturevalue("postgres_server")) as url:
        service = serve(url)
        yield service, 6
        service.close()


def test_any_order_of_acts_keeps_every_book_right(deployment: tuple[Service, int]) -> None:
    service, machines = deployment
    Life.service = service
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Life,
        settings=settings(
            max_examples=machines,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # fifty acts tell enough, and take minutes to shrink
            suppress_health_check=list(HealthCheck),
        ),
    )
