"""Values that make the chart render everything it can."""

from __future__ import annotations

from typing import Any

_TPU = {
    "accelerator": "tpu",
    "chips": 4,
    "tpuAccelerator": "tpu-v5-lite-podslice",
    "tpuTopology": "4x4",
}
_GROUP = {
    "model": "t5-xxl",
    "hosts": 4,
    "groupTokenSecret": {"secretName": "group", "secretKey": "token"},
    "queueName": "tpus",
    "exclusiveTopology": "cloud.google.com/gke-nodepool",
    "settings": {"MODEL_SHARDS": "16", "WEIGHTS": "bfloat16"},
}

POOLS: list[dict[str, Any]] = [
    {"name": "small", "kind": "Deployment", "model": "tiny", "accelerator": "cpu", "replicas": 0},
    {
        "name": "gpu",
        "kind": "ScaledJob",
        "model": "t5-large",
        "accelerator": "cuda",
        "chips": 1,
        "replicas": 1,
        "maxReplicas": 8,
        "idleSeconds": 300,
        "resources": {"requests": {"cpu": "4"}},
        "nodeSelector": {"pool": "gpu"},
    },
    {"name": "slice", "kind": "LeaderWorkerSet", **_GROUP, **_TPU},
    {"name": "slices", "kind": "JobSet", "replicas": 2, **_GROUP, **_TPU},
]

EVERYTHING: dict[str, Any] = {
    "workers": POOLS,
    "api": {"ingress": {"enabled": True, "host": "ptsys.example.org"}},
    "networkPolicy": {"egressTo": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
    "monitoring": {
        "podMonitor": True,
        "rules": True,
        "dashboard": True,
        "labels": {"release": "monitoring"},
    },
}
