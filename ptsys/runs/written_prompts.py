"""Prompts for many tasks, written with many on their way, and where they are kept: the library, or
safetensors shards. What is there already is left alone."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ptsys.data.told_task import ToldTask
from ptsys.engine.engine import Engine
from ptsys.kinds.registry import META
from ptsys.kinds.trees import Tree
from ptsys.prompts.orbax_form import write_tree
from ptsys.store.clock import utc_now
from ptsys.store.prompts import Prompts
from ptsys.types.records import Parent, Prompt, Visibility
from ptsys.types.requests import GENERIC, Aggregate

_LIBRARY_AT_ONCE = 64
_IN_FLIGHT = 128  # tasks in the engine at a time


Future = concurrent.futures.Future[NDArray[np.float32]]


def written_prompts(
    engine: Engine, meta: Tree, tasks: Sequence[ToldTask], aggregate: Aggregate, user: str
) -> Generator[Future, None, None]:
    """The prompts of the tasks, in order, each as it is or will be there, with many on their way.
    When it is closed, those that nobody has asked for are withdrawn."""
    waiting: collections.deque[Future] = collections.deque()
    try:
        for task in tasks:
            if len(waiting) == _IN_FLIGHT:
                yield waiting.popleft()
            told = (meta, task.examples, task.description)
            waiting.append(engine.written(*told, aggregate=aggregate, user=user))
        while waiting:
            yield waiting.popleft()
    finally:
        for future in waiting:
            future.cancel()


class Keeper(Protocol):
    """Keeps prompts, a group of tasks at a time."""

    def missing(self, tasks: Sequence[ToldTask]) -> tuple[list[list[ToldTask]], dict[str, str]]:
        """The groups of tasks whose prompts are not there yet, and why some never can be."""
        ...

    def keep(self, tasks: Sequence[ToldTask], prompts: Sequence[NDArray[np.float32]]) -> None:
        """Keep a group's prompts; they are on the disk when this returns."""
        ...


@dataclasses.dataclass(frozen=True)
class WrittenBy:
    """What all prompts that are written together have in common; `meta_prompt` is an id or
    `generic`, `job` the queued job that writes them."""

    owner: str
    model: str
    fingerprint: str
    meta_prompt: str
    aggregate: Aggregate
    visibility: Visibility
    job: str | None = None
    tags: tuple[str, ...] = ()

    def initialization(self, task: ToldTask) -> dict[str, Any]:
        """What is recorded of where a task's prompt comes from."""
        return {
            "kind": META,
            "meta_prompt": self.meta_prompt,
            "aggregate": self.aggregate,
            "examples": len(task.examples),
            "task": task.digest,
        }

    def record(self, task: ToldTask, identifier: str, prompt: NDArray[np.float32]) -> Prompt:
        """The record of a task's prompt."""
        by_own = self.meta_prompt != GENERIC
        return Prompt(
            id=identifier,
            name=task.name,
            owner=self.owner,
            visibility=self.visibility,
            model=self.model,
            model_fingerprint=self.fingerprint,
            length=len(prompt),
            d_model=prompt.shape[1],
            created=utc_now(),
            job=self.job,
            initialization=self.initialization(task),
            tags=self.tags,
            description=(task.description or "")[:2000] or None,
            parents=(Parent(prompt=self.meta_prompt, role="meta"),) if by_own else (),
            bytes=prompt.nbytes,
        )


class InLibrary:
    """Records of the deployment, as `POST /v1/meta-prompts/{meta}/generate` makes them."""

    def __init__(self, prompts: Prompts, made: WrittenBy) -> None:
        self._prompts, self._made = prompts, made

    def missing(self, tasks: Sequence[ToldTask]) -> tuple[list[list[ToldTask]], dict[str, str]]:
        """See `Keeper`."""
        names = [task.name for task in tasks]
        known = self._prompts.initializations(self._made.owner, names)
        wrong, new = {}, []
        for task in tasks:
            if task.name not in known:
                new.append(task)
            elif known[task.name] != self._made.initialization(task):
                wrong[task.name] = "there is another prompt of that name; delete it, or use prefix"
        groups = [
            new[start : start + _LIBRARY_AT_ONCE] for start in range(0, len(new), _LIBRARY_AT_ONCE)
        ]
        return groups, wrong

    def keep(self, tasks: Sequence[ToldTask], prompts: Sequence[NDArray[np.float32]]) -> None:
        """See `Keeper`: tensors first, then the records. Raises Conflict where one of the names
        was taken meanwhile; then none of the group is kept."""
        records = []
        for task, array in zip(tasks, prompts, strict=True):
            record = self._made.record(task, self._prompts.new_id(), array)
            write_tree(self._prompts.tensor_path(record.id), {"prompt": array})
            records.append(record)
        self._prompts.add_all(records)


class InShards:
    """Files `prompts-00000.safetensors` with a tensor [length, d_model] a task, by its name; in the
    metadata stand `model_fingerprint`, `meta_prompt`, `aggregate` and `tasks`, a digest."""

    def __init__(self, output: Path, size: int, told: Mapping[str, str]) -> None:
        self._output, self._size, self._told = output, size, dict(told)
        self._places: dict[str, Path] = {}

    def missing(self, tasks: Sequence[ToldTask]) -> tuple[list[list[ToldTask]], dict[str, str]]:
        """See `Keeper`."""
        groups = []
        for number, start in enumerate(range(0, len(tasks), self._size)):
            group = list(tasks[start : start + self._size])
            path = self._output / f"prompts-{number:05}.safetensors"
            self._places[group[0].name] = path
            if _metadata(path) != self._metadata(group):
                groups.append(group)
        return groups, {}

    def keep(self, tasks: Sequence[ToldTask], prompts: Sequence[NDArray[np.float32]]) -> None:
        """See `Keeper`: a shard appears whole or not at all."""
        path = self._places[tasks[0].name]
        draft = path.with_suffix(".draft")
        arrays = {task.name: array for task, array in zip(tasks, prompts, strict=True)}
        save_file(arrays, draft, metadata=self._metadata(tasks))
        draft.replace(path)

    def _metadata(self, tasks: Sequence[ToldTask]) -> dict[str, str]:
        told = json.dumps([(task.name, task.digest) for task in tasks])
        return {**self._told, "tasks": hashlib.sha256(told.encode()).hexdigest()}


def _metadata(path: Path) -> dict[str, str] | None:
    try:
        with safe_open(path, "numpy") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError):
        return None
