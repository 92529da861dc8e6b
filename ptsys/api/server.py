"""The API under uvicorn."""

from __future__ import annotations

import logging
import os
import threading

import uvicorn

from ptsys.api.app import create_app
from ptsys.config import Settings

_DRAIN_SECONDS = 5
_KEEP_ALIVE_SECONDS = 75
_LOOK_SECONDS = 0.5


def serve(settings: Settings, host: str, port: int, *, with_parent: bool = False) -> None:
    """Serve until SIGTERM or Ctrl-C or, if asked, until the process that started this one ended.

    There is no access log: a path may hold a user's names.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            host=host,
            port=port,
            ws="none",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
            backlog=2048,
        )
    )
    if with_parent:
        threading.Thread(target=_follow, args=(server, os.getppid()), daemon=True).start()
    server.run()


def _follow(server: uvicorn.Server, parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(_LOOK_SECONDS)
    server.should_exit = True
