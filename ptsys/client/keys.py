"""`client.keys`: who may use the service; for keys of role `admin`."""

from __future__ import annotations

from collections.abc import Iterator

from ptsys.client.connection import Connection, decoded, value
from ptsys.client.references import path
from ptsys.types.records import ApiKey, Role


class Keys:
    """The API keys of the service. Each call raises Forbidden unless the own key is an admin's."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self, user: str, *, role: Role = "user", note: str | None = None
    ) -> tuple[ApiKey, str]:
        """Make a key for a user; its secret is told this once. Raises InvalidInput."""
        asked = {"user": user, "role": role, "note": note}
        given = {field: one for field, one in asked.items() if one is not None}
        told = decoded(self._connection.ask("POST", "/v1/keys", json=given))
        return value(ApiKey, told), str(told.get("secret", ""))

    def list(self, *, user: str | None = None) -> Iterator[ApiKey]:
        """All keys, or those of a user, revoked ones too, newest first."""
        return self._connection.pages(ApiKey, "/v1/keys", user=user)

    def revoke(self, key: str, *, keep_jobs: bool = False) -> None:
        """Let the key of that id open nothing any longer. Unfinished jobs that it asked for end
        too, unless `keep_jobs`. Raises NotFound, Conflict for the last admin's key."""
        query = {"keep_jobs": "true"} if keep_jobs else {}
        self._connection.delete(path("keys", key), query=query)
