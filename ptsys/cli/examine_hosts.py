"""`ptsys doctor` on hosts: workers and their clocks, devices, ports, files that may be open."""

from __future__ import annotations

import http.client
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator

from ptsys.cli.examination import Finding, note, ok, wrong
from ptsys.config import Settings
from ptsys.errors import PtsysError
from ptsys.jobs.presence import Presence, clock_offsets, workers
from ptsys.jobs.redis_server import locate
from ptsys.stack.ports import is_free

_SKEW = 2.0  # seconds that leases bear
_DEVICE_SECONDS = 60.0
_ASK_DEVICES = """
import json, jax
print(json.dumps([[d.platform, d.device_kind, (d.memory_stats() or {}).get("bytes_limit")]
                  for d in jax.local_devices()]))
"""


def examine_workers(settings: Settings) -> Iterator[Finding]:
    """Who serves, and whether their hosts' clocks agree."""
    try:
        address = locate(settings)
        present, offsets = workers(address), clock_offsets(address)
    except PtsysError:
        return  # told of Redis already
    ready = sorted(f"{one.model} on {one.host}" for one in present if one.ready and one.model)
    if ready:
        yield ok("workers", ", ".join(ready))
    else:
        found = "none serves" if not present else f"{len(present)} are there, none is ready"
        yield note("workers", found, "`ptsys worker`, or its log")
    for host, ahead in sorted(offsets.items()):
        told = (
            f"{host}'s clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} Redis's"
        )
        if abs(ahead) >= _SKEW:
            yield wrong("clocks", told, f"NTP on {host} (chrony, systemd-timesyncd)")
        else:
            yield ok("clocks", told)


def examine_devices(settings: Settings) -> Iterator[Finding]:
    """What JAX sees here, asked in a process of its own; not beside a worker, who holds it."""
    here = [one for one in _present(settings) if one.host == socket.gethostname()]
    if any(one.model for one in here):
        yield ok("devices", "a worker of this host holds them; its /metrics tell their memory")
        return
    try:
        done = subprocess.run(
            [sys.executable, "-c", _ASK_DEVICES],
            capture_output=True,
            text=True,
            timeout=_DEVICE_SECONDS,
            check=False,
        )
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        yield wrong(
            "devices",
            f"JAX did not find them within {_DEVICE_SECONDS:.0f} s",
            "does another process hold the TPU? JAX_PLATFORMS=cpu does without",
        )
        return
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        yield wrong("devices", f"JAX found none: {last[:200]}", "its drivers, or JAX_PLATFORMS")
        return
    platform, kind, memory = found[0]
    size = "" if memory is None else f" of {memory / 2**30:.1f} GiB"
    told = f"{len(found)} x {kind}{size} ({platform})"
    if len(found) % settings.model_shards:
        mend = "PTSYS_MODEL_SHARDS must divide their number"
        yield wrong("devices", f"{told}, in groups of {settings.model_shards}", mend)
    elif platform == "cpu":
        yield note("devices", told, "no accelerator: fit for trying, slow for large models")
    else:
        yield ok("devices", told)


def _present(settings: Settings) -> list[Presence]:
    try:
        return workers(locate(settings))
    except PtsysError:
        return []


def examine_ports(settings: Settings) -> Iterator[Finding]:
    """The API's and the probes' ports answer, or are free."""
    yield _port("API", settings.api_host, settings.api_port)
    if settings.worker_port:
        yield _port("worker", settings.worker_host, settings.worker_port)


def _port(whose: str, host: str, port: int) -> Finding:
    where = f"{host}:{port}"
    asked = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    connection = http.client.HTTPConnection(asked, port, timeout=3)
    try:
        connection.request("GET", "/healthz")
        if connection.getresponse().status in (200, 503):
            return ok("ports", f"the {whose} answers on {where}")
    except (OSError, http.client.HTTPException):
        if is_free(host, port):
            return ok("ports", f"{where} is free for the {whose}")
    finally:
        connection.close()
    name = "PTSYS_API_PORT" if whose == "API" else "PTSYS_WORKER_PORT"
    return wrong("ports", f"another program holds {where}", f"end it, or {name}")


def examine_limits(settings: Settings) -> Iterator[Finding]:
    """Open files that a process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + 512
    told = f"{hard} files may be open in a process"
    if hard != resource.RLIM_INFINITY and hard < wanted:
        mend = f"LimitNOFILE={wanted} in its unit, or a lower PTSYS_MAX_CONNECTIONS"
        yield wrong("limits", told, mend)
    else:
        yield ok("limits", told if soft == hard else f"{told} ({soft} at first)")
    if os.geteuid() == 0:
        yield note("user", "this is root", "a user of its own, as deploy/systemd has")
