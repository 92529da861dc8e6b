"""`ptsys doctor` and `ptsys migrate`: for who deploys."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ptsys.cli import deployment
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, note, print_json, print_table

if TYPE_CHECKING:
    from ptsys.cli.examination import Finding
    from ptsys.config import Settings

_MARKS = {"ok": "ok", "note": "note", "wrong": "WRONG"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=examples("ptsys doctor", "ptsys doctor --json --no-devices"))(doctor)
    app.command(epilog=examples("ptsys migrate --check", "ptsys migrate"))(migrate)


def doctor(
    context: typer.Context,
    devices: Annotated[
        bool, typer.Option(help="Ask JAX what devices this host has; takes seconds.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Look over this deployment, and say what to mend. Run it on every host, as the service's user.

    Settings, data directory, disk, permissions, database and its migration, Redis and its version,
    models, workers, clocks, devices, ports. Changes nothing. Exit code 1 if something is wrong.
    """
    settings = deployment.of(context).settings
    findings = list(_examine(settings, devices))
    bad = [one for one in findings if one.state == "wrong"]
    if as_json:
        print_json([dataclasses.asdict(one) for one in findings])
    else:
        rows = [(_MARKS[one.state], one.about, one.found, one.mend or "") for one in findings]
        print_table(("", "about", "found", "what to do"), rows, empty="nothing was looked at")
        note("something is wrong" if bad else "nothing is wrong")
    if bad:
        raise typer.Exit(1)


def _examine(settings: Settings, devices: bool) -> Iterator[Finding]:
    from ptsys.cli import examine_files, examine_hosts, examine_servers

    yield from examine_files.examine_settings(os.environ)
    yield from examine_files.examine_root(settings)
    yield from examine_servers.examine_database(settings)
    yield from examine_servers.examine_redis(settings)
    yield from examine_files.examine_models(settings)
    yield from examine_hosts.examine_workers(settings)
    if devices:
        yield from examine_hosts.examine_devices(settings)
    yield from examine_hosts.examine_ports(settings)
    yield from examine_hosts.examine_limits(settings)


def migrate(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 if there is work.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the database's tables to this version's form, before this version starts.

    Can be repeated, and run while the service works: the version before goes on with the new form.
    Whatever opens the data directory does the same; this is for doing it first and once.
    """
    from ptsys.store.database import Database
    from ptsys.store.migrations import HEAD

    settings = deployment.of(context).settings
    with contextlib.closing(Database(settings.sqlalchemy_url)) as database:
        absent = database.file is not None and not database.file.exists()
        before = None if absent else database.revision()
        if not check:
            database.migrate()
        display = database.display
    if as_json:
        print_json({"database": display, "before": before, "wanted": HEAD, "changed": not check})
    elif before == HEAD:
        note(f"the tables of {display} are of this version ({HEAD})")
    else:
        verb = "are to be brought" if check else "were brought"
        note(f"the tables of {display} {verb} from {before or 'none'} to {HEAD}")
    if check and before != HEAD:
        raise typer.Exit(1)
