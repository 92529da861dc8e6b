"""A port to listen on."""

from __future__ import annotations

import socket

from ptsys.errors import Unavailable


def free_port(host: str, wanted: int | None, usual: int) -> int:
    """The port to listen on: the one that is wanted, else the usual one, else any that is free.

    Raises Unavailable if the wanted one is taken, or the host is none of this machine's.
    """
    if wanted:
        if not is_free(host, wanted):
            raise Unavailable(f"port {wanted} of {host} is taken; choose another with --port")
        return wanted
    if wanted is None and usual and is_free(host, usual):
        return usual
    try:
        with socket.create_server((host, 0)) as server:
            return int(server.getsockname()[1])
    except OSError as error:
        raise Unavailable(
            f"nothing can listen on {host} ({error.strerror}); see PTSYS_API_HOST"
        ) from None


def is_free(host: str, port: int) -> bool:
    """Whether one could listen there now."""
    try:
        with socket.create_server((host, port)):
            return True
    except OSError:
        return False
