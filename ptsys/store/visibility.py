"""Who may see what: decided in the database's query, before a row leaves it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, delete, or_, select
from sqlalchemy.orm import Session

from ptsys.errors import InvalidInput, NotFound
from ptsys.store.tables import OwnedRow, ShareRow
from ptsys.types.names import named
from ptsys.types.records import Visibility

Owned = TypeVar("Owned", bound=OwnedRow)


def visible_to(table: type[OwnedRow], user: str) -> ColumnElement[bool]:
    """The condition that `user` owns a row, or it is public, or it is shared with them."""
    shared = select(ShareRow.resource).where(ShareRow.user == user)
    return or_(
        table.owner == user,
        table.visibility == "public",
        (table.visibility == "shared") & table.id.in_(shared),
    )


def visible_page(
    table: type[Owned],
    user: str,
    *,
    owner: str | None,
    name: str | None,
    limit: int,
    before: str | None,
) -> Select[Owned]:
    """The rows that `user` may see, newest first; `before` is the last id of the page before."""
    query = select(table).where(visible_to(table, user))
    if owner is not None:
        query = query.where(table.owner == owner)
    if name is not None:
        query = query.where(table.name == name)
    if before is not None:
        query = query.where(table.id < before)
    return query.order_by(table.id.desc()).limit(limit)


def find_visible(session: Session, table: type[Owned], reference: str, user: str) -> Owned:
    """The row called `reference`: an id, a name of the user's own, or `owner/name`.

    Raises NotFound if there is none, or it is not the user's to see: the two are not told apart.
    """
    if "\0" in reference:  # PostgreSQL has no such text
        raise _missing(table, reference)
    row = session.scalar(select(table).where(table.id == reference, visible_to(table, user)))
    if row is None:
        owner, _, name = reference.rpartition("/")
        row = session.scalar(
            select(table).where(
                table.owner == (owner or user), table.name == name, visible_to(table, user)
            )
        )
    if row is None:
        raise _missing(table, reference)
    return row


def find_owned(session: Session, table: type[Owned], reference: str, owner: str) -> Owned:
    """The owner's own row of that id or name. Raises NotFound for anything else."""
    if "\0" in reference:
        raise _missing(table, reference, "of yours ")
    for column in (table.id, table.name):
        row = session.scalar(select(table).where(column == reference, table.owner == owner))
        if row is not None:
            return row
    raise _missing(table, reference, "of yours ")


def shared_with(session: Session, row: OwnedRow, viewer: str | None) -> tuple[str, ...]:
    """Whom the row is shared with: told to its owner alone, and to the service itself (None)."""
    if viewer not in (None, row.owner):
        return ()
    query = select(ShareRow.user).where(ShareRow.resource == row.id).order_by(ShareRow.user)
    return tuple(session.scalars(query))


def set_shares(session: Session, row: OwnedRow, visibility: Visibility, users: set[str]) -> None:
    """Make the row visible so, and to these users.

    Raises InvalidInput for a list of users beside another visibility than `shared`.
    """
    if users and visibility != "shared":
        raise InvalidInput(
            f"a {visibility} one is not shared with single users; set visibility to 'shared'",
            field="shared_with",
        )
    row.visibility = visibility
    session.execute(delete(ShareRow).where(ShareRow.resource == row.id))
    session.add_all(ShareRow(resource=row.id, user=user) for user in sorted(users))


def change_shares(
    session: Session,
    row: OwnedRow,
    visibility: Visibility | None,
    users: Iterable[str] | None,
) -> None:
    """Change what is given, leave the rest. Raises InvalidInput as `set_shares` does."""
    after: Visibility = visibility or row.visibility  # type: ignore[assignment]
    kept = shared_with(session, row, None) if after == "shared" else ()
    set_shares(session, row, after, set(kept if users is None else users))


def check_name(name: str) -> None:
    """Raise InvalidInput unless `name` can stand in a path, a URL and a command line."""
    try:
        named(name)
    except ValueError as error:
        raise InvalidInput(f"{name[:120]!r}: {error}", field="name") from None


def _missing(table: type[OwnedRow], reference: str, whose: str = "") -> NotFound:
    things = table.__tablename__
    return NotFound(
        f"no {things.removesuffix('s')} {whose}is called {reference!r}; `ptsys {things} list` "
        "shows yours"
    )
