"""`ptsys prompts`: the stored prompts, and their way out to other tools and in from them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ptsys.cli import deployment, edit_prompt, generate, map_prompts, ranking, search
from ptsys.cli.examples import examples
from ptsys.cli.failures import check_name, naming
from ptsys.cli.meta_search import tasks_line
from ptsys.cli.output import Json, ago, note, percent, print_fields, print_json, print_table
from ptsys.cli.submitting import print_linked
from ptsys.errors import Damaged, InvalidInput, NotFound
from ptsys.prompts.meta_about import NOTE, AboutMetaPrompt
from ptsys.types.meta_training import META
from ptsys.types.training import TOKENS

if TYPE_CHECKING:
    from ptsys.client import Client
from ptsys.types.records import Prompt

app = typer.Typer(no_args_is_help=True, help="Your stored prompts, and those you may see.")

Format = Literal["npy", "safetensors", "peft", "orbax"]
Reference = Annotated[
    str, typer.Argument(metavar="PROMPT", help="A name of yours, owner/name, or an id.")
]
app.command(epilog=search.EPILOG)(search.search)
app.command(epilog=edit_prompt.EPILOG)(edit_prompt.edit)
app.command(epilog=ranking.EPILOG)(ranking.ranking)
app.command("map", epilog=map_prompts.EPILOG)(map_prompts.map_prompts)
app.command(epilog=generate.EPILOG)(generate.generate)
_SUFFIXES: dict[str, Format] = {".npy": "npy", ".safetensors": "safetensors"}


@app.command(
    "list", epilog=examples("ptsys prompts list", "ptsys prompts list --model tiny --json")
)
def list_prompts(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="Only this model's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List the prompts you may see, newest first."""
    with deployment.of(context).client() as client:
        found = list(itertools.islice(client.prompts.list(model=model), limit))
    if as_json:
        print_json(found)
        return
    print_table(
        ("prompt", "owner", "model", "length", "steps", "score", "seen by", "made"),
        (
            (p.name, p.owner, p.model, p.length, p.steps, _accuracy(p), _SEEN[p.visibility], made)
            for p, made in ((p, ago(p.created)) for p in found)
        ),
        empty="no prompts yet; `ptsys train DATA.jsonl --name NAME` makes one",
    )


def _called(client: Client, identifier: str) -> str | None:
    """What a prompt is called; None if it is gone, or not the user's to see."""
    try:
        prompt = client.prompts.get(identifier)
    except NotFound:
        return None
    return f"{prompt.owner}/{prompt.name}"


_SEEN = {"private": "owner", "shared": "some", "public": "all"}


def _accuracy(prompt: Prompt) -> str:
    """On the validation rows; empty for a prompt that had none."""
    return percent(prompt.scores["accuracy"]) if "accuracy" in prompt.scores else ""


@app.command(epilog=examples("ptsys prompts show reviews", "ptsys prompts show ann/intents --json"))
def show(context: typer.Context, prompt: Reference, as_json: Json = False) -> None:
    """Show all that is known of a prompt: model, data, training, scores, its task's difficulty."""
    with deployment.of(context).client() as client:
        found = client.prompts.get(prompt)
        linked = client.prompts.linked(found)
        parents = {one.prompt: _called(client, one.prompt) for one in found.parents}
        difficult = client.prompts.difficulty(found)
    if as_json:
        print_json({**found.model_dump(mode="json"), "difficulty": difficult})
        return
    print_fields(
        {
            "prompt": found.name,
            "id": found.id,
            "description": found.description,
            "owner": found.owner,
            "contact": found.contact,
            "licence": found.licence,
            "visibility": found.visibility,
            "shared with": found.shared_with,
            "model": f"{found.model}, weights {found.model_fingerprint}",
            "shape": f"{found.length} tokens of width {found.d_model}",
            "made": f"{found.created:%Y-%m-%d %H:%M} UTC, {ago(found.created)}",
            "job": found.job,
            "dataset": found.dataset,
            "task": found.task,
            "combined": f"by {found.combination} with {found.general}" if found.general else None,
            "start": found.initialization,
            "tasks": tasks_line(found) or None,
            "training": {x: y for x, y in found.hyperparameters.items() if x != "tasks"},
            "steps": found.steps,
            "scores": found.scores,
            "difficulty": ranking.difficulty_line(difficult),
            "tags": found.tags,
            "uses": found.uses,
        }
    )
    if linked:
        print_linked(linked)
    if found.parents:
        print_table(
            ("made from", "as", "similarity", "weight", "id"),
            (
                (parents[one.prompt], one.role, one.similarity, one.weight, one.prompt)
                for one in found.parents
            ),
            empty="",
        )


