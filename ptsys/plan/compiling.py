"""Compiling a case with TPU's compiler, in a process of its own.

The compiler wants an environment that must be there before JAX starts, and takes gigabytes and
minutes; a process can be given the one, and can be ended in the middle of the other. It reads the
case from its standard input and answers on its standard output, keeps no file, and ends with us.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ptsys.errors import InvalidInput, Unavailable
from ptsys.plan.buffers import Held
from ptsys.plan.case import Case
from ptsys.plan.collectives import Collective
from ptsys.plan.memory import Memory

ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",  # there is no metadata server to ask
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",  # any: the topology is named in the program
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # else one process in the machine
    "TPU_LOG_DIR": "disabled",
    "TPU_STDERR_LOG_LEVEL": "3",
}
_DROPPED = ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", "JAX_NUM_CPU_DEVICES", "LIBTPU_INIT_ARGS")
_POLL = 0.2  # seconds
_JAX_REMARK = "For simplicity, JAX has removed its internal frames"


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler told of a case. Where it does not fit, `memory.fits` is False and only
    the memory is known; `needed` is then the size the compiler complained of."""

    case: Case
    memory: Memory
    collectives: tuple[Collective, ...] = ()
    held: tuple[Held, ...] = ()
    share: float = 0.0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form, which `Compiled.of` reads back."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Compiled:
        """What `to_dict` gave."""
        return cls(
            case=Case.of(value["case"]),
            memory=Memory(**value["memory"]),
            collectives=tuple(Collective(**x) for x in value["collectives"]),
            held=tuple(Held(**x) for x in value["held"]),
            share=value["share"],
            seconds=value["seconds"],
        )


def require_libtpu() -> str:
    """The version of libtpu. Raises InvalidInput, which says how to install it."""
    if importlib.util.find_spec("libtpu") is None:
        raise InvalidInput(
            "TPU's compiler (libtpu) is not installed here; install it with "
            "pip install 'ptsys[plan]'",
            field="topology",
        )
    from importlib.metadata import version

    return version("libtpu")


def compile_case(case: Case, timeout: float | None = None) -> Compiled:
    """Compile one case for its topology.

    Raises Unavailable when it takes longer than `timeout` seconds or the compiler fails for
    another reason than memory.
    """
    require_libtpu()
    command = [sys.executable, "-m", "ptsys.plan.compiler"]
    with _child(command) as process:
        out, err = _talk(process, json.dumps(case.to_dict()), timeout)
    if process.returncode:
        raise Unavailable(f"the compiler failed: {_last_line(err)}")
    return Compiled.of(json.loads(out))


@contextmanager
def _child(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone when we leave, however we do."""
    environment = {k: v for k, v in os.environ.items() if k not in _DROPPED} | ENVIRONMENT
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # Ctrl-C is for us, who then end it
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _talk(process: subprocess.Popen[str], question: str, timeout: float | None) -> tuple[str, str]:
    try:
        return process.communicate(question, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"the compiler took more than {timeout:.0f} s; give it more with --timeout, or plan "
            "fewer layers"
        ) from None


def _last_line(text: str) -> str:
    """The error itself: JAX writes a line and its own remark on tracebacks below it."""
    told = text.partition(_JAX_REMARK)[0].rstrip().rstrip("-")
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it said nothing"


def follow_parent() -> None:
    """End this process soon after the one that started it."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
