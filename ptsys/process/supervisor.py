"""Words to systemd, where it listens: ready, alive, stopping (sd_notify's protocol)."""

from __future__ import annotations

import os
import socket


def tell(**states: str | int) -> bool:
    """Say these to systemd, as `tell(ready=1, status="serves tiny")`; False where nobody listens.
    A lost word is no reason to end: errors are swallowed."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    message = "\n".join(f"{name.upper()}={value}" for name, value in states.items())
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as there:
            there.setblocking(False)  # a full mailbox must not hold this process up
            there.connect(address)
            there.sendall(message.encode())
    except OSError:
        return False
    return True


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear `tell(watchdog=1)`, with a margin of half; None if never."""
    try:
        limit = int(os.environ["WATCHDOG_USEC"]) / 1e6
    except (KeyError, ValueError):
        return None
    wanted = os.environ.get("WATCHDOG_PID")
    return limit / 2 if wanted in (None, "", str(os.getpid())) else None
