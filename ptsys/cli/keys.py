"""`ptsys keys`: who may use the HTTP API."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

import typer

from ptsys.cli import deployment
from ptsys.cli.examples import examples
from ptsys.cli.failures import check_user
from ptsys.cli.output import Json, ago, note, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="API keys, for those who keep the service.")


@app.command(
    epilog=examples(
        "ptsys keys create ann", 'ptsys keys create bob --role admin --note "bob\'s laptop"'
    )
)
def create(
    context: typer.Context,
    user: Annotated[str, typer.Argument(metavar="USER", help="Who will ask with it.")],
    role: Annotated[
        Literal["user", "admin"], typer.Option(help="An admin may make keys over HTTP.")
    ] = "user",
    remark: Annotated[str | None, typer.Option("--note", help="What it is for.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown this once: only its hash is kept."""
    check_user("user", user)
    with deployment.of(context).client() as client:
        key, secret = client.keys.create(user, role=role, note=remark)
    if as_json:
        print_json({**key.model_dump(mode="json"), "secret": secret})
        return
    print(secret)
    note(f"that is {key.user}'s key ({key.id}, role {key.role}); it is not shown again")


@app.command("list", epilog=examples("ptsys keys list", "ptsys keys list --user ann --json"))
def list_keys(
    context: typer.Context,
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List keys, newest first, revoked ones too."""
    with deployment.of(context).client() as client:
        found = list(itertools.islice(client.keys.list(user=user), limit))
    if as_json:
        print_json(found)
        return
    print_table(
        ("key", "user", "role", "made", "revoked", "note"),
        (
            (k.id, k.user, k.role, ago(k.created), ago(k.revoked) if k.revoked else "", k.note)
            for k in found
        ),
        empty="no keys yet; `ptsys keys create USER` makes one",
    )


@app.command(epilog=examples("ptsys keys revoke key-0e6hx2"))
def revoke(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="ID", help="As `ptsys keys list` shows it.")],
    keep_jobs: Annotated[
        bool,
        typer.Option("--keep-jobs", help="Let jobs that it asked for go on: to change a key."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Revoke a key: it opens nothing from now on. Unfinished jobs that it asked for end too."""
    with deployment.of(context).client() as client:
        client.keys.revoke(key, keep_jobs=keep_jobs)
        found = next(one for one in client.keys.list() if one.id == key)
    if as_json:
        print_json(found)
    else:
        note(f"key {found.id} of {found.user} is revoked")
