"""The checker: after a full drain, is everything there that was acknowledged, once and right?

After Jepsen's queue checker (`jepsen.checker/total-queue`): what was acknowledged must come out,
nothing may come out that was not asked for, and nothing twice. Here what comes out are jobs in
final states, their prompts, and stored datasets and prompts.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.drill.audit import Change, read_audit
from benchmarks.drill.history import History, Submission, Upload
from benchmarks.drill.reference import Reference
from benchmarks.drill.stage import QUOTA, Stage
from benchmarks.drill.variants import DATASETS, endings
from ptsys.errors import PtsysError
from ptsys.prompts.orbax_form import read_orbax
from ptsys.store.tables import DatasetRow, EventRow, IdempotencyRow, JobRow, PromptRow, Row
from workers.sweep import sweep

TOLERANCE = 1e-5
"""Largest difference of a prompt trained in company; one trained alone has none."""

_R = TypeVar("_R", bound=Row)
_FINAL = ("succeeded", "failed", "cancelled")


@dataclasses.dataclass
class Verdict:
    """Counts, and for what went wrong one line each, by kind of fault."""

    jobs: int = 0
    uploads: int = 0
    succeeded: int = 0
    cancelled: int = 0
    failed: int = 0
    resumed: int = 0
    same_bits: int = 0
    nearly: int = 0
    never_heard: int = 0
    lost: list[str] = dataclasses.field(default_factory=list)
    doubled: list[str] = dataclasses.field(default_factory=list)
    unequal: list[str] = dataclasses.field(default_factory=list)
    changed: list[str] = dataclasses.field(default_factory=list)
    stale: list[str] = dataclasses.field(default_factory=list)
    unexpected: list[str] = dataclasses.field(default_factory=list)
    miscounted: list[str] = dataclasses.field(default_factory=list)
    leaked: list[str] = dataclasses.field(default_factory=list)
    strange: list[str] = dataclasses.field(default_factory=list)

    @property
    def faults(self) -> dict[str, list[str]]:
        """What went wrong; empty if nothing did."""
        found = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), list)
        }
        return {kind: lines for kind, lines in found.items() if lines}


class Checker:
    """Reads a drained stage's database and files, past its processes."""

    def __init__(
        self,
        stage: Stage,
        history: History,
        reference: Reference,
        *,
        alone: bool,
        quota: int = QUOTA,
    ) -> None:
        """`alone`: no job had company on its worker, so every prompt must have the same bits.
        `quota` is how many unfinished jobs a user might have."""
        self._service = stage.service
        self._history, self._reference, self._alone = history, reference, alone
        self._quota_of_jobs = quota
        self._verdict = Verdict()

    def check(self) -> Verdict:
        """The verdict. The stage's processes have ended."""
        sweep(self._service)
        with self._service.database.reading() as session:
            self._jobs = {row.id: row for row in _all(session, JobRow)}
            self._prompts = {row.id: row for row in _all(session, PromptRow)}
            self._datasets = {row.id: row for row in _all(session, DatasetRow)}
            keys = {(row.owner, row.key): row.job for row in _all(session, IdempotencyRow)}
            events = list(
                session.scalars(select(EventRow).order_by(EventRow.job, EventRow.sequence))
            )
        changes = read_audit(self._service.database)
        for submission in self._history.submissions:
            self._submission(submission, keys.get((submission.user, submission.key)))
        self._nothing_unexpected()
        for upload in self._history.uploads:
            self._upload(upload)
        self._events(events)
        self._changes(changes)
        self._quota(changes)
        self._files()
        self._verdict.leaked += self._history.leaked
        self._verdict.strange += self._history.strange
        self._verdict.unequal += [f"prediction {told}" for told in self._history.wrong_answers]
        return self._verdict

    # ---- jobs -----------------------------------------------------------------------------

    def _submission(self, asked: Submission, recorded: str | None) -> None:
        verdict = self._verdict
        if asked.id is None:
            if recorded is None:
                verdict.never_heard += not asked.refused
                return
            if asked.refused:
                verdict.unexpected.append(f"{asked.name} was refused and is job {recorded}")
        elif recorded != asked.id:
            verdict.lost.append(f"the key of {asked.id} leads to {recorded}")
        job = self._jobs.get(asked.id or recorded or "")
        if job is None:
            verdict.lost.append(f"job {asked.id} of {asked.name}")
            return
        verdict.jobs += 1
        if job.state not in _FINAL:
            verdict.lost.append(f"job {job.id} is still {job.state} at step {job.step}")
            return
        setattr(verdict, job.state, getattr(verdict, job.state) + 1)
        if asked.finals and asked.finals != {job.state}:
            verdict.changed.append(f"{job.id} was told as {asked.finals}, is {job.state}")
        if asked.cancel_told and job.state == "succeeded":
            verdict.changed.append(f"{job.id} succeeded although its cancellation was acknowledged")
        if job.state == "failed":
            verdict.lost.append(f"job {job.id} failed: {job.error}")
        self._made(asked, job)

    def _made(self, asked: Submission, job: JobRow) -> None:
        """A prompt if and only if the job succeeded, whole, and as it would have been."""
        made = {row.name: row for row in self._prompts.values() if row.job == job.id}
        wanted = [f"{asked.name}{ending}" for ending in endings(asked.variant)]
        if job.state != "succeeded":
            if made:
                self._verdict.unexpected.append(f"{job.id} {job.state} and left {sorted(made)}")
            return
        if sorted(made) != sorted(wanted):
            self._verdict.lost.append(f"{job.id} left {sorted(made)}, not {sorted(wanted)}")
            return
        for ending in endings(asked.variant):
            row = made[f"{asked.name}{ending}"]
            try:
                found = read_orbax(self._service.prompts.tensor_path(row.id))
            except PtsysError as error:
                self._verdict.lost.append(f"prompt {row.id}: {error}")
                continue
            self._compare(row.id, found, self._reference.prompts[asked.variant][ending])

    def _compare(
        self, prompt: str, found: NDArray[np.float32], wanted: NDArray[np.float32]
    ) -> None:
        if found.shape != wanted.shape:
            self._verdict.unequal.append(f"{prompt} has shape {found.shape}, not {wanted.shape}")
        elif np.array_equal(found, wanted):
            self._verdict.same_bits += 1
        elif self._alone or not np.allclose(found, wanted, rtol=0, atol=TOLERANCE):
            off = float(np.abs(found - wanted).max())
            self._verdict.unequal.append(f"{prompt} differs by up to {off:.2g}")
        else:
            self._verdict.nearly += 1

    def _nothing_unexpected(self) -> None:
        names = collections.Counter((row.owner, row.name) for row in self._jobs.values())
        asked = {(one.user, one.name) for one in self._history.submissions}
        for name, count in names.items():
            if name not in asked:
                self._verdict.unexpected.append(f"a job {name} that nobody asked for")
            if count > 1:
                self._verdict.doubled.append(f"{count} jobs {name}")
        known = {one.name for one in self._history.uploads} | set(DATASETS)
        for row in (*self._datasets.values(), *self._prompts.values()):
            by_job = isinstance(row, PromptRow) and row.job in self._jobs
            if not by_job and row.name not in known:
                self._verdict.unexpected.append(f"{row.id} ({row.name}) that nobody sent")

    # ---- what users sent ------------------------------------------------------------------

    def _upload(self, sent: Upload) -> None:
        rows: Iterable[DatasetRow | PromptRow] = (
            self._datasets.values() if sent.kind == "dataset" else self._prompts.values()
        )
        there = [row for row in rows if row.owner == sent.user and row.name == sent.name]
        if len(there) > 1:
            self._verdict.doubled.append(f"{sent.kind} {sent.name} is there {len(there)} times")
        if sent.id is None and not there:
            return
        self._verdict.uploads += 1
        if sent.deleted:
            if there:
                self._verdict.unexpected.append(f"{sent.kind} {sent.id} was deleted and is there")
            return
        if not there:
            if sent.deleted is None:
                self._verdict.lost.append(f"{sent.kind} {sent.id} ({sent.name})")
            return
        identifier = there[0].id
        if sent.id is not None and identifier != sent.id:
            self._verdict.changed.append(f"{sent.kind} {sent.name} was {sent.id}, is {identifier}")
        try:
            if sent.kind == "dataset":
                same = self._service.datasets.read(identifier) == sent.content
            else:
                path = self._service.prompts.tensor_path(identifier)
                same = np.array_equal(read_orbax(path), sent.content)
        except PtsysError as error:
            self._verdict.lost.append(f"{sent.kind} {identifier}: {error}")
            return
        if not same:
            self._verdict.unequal.append(f"{sent.kind} {identifier} is not what was sent")

    # ---- events, the audit trail, files ---------------------------------------------------

    def _events(self, events: list[EventRow]) -> None:
        """Numbers without gaps; one final state, at the end; and within each hold of a job steps
        that only grow, as nobody else writes."""
        for job, group in itertools.groupby(events, lambda event: event.job):
            told = list(group)
            row = self._jobs[job]
            numbers = [event.sequence for event in told]
            if numbers != list(range(1, len(told) + 1)) or row.sequence != len(told):
                self._verdict.miscounted.append(f"{job} has events {numbers[:3]}…{numbers[-1]}")
            finals = [
                event for event in told if event.kind == "state" and event.data["state"] in _FINAL
            ]
            if len(finals) > 1:
                self._verdict.doubled.append(f"{job} ended {len(finals)} times")
            if finals and finals[-1].sequence != told[-1].sequence:
                self._verdict.stale.append(f"{job} has events after its end")
            self._holds(job, told)

    def _holds(self, job: str, told: list[EventRow]) -> None:
        held, steps, saved = False, -1, -1
        for event in told:
            if event.kind == "state":
                held, steps, saved = event.data["state"] == "running", -1, -1
                continue
            if not held:
                self._verdict.stale.append(f"{job}: event {event.sequence} while nobody held it")
            if event.kind == "log" and "resumed from step" in str(event.data.get("message")):
                self._verdict.resumed += 1
            if event.kind == "progress":
                if event.data["step"] <= steps:
                    self._verdict.stale.append(f"{job}: step {event.data['step']} after {steps}")
                steps = event.data["step"]
            if event.kind == "checkpoint":
                if event.data["step"] <= saved:
                    self._verdict.stale.append(f"{job}: checkpoint {event.data['step']} twice")
                saved = event.data["step"]

    def _changes(self, changes: list[Change]) -> None:
        """A final state stays; a fence only grows; a job's step is its holder's to write."""
        for change in changes:
            where = f"{change.job}, change {change.n}"
            if change.act == "delete":
                self._verdict.lost.append(f"{change.job} was deleted while {change.old_state}")
            if change.act != "update":
                continue
            old, new = change.old_state, change.new_state
            if old in _FINAL and (old != new or change.old_prompt != change.new_prompt):
                self._verdict.changed.append(f"{where}: {old} became {new}")
            if (change.new_fence or 0) < (change.old_fence or 0):
                self._verdict.stale.append(f"{where}: the fence shrank")
            moved = change.old_step != change.new_step
            if moved and (old != "running" or change.old_fence != change.new_fence):
                self._verdict.stale.append(f"{where}: the step changed while {old}")
            taken = change.new_worker is not None and change.old_worker != change.new_worker
            if taken and change.old_fence == change.new_fence:
                self._verdict.stale.append(f"{where}: taken without a new fence")

    def _quota(self, changes: list[Change]) -> None:
        """Never more unfinished jobs of a user than allowed."""
        count: collections.Counter[str] = collections.Counter()
        most: collections.Counter[str] = collections.Counter()
        for change in changes:
            if change.act == "insert":
                count[change.owner] += 1
            elif change.act == "update" and change.old_state not in _FINAL:
                count[change.owner] -= change.new_state in _FINAL
            most[change.owner] = max(most[change.owner], count[change.owner])
        for owner, number in most.items():
            if number > self._quota_of_jobs:
                self._verdict.miscounted.append(f"{owner} had {number} unfinished jobs")

    def _files(self) -> None:
        """Nothing of ended jobs is left, and every tensor has its record."""
        root = self._service.settings.root
        for folder in (root / "jobs").glob("*"):
            row = self._jobs.get(folder.name)
            if row is not None and row.state in _FINAL:
                self._verdict.unexpected.append(f"the folder of {folder.name} is still there")
        for folder in (root / "prompts").glob("pr-*"):
            job = "job-" + folder.name.removeprefix("pr-").partition("-")[0]
            if folder.name not in self._prompts and job in self._jobs:
                self._verdict.unexpected.append(f"the tensor {folder.name} has no record")


def _all(session: Session, kind: type[_R]) -> list[_R]:
    return list(session.scalars(select(kind)))
