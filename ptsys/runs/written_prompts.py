"""Where a run keeps the prompts that it writes: the library, or safetensors shards. What is there
already is left alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ptsys.engine.workbench import Workbench
from ptsys.kinds.registry import META
from ptsys.prompts.orbax_form import write_tree
from ptsys.runs.stores import Stores
from ptsys.runs.tasks.told_task import ToldTask
from ptsys.store.clock import utc_now
from ptsys.types.records import Parent, Prompt, Visibility
from ptsys.types.requests import GENERIC, Aggregate

_LIBRARY_AT_ONCE = 64


class Keeper(Protocol):
    """Keeps prompts, a group of tasks at a time."""

    def missing(self, tasks: Sequence[ToldTask]) -> tuple[list[list[ToldTask]], dict[str, str]]:
        """The groups of tasks whose prompts are not there yet, and why some never can be."""
        ...

    def keep(self, tasks: Sequence[ToldTask], prompts: Sequence[NDArray[np.float32]]) -> None:
        """Keep a group's prompts; they are on the disk when this returns."""
        ...


class InLibrary:
    """Records of the deployment, as `POST /v1/meta-prompts/{meta}/generate` makes them."""

    def __init__(
        self,
        stores: Stores,
        bench: Workbench,
        owner: str,
        meta: str,
        aggregate: Aggregate,
        visibility: Visibility,
    ) -> None:
        self._stores, self._bench, self._owner = stores, bench, owner
        self._meta, self._aggregate, self._visibility = meta, aggregate, visibility

    def missing(self, tasks: Sequence[ToldTask]) -> tuple[list[list[ToldTask]], dict[str, str]]:
        """See `Keeper`."""
        known = self._stores.prompts.initializations(self._owner, [task.name for task in tasks])
        wrong, new = {}, []
        for task in tasks:
            if task.name not in known:
                new.append(task)
            elif known[task.name] != self._initialization(task):
                wrong[task.name] = "there is another prompt of that name; delete it, or use prefix"
        groups = [
            new[start : start + _LIBRARY_AT_ONCE] for start in range(0, len(new), _LIBRARY_AT_ONCE)
        ]
        return groups, wrong

    def keep(self, tasks: Sequence[ToldTask], prompts: Sequence[NDArray[np.float32]]) -> None:
        """See `Keeper`: tensors first, then the records."""
        store, records = self._stores.prompts, []
        parents = () if self._meta == GENERIC else (Parent(prompt=self._meta, role="meta"),)
        for task, array in zip(tasks, prompts, strict=True):
            record = Prompt(
                id=store.new_id(),
                name=task.name,
                owner=self._owner,
                visibility=self._visibility,
                model=self._bench.served.name,
                model_fingerprint=self._bench.served.fingerprint,
                length=len(array),
                d_model=array.shape[1],
                created=utc_now(),
                initialization=self._initialization(task),
                description=(task.description or "")[:2000] or None,
                parents=parents,
                bytes=array.nbytes,
            )
            write_tree(store.tensor_path(record.id), {"prompt": array})
            records.append(record)
        store.add_all(records)

    def _initialization(self, task: ToldTask) -> dict[str, Any]:
        return {
            "kind": META,
            "meta_prompt": self._meta,
            "aggregate": self._aggregate,
            "examples": len(task.examples),
            "task": task.digest,
        }


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
