"""`ptsys models`: the frozen models there are, bringing one in, and taking one away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ptsys.cli import deployment
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, note, print_fields, print_json, print_table, working
from ptsys.types.records import Model

app = typer.Typer(no_args_is_help=True, help="The frozen models.")

TokenizerName = Literal["sentencepiece", "byt5"]
Source = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        help="A Hugging Face folder, a T5X checkpoint or a model folder of ptsys.",
    ),
]
Name = Annotated[str, typer.Argument(metavar="MODEL", help="As `ptsys models list` shows it.")]
Vocabulary = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Its SentencePiece file, if none lies in SOURCE."),
]
Tokenizer = Annotated[
    TokenizerName | None, typer.Option(help="For T5X.", show_default="by the size of its table")
]
Distance = Annotated[int, typer.Option("--relative-max-distance", min=1, help="For T5X.")]
KeepPrompts = Annotated[
    bool,
    typer.Option(
        "--keep-prompts",
        help="Also where prompts belong to the weights it has: they stay, and serve again once the "
        "same weights are back under this name.",
    ),
]


@app.command("list", epilog=examples("ptsys models list", "ptsys models list --json"))
def list_models(context: typer.Context, as_json: Json = False) -> None:
    """List the models that can be served: built in, and imported into the data directory."""
    with deployment.of(context).client() as client:
        found = sorted(client.models.list(), key=lambda one: (not one.builtin, one.name))
    if as_json:
        print_json([one.model_dump(include=set(Model.model_fields)) for one in found])
        return
    print_table(
        ("model", "parameters", "width", "vocabulary", "fingerprint", "source"),
        (
            (
                *(m.name, f"{m.parameters or 0:,}", m.d_model),
                m.vocab_size if m.vocabulary else "missing",
                *(m.fingerprint, m.source),
            )
            for m in found
        ),
        empty="no models; `ptsys models import` brings one in",
    )


@app.command(
    "import",
    epilog=examples(
        "ptsys models import ~/models/t5-v1_1-small --name t5-small",
        "ptsys models import ~/t5x/checkpoint_1100000 --name t5-base-lm --vocabulary spiece.model",
        "ptsys models import runs/pretrain_tiny/model --name my-tiny",
    ),
)
def import_model(
    context: typer.Context,
    source: Source,
    name: Annotated[str, typer.Option(help="What it will be called.")],
    vocabulary: Vocabulary = None,
    tokenizer: Tokenizer = None,
    relative_max_distance: Distance = 128,
    as_json: Json = False,
) -> None:
    """Bring a model in: it is checked, converted and kept in the data directory.

    A model without its vocabulary is kept, and prompts can be imported for it, but it can neither
    train nor answer until `ptsys models replace` brings that.
    """
    from ptsys.models.registry import Registry

    where = deployment.of(context)
    with where.service() as service:
        with working(f"reading {source}"):
            model = Registry(where.settings.root).import_model(
                source,
                name,
                vocabulary=vocabulary,
                relative_max_distance=relative_max_distance,
                tokenizer=tokenizer,
            )
        service.models.replace(model)  # the name was free: a record of it is a lost folder's
    _say_kept(where, model, source, as_json)


@app.command(
    epilog=examples(
        "ptsys models replace t5-base-lm ~/t5x/checkpoint_1100000 --vocabulary spiece.model",
        "ptsys models replace my-tiny runs/pretrain_tiny/model --keep-prompts",
    )
)
def replace(
    context: typer.Context,
    name: Name,
    source: Source,
    vocabulary: Vocabulary = None,
    tokenizer: Tokenizer = None,
    relative_max_distance: Distance = 128,
    keep_prompts: KeepPrompts = False,
    as_json: Json = False,
) -> None:
    """Put another model in the place of one, or the same with its vocabulary.

    It is read and checked first. No worker may serve it; other weights are refused while jobs
    have not ended or prompts belong to the present ones.
    """
    from ptsys.jobs.model_changes import check_change
    from ptsys.models.registry import Registry, read_source

    where = deployment.of(context)
    registry = Registry(where.settings.root)
    with where.service() as service:
        registry.check_replaceable(name)  # before anything is read
        with working(f"reading {source}"):
            incoming = read_source(
                source,
                vocabulary=vocabulary,
                relative_max_distance=relative_max_distance,
                tokenizer=tokenizer,
            )
            check_change(service, name, incoming.fingerprint, keep_prompts=keep_prompts)
            model = registry.keep(incoming, name, replace=True)
        service.models.replace(model)
    _say_kept(where, model, source, as_json)


@app.command(epilog=examples("ptsys models delete t5-small"))
def delete(
    context: typer.Context, name: Name, keep_prompts: KeepPrompts = False, as_json: Json = False
) -> None:
    """Delete an imported model, for good.

    It is refused while a worker serves the model, a job of it has not ended, or prompts belong to
    its weights.
    """
    with deployment.of(context).client() as client:
        client.models.delete(name, keep_prompts=keep_prompts)
    if as_json:
        print_json({"deleted": name})
    else:
        note(f"model {name} is deleted")


def _say_kept(where: deployment.Deployment, model: Model, source: Path, as_json: bool) -> None:
    from ptsys.jobs.limits import read_shape

    if as_json:
        print_json(model)
    else:
        print_fields(model.model_dump(exclude={"builtin"}))
    if read_shape(where.settings.root, model.name).has_vocabulary:
        note(f"next: {where.start_command(model.name)}")
    else:
        bring = where.line(f"models replace {model.name} {source} --vocabulary FILE")
        note(
            "it has no vocabulary: prompts can be imported for it, but it can neither train nor "
            f"answer until you bring that (T5's file is called spiece.model): {bring}"
        )
