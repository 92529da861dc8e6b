"""A run as queued jobs: what is asked for, found again when it is asked for twice."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from ptsys.config import Settings
from ptsys.errors import Conflict, InvalidInput, NotFound
from ptsys.jobs.service import Service
from ptsys.types.example import Example, digest
from ptsys.types.meta_training import MetaOptions, MetaSpec
from ptsys.types.multitask import MultiTaskOptions, MultiTaskSpec
from ptsys.types.records import Dataset, Job, Prompt
from ptsys.types.specs import hyperparameters
from ptsys.types.training import Initialization, TrainingOptions, TrainingSpec

_DIGITS = 12  # of the rows' digest in a dataset's name


QueuedSpec = TrainingSpec | MultiTaskSpec | MetaSpec


@dataclasses.dataclass(frozen=True)
class QueuedRows:
    """Rows that become a dataset, `<name>-<digest>`: other rows get another name."""

    name: str
    rows: Sequence[Example] = dataclasses.field(repr=False)
    description: str | None = None


@dataclasses.dataclass(frozen=True)
class JobRequest:
    """A job to be: its options, and the rows of its `dataset` and `validation`, if it has some; by
    the task, which has no name where there is one alone. One that trains a meta-prompt learns from
    stored `prompts`, by their tasks, and begins at the one called `start`, where it has these."""

    options: TrainingOptions | MultiTaskOptions | MetaOptions
    rows: Mapping[tuple[str, str], QueuedRows]
    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    start: str | None = None

    def resolved(self, service: Service, user: str) -> JobRequest:
        """With ids in place of prompts' names. Raises NotFound for one that is not there."""

        def named(name: str) -> str:
            return service.prompts.get(name if "/" in name else f"{user}/{name}", user).id

        prompts = {task: named(name) for task, name in self.prompts.items()}
        options = self.options
        if self.start is not None:
            begun = Initialization(kind="prompt", prompt=named(self.start))
            options = options.model_copy(update={"initialization": begun})
        return dataclasses.replace(self, options=options, prompts=prompts, start=None)

    def on(self, ids: Mapping[tuple[str, str], str]) -> QueuedSpec:
        """The job, on the datasets of these ids."""
        if isinstance(self.options, TrainingOptions):
            return self.options.on(ids["", "dataset"], ids.get(("", "validation")))
        if isinstance(self.options, MetaOptions):
            return self.options.on(
                {
                    task.name: {
                        "dataset": ids[task.name, "dataset"],
                        "prompt": self.prompts.get(task.name),
                    }
                    for task in self.options.tasks
                }
            )
        return self.options.on(
            {
                task.name: {
                    "dataset": ids[task.name, "dataset"],
                    "validation": ids.get((task.name, "validation")),
                }
                for task in self.options.tasks
            }
        )


@runtime_checkable
class Submittable(Protocol):
    """A run that can be queued, and the deployment's data and user that it names itself."""

    @property
    def data(self) -> str | None:
        """The data directory."""

    @property
    def owner(self) -> str | None:
        """Whose the prompts will be."""

    def jobs(self, settings: Settings) -> list[JobRequest]:
        """Its jobs. Raises InvalidInput for what cannot be asked."""


@dataclasses.dataclass(frozen=True)
class Submitted:
    """A request's job; or, where none is needed, the prompt that such a job has made before."""

    spec: QueuedSpec
    job: Job | None
    prompt: Prompt | None = None
    new: bool = False


def submit(service: Service, user: str, requests: Sequence[JobRequest]) -> list[Submitted]:
    """Queue what is not there yet, each with its datasets.

    An unfinished job, or a prompt, of the same name is taken for the request's own if it has the
    same spec and rows. Raises Conflict for another one, before anything is queued.
    """
    requests = [request.resolved(service, user) for request in requests]
    for request in requests:  # before rows are stored for nothing
        _there(service, user, _with_known_datasets(service, user, request))
    stored = [_with_datasets(service, user, request) for request in requests]
    found = [_there(service, user, spec) for spec in stored]
    return [
        known or _submitted(service, user, spec) for spec, known in zip(stored, found, strict=True)
    ]


