"""Writes custom_schemas.json: what the chart's custom resources may hold, out of their projects'
own CustomResourceDefinitions.

    python tests/deploy/make_custom_schemas.py FOLDER [--whole FILE] [--release NAME=TAG ...]

FOLDER holds clones, named as in `RELEASES`, with their tags. Descriptions are left out, and pods,
which Kubernetes' own schemas check; `--whole` keeps the pods. An unknown field is refused, as
`kubectl apply` does by default.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

RELEASES = {
    "keda": "v2.20.2",
    "jobset": "v0.12.0",
    "lws": "v0.10.0",
    "prometheus-operator": "v0.93.0",
}
SOURCES = {
    "ScaledJob": ("keda", "config/crd/bases/keda.sh_scaledjobs.yaml"),
    "JobSet": ("jobset", "config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml"),
    "LeaderWorkerSet": ("lws", "config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml"),
    "PodMonitor": (
        "prometheus-operator",
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
    ),
    "PrometheusRule": (
        "prometheus-operator",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
}
OWNERS = {
    "keda": "kedacore/keda, Copyright The KEDA Authors",
    "jobset": "kubernetes-sigs/jobset, Copyright The Kubernetes Authors",
    "lws": "kubernetes-sigs/lws, Copyright The Kubernetes Authors",
    "prometheus-operator": "prometheus-operator/prometheus-operator, Copyright The "
    "prometheus-operator Authors",
}
TRIGGERS = ("keda", "schema/generated/scalers-schema.json")
_LIMITS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties")
_KEPT = (
    "type",
    "enum",
    "pattern",
    "required",
    "format",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    *_LIMITS,
)


def compact(schema: dict[str, Any], whole: bool) -> dict[str, Any]:
    """A schema of a CustomResourceDefinition as one of JSON Schema."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    properties = schema.get("properties", {})
    if not whole and {"containers", "initContainers"} <= properties.keys():
        return {"type": "object"}
    found = {key: schema[key] for key in _KEPT if key in schema}
    if "pattern" in found:  # Go bears flags in the middle, Python wants them before all
        pattern: str = found["pattern"]
        found["pattern"] = f"(?i){pattern.replace('(?i)', '')}" if "(?i)" in pattern else pattern
    if properties:
        found["properties"] = {name: compact(one, whole) for name, one in properties.items()}
        found["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if isinstance(schema.get("additionalProperties"), dict):
        found["additionalProperties"] = compact(schema["additionalProperties"], whole)
    if "items" in schema:
        found["items"] = compact(schema["items"], whole)
    return found


def show(folder: Path, name: str, path: str, release: str) -> str:
    """A clone's file as it was in a release."""
    command = ["git", "-C", str(folder / name), "show", f"{release}:{path}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def schemas(folder: Path, whole: bool, releases: dict[str, str]) -> dict[str, Any]:
    """Everything that the file holds."""
    found: dict[str, Any] = {}
    for kind, (name, path) in SOURCES.items():
        definition = yaml.safe_load(show(folder, name, path, releases[name]))["spec"]
        (version,) = (one for one in definition["versions"] if one["storage"])
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        found[kind] = {
            "from": f"{OWNERS[name]}; Apache-2.0; {path} of {releases[name]}; shortened",
            "apiVersion": f"{definition['group']}/{version['name']}",
            "spec": compact(spec, whole),
        }
    name, path = TRIGGERS
    told = json.loads(show(folder, name, path, releases[name]))
    (scaler,) = (one for one in told["scalers"] if one["type"] == "postgresql")
    found["trigger"] = {
        "from": f"{OWNERS[name]}; Apache-2.0; {path} of {releases[name]}; shortened",
        "postgresql": scaler["parameters"],
    }
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--whole", type=Path, help="write that file instead, pods included")
    parser.add_argument("--release", nargs="*", default=[], help="another one: keda=v2.17.0")
    asked = parser.parse_args()
    others = dict(one.split("=", 1) for one in asked.release)
    made = schemas(asked.folder, asked.whole is not None, RELEASES | others)
    lines = (f"{json.dumps(kind)}: {json.dumps(one, sort_keys=True)}" for kind, one in made.items())
    path = asked.whole or Path(__file__).with_name("custom_schemas.json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
