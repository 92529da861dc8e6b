"""What the custom resources of the chart may hold, by their projects' own definitions; a trigger of
KEDA's by what its scalers read. Pod and job templates inside are Kubernetes' own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_TOLD: dict[str, Any] = json.loads(Path(__file__).with_name("custom_schemas.json").read_text())
_PARAMETERS = _TOLD.pop("trigger")["postgresql"]

SPECS: dict[str, dict[str, Any]] = {kind: one["spec"] for kind, one in _TOLD.items()}
VERSIONS: dict[str, str] = {kind: one["apiVersion"] for kind, one in _TOLD.items()}


def unknown_parameters(trigger: dict[str, Any]) -> list[str]:
    """What a trigger that counts rows in PostgreSQL says and KEDA would not read."""
    known = set()
    for one in _PARAMETERS:
        if one.get("metadataVariableReadable"):
            known.add(one["name"])
        if one.get("envVariableReadable"):
            known.add(f"{one['name']}FromEnv")
    return sorted(trigger["metadata"].keys() - known)


def inner(thing: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Kubernetes' own objects that a custom one holds, as objects of their own."""
    spec, kind = thing["spec"], thing["kind"]
    if kind == "JobSet":
        for job in spec["replicatedJobs"]:
            yield _job(job["template"]["spec"])
    elif kind == "ScaledJob":
        yield _job(spec["jobTargetRef"])
    elif kind == "LeaderWorkerSet":
        template = spec["leaderWorkerTemplate"]["workerTemplate"]
        yield {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": "inner"},
            "template": template,
        }


def _job(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "inner"},
        "spec": spec,
    }
