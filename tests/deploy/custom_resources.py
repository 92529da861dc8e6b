"""What the custom resources of the chart may hold, by hand, from their projects' API types: enough
to refuse a field or a word that is none. Pod and job templates inside are Kubernetes' own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
STRING: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
STRINGS: Schema = {"type": "array", "items": STRING}
ANY: Schema = {}


def closed(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def words(*allowed: str) -> Schema:
    return {"enum": list(allowed)}


def several(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


# jobset.x-k8s.io/v1alpha2, leaderworkerset.x-k8s.io/v1, keda.sh/v1alpha1, monitoring.coreos.com/v1
SPECS: dict[str, Schema] = {
    "JobSet": closed(
        ("replicatedJobs",),
        replicatedJobs=several(
            closed(
                ("name", "template"), name=STRING, replicas=COUNT, template=ANY, groupName=STRING
            )
        ),
        network=closed(
            enableDNSHostnames={"type": "boolean"},
            publishNotReadyAddresses={"type": "boolean"},
            subdomain=STRING,
        ),
        failurePolicy=closed(
            maxRestarts=COUNT,
            restartStrategy=words("Recreate", "BlockingRecreate", "InPlaceRestart"),
            rules=several(
                closed(
                    ("name", "action"),
                    name=STRING,
                    action=words(
                        "FailJobSet",
                        "RestartJobSet",
                        "RestartJobSetAndIgnoreMaxRestarts",
                        "RestartJob",
                        "RestartJobAndIgnoreMaxRestarts",
                    ),
                    onJobFailureReasons={
                        "type": "array",
                        "items": words(
                            "BackoffLimitExceeded",
                            "DeadlineExceeded",
                            "FailedIndexes",
                            "MaxFailedIndexesExceeded",
                            "PodFailurePolicy",
                        ),
                    },
                    onJobFailureMessagePatterns=STRINGS,
                    targetReplicatedJobs=STRINGS,
                )
            ),
        ),
        suspend={"type": "boolean"},
        ttlSecondsAfterFinished=COUNT,
    ),
    "LeaderWorkerSet": closed(
        ("leaderWorkerTemplate",),
        replicas=COUNT,
        startupPolicy=words("LeaderCreated", "LeaderReady"),
        rolloutStrategy=closed(
            ("type",),
            type=words("RollingUpdate"),
            rollingUpdateConfiguration=closed(maxUnavailable=ANY, maxSurge=ANY, partition=COUNT),
        ),
        networkConfig=closed(subdomainPolicy=words("Shared", "UniquePerReplica")),
        leaderWorkerTemplate=closed(
            ("workerTemplate",),
            size={"type": "integer", "minimum": 1},
            restartPolicy=words(
                "Default", "RecreateGroupOnPodRestart", "RecreateGroupAfterStart", "None"
            ),
            leaderTemplate=ANY,
            workerTemplate=ANY,
        ),
    ),
    "ScaledJob": closed(
        ("jobTargetRef", "triggers"),
        jobTargetRef=ANY,
        pollingInterval=COUNT,
        successfulJobsHistoryLimit=COUNT,
        failedJobsHistoryLimit=COUNT,
        minReplicaCount=COUNT,
        maxReplicaCount=COUNT,
        rollout=closed(
            strategy=words("default", "gradual"),
            propagationPolicy=words("foreground", "background"),
        ),
        scalingStrategy=closed(
            strategy=words("default", "custom", "accurate", "eager"),
            customScalingQueueLengthDeduction=COUNT,
            customScalingRunningJobPercentage=STRING,
            pendingPodConditions=STRINGS,
            multipleScalersCalculation=words("max", "min", "avg", "sum"),
        ),
        triggers=several(
            closed(
                ("type", "metadata"),
                type=STRING,
                name=STRING,
                metadata={"type": "object", "additionalProperties": STRING},
                authenticationRef=closed(("name",), name=STRING, kind=STRING),
            )
        ),
    ),
    "PodMonitor": closed(
        ("selector", "podMetricsEndpoints"),
        selector=closed(matchLabels={"type": "object", "additionalProperties": STRING}),
        namespaceSelector=closed(any={"type": "boolean"}, matchNames=STRINGS),
        podMetricsEndpoints=several(
            closed(port=STRING, path=STRING, interval=STRING, scrapeTimeout=STRING, scheme=STRING)
        ),
    ),
    "PrometheusRule": closed(
        ("groups",),
        groups=several(
            closed(
                ("name", "rules"),
                name=STRING,
                interval=STRING,
                rules=several(
                    closed(
                        ("expr",),
                        alert=STRING,
                        record=STRING,
                        expr=STRING,
                        **{"for": STRING},
                        labels={"type": "object", "additionalProperties": STRING},
                        annotations={"type": "object", "additionalProperties": STRING},
                    )
                ),
            )
        ),
    ),
}
VERSIONS = {
    "JobSet": "jobset.x-k8s.io/v1alpha2",
    "LeaderWorkerSet": "leaderworkerset.x-k8s.io/v1",
    "ScaledJob": "keda.sh/v1alpha1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
}


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
