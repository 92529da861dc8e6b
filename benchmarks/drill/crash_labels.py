"""Every commit point of a job's life by name, and a SIGKILL at each.

A label names the moment before or after one call, in a process of one role. What "not committed"
names lies inside of a transaction; the label before it and the one after it enclose the commit.
Nothing of this is in the product: a process that is to die is armed after its fork.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
import signal
from collections.abc import Callable
from typing import Any, Literal

Act = Literal[
    "submit", "upload", "remove", "cancel", "terminate", "train", "evaluate", "wait", "forget"
]


@dataclasses.dataclass(frozen=True)
class Point:
    """`target` is module:attribute; `when` its call is entered or left, the process dies. `only`
    names a word that the call's arguments must show. `act` is what leads there; `forget`
    is for Redis to do."""

    role: Literal["api", "worker", "helper"]
    act: Act
    target: str
    when: Literal["before", "after"]
    only: str | None = None


_SERVICE = "ptsys.jobs.service:Service."
_LEASES = "ptsys.jobs.leases:Leases."
_DATASETS = "ptsys.store.datasets:Datasets."
_SAVE = "ptsys.store.checkpoints:Checkpoints.save"

LABELS: dict[str, Point] = {
    # a user's request, in the API
    "rows: before the file": Point("api", "upload", f"{_DATASETS}_write", "before"),
    "rows: file, not recorded": Point("api", "upload", f"{_DATASETS}_write", "after"),
    "rows: recorded, not answered": Point("api", "upload", f"{_DATASETS}add", "after"),
    "rows: before they are deleted": Point("api", "remove", f"{_DATASETS}delete", "before"),
    "rows: deleted, not answered": Point("api", "remove", f"{_DATASETS}delete", "after"),
    "submit: before the record": Point("api", "submit", f"{_SERVICE}_insert", "before"),
    "submit: not committed": Point("api", "submit", f"{_SERVICE}_insert", "after"),
    "submit: committed, not announced": Point("api", "submit", f"{_SERVICE}announce", "before"),
    "submit: announced, not answered": Point("api", "submit", f"{_SERVICE}announce", "after"),
    "cancel: before": Point("api", "cancel", f"{_SERVICE}cancel", "before"),
    "cancel: committed, not answered": Point("api", "cancel", f"{_SERVICE}cancel", "after"),
    # a job in its worker
    "claim: not committed": Point("worker", "train", f"{_LEASES}_take", "after"),
    "claim: committed": Point("worker", "train", "workers.host:ModelHost._take", "before", "Claim"),
    "lease: renewed": Point("worker", "train", f"{_LEASES}heartbeat_all", "after", "Claim"),
    "progress: not committed": Point(
        "worker", "train", "ptsys.jobs.leases:record_event", "after", "progress"
    ),
    "progress: committed": Point("worker", "train", f"{_LEASES}progress", "after"),
    "checkpoint: before": Point("worker", "train", _SAVE, "before"),
    "checkpoint: not in its place": Point(
        "worker", "train", "os:rename", "before", "/checkpoints/"
    ),
    "checkpoint: stored, not recorded": Point("worker", "train", _SAVE, "after"),
    "checkpoint: not committed": Point(
        "worker", "train", "ptsys.jobs.leases:record_event", "after", "checkpoint"
    ),
    "checkpoint: committed": Point("worker", "train", f"{_LEASES}checkpoint", "after"),
    "resumed: told": Point("worker", "train", f"{_LEASES}event", "after", "resumed"),
    "scores: told": Point("worker", "evaluate", f"{_LEASES}event", "after", "evaluation"),
    "tensor: before": Point("worker", "train", "workers.outcome:store_prompt", "before"),
    "tensor: not in its place": Point("worker", "train", "os:rename", "before", "/prompts/"),
    "tensor: stored, not recorded": Point(
        "worker", "train", "workers.outcome:store_prompt", "after"
    ),
    "success: prompt not committed": Point(
        "worker", "train", "ptsys.jobs.leases:insert_prompt", "after"
    ),
    "success: end not committed": Point(
        "worker", "train", "ptsys.jobs.leases:finish", "after", "succeeded"
    ),
    "success: committed": Point("worker", "train", f"{_LEASES}succeed", "after"),
    "success: folder removed": Point("worker", "train", "workers.run:Run._forget", "after"),
    "given back: before": Point("worker", "terminate", f"{_LEASES}release", "before"),
    "given back: not committed": Point("worker", "terminate", "ptsys.jobs.leases:requeue", "after"),
    "given back: committed": Point("worker", "terminate", f"{_LEASES}release", "after"),
    "cancelled: before": Point("worker", "cancel", f"{_LEASES}cancelled", "before"),
    "cancelled: committed": Point("worker", "cancel", f"{_LEASES}cancelled", "after"),
    # a job whose worker died, in the reconciler
    "taken back: not committed": Point("helper", "wait", "ptsys.jobs.reconciler:requeue", "after"),
    "taken back: committed": Point("helper", "wait", "ptsys.jobs.reconciler:_take_back", "after"),
    "sent again: marked, not announced": Point("helper", "forget", f"{_SERVICE}announce", "before"),
    "sent again: announced": Point("helper", "forget", f"{_SERVICE}announce", "after"),
}


def arm(label: str) -> None:
    """Let this process kill itself when it comes to that point. Raises AttributeError for a point
    that the code no longer has."""
    point = LABELS[label]
    module, _, path = point.target.partition(":")
    holder: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        holder = getattr(holder, parent)
    setattr(holder, name, _deadly(getattr(holder, name), point, label))


def _deadly(function: Callable[..., Any], point: Point, label: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*given: Any, **named: Any) -> Any:
        if point.when == "before":
            _die_if(point, label, given, named)
            return function(*given, **named)
        result = function(*given, **named)
        if result is not None or "_take" not in point.target:  # nothing was taken
            _die_if(point, label, given, named)
        return result

    return wrapped


def _die_if(point: Point, label: str, given: tuple[Any, ...], named: dict[str, Any]) -> None:
    if point.only is None or point.only in repr((given, named)):
        os.write(2, f"dies at: {label}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
