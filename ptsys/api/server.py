"""The API under uvicorn."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import threading

import uvicorn

from ptsys.api.app import create_app
from ptsys.api.connections import ConnectionBounds, Connections
from ptsys.api.leaving import LeavingServer
from ptsys.api.protocol import bounded_protocol
from ptsys.config import Settings
from ptsys.process import logs, traces

_KEEP_ALIVE_SECONDS = 75
_LOOK_SECONDS = 0.5
_OTHER_FILES = 512  # beside connections: databases, Redis, files


def serve(settings: Settings, host: str, port: int, *, with_parent: bool = False) -> None:
    """Serve until SIGTERM or Ctrl-C or, if asked, until the process that started this one ended.

    There is no access log of uvicorn's: a path may hold a user's names.
    """
    logs.configure(settings.log_format, "INFO" if settings.log_requests else "WARNING")
    if settings.traces:
        traces.start("ptsys-api")
    app = create_app(settings)
    server = LeavingServer(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=bounded_protocol(Connections(ConnectionBounds.of(settings))),
            ws="none",
            access_log=False,
            log_config=None,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
            backlog=2048,
        ),
        app.state.context.leaving,
        settings.leave_seconds,
    )
    _allow_sockets(settings.max_connections)
    if with_parent:
        threading.Thread(target=_follow, args=(server, os.getppid()), daemon=True).start()
    server.run()


def _allow_sockets(connections: int) -> None:
    """Let this process have that many and what it needs beside them, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _follow(server: uvicorn.Server, parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(_LOOK_SECONDS)
    server.should_exit = True
