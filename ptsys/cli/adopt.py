"""`ptsys adopt`: a database and a data folder belong together, because somebody says so."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from ptsys.cli import deployment
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, note, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("ptsys --data ./service adopt", "ptsys adopt --yes"))(adopt)


def adopt(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Let this data folder and this database belong together, where one of them was lost.

    Both get a new id. Files that the database has no record of go to the folder's trash at the
    next sweep, and are deleted there after PTSYS_TRASH_DAYS.
    """
    from ptsys.store.database import Database
    from ptsys.store.deployment import adopt as adopted

    where = deployment.of(context)
    root = where.settings.root
    with contextlib.closing(Database(where.settings.sqlalchemy_url)) as database:
        if not yes:
            typer.confirm(
                f"Do {root} and {database.display} belong together from now on? Files without a "
                "record go to the trash",
                abort=True,
                err=True,
            )
        database.migrate()
        made = adopted(database, root)
        if as_json:
            print_json({"deployment": made, "folder": str(root), "database": database.display})
        else:
            note(f"{root} and {database.display} are deployment {made} now")
