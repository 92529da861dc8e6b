"""A job that writes prompts for many tasks: each is stored as it is written, and stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ptsys.data.told_task import ToldTask, gathered, told_rows
from ptsys.errors import Conflict, InvalidInput
from ptsys.kinds.trees import Tree
from ptsys.runs.written_prompts import InLibrary, WrittenBy, written_prompts
from ptsys.training.course import Completed, Ending, Interruption, Listener, Steps
from ptsys.training.loop import Place
from ptsys.types.requests import Aggregate
from ptsys.types.writing import WriteSpec
from workers import outcome
from workers.run import Run

_TOLD = 20  # tasks that cannot be done are named in so many events

Groups = Sequence[Sequence[ToldTask]]
Keep = Callable[[Sequence[ToldTask], Sequence[NDArray[np.float32]], int], int]
"""Stores a group's prompts, with which so many tasks are done; says how many could not be."""


class Writing:
    """The course of such a job: `groups` of tasks are still to be done, after `done` others, of
    which `failed` cannot be."""

    def __init__(
        self,
        meta: Tree,
        groups: Groups,
        keep: Keep,
        listener: Listener,
        *,
        aggregate: Aggregate,
        user: str,
        done: int,
        failed: int,
    ) -> None:
        self._meta, self._groups, self._keep, self._listener = meta, groups, keep, listener
        self._aggregate, self._user = aggregate, user
        self._done, self._before, self._failed = done, done, failed
        self._total = done + sum(map(len, groups))
        self._since = time.monotonic()

    def run(self, place: Place) -> Steps[Ending]:
        """All groups. Raises Interruption once it is told to stop, InvalidInput if no task at all
        could be done."""
        tasks = [task for group in self._groups for task in group]
        prompts = written_prompts(place.engine, self._meta, tasks, self._aggregate, self._user)
        try:
            for group in self._groups:
                found = []
                for _ in group:
                    if place.stopping:
                        raise Interruption
                    found.append((yield from place.answer(next(prompts))))
                self._done += len(group)
                self._failed += self._keep(group, found, self._done)
                self.tell()
        finally:
            prompts.close()
        if self._failed == self._total:
            raise InvalidInput("no prompt could be kept: the job's log says why", field="dataset")
        return Completed((), self._done, self._metrics())

    def tell(self) -> None:
        """How far it is."""
        self._listener.progress(self._done, self._metrics())

    def checkpoint(self) -> None:
        """What is written is stored already."""
        return

    def _metrics(self) -> dict[str, float]:
        """How many there are, how fast they are written, and how long the rest will take."""
        told = {"steps": float(self._total), "failed": float(self._failed)}
        new = self._done - self._before
        if not new:
            return told
        rate = new / max(time.monotonic() - self._since, 1e-3)
        return told | {"prompts_a_second": rate, "seconds_left": (self._total - self._done) / rate}


class WritingRun(Run[WriteSpec]):
    """One run of such a job. What an earlier one has written is left alone, so that nothing is
    written twice."""

    def _prepare(self) -> Writing:
        spec = self._spec
        tasks = self._tasks()
        groups, wrong = self._keeper.missing(tasks)
        self._tell_wrong(wrong)
        return Writing(
            self._meta(spec.meta_prompt, "meta_prompt"),
            groups,
            self._keep,
            self,
            aggregate=spec.aggregate,
            user=self._claim.job.owner,
            done=len(tasks) - sum(map(len, groups)),
            failed=len(wrong),
        )

    def _tasks(self) -> list[ToldTask]:
        spec = self._spec
        return gathered(
            told_rows(self._service.datasets.read(spec.dataset), "dataset"),
            spec.examples,
            described=spec.described,
            prefix=spec.prefix,
            field="dataset",
        )

    @property
    def _keeper(self) -> InLibrary:
        served, job, spec = self._bench.served, self._claim.job, self._spec
        made = WrittenBy(
            owner=job.owner,
            model=served.name,
            fingerprint=served.fingerprint,
            meta_prompt=spec.meta_prompt,
            aggregate=spec.aggregate,
            visibility=spec.visibility,
            job=job.id,
            tags=spec.tags,
        )
        return InLibrary(self._service.prompts, made)

    def _keep(
        self, group: Sequence[ToldTask], prompts: Sequence[NDArray[np.float32]], done: int
    ) -> int:
        """See `Keep`. Raises LeaseLost: only the holder may write."""
        outcome.insist(self._service, lambda: self._leases.heartbeat(self._claim))
        keeper = self._keeper
        wrong: dict[str, str] = {}
        found = {task.name: prompt for task, prompt in zip(group, prompts, strict=True)}
        try:
            keeper.keep(group, prompts)
        except Conflict:  # somebody took one of the names just now
            groups, wrong = keeper.missing(group)
            self._tell_wrong(wrong)
            for rest in groups:
                keeper.keep(rest, [found[task.name] for task in rest])
        outcome.insist(self._service, lambda: self._leases.checkpoint(self._claim, done))
        self._claimed.trust()
        return len(wrong)

    def _tell_wrong(self, wrong: Mapping[str, str]) -> None:
        for task in list(wrong)[:_TOLD]:
            self._log(f"task {task}: {wrong[task]}", task=task)
        if len(wrong) > _TOLD:
            self._log(f"and {len(wrong) - _TOLD} tasks more likewise")
