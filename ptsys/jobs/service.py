"""The service as its faces see it: submit, look, wait and cancel."""

from __future__ import annotations

import contextlib
import datetime
import functools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ptsys.config import Settings
from ptsys.errors import (
    Conflict,
    InvalidInput,
    JobCancelled,
    JobFailed,
    NotFound,
    QuotaExceeded,
    Unavailable,
)
from ptsys.jobs.leases import Leases, finish
from ptsys.jobs.queue import Queue
from ptsys.jobs.records import event_value, job_value, record_event
from ptsys.jobs.redis_server import locate
from ptsys.jobs.request_hash import known_hashes, request_hash
from ptsys.kinds.registry import META, read_as_it_is, writes_prompts
from ptsys.kinds.starting import arrays_of, refuse_first, refuse_shared, refuse_teacher
from ptsys.store.clock import Clock, utc_now
from ptsys.store.database import Database, changed
from ptsys.store.datasets import Datasets
from ptsys.store.deployment import bind
from ptsys.store.ending import UNFINISHED, end_jobs
from ptsys.store.identifiers import new_id
from ptsys.store.keys import ApiKeys
from ptsys.store.model_folders import has_meta_prompt, model_folder
from ptsys.store.models import BUILTIN, Models
from ptsys.store.prompts import Prompts, refuse_taken_names
from ptsys.store.quota import lock_user, refuse_more
from ptsys.store.storage import Storage
from ptsys.store.tables import EventRow, IdempotencyRow, JobRow, JobSourceRow
from ptsys.types.augmentation import AugmentSpec, too_few_rows
from ptsys.types.meta_training import SHARED, MetaSpec, MetaTask
from ptsys.types.multitask import MultiTaskSpec, TaskSpec
from ptsys.types.records import Event, Job, JobState, Prompt
from ptsys.types.requests import GENERIC
from ptsys.types.specs import AnySpec, LearningSpec, datasets_of, prompt_names, prompts_of
from ptsys.types.storage import NOTHING, Quota, Usage
from ptsys.types.training import Initialization, TrainingSpec
from ptsys.types.writing import WriteSpec

if TYPE_CHECKING:
    from ptsys.library.library import Library

_LONGEST_KEY = 200
_FIRST_POLL, _LAST_POLL = 0.05, 0.5  # seconds between two looks at the database
_PAGE = 500
_JOB_SECONDS = 30.0  # when to ask again whether one of too many jobs has ended


