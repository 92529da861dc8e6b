"""`ptsys models`: the frozen models there are, and bringing one in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ptsys.cli import deployment
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, note, print_fields, print_json, print_table, working

app = typer.Typer(no_args_is_help=True, help="The frozen models.")

Tokenizer = Literal["sentencepiece", "byt5"]


@app.command("list", epilog=examples("ptsys models list", "ptsys models list --json"))
def list_models(context: typer.Context, as_json: Json = False) -> None:
    """List the models that can be served: built in, and imported into this data directory."""
    from ptsys.models.registry import Registry

    found = Registry(deployment.of(context).settings.root).list()
    if as_json:
        print_json(found)
        return
    print_table(
        ("model", "parameters", "width", "vocabulary", "fingerprint", "source"),
        (
            (m.name, f"{m.parameters:,}", m.d_model, m.vocab_size, m.fingerprint, m.source)
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
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A Hugging Face folder, a T5X checkpoint or a model folder of ptsys.",
        ),
    ],
    name: Annotated[str, typer.Option(help="What it will be called.")],
    vocabulary: Annotated[
        Path | None, typer.Option(help="Its SentencePiece file, if none lies in SOURCE.")
    ] = None,
    tokenizer: Annotated[
        Tokenizer | None, typer.Option(help="For T5X.", show_default="by the size of its table")
    ] = None,
    relative_max_distance: Annotated[int, typer.Option(min=1, help="For T5X.")] = 128,
    as_json: Json = False,
) -> None:
    """Bring a model in: it is checked, converted and kept in the data directory.

    A model without its vocabulary is kept, but cannot train or predict.
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
        service.models.add(model)
    if as_json:
        print_json(model)
        return
    print_fields(model.model_dump(exclude={"builtin"}))
    note(f"next: {deployment.start_command(model.name)}")
