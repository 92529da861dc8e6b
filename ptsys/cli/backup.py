"""`ptsys backup` and `ptsys restore`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from ptsys.cli import deployment
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, note, print_json
from ptsys.errors import Damaged


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "ptsys backup ~/backups/monday.tar", "ptsys --data ./service backup s.tar --no-models"
        )
    )(backup)
    app.command(
        epilog=examples(
            "ptsys --data ./again restore monday.tar", "ptsys restore monday.tar --check"
        )
    )(restore)


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    models: Annotated[bool, typer.Option(help="With the imported models' weights.")] = True,
    as_json: Json = False,
) -> None:
    """Back up database, datasets, prompts, checkpoints and models, while the service runs or not.

    It can be restored into SQLite or PostgreSQL, whichever it came from.
    """
    from ptsys.store.backup import back_up

    where = deployment.of(context)
    with where.service() as service:
        root = service.settings.root
        made = back_up(service.database, root, file.absolute(), models=models, told=note)
    if as_json:
        print_json({"file": str(file), **made._asdict()})
    else:
        note(f"{file}: {made.bytes / 2**20:.1f} MiB, {made.jobs} checkpoints of unfinished jobs")
    if made.damaged:
        raise Damaged(
            f"the backup is made, but {len(made.damaged)} things were damaged in the service "
            f"already, {made.damaged[0]} among them; the log says which and why"
        )


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `ptsys backup` wrote.")],
    check: Annotated[
        bool, typer.Option("--check", help="Verify all checksums; restore nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty data folder and an empty database, as a deployment of its own.

    Jobs that ran go on from their checkpoints.
    """
    from ptsys.store.database import Database
    from ptsys.store.restore import check_backup
    from ptsys.store.restore import restore as restored

    where = deployment.of(context)
    if check:
        header, manifest = check_backup(file)
        told = {"file": str(file), **header, "files": len(manifest["files"])}
    else:
        root = where.settings.root
        with contextlib.closing(Database(where.settings.sqlalchemy_url)) as database:
            header, made = restored(file, database, root)
        told = {"file": str(file), **header, "folder": str(root), "deployment": made}
    if as_json:
        print_json(told)
    elif check:
        note(f"{file} is whole: {told['files']} files, made {header['made']}")
    else:
        note(f"{told['folder']} is what the service was at {header['made']}; next: `ptsys up`")