@app.command(
    epilog=examples(
        "ptsys prompts export reviews reviews.safetensors",
        "ptsys prompts export reviews reviews-adapter --format peft",
        "ptsys prompts export support.mood mood.npy --combined",
        "ptsys prompts export words words-meta",
    )
)
def export(
    context: typer.Context,
    prompt: Reference,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file; for peft, orbax a folder.")],
    format: Annotated[
        Format | None, typer.Option(help="What kind.", show_default="by the path's ending")
    ] = None,
    combined: Annotated[
        bool,
        typer.Option(
            "--combined", help="Of a task's prompt what the model reads, not its own part."
        ),
    ] = False,
    general: Annotated[
        str | None,
        typer.Option(metavar="PROMPT", help="Combined with this general prompt, not its own."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a prompt for another tool: numpy, safetensors, PEFT or Orbax.

    A task-specific prompt is written as it is stored, its own tokens alone, unless it is to be
    combined with its general one. A meta-prompt becomes a folder, with its model, its training and
    its tasks told beside, unless a format is named.
    """
    from ptsys.prompts.formats import write_tree
    from ptsys.prompts.orbax_form import write_tree as write_orbax
    from ptsys.store.private_files import as_usual

    kind = format or _SUFFIXES.get(path.suffix)
    if kind is None and not path.suffix:
        with deployment.of(context).client() as client:
            found = client.prompts.get(prompt)
            if found.kind == META:
                with as_usual():
                    client.meta_prompts.export(found, path)
                _exported(found, "folder", path, as_json)
                return
    if kind is None:
        raise InvalidInput(
            f"{path} does not say what kind of file to write; add --format npy, safetensors, peft "
            "or orbax",
            field="format",
        )
    with deployment.of(context).client() as client:
        found = client.prompts.get(prompt)
        if combined or general is not None or found.kind == TOKENS:
            tree = {"prompt": client.prompts.tensor(found, combined=combined, general=general)}
        else:
            tree = client.prompts.arrays(found)
    with as_usual():
        if kind == "orbax":
            write_orbax(path.expanduser().absolute(), tree)
        else:
            write_tree(found.kind, tree, path, kind, _metadata(found))
    _exported(found, kind, path, as_json)


def _exported(found: Prompt, kind: str, path: Path, as_json: bool) -> None:
    if as_json:
        print_json({"prompt": found.id, "format": kind, "path": str(path)})
    else:
        note(f"{found.name} is in {path} ({kind})")


@app.command(
    "import",
    epilog=examples(
        "ptsys prompts import prompt.npy --name sst2 --model t5-base",
        "ptsys prompts import ./adapter --name sst2 --model t5-base",
        "ptsys prompts import words-meta --name words",
    ),
)
def import_prompt(
    context: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="An .npy or .safetensors file, a PEFT, an Orbax or a meta-prompt's folder.",
        ),
    ],
    name: Annotated[str, typer.Option(help="What it will be called.")],
    model: Annotated[
        str | None,
        typer.Option(help="The frozen model it was made for.", show_default="tiny"),
    ] = None,
    task: Annotated[
        int | None,
        typer.Option(help="Which task's prompt of a PEFT multi-task adapter, from 0 on."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep a prompt that another tool made. Its width must be the model's.

    A meta-prompt's folder brings along what it was trained on, and fits the model with the
    fingerprint that it tells, and no other.
    """
    from ptsys.client import meta_folder
    from ptsys.prompts.check import check_prompt

    where = deployment.of(context)
    check_name("name", name)
    if meta_folder.is_folder(path):
        with where.client() as client:
            made = client.meta_prompts.add(name, path, model=model)
        if as_json:
            print_json(made)
            return
        print_fields({"meta-prompt": made.name, "id": made.id, "tasks": tasks_line(made)})
        note(f"next: {where.line(f'meta generate --examples FEW.jsonl --meta {name} --name NEW')}")
        return
    with naming(path, "prompt"):
        tree = _read(path, task)
    with where.client() as client:
        served = client.models.get(model or where.model(client))
        with naming(path, "prompt"):
            if set(tree) == {"prompt"}:
                check_prompt(tree["prompt"], served.d_model, model=served.name)
        prompt = client.prompts.add(name, tree, model=served.name)
    if as_json:
        print_json(prompt)
        return
    print_fields({"prompt": prompt.name, "id": prompt.id, "length": prompt.length})
    if served.vocabulary:
        note(f"next: {where.line(f'predict {prompt.name} INPUTS.jsonl')}")
    else:
        note(
            f"model {served.name} has no vocabulary yet, so nothing answers; its keeper brings it: "
            f"`ptsys models replace {served.name} SOURCE --vocabulary FILE`"
        )


@app.command(epilog=examples("ptsys prompts delete reviews"))
def delete(context: typer.Context, prompt: Reference, as_json: Json = False) -> None:
    """Delete a prompt of yours, for good."""
    with deployment.of(context).client() as client:
        found = client.prompts.get(prompt)
        client.prompts.delete(prompt)
    if as_json:
        print_json(found)
    else:
        note(f"{found.name} ({found.id}) is deleted")


def _read(path: Path, task: int | None) -> dict[str, Any]:
    from ptsys.prompts.formats import read_tree

    if (path.expanduser() / "_METADATA").is_file():  # Orbax
        from ptsys.prompts.orbax_form import read_tree as read_orbax

        try:
            return read_orbax(path.expanduser().absolute())
        except Damaged:
            raise InvalidInput(f"{path} is damaged; export it again", field="prompt") from None
    return read_tree(path, task=task)


def _metadata(prompt: Prompt) -> dict[str, str]:
    about = {NOTE: AboutMetaPrompt.of(prompt).text} if prompt.kind == META else {}
    return about | {
        "name": prompt.name,
        "model": prompt.model,
        "model_fingerprint": prompt.model_fingerprint,
        "base_model_name_or_path": prompt.model,
        "created": prompt.created.isoformat(),
        "steps": str(prompt.steps),
    }
