"""`python -m ptsys.api.reader_process`: reads large bodies apart from the API.

Parsing JSON holds Python's lock from its first byte to its last, and may need twenty times its
size in memory. Here it stops nobody, and this process alone fails if there is not enough.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import sys
from typing import Any, BinaryIO

from ptsys.api.context import Context
from ptsys.api.large_bodies import READERS
from ptsys.api.readers import LENGTH_BYTES
from ptsys.config import Settings
from ptsys.errors import InvalidInput
from ptsys.jobs.wire import error_to_wire, pack, unpack

_TIRED_KIB = 400 * 2**10  # once so large, it makes way for a fresh one


def main() -> None:
    """Answer one question after another, until the API is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the API, which then goes
    given, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # no stray word among the answers
    settings = Settings(**unpack(_frame(given) or b"\x80"))
    context = Context(settings)
    _bound_memory(settings.reader_bytes)
    _put(answers, {})  # ready
    while (question := _frame(given)) is not None:
        answer = _answered(context, question)
        del question
        tired = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > _TIRED_KIB
        _put(answers, {**answer, "tired": tired})
        if tired:
            return


def _answered(context: Context, question: bytes) -> dict[str, Any]:
    asked = unpack(question)
    read = READERS[asked["form"]]
    try:
        value, tensor = read(context, asked["data"], asked["kind"])
    except MemoryError:
        error = InvalidInput("the body needs too much memory to read; send less at a time")
        return {"error": error_to_wire(error)}
    except Exception as error:
        return {"error": error_to_wire(error)}
    return {"value": value, "tensor": tensor}


def _put(answers: BinaryIO, answer: dict[str, Any]) -> None:
    packed = pack(answer)
    answers.write(len(packed).to_bytes(LENGTH_BYTES, "little") + packed)
    answers.flush()


def _frame(source: BinaryIO) -> bytes | None:
    """The next message; None after the last."""
    size = source.read(LENGTH_BYTES)
    if len(size) < LENGTH_BYTES:
        return None
    return source.read(int.from_bytes(size, "little"))


def _bound_memory(most: int) -> None:
    """Where the system minds it, as Linux does: a greedy body ends this process at the worst."""
    with contextlib.suppress(OSError, ValueError):
        pages = open("/proc/self/statm").read().split()  # noqa: SIM115
        held = int(pages[5]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (held + most, hard))


if __name__ == "__main__":
    main()
