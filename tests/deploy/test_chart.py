"""The chart renders objects that Kubernetes and the custom resources' projects accept, and that
mean what docs/deploy_kubernetes.md says."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from custom_resources import SPECS, VERSIONS, inner, unknown_parameters
from pools import EVERYTHING, POOLS
from programs import missing

from ptsys.config import Settings

try:
    import jsonschema
    import kubernetes_validate
    import yaml
    from helm_python import HelmError, chart
except ImportError as error:
    missing(str(error.name))

Thing = dict[str, Any]
VERSIONS_CHECKED = ("1.31", "1.33", "1.37")
_OURS = frozenset(VERSIONS)


@pytest.fixture(scope="module")
def loaded(deploy_folder: Path) -> Iterator[chart.Chart]:
    with chart.Chart.load(deploy_folder / "helm" / "ptsys") as found:
        yield found


def render(loaded: chart.Chart, values: Thing | None = None) -> list[Thing]:
    files = loaded.render(values or {}, name="prod", namespace="ptsys")
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    return [thing for text in texts for thing in yaml.safe_load_all(text) if thing]


def of_kind(things: list[Thing], kind: str) -> list[Thing]:
    return [thing for thing in things if thing["kind"] == kind]


def pods(things: list[Thing]) -> Iterator[tuple[str, Thing]]:
    """Every pod's spec, with the name of what makes it."""
    for thing in things:
        name, spec = thing["metadata"]["name"], thing.get("spec", {})
        if thing["kind"] in ("Deployment", "Job"):
            yield name, spec["template"]["spec"]
        for one in inner(thing) if thing["kind"] in _OURS else ():
            yield name, (one.get("template") or one["spec"]["template"])["spec"]


def workers(things: list[Thing]) -> list[Thing]:
    return [pod for _, pod in pods(things) if pod["containers"][0]["name"] == "worker"]


def environment(pod: Thing) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in pod["containers"][0]["env"]}


def test_lint_finds_nothing_but_a_missing_icon(deploy_folder: Path) -> None:
    for values in ({}, EVERYTHING):
        report = chart.lint(deploy_folder / "helm" / "ptsys", values, strict=True)
        assert report["errors"] == []
        assert {one["error"] for one in report["messages"]} <= {"icon is recommended"}


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["as it is", "everything"])
@pytest.mark.parametrize("version", VERSIONS_CHECKED)
def test_kubernetes_accepts_every_object(loaded: chart.Chart, values: Thing, version: str) -> None:
    things = render(loaded, values)
    own = [thing for thing in things if thing["kind"] not in _OURS]
    held = [one for thing in things if thing["kind"] in _OURS for one in inner(thing)]
    assert own
    for thing in (*own, *held):
        kubernetes_validate.validate(thing, version, strict=True)
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in things]
    assert len(set(names)) == len(names)


def test_custom_resources_are_as_their_projects_want_them(loaded: chart.Chart) -> None:
    things = [thing for thing in render(loaded, EVERYTHING) if thing["kind"] in _OURS]
    assert {thing["kind"] for thing in things} == _OURS
    for thing in things:
        assert thing["apiVersion"] == VERSIONS[thing["kind"]]
        jsonschema.validate(thing["spec"], SPECS[thing["kind"]])
    for thing in of_kind(things, "ScaledJob"):
        for trigger in thing["spec"]["triggers"]:
            assert trigger["type"] == "postgresql"
            assert unknown_parameters(trigger) == []
    assert unknown_parameters({"metadata": {"query": "", "conectionFromEnv": ""}}) == [
        "conectionFromEnv"
    ]


