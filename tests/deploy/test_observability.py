"""Rules and dashboard ask for metrics that exist, and Prometheus takes them."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path

import anyio
import httpx
import pytest
from programs import Program
from prometheus_client import generate_latest

from ptsys.api.app import create_app
from ptsys.config import Settings
from ptsys.jobs.pings import Pings
from ptsys.jobs.presence import Presence
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from workers.measures import DeviceMemory, LogCounter, Measures, Standing

_NAME = re.compile(r"\b(ptsys_[a-z_]+)")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of what the API's and a worker's /metrics have."""
    root = tmp_path_factory.mktemp("data")
    settings = Settings(data_dir=root, redis_url="redis://127.0.0.1:1/0")
    service = Service(settings)
    presence = Presence(worker="w", host="h", pid=1, since=utc_now())
    measures = Measures("tiny", users=True)
    registry = measures.registry
    LogCounter(registry)
    for collector in (
        Pings(service.database, RedisAddress("redis://127.0.0.1:1/0")),
        Standing(lambda: presence),
        DeviceMemory(),
    ):
        registry.register(collector)
    app = create_app(settings, service)

    async def page() -> str:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get("/metrics")).text

    text = anyio.run(page) + generate_latest(registry).decode()
    service.close()
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE):
        names.add(name)
        if kind == "histogram":
            names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    return names


def asked(text: str) -> set[str]:
    return set(_NAME.findall(text))


def test_rules_ask_for_metrics_that_exist(deploy_folder: Path, exported: set[str]) -> None:
    text = (deploy_folder / "observability" / "rules.yaml").read_text()
    expressions = re.findall(r"^\s+expr: (.*)$", text, re.MULTILINE)
    assert asked(" ".join(expressions)) - exported == set()


def test_panels_ask_for_metrics_that_exist(deploy_folder: Path, exported: set[str]) -> None:
    board = json.loads((deploy_folder / "observability" / "dashboard.json").read_text())
    queries = [t["expr"] for panel in board["panels"] for t in panel.get("targets", [])]
    assert len(queries) > 20
    assert asked(" ".join(queries)) - exported == set()
    identifiers = [panel["id"] for panel in board["panels"]]
    assert len(set(identifiers)) == len(identifiers)


def test_whatever_is_counted_is_looked_at(deploy_folder: Path, exported: set[str]) -> None:
    """A metric that neither a panel nor a rule asks for is one that nobody will see."""
    folder = deploy_folder / "observability"
    seen = asked((folder / "rules.yaml").read_text() + (folder / "dashboard.json").read_text())
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in exported}
    unseen = {f for f in families if not any(s.startswith(f) for s in seen)}
    assert unseen <= {"ptsys_build", "ptsys_worker_ready", "ptsys_jobs_held"}


def test_the_dashboard_is_made_by_its_maker(deploy_folder: Path) -> None:
    path = deploy_folder / "observability" / "make_dashboard.py"
    spec = importlib.util.spec_from_file_location("make_dashboard", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kept = json.loads(path.with_name("dashboard.json").read_text())
    assert kept == module.dashboard(), "python deploy/observability/make_dashboard.py"
    page = path.with_name("console.html").read_text()
    assert page == module.console(), "python deploy/observability/make_dashboard.py"
    assert "{{" not in page  # Prometheus would fill it in


def test_promtool_takes_rules_configuration_and_panels(
    program: Program, deploy_folder: Path, tmp_path: Path
) -> None:
    promtool = program("promtool")

    def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)

    rules = deploy_folder / "observability" / "rules.yaml"
    (tmp_path / "rules.yaml").write_text(rules.read_text())
    configuration = (deploy_folder / "compose" / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(configuration)
    done = check("check", "config", tmp_path / "prometheus.yml")  # its rule files too
    assert done.returncode == 0, done.stderr
    assert "16 rules found" in done.stdout
    (tmp_path / "machine.yml").write_text(
        (deploy_folder / "observability" / "prometheus.yml").read_text()
    )
    (tmp_path / "ptsys-rules.yaml").write_text(rules.read_text())
    done = check("check", "config", tmp_path / "machine.yml")
    assert done.returncode == 0, done.stderr
    assert "16 rules found" in done.stdout
    board = json.loads((deploy_folder / "observability" / "dashboard.json").read_text())
    queries = [t["expr"] for panel in board["panels"] for t in panel.get("targets", [])]
    records = "".join(
        f"  - record: ptsys:panel{i}\n    expr: {json.dumps(q)}\n" for i, q in enumerate(queries)
    )
    (tmp_path / "panels.yaml").write_text(f"groups:\n- name: panels\n  rules:\n{records}")
    done = check("check", "rules", tmp_path / "panels.yaml")
    assert done.returncode == 0, done.stderr


def test_alerts_fire_when_they_should(
    program: Program, deploy_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "test.yaml").write_text(
        f"""
rule_files: [{deploy_folder}/observability/rules.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'ptsys_jobs{{state="queued",model="xl",instance="a"}}'
        values: '3x20'
      - series: 'ptsys_jobs{{state="queued",model="tiny",instance="a"}}'
        values: '3x20'
      - series: 'ptsys_workers_ready{{model="tiny",instance="a"}}'
        values: '1x20'
      - series: 'ptsys_leases_lost_total{{instance="w"}}'
        values: '0 0 0 0 0 1x15'
      - series: 'ptsys_dependency_up{{name="redis",instance="a"}}'
        values: '1x5 0x15'
      - series: 'ptsys_dependency_up{{name="redis",instance="b"}}'
        values: '1x20'
    alert_rule_test:
      - eval_time: 10m
        alertname: PtsysNoWorker
        exp_alerts:
          - exp_labels: {{severity: critical, model: xl}}
            exp_annotations:
              summary: "jobs for model xl wait and no worker serves it"
              fix: "start a worker with PTSYS_MODEL=xl"
      - eval_time: 10m
        alertname: PtsysDependencyDown
        exp_alerts: []
    promql_expr_test:
      - expr: count(ALERTS{{alertname="PtsysLeasesLost",alertstate="firing"}})
        eval_time: 10m
        exp_samples: [{{labels: '{{}}', value: 1}}]
"""
    )
    done = subprocess.run(
        [program("promtool"), "test", "rules", tmp_path / "test.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
