"""API keys: made, shown once, found by their hash, revoked."""

from __future__ import annotations

import hashlib
import re
import secrets

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ptsys.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from ptsys.store.clock import Clock, utc_now
from ptsys.store.database import Database, changed
from ptsys.store.ending import end_jobs
from ptsys.store.identifiers import new_id
from ptsys.store.tables import ApiKeyRow, JobRow
from ptsys.types.names import named_user
from ptsys.types.records import ApiKey, Role
from ptsys.types.text import one_line, plain

PREFIX = "ptsys_"
_SECRET_BYTES = 32
_SECRET = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
_LONGEST_NOTE = 200


class ApiKeys:
    """The API keys of a deployment.

    A secret has 256 random bits, so its plain SHA-256 cannot be searched backwards: a slow hash,
    as passwords need, would only make each request slow.
    """

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    def create(
        self, user: str, *, role: Role = "user", note: str | None = None
    ) -> tuple[ApiKey, str]:
        """A new key for that user, and its secret, which nobody can ask for again.

        Raises InvalidInput for a user or a note that cannot be kept.
        """
        check_user(user)
        if note is not None and (len(note) > _LONGEST_NOTE or not _is_line(note)):
            raise InvalidInput(
                f"a note is one line of at most {_LONGEST_NOTE} characters", field="note"
            )
        secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        row = ApiKeyRow(
            id=new_id("key"),
            hash=hash_secret(secret),
            user=user,
            role=role,
            note=note,
            created=self._clock(),
        )
        with self._database.session() as session:
            session.add(row)
            session.flush()
            return _key(row), secret

    def authenticate(self, secret: str) -> ApiKey:
        """Whose key this is. Raises Unauthenticated for an unknown or revoked one: the two are
        not told apart."""
        row = None
        if is_secret(secret):
            query = select(ApiKeyRow).where(ApiKeyRow.hash == hash_secret(secret))
            with self._database.reading() as session:
                row = session.scalar(query.where(ApiKeyRow.revoked.is_(None)))
        if row is None:
            raise Unauthenticated(
                "this API key is unknown or was revoked; `ptsys keys create` makes one"
            )
        return _key(row)

    def list(
        self, *, user: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[ApiKey]:
        """The keys, revoked ones too, newest first; `before` is the last id of the page before."""
        query = select(ApiKeyRow)
        if user is not None:
            query = query.where(ApiKeyRow.user == user)
        if before is not None:
            query = query.where(ApiKeyRow.id < before)
        with self._database.reading() as session:
            rows = session.scalars(query.order_by(ApiKeyRow.id.desc()).limit(limit))
            return [_key(row) for row in rows]

    def revoke(
        self, identifier: str, *, keep_jobs: bool = False, keep_an_admin: bool = False
    ) -> ApiKey:
        """Let that key open nothing any longer; twice is no error. Unfinished jobs that it asked
        for are asked to end, unless `keep_jobs`: then they are the user's alone. Raises NotFound;
        Conflict, if `keep_an_admin`, for the last admin's key there is.
        """
        with self._database.session() as session:
            if keep_an_admin:
                _refuse_last_admin(session, identifier)
            changed(
                session,
                update(ApiKeyRow)
                .where(ApiKeyRow.id == identifier, ApiKeyRow.revoked.is_(None))
                .values(revoked=self._clock()),
            )
            asked_for = JobRow.api_key == identifier
            if keep_jobs:
                changed(session, update(JobRow).where(asked_for).values(api_key=None))
            else:
                end_jobs(
                    session, asked_for, f"the API key {identifier} that asked for it was revoked"
                )
            row = session.get(ApiKeyRow, identifier)
            if row is None:
                raise NotFound(
                    f"there is no API key {identifier!r}; `ptsys keys list` shows those there are"
                )
            return _key(row)


def _refuse_last_admin(session: Session, identifier: str) -> None:
    """Raise Conflict if nobody could make keys over HTTP any longer. Of two at once that would
    each leave the other, one waits here for the other's end."""
    admins = select(ApiKeyRow.id).where(ApiKeyRow.role == "admin", ApiKeyRow.revoked.is_(None))
    found = session.scalars(admins.order_by(ApiKeyRow.id).with_for_update()).all()
    if list(found) == [identifier]:
        raise Conflict(
            "this is the last key of role 'admin'; make another one first, or let the service's "
            "keeper run `ptsys keys revoke`"
        )


def check_user(user: str, *, field: str = "user") -> None:
    """Raise InvalidInput unless `user` can stand in a reference `user/name`."""
    try:
        named_user(user)
    except ValueError as error:
        raise InvalidInput(f"{user[:120]!r}: {error}", field=field) from None


def _is_line(text: str) -> bool:
    try:
        one_line(plain(text))
    except ValueError:
        return False
    return True


def is_secret(text: str) -> bool:
    """Whether it has the form of a key, known or not."""
    return _SECRET.fullmatch(text) is not None


def hash_secret(secret: str) -> str:
    """What is kept of a key: its SHA-256, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: ApiKeyRow) -> ApiKey:
    return ApiKey.model_validate({field: getattr(row, field) for field in ApiKey.model_fields})