@pytest.mark.parametrize(
    ("kind", "way", "value"),
    [
        ("JobSet", ("failurePolicy", "rules", 0, "action"), "Restart"),
        ("JobSet", ("failurePolicies",), {}),
        ("LeaderWorkerSet", ("leaderWorkerTemplate", "restartPolicy"), "Always"),
        ("LeaderWorkerSet", ("leaderWorkerTemplate", "workerTemplate", "specs"), {}),
        ("ScaledJob", ("jobTargetRef", "podFailurePolicy", "rules", 0, "action"), 1),
        ("ScaledJob", ("scalingStrategy", "strategies"), "default"),
        ("PodMonitor", ("podMetricsEndpoints", 0, "interval"), "15"),
        ("PrometheusRule", ("groups", 0, "rules", 0, "for"), "soon"),
    ],
)
def test_a_wrong_custom_resource_would_be_found(
    loaded: chart.Chart, kind: str, way: tuple[str | int, ...], value: object
) -> None:
    spec = copy.deepcopy(of_kind(render(loaded, EVERYTHING), kind)[0]["spec"])
    inside = spec
    for step in way[:-1]:
        inside = inside[step]
    inside[way[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec, SPECS[kind])


def test_a_jobset_that_changes_is_another_one(loaded: chart.Chart) -> None:
    """Kubernetes refuses to change one: an upgrade would fail."""

    def names(**changed: object) -> list[str]:
        things = render(loaded, {**EVERYTHING, **changed})
        return [thing["metadata"]["name"] for thing in of_kind(things, "JobSet")]

    assert names() == names()
    (pool,) = (one for one in POOLS if one["kind"] == "JobSet")
    for changed in (
        {"image": {"tag": "another"}},
        {"settings": {"LOG_FORMAT": "text"}},
        {"workerDefaults": {"jobsetMaxRestarts": 3}},
        {"workers": [{**pool, "queueName": "others"}]},
    ):
        assert set(names(**changed)) & set(names()) == set()
    with pytest.raises(HelmError, match="too long"):
        render(loaded, {"workers": [{**pool, "name": "a" * 32}]})


def test_kueue_is_told_of_every_pool_that_names_a_queue(loaded: chart.Chart) -> None:
    pools = [{**pool, "queueName": "tpus"} for pool in POOLS]
    things = render(loaded, {"workers": pools})
    ours = [
        x for x in things if x["metadata"]["labels"].get("app.kubernetes.io/component") == "worker"
    ]
    queued = [x for x in ours if x["kind"] in {pool["kind"] for pool in POOLS}]
    assert {x["kind"] for x in queued} == {pool["kind"] for pool in POOLS}
    for thing in queued:
        assert thing["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "tpus"


@pytest.mark.parametrize(
    "values",
    [
        {"wokers": []},
        {"settings": {"DATABASE_URL": "postgresql://ptsys:secret@db/ptsys"}},
        {"workers": [{**POOLS[0], "kind": "StatefulSet"}]},
        {"workers": [{**POOLS[2], "hosts": 1}]},
        {"workers": [{**POOLS[2], "tpuTopology": "sixteen"}]},
        {"workers": [{k: v for k, v in POOLS[2].items() if k != "groupTokenSecret"}]},
        {"workers": [{k: v for k, v in POOLS[1].items() if k != "idleSeconds"}]},
        {"workers": [{k: v for k, v in POOLS[1].items() if k != "chips"}]},
        {"database": {"secretName": ""}},
    ],
)
def test_values_that_mean_nothing_are_refused(loaded: chart.Chart, values: Thing) -> None:
    with pytest.raises(HelmError):
        loaded.validate_schema(values)


def test_every_variable_in_it_is_a_setting(loaded: chart.Chart) -> None:
    known = {f"PTSYS_{name.upper()}" for name in Settings.model_fields}
    things = render(loaded, EVERYTHING)
    given = {name for _, pod in pods(things) for name in environment(pod)}
    for settings in of_kind(things, "ConfigMap"):
        given |= set(settings["data"])
    assert {name for name in given if name.startswith("PTSYS_")} <= known


def test_no_secret_stands_in_what_is_rendered(loaded: chart.Chart) -> None:
    things = render(loaded, EVERYTHING)
    assert not of_kind(things, "Secret")
    for _, pod in pods(things):
        for one in pod["containers"][0]["env"]:
            if one["name"] in ("PTSYS_DATABASE_URL", "PTSYS_REDIS_URL", "PTSYS_GROUP_TOKEN"):
                assert set(one["valueFrom"]) == {"secretKeyRef"}


def test_every_container_is_confined(loaded: chart.Chart) -> None:
    for name, pod in pods(render(loaded, EVERYTHING)):
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in pod["containers"]:
            confined = container["securityContext"]
            assert confined["readOnlyRootFilesystem"], name
            assert confined["allowPrivilegeEscalation"] is False, name
            assert confined["capabilities"] == {"drop": ["ALL"]}, name


def test_pods_are_given_longer_than_they_take_to_end(loaded: chart.Chart) -> None:
    for name, pod in pods(render(loaded, EVERYTHING)):
        told = environment(pod)
        takes = sum(float(told.get(f"PTSYS_{x}_SECONDS", 0)) for x in ("LEAVE", "DRAIN"))
        assert pod.get("terminationGracePeriodSeconds", 30) > takes, name


def test_probes_ask_three_different_things(loaded: chart.Chart) -> None:
    for pod in workers(render(loaded, EVERYTHING)):
        container = pod["containers"][0]
        asked = [
            container[f"{probe}Probe"]["httpGet"]["path"]
            for probe in ("startup", "liveness", "readiness")
        ]
        assert asked == ["/startupz", "/healthz", "/readyz"]
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 1800


def test_a_budget_of_nothing_is_a_budget(loaded: chart.Chart) -> None:
    def budget(**given: Any) -> Thing:
        values = {"api": {"podDisruptionBudget": {"enabled": True, **given}}}
        (found,) = of_kind(render(loaded, values), "PodDisruptionBudget")
        return {k: v for k, v in found["spec"].items() if k != "selector"}

    assert budget() == {"maxUnavailable": 1}
    assert budget(maxUnavailable=0) == {"maxUnavailable": 0}
    assert budget(minAvailable=0) == {"minAvailable": 0}


def test_replicas_of_nothing_are_no_replicas(loaded: chart.Chart) -> None:
    deployments = of_kind(render(loaded, EVERYTHING), "Deployment")
    pool = next(one for one in deployments if one["metadata"]["name"].endswith("-small"))
    assert pool["spec"]["replicas"] == 0


def test_a_preempted_group_is_started_again_and_that_counts_for_nothing(
    loaded: chart.Chart,
) -> None:
    sets = of_kind(render(loaded, EVERYTHING), "JobSet")
    assert len(sets) == 2  # one a group: what ends one leaves the other alone
    for one in sets:
        (rule,) = one["spec"]["failurePolicy"]["rules"]
        assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
        job = one["spec"]["replicatedJobs"][0]["template"]["spec"]
        pod = job["template"]["spec"]
        assert (job["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
        by_code = job["podFailurePolicy"]["rules"][1]["onExitCodes"]
        assert int(environment(pod)["PTSYS_DRAINED_EXIT_CODE"]) in by_code["values"]
        assert job["completions"] == job["parallelism"] == 4
        assert environment(pod)["PTSYS_PROCESSES"] == "4"
        assert environment(pod)["GROUP_NAME"] == one["spec"]["network"]["subdomain"]
        assert environment(pod)["GROUP_NAME"] == one["metadata"]["name"]
    (group,) = of_kind(render(loaded, EVERYTHING), "LeaderWorkerSet")
    template = group["spec"]["leaderWorkerTemplate"]
    assert (template["size"], template["restartPolicy"]) == (4, "RecreateGroupOnPodRestart")


def test_tpu_pods_ask_for_their_slice(loaded: chart.Chart) -> None:
    (group,) = of_kind(render(loaded, EVERYTHING), "LeaderWorkerSet")
    pod = group["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "4x4",
    }
    assert pod["containers"][0]["resources"]["limits"] == {"google.com/tpu": 4}
    assert pod["containers"][0]["image"].endswith("-tpu")
    assert group["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "tpus"


def test_scaling_down_ends_no_worker_that_works(loaded: chart.Chart) -> None:
    (scaled,) = of_kind(render(loaded, EVERYTHING), "ScaledJob")
    (pod,) = [inner_["spec"]["template"]["spec"] for inner_ in inner(scaled)]
    assert environment(pod)["PTSYS_IDLE_EXIT_SECONDS"] == "300"  # each ends when it is idle
    assert scaled["spec"]["rollout"] == {"strategy": "gradual"}
    assert not of_kind(render(loaded, EVERYTHING), "ScaledObject")


def test_the_api_stays_while_it_is_changed(loaded: chart.Chart) -> None:
    api = next(
        x
        for x in of_kind(render(loaded), "Deployment")
        if x["metadata"]["name"] == "prod-ptsys-api"
    )
    assert api["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    pod = api["spec"]["template"]["spec"]
    readiness = pod["containers"][0]["readinessProbe"]
    noticed = readiness["periodSeconds"] * readiness["failureThreshold"]
    assert float(environment(pod)["PTSYS_LEAVE_SECONDS"]) > noticed
    longest = Settings.model_fields["request_seconds"].default
    assert float(environment(pod)["PTSYS_DRAIN_SECONDS"]) > longest
    (migrate,) = of_kind(render(loaded), "Job")
    assert migrate["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
