"""The API under uvicorn."""

from __future__ import annotations

import math
import os
import threading

import uvicorn

from ptsys.api.app import create_app
from ptsys.api.leaving import LeavingServer
from ptsys.config import Settings
from ptsys.process import logs

_KEEP_ALIVE_SECONDS = 75
_LOOK_SECONDS = 0.5


def serve(settings: Settings, host: str, port: int, *, with_parent: bool = False) -> None:
    """Serve until SIGTERM or Ctrl-C or, if asked, until the process that started this one ended.

    There is no access log of uvicorn's: a path may hold a user's names.
    """
    logs.configure(settings.log_format, "INFO" if settings.log_requests else "WARNING")
    app = create_app(settings)
    server = LeavingServer(
        uvicorn.Config(
            app,
            host=host,
            port=port,
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
    if with_parent:
        threading.Thread(target=_follow, args=(server, os.getppid()), daemon=True).start()
    server.run()


def _follow(server: uvicorn.Server, parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(_LOOK_SECONDS)
    server.should_exit = True