def _submitted(service: Service, user: str, spec: QueuedSpec) -> Submitted:
    try:
        return Submitted(spec, service.submit(spec, user), new=True)
    except Conflict:
        known = _there(service, user, spec)  # submitted twice at the same moment
        if known is None:
            raise
        return known


def _with_datasets(service: Service, user: str, request: JobRequest) -> QueuedSpec:
    ids = {key: _dataset(service, user, rows).id for key, rows in request.rows.items()}
    return request.on(ids)


def _with_known_datasets(service: Service, user: str, request: JobRequest) -> QueuedSpec:
    """With the datasets that are there; what is not has no id, so is no earlier submission's."""
    ids = {}
    for key, rows in request.rows.items():
        known = _known(service, user, rows)
        ids[key] = "none" if known is None else known.id
    return request.on(ids)


def _known(service: Service, user: str, rows: QueuedRows) -> Dataset | None:
    """The rows' dataset, if it is there."""
    wanted = digest(rows.rows)
    with contextlib.suppress(NotFound):
        known = service.datasets.get(f"{user}/{_dataset_name(rows, wanted)}", user)
        return known if known.digest == wanted else None
    return None


def _dataset_name(rows: QueuedRows, wanted: str) -> str:
    return f"{rows.name[: 99 - _DIGITS]}-{wanted[:_DIGITS]}"


def _dataset(service: Service, user: str, rows: QueuedRows) -> Dataset:
    """The rows' dataset, stored unless it is there. Raises Conflict if other rows have its name,
    which their digest is part of."""
    wanted = digest(rows.rows)
    name = _dataset_name(rows, wanted)
    for _ in range(2):
        try:
            known = service.datasets.get(f"{user}/{name}", user)
        except NotFound:
            with contextlib.suppress(Conflict):  # stored twice at the same moment
                return service.datasets.add(name, user, rows.rows, description=rows.description)
        else:
            if known.digest == wanted:
                return known
    raise Conflict(f"dataset {name!r} is there with other rows; delete that one")


def _there(service: Service, user: str, spec: QueuedSpec) -> Submitted | None:
    """What an earlier submission of the same left. Raises Conflict for something else of its
    name."""
    job = service.unfinished(spec.name, user)
    if job is not None:
        if _essence(job.spec) != _essence(spec):
            raise Conflict(
                f"job {job.id} trains another prompt {spec.name!r}; wait for it, cancel it, or "
                "choose another prefix or name"
            )
        return Submitted(spec, job)
    try:
        prompt = service.prompts.get(f"{user}/{spec.name}", user)
    except NotFound:
        return None
    job = _job_of(service, user, prompt)
    if job is None or _essence(job.spec) != _essence(spec):
        raise Conflict(
            f"prompt {spec.name!r} is there already, of other rows or settings; choose another "
            "prefix or name, or delete that one"
        )
    return Submitted(spec, None, prompt)


def _job_of(service: Service, user: str, prompt: Prompt) -> Job | None:
    with contextlib.suppress(NotFound):
        return None if prompt.job is None else service.get(prompt.job, user)
    return None


def _essence(spec: Any) -> dict[str, Any]:
    """What decides the prompts that a job makes."""
    of = spec.model_dump(mode="json", include={"kind", "model", "dataset", "tasks"})
    start = spec.initialization.model_dump(mode="json")
    return {**of, "initialization": start, "settings": hyperparameters(spec)}


def not_submittable(run: object) -> InvalidInput:
    """Why such a run stays where it is."""
    return InvalidInput(
        f"{type(run).__name__} runs in place alone; leave --submit out (runs that can be queued: "
        "PromptTune, MultiTask, MetaTrain)",
        field="submit",
    )
