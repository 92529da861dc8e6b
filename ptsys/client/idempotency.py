"""Keys by which the service knows a repeated request from a new one."""

from __future__ import annotations

import uuid


def new_key() -> str:
    """A key no other request has; made once a call, and sent again with each of its attempts."""
    return f"ptsys-{uuid.uuid4().hex}"