class Service:
    """Jobs, and the stores they use, for one deployment.

    `owner` and `user` say who asks: whatever is not theirs to see is NotFound. An owner of None is
    whoever keeps the service: all jobs are theirs to see and to cancel.
    """

    def __init__(
        self, settings: Settings, *, queue: Queue | None = None, clock: Clock = utc_now
    ) -> None:
        """Open the stores and bring the tables up to date.

        Without a queue, Redis is looked for whenever a message is to be sent. Raises Unavailable
        if the database does not answer, WrongDeployment if it and the folder do not belong
        together.
        """
        self.settings = settings
        self.clock = clock
        self.database = Database(settings.sqlalchemy_url)
        self.database.migrate()
        self.deployment = bind(self.database, settings.root, clock)
        self.datasets = Datasets(self.database, settings.root, clock)
        self.prompts = Prompts(self.database, settings.root)
        self.storage = Storage(self.database, self.datasets)
        self.keys = ApiKeys(self.database, clock)
        self.models = Models(self.database, settings.root, clock)
        self.leases = Leases(self.database, settings, clock)
        self._given_queue = queue
        self._found_queue: Queue | None = None

    @functools.cached_property
    def library(self) -> Library:
        """Search over the stored prompts. Few processes want it, and it brings numpy."""
        from ptsys.library.library import Library

        return Library(self.database, self.prompts, self.settings.root)

    def submit(
        self,
        spec: AnySpec,
        owner: str,
        *,
        idempotency_key: str | None = None,
        most_unfinished: int | None = None,
        api_key: str | None = None,
        quota: Quota | None = None,
        promised: Usage = NOTHING,
    ) -> Job:
        """Record a training job of any kind and announce it.

        If the queue does not answer, the job is recorded all the same, and announced by the
        reconciler later. The same key with the same spec returns the job it made before.

        Raises NotFound for a dataset, model or first prompt that is not there for this owner,
        InvalidInput for a first prompt of another model, Conflict if the name is taken or the key
        was used for another spec, QuotaExceeded if the owner has `most_unfinished` jobs already.
        Where the `api_key` of that id is revoked, the job ends. What it will store is `promised`:
        StorageUsedUp or TooLarge where that does not fit into the owner's `quota`.
        """
        known = self.submitted(spec, owner, idempotency_key)
        if known is not None:
            return known
        if isinstance(spec, TrainingSpec):
            read_as_it_is(spec.prompt_kind)
        resolved = self._resolved(spec, owner)
        try:
            with self.database.session() as session:
                if most_unfinished is not None:
                    lock_user(session, owner)
                    _refuse_more(session, owner, most_unfinished)
                if quota is not None:
                    refuse_more(session, owner, quota, promised)
                job = self._insert(
                    session, resolved, owner, idempotency_key, request_hash(spec), api_key, promised
                )
        except (IntegrityError, Conflict) as error:
            known = self.submitted(spec, owner, idempotency_key)  # at the same moment?
            if known is not None:
                return known
            if isinstance(error, Conflict):
                raise
            raise Conflict(f"a job for a prompt {spec.name!r} was just submitted") from None
        with contextlib.suppress(Unavailable):
            self.announce(job.id, spec.model)
        return job

    def get(self, job: str, owner: str | None) -> Job:
        """The owner's job. Raises NotFound."""
        with self.database.reading() as session:
            return job_value(_owned(session, job, owner))

    def unfinished(self, name: str, owner: str) -> Job | None:
        """The owner's job of that name which has not ended, if there is one."""
        query = select(JobRow).where(JobRow.owner == owner, JobRow.active_name == name)
        with self.database.reading() as session:
            row = session.scalar(query)
            return None if row is None else job_value(row)

    def cancel(self, job: str, owner: str | None, *, reason: str | None = None) -> Job:
        """Cancel the owner's job: at once if it waits, after the step under way if it runs (at its
        worker's next heartbeat, if Redis is away). A `reason` becomes its error: for an owner who
        did not ask for it.

        Cancelling twice is no error. Raises NotFound, or Conflict if it ended otherwise.
        """
        now = self.clock()
        with self.database.session() as session:
            _owned(session, job, owner)
            end_jobs(session, JobRow.id == job, reason)
            row = session.get_one(JobRow, job, populate_existing=True)
            if row.state in (JobState.SUCCEEDED, JobState.FAILED):
                raise Conflict(f"job {job} already {row.state}")
            if row.state == JobState.QUEUED:
                finish(session, row, JobState.CANCELLED, now)
            cancelled = job_value(row)
        if cancelled.state == JobState.RUNNING:
            with contextlib.suppress(Unavailable):
                self.queue().send_cancelled(cancelled.spec.model)
        return cancelled

    def count_unfinished(self, owner: str) -> int:
        """How many jobs of the owner have not ended."""
        with self.database.reading() as session:
            return _unfinished(session, owner)

    def settle(self) -> None:
        """Bring jobs to an end that somebody asked to end: those that wait, at once; of the others
        their workers are told. To be called after a deletion, a change of who may see something, or
        a revocation: what is not done here, the reconciler and the workers do a little later."""
        now = self.clock()
        asked = JobRow.cancel_requested.is_(True)
        with self.database.session() as session:
            waiting = select(JobRow).where(JobRow.state == JobState.QUEUED, asked)
            for row in session.scalars(waiting.with_for_update(skip_locked=True)):
                finish(session, row, JobState.CANCELLED, now)
            running = select(JobRow.model).where(JobRow.state == JobState.RUNNING, asked).distinct()
            models = list(session.scalars(running))
        with contextlib.suppress(Unavailable):
            for model in models:
                self.queue().send_cancelled(model)

    def events(
        self, job: str, owner: str | None, *, after: int = 0, limit: int = _PAGE
    ) -> list[Event]:
        """The events numbered above `after`, in order. Raises NotFound."""
        with self.database.reading() as session:
            _owned(session, job, owner)
            rows = session.scalars(
                select(EventRow)
                .where(EventRow.job == job, EventRow.sequence > after)
                .order_by(EventRow.sequence)
                .limit(limit)
            )
            return [event_value(row) for row in rows]

    def list(
        self,
        owner: str | None,
        *,
        state: JobState | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Job]:
        """The owner's jobs, newest first; `before` is the last id of the page before."""
        query = select(JobRow)
        if owner is not None:
            query = query.where(JobRow.owner == owner)
        if state is not None:
            query = query.where(JobRow.state == state)
        if before is not None:
            query = query.where(JobRow.id < before)
        with self.database.reading() as session:
            rows = session.scalars(query.order_by(JobRow.id.desc()).limit(limit))
            return [job_value(row) for row in rows]

    def watch(
        self, job: str, owner: str, *, after: int = 0, timeout: float | None = None
    ) -> Iterator[Event]:
        """The events as they come, until the job's last. `timeout` counts seconds in all.

        Raises NotFound, or Unavailable when the time is over.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_POLL
        while True:
            final = self.get(job, owner).state.final  # first: no event follows the final one
            page = self.events(job, owner, after=after)
            for event in page:
                yield event
                after = event.sequence
            if final and len(page) < _PAGE:
                return
            if page:
                pause = _FIRST_POLL
                continue
            if deadline is not None and time.monotonic() >= deadline:
                raise Unavailable(
                    f"job {job} has not ended within {timeout:g} s; it goes on: "
                    f"`ptsys jobs watch {job}`. If it never starts, check that a worker runs"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, _LAST_POLL)

    def wait(self, job: str, owner: str, *, timeout: float | None = None) -> Job:
        """The job once it succeeded.

        Raises JobFailed or JobCancelled if it ended so, NotFound, or Unavailable when the time
        (seconds) is over.
        """
        for _ in self.watch(job, owner, timeout=timeout):
            pass
        ended = self.get(job, owner)
        if ended.state is JobState.FAILED:
            raise JobFailed(ended.error or "the job failed without a reason")
        if ended.state is JobState.CANCELLED:
            why = f": {ended.error}" if ended.error else ""
            raise JobCancelled(f"job {job} was cancelled{why}")
        return ended

    def queue(self) -> Queue:
        """The queue to workers. Raises Unavailable if no Redis is there."""
        if self._given_queue is not None:
            return self._given_queue
        address = locate(self.settings)
        if self._found_queue is None or self._found_queue.address != address:
            self._found_queue = Queue(address)
        return self._found_queue

    def announce(self, job: str, model: str) -> None:
        """Tell the workers that this job waits. Raises Unavailable; the reconciler then repeats
        it as soon as the queue answers."""
        try:
            self.queue().send_look(job, model)
        except Unavailable:
            with self.database.session() as session:
                changed(session, update(JobRow).where(JobRow.id == job).values(sent=None))
            raise

    def forget_keys(self, older_than: datetime.datetime) -> int:
        """Delete idempotency keys made before that moment; says how many."""
        with self.database.session() as session:
            return changed(
                session, delete(IdempotencyRow).where(IdempotencyRow.created < older_than)
            )

    def close(self) -> None:
        """Close all connections."""
        for queue in (self._given_queue, self._found_queue):
            if queue is not None:
                queue.close()
        self.database.close()

    def submitted(self, spec: AnySpec, owner: str, key: str | None) -> Job | None:
        """The job that this key and spec made before, if they did.

        Raises Conflict if the key was used for another spec, InvalidInput for no key at all.
        """
        if key is None:
            return None
        if not 0 < len(key) <= _LONGEST_KEY:
            raise InvalidInput(
                f"an idempotency key has 1 to {_LONGEST_KEY} characters", field="idempotency_key"
            )
        with self.database.reading() as session:
            made = session.get(IdempotencyRow, (owner, key))
            if made is None:
                return None
            if made.request not in known_hashes(spec):
                raise Conflict(
                    f"this idempotency key was used for another request (job {made.job}); use a "
                    "new key"
                )
            return job_value(session.get_one(JobRow, made.job))

    def _resolved(self, spec: AnySpec, owner: str) -> AnySpec:
        """The spec with ids in place of names, so that later renaming does not touch the job."""
        if spec.model != BUILTIN:
            self.models.get(spec.model)
        if isinstance(spec, WriteSpec):
            tasks_of = self.datasets.get(spec.dataset, owner)
            told = {"dataset": tasks_of.id, "steps": max(tasks_of.rows, 1)}
            writer = self._writer(spec.meta_prompt, spec, owner, "meta_prompt")
            return spec.model_copy(update=told | {"meta_prompt": writer})
        changes: dict[str, object] = {"initialization": self._start(spec, owner)}
        if isinstance(spec, MultiTaskSpec):
            tasks = [task.model_copy(update=self._datasets(task, owner)) for task in spec.tasks]
            changes["tasks"] = tuple(tasks)
        elif isinstance(spec, MetaSpec):
            changes["tasks"] = tuple(
                task.model_copy(update=self._meta_task(task, place, spec, owner))
                for place, task in enumerate(spec.tasks)
            )
        else:
            changes |= self._datasets(spec, owner)
        if isinstance(spec, AugmentSpec):
            changes["query"] = self._query(spec, owner)
        return spec.model_copy(update=changes)

    def _query(self, spec: AugmentSpec, owner: str) -> str | None:
        """The id of the prompt to search with. Raises InvalidInput for one that does not fit, and
        for too few rows to choose by."""
        if spec.strategy == "auto" and spec.validation is None:
            refusal = too_few_rows(self.datasets.get(spec.dataset, owner).rows)
            if refusal is not None:
                raise InvalidInput(refusal, field="validation")
        if spec.query is None:
            return None
        prompt = self._prompt(spec.query, spec, owner, "query", "search with")
        if prompt.kind != spec.makes:
            raise InvalidInput(
                f"prompt {spec.query!r} is of the kind {prompt.kind!r}, and an augmentation makes "
                f"{spec.makes!r}; name a query of these, or none",
                field="query",
            )
        if prompt.general is None and prompt.length != spec.length:
            raise InvalidInput(
                f"prompt {spec.query!r} has {prompt.length} tokens, the job {spec.length}; set "
                f"length to {prompt.length}",
                field="query",
            )
        return prompt.id

    def _datasets(self, rows: TrainingSpec | AugmentSpec | TaskSpec, owner: str) -> dict[str, str]:
        """The ids of what is to be trained on and scored with."""
        found = {"dataset": self.datasets.get(rows.dataset, owner).id}
        if rows.validation is not None:
            found["validation"] = self.datasets.get(rows.validation, owner).id
        return found

    def _meta_task(self, task: MetaTask, place: int, spec: MetaSpec, owner: str) -> dict[str, str]:
        """The ids of a task's rows and of the prompt that was tuned on it."""
        found = {"dataset": self.datasets.get(task.dataset, owner).id}
        if task.prompt is not None:
            field = f"tasks.{place}.prompt"
            prompt = self._prompt(task.prompt, spec, owner, field, "learn from")
            refuse_teacher(task.prompt, arrays_of(prompt.kind), field)
            found["prompt"] = prompt.id
        return found

    def _start(self, spec: LearningSpec, owner: str) -> Initialization:
        start = spec.initialization
        if start.kind == META:
            writer = start.meta_prompt or GENERIC
            writer = self._writer(writer, spec, owner, "initialization.meta_prompt")
            return start.model_copy(update={"meta_prompt": writer})
        if start.kind != "prompt" or start.prompt is None:
            return start
        field, meta = "initialization.prompt", isinstance(spec, MetaSpec)
        prompt = self._prompt(start.prompt, spec, owner, field, "start from", meta=meta)
        if isinstance(spec, MetaSpec):
            if prompt.hyperparameters.get("generator", SHARED) != SHARED:
                refuse_shared(spec.generator)
        else:
            refuse_first(spec.makes, arrays_of(prompt.kind))
        return start.model_copy(update={"prompt": prompt.id})

    def _writer(self, reference: str, spec: AnySpec, owner: str, field: str) -> str:
        """The id of the meta-prompt that a job is told to write with, or `generic`. Raises
        NotFound, InvalidInput for what does not write for the model."""
        if reference == GENERIC:
            folder = model_folder(self.settings.root, spec.model)
            if folder is None or not has_meta_prompt(folder):
                raise InvalidInput(
                    f"no meta-prompt ships with model {spec.model!r}; name a stored one",
                    field=field,
                )
            return GENERIC
        record = self.prompts.get(reference, owner)
        if record.kind != META or record.model != spec.model:
            raise InvalidInput(
                f"{reference!r} is no meta-prompt of model {spec.model!r}; `ptsys meta list` shows "
                "those",
                field=field,
            )
        return record.id

    def _prompt(
        self,
        reference: str,
        spec: AnySpec,
        owner: str,
        field: str,
        use: str,
        *,
        meta: bool = False,
    ) -> Prompt:
        """A prompt that a job is told to use, or a `meta` one. Raises NotFound, InvalidInput for
        another model's and for one of the other sort."""
        prompt = self.prompts.get(reference, owner)
        if prompt.model != spec.model:
            raise InvalidInput(
                f"prompt {reference!r} belongs to model {prompt.model!r}, the job to "
                f"{spec.model!r}; train on {prompt.model!r} or {use} another prompt",
                field=field,
            )
        if prompt.kind != META and meta:
            raise InvalidInput(
                f"{reference!r} is a prompt; a meta-prompt starts at another one: `ptsys meta "
                "list` shows them",
                field=field,
            )
        if prompt.kind == META and not meta:
            raise writes_prompts(field)
        if prompt.general is not None:
            self.prompts.general_of(prompt, owner)
        return prompt

    def _insert(
        self,
        session: Session,
        spec: AnySpec,
        owner: str,
        key: str | None,
        request: str,
        api_key: str | None,
        promised: Usage,
    ) -> Job:
        refuse_taken_names(session, owner, prompt_names(spec))
        now = self.clock()
        row = JobRow(
            id=new_id("job"),
            kind=spec.kind,
            owner=owner,
            name=spec.name,
            active_name=spec.name,
            model=spec.model,
            spec=spec.model_dump(mode="json"),
            state=JobState.QUEUED.value,
            sent=now,
            waiting=now,
            api_key=api_key,
            promised_bytes=promised.bytes,
            promised_objects=promised.objects,
            sequence=0,
            created=now,
        )
        session.add(row)
        session.flush()
        sources = [*datasets_of(spec), *prompts_of(spec)]
        session.add_all(JobSourceRow(job=row.id, source=source) for source in sources)
        record_event(session, row, "state", {"state": JobState.QUEUED.value}, now)
        if key is not None:
            session.add(
                IdempotencyRow(owner=owner, key=key, request=request, job=row.id, created=now)
            )
        session.flush()
        return job_value(row)


def _refuse_more(session: Session, owner: str, most: int) -> None:
    if _unfinished(session, owner) >= most:
        raise QuotaExceeded(
            f"you have {most} unfinished jobs, the most allowed; wait for one or cancel one",
            retry_after=_JOB_SECONDS,
        )


def _unfinished(session: Session, owner: str) -> int:
    query = select(func.count()).where(JobRow.owner == owner, JobRow.state.in_(UNFINISHED))
    return session.scalar(query) or 0


def _owned(session: Session, job: str, owner: str | None) -> JobRow:
    row = None if "\0" in job else session.get(JobRow, job)
    if row is None or owner not in (None, row.owner):
        raise NotFound(f"no job of yours is called {job!r}; `ptsys jobs list` shows yours")
    return row
