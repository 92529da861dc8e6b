"""Units, images, compose and nginx are taken by the programs that will read them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from programs import Program, missing

from ptsys.config import Settings

EXPOSURE = {"ptsys-api@": 1.5, "ptsys-worker@": 2.5, "ptsys-redis": 1.0, "ptsys-backup": 2.0}
_LONGEST_REQUEST = Settings.model_fields["request_seconds"].default
_SECRETS = {"POSTGRES_PASSWORD": "a", "REDIS_PASSWORD": "b", "GRAFANA_PASSWORD": "c"}


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.fixture
def units(deploy_folder: Path, tmp_path: Path) -> Path:
    """The units, with programs that exist."""
    for name in ("ptsys", "redis-server"):
        stand_in = tmp_path / "bin" / name
        stand_in.parent.mkdir(exist_ok=True)
        stand_in.write_text("#!/bin/sh\n")
        stand_in.chmod(0o755)
    folder = tmp_path / "units"
    folder.mkdir()
    for path in (deploy_folder / "systemd").iterdir():
        if path.suffix != ".env":
            text = path.read_text().replace("/opt/ptsys/bin/", f"{tmp_path}/bin/")
            text = text.replace("/usr/bin/redis-server", f"{tmp_path}/bin/redis-server")
            (folder / path.name).write_text(text)
    return folder


def test_systemd_finds_nothing_wrong_with_the_units(program: Program, units: Path) -> None:
    done = run(program("systemd-analyze"), "verify", *sorted(units.iterdir()))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_wrong_unit_would_be_found(program: Program, units: Path) -> None:
    unit = units / "ptsys-redis.service"
    unit.write_text(unit.read_text().replace("Restart=always", "Restart=allways"))
    assert "allways" in run(program("systemd-analyze"), "verify", unit).stderr


def test_the_units_are_confined(program: Program, units: Path) -> None:
    for name, most in EXPOSURE.items():
        done = run(
            program("systemd-analyze"),
            "security",
            "--offline=true",
            f"--threshold={round(10 * most)}",
            units / f"{name}.service",
        )
        assert done.returncode == 0, done.stdout[-400:]


def test_units_give_their_processes_time_to_end(deploy_folder: Path) -> None:
    for name in ("ptsys-api@", "ptsys-worker@"):
        text = (deploy_folder / "systemd" / f"{name}.service").read_text()
        takes = sum(float(x) for x in re.findall(r"PTSYS_(?:LEAVE|DRAIN)_SECONDS=(\d+)", text))
        (given,) = re.findall(r"^TimeoutStopSec=(\d+)", text, re.MULTILINE)
        assert float(given) > takes
        if name == "ptsys-api@":
            assert takes > _LONGEST_REQUEST  # whatever was begun is finished
    assert "SuccessExitStatus=75" in text
    assert "PTSYS_DRAINED_EXIT_CODE=75" in text


def test_environment_files_hold_settings_that_are_taken(
    deploy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = []
    for path in sorted((deploy_folder / "systemd").glob("*.env")):
        given = dict(re.findall(r"^#?(PTSYS_[A-Z_]+)=(.*)$", path.read_text(), re.MULTILINE))
        for name, value in given.items():
            assert name.removeprefix("PTSYS_").lower() in Settings.model_fields, name
            monkeypatch.setenv(name, value)
        if "PTSYS_WORKER_PORT" in given:
            ports.append(Settings().worker_port)
    assert ports == [9401, 9402]
    scraped = (deploy_folder / "observability" / "prometheus.yml").read_text()
    assert all(f"127.0.0.1:{port}" in scraped for port in (8001, 8002, *ports))


def test_compose_takes_its_file(program: Program, deploy_folder: Path) -> None:
    compose, file = program("docker-compose"), deploy_folder / "compose" / "compose.yaml"
    done = run(compose, "--file", file, "config", "--format", "json", **_SECRETS)
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    wanted = {"api", "worker", "migrate", "postgres", "redis", "prometheus", "grafana"}
    assert set(services) == wanted
    for name, service in services.items():
        for variable in service.get("environment") or {}:
            if variable.startswith("PTSYS_"):
                assert variable.removeprefix("PTSYS_").lower() in Settings.model_fields, name
        published = service.get("ports") or []
        assert all(port["host_ip"] == "127.0.0.1" for port in published), name
        assert ":" in service["image"], name
    for name, grace in (("api", 200), ("worker", 75)):
        assert services[name]["read_only"]
        told = services[name]["environment"]
        takes = float(told["PTSYS_DRAIN_SECONDS"]) + float(told.get("PTSYS_LEAVE_SECONDS", 0))
        assert services[name]["stop_grace_period"] == f"{grace // 60}m{grace % 60}s"
        assert grace > takes
    assert float(services["api"]["environment"]["PTSYS_DRAIN_SECONDS"]) > _LONGEST_REQUEST
    missing_secret = run(compose, "--file", file, "config", "-q", POSTGRES_PASSWORD="a")
    assert "REDIS_PASSWORD" in missing_secret.stderr


def test_compose_mounts_files_that_are_there(deploy_folder: Path) -> None:
    text = (deploy_folder / "compose" / "compose.yaml").read_text()
    for path in re.findall(r"- (\.\.?/[^:]+):", text):
        assert (deploy_folder / "compose" / path).exists(), path


def test_hadolint_finds_nothing_in_the_image(program: Program, deploy_folder: Path) -> None:
    done = run(program("hadolint"), deploy_folder / "docker" / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_confined_and_pinned(deploy_folder: Path) -> None:
    text = (deploy_folder / "docker" / "Dockerfile").read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert {x for x in bases if ":" in x} == {"python:3.11.14-slim-bookworm"}
    assert {"cpu", "tpu", "cuda"} <= set(re.findall(r"^FROM run AS (\w+)", text, re.MULTILINE))
    assert "USER 10001:10001" in text
    assert "HEALTHCHECK" in text
    installs = re.findall(r"pip install .*'\.\[", text)
    assert len(installs) == 3
    assert all("--constraint constraints.txt" in line for line in installs)


def test_nginx_takes_its_file(program: Program, deploy_folder: Path, tmp_path: Path) -> None:
    nginx = program("nginx")
    made = run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-days", "1", "-subj", "/CN=localhost",
        "-keyout", tmp_path / "privkey.pem", "-out", tmp_path / "fullchain.pem",
    )  # fmt: skip
    if made.returncode:
        missing("openssl")
    text = (deploy_folder / "nginx" / "ptsys.conf").read_text()
    (tmp_path / "ptsys.conf").write_text(text.replace("/etc/ptsys/tls", str(tmp_path)))
    (tmp_path / "nginx.conf").write_text(
        f"error_log stderr; pid {tmp_path}/pid; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p;"
        f" fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u;"
        f" scgi_temp_path {tmp_path}/s; include {tmp_path}/ptsys.conf; }}\n"
    )
    done = run(nginx, "-t", "-q", "-p", tmp_path, "-c", tmp_path / "nginx.conf")
    assert done.returncode == 0, done.stderr
    settings = Settings()
    assert f"client_max_body_size {settings.max_body_bytes // 2**20}m;" in text
    assert settings.request_seconds < 190  # proxy_read_timeout
