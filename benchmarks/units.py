"""The commands of deploy/systemd, started by hand where there is no systemd: each with its own
environment, its readiness told over a socket, and its end awaited, as systemd does it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
UNITS = REPOSITORY / "deploy" / "systemd"
PTSYS = str(Path(sys.executable).with_name("ptsys"))


class Unit:
    """One service of a unit file; `instance` stands for its %i."""

    def __init__(
        self,
        name: str,
        instance: str,
        folder: Path,
        environment: Mapping[str, str],
        places: Mapping[str, str],
    ) -> None:
        """`environment` are the variables of its EnvironmentFile; `places` what stands for paths in
        the unit that are not here. Nothing starts yet."""
        text = (UNITS / f"{name}.service").read_text().replace("\\\n", " ").replace("%i", instance)
        for there, here in places.items():
            text = text.replace(there, here)
        own = [
            pair
            for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE)
            for pair in shlex.split(line)
        ]
        (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
        self.command = shlex.split(command)
        (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
        self._stop_seconds = float(stop)
        (start,) = re.findall(r"^TimeoutStartSec=(\d+)$", text, re.MULTILINE)
        self._start_seconds = float(start)
        self.name = f"{name}{instance}"
        self._socket = folder / f"{self.name.replace('@', '-')}.notify"
        self.log = folder / f"{self.name.replace('@', '-')}.log"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PTSYS_")}
        given = dict(environment) | dict(pair.split("=", 1) for pair in own)
        self.environment = {**kept, **given, "NOTIFY_SOCKET": str(self._socket)}
        self.environment["PYTHONPATH"] = str(REPOSITORY)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Unit:
        """Start it and wait until it says that it is ready."""
        self._socket.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
            heard.bind(str(self._socket))
            heard.settimeout(1.0)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self.command,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            for _ in range(round(self._start_seconds)):
                try:
                    if b"READY=1" in heard.recv(4096):
                        return self
                except TimeoutError:
                    if self._process.poll() is not None:
                        break
        raise RuntimeError(f"{self.name} did not become ready: {self.said[-2000:]}")

    def stop(self) -> int:
        """As `systemctl stop`; its exit code. Raises TimeoutExpired if systemd would kill it."""
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        return process.wait(self._stop_seconds)

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")
