"""Ctrl-C ends a command however it was started; what `nohup` wants stays."""

import signal
import subprocess
import sys
from pathlib import Path

from commands import MODEL, Run, clean_environment, command

UNTIL_TOLD = """
import os, signal, time
from ptsys.cli.signals import Terminated, termination_raises
try:
    with termination_raises():
        print("here", flush=True)
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(0.2)
        print("still", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
except Terminated:
    print("told", flush=True)
"""


def ignoring(name: str, arguments: list[str]) -> list[str]:
    """The command line, in a process where that signal is ignored."""
    return ["sh", "-c", f'trap "" {name}; exec "$@"', "sh", *arguments]


def test_an_interrupt_counts_where_it_was_inherited_as_ignored(
    run: Run, root: Path, data: Path
) -> None:
    """As shells do for `ptsys … &` in a script: `kill -INT` was without effect."""
    queued = run("train", data, "--name", "interrupted", "--model", MODEL, "--json").json["id"]
    process = subprocess.Popen(
        ignoring("INT", command("--data", root, "jobs", "watch", queued)),
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    try:
        assert process.stderr is not None
        process.stderr.readline()  # it watches
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    finally:
        process.kill()
        process.communicate()
        run("jobs", "cancel", queued)


def test_a_hangup_that_nohup_ignores_ends_nothing() -> None:
    ended = subprocess.run(
        ignoring("HUP", [sys.executable, "-c", UNTIL_TOLD]),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stdout.split() == ["here", "still", "told"], ended.stderr
