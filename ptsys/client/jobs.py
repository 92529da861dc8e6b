"""`client.jobs` and the handle of a job: look, follow, wait, cancel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ptsys.client.connection import Connection, decoded, value
from ptsys.client.following import follow
from ptsys.client.idempotency import new_key
from ptsys.client.progress import progress_bar
from ptsys.client.prompts import Prompts
from ptsys.client.references import path
from ptsys.errors import Conflict, JobCancelled, JobFailed
from ptsys.types.records import Event, Job, JobState
from ptsys.types.specs import AnySpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class JobHandle:
    """One training job. `record` is the job as it was last seen."""

    def __init__(self, connection: Connection, record: Job) -> None:
        self._connection = connection
        self.record = record

    def __repr__(self) -> str:
        record = self.record
        return f"<JobHandle {record.id} {record.state} {record.step}/{record.planned_steps}>"

    @property
    def id(self) -> str:
        """The job's id."""
        return self.record.id

    def refresh(self) -> Job:
        """The job as it is now. Raises NotFound."""
        answer = self._connection.ask("GET", path("jobs", self.id))
        self.record = value(Job, decoded(answer))
        return self.record

    def events(self, *, after: int = 0, timeout: float | None = None) -> Iterator[Event]:
        """What happens to the job, as it happens, from the event after number `after` to the last.

        Broken streams are taken up again, no event comes twice. Raises Unavailable when the time
        (seconds, to within the 15 in which the service gives a sign of life) is over.
        """
        return follow(self._connection, self.id, after=after, timeout=timeout)

    def history(self, *, after: int = 0) -> Sequence[Event]:
        """What happened so far: the events numbered above `after`, some hundreds at most."""
        told = decoded(
            self._connection.ask(
                "GET",
                path("jobs", self.id, "events"),
                query={"after": after},
                headers={"Accept": "application/json"},
            )
        )
        return [value(Event, one) for one in told.get("data", ())]

    def wait(self, *, timeout: float | None = None, progress: bool | None = None) -> Job:
        """The job once it succeeded. Its progress stands on standard error, as a bar on a terminal
        and as lines elsewhere, unless `progress` is False.

        Raises JobFailed with the reason, JobCancelled, or Unavailable when the time (seconds) is
        over; the job itself then goes on.
        """
        with progress_bar(self.record.spec.name, self.record.planned_steps, progress) as see:
            for event in self.events(timeout=timeout):
                see(event)
        ended = self.refresh()
        if ended.state is JobState.FAILED:
            raise JobFailed(ended.error or "the job failed without a reason")
        if ended.state is JobState.CANCELLED:
            why = f": {ended.error}" if ended.error else ""
            raise JobCancelled(f"job {ended.id} was cancelled{why}")
        return ended

    def cancel(self) -> Job:
        """Cancel it: at once if it waits, soon if it runs; twice is no error. Raises Conflict if
        it ended otherwise."""
        answer = self._connection.ask("POST", path("jobs", self.id, "cancel"))
        self.record = value(Job, decoded(answer))
        return self.record

    def tensor(self, task: str | None = None) -> NDArray[np.float32]:
        """The trained prompt [length, d_model]: of a multi-task job the general one, or what the
        model reads for that `task`. Raises Conflict unless the job succeeded, NotFound if it has
        no such task."""
        prompt = self.record.prompt or self.refresh().prompt
        if prompt is None:
            raise Conflict(f"job {self.id} is {self.record.state}; it has no prompt: wait() for it")
        if task is None:
            return Prompts(self._connection).tensor(prompt)
        name = f"{self.record.spec.name}.{task}"
        return Prompts(self._connection).tensor(name, combined=True)


class Jobs:
    """The user's training jobs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def submit(self, spec: AnySpec, *, idempotency_key: str | None = None) -> JobHandle:
        """Queue a job. However often the connection breaks, there is one job.

        Give a key of your own to submit the same job again from another process without doubling
        it. Raises Conflict if the prompt's name is taken or the key was used for another spec.
        """
        answer = self._connection.ask(
            "POST",
            "/v1/jobs",
            json=spec.model_dump(mode="json"),
            headers={"Idempotency-Key": idempotency_key or new_key()},
        )
        return JobHandle(self._connection, value(Job, decoded(answer)))

    def get(self, job: str) -> JobHandle:
        """The handle of a job by its id. Raises NotFound."""
        answer = self._connection.ask("GET", path("jobs", job))
        return JobHandle(self._connection, value(Job, decoded(answer)))

    def list(
        self,
        *,
        state: JobState | str | None = None,
        owner: str | None = None,
        everyone: bool = False,
    ) -> Iterator[JobHandle]:
        """The user's jobs, newest first. For admins also those of another `owner`, or of
        `everyone`. Raises Forbidden for others."""
        wanted = None if state is None else str(state)
        which = {"owner": owner, "everyone": "true" if everyone else None}
        for record in self._connection.pages(Job, "/v1/jobs", state=wanted, **which):
            yield JobHandle(self._connection, record)
