"""`ptsys plan`: what a step costs on a TPU topology, without a TPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import ptsys
from ptsys.cli.deployment import Deployment
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, note, print_json, results
from ptsys.errors import InvalidInput

if TYPE_CHECKING:
    from ptsys.models.t5.config import T5Config
    from ptsys.plan.case import Case
    from ptsys.plan.planning import Planner
    from ptsys.plan.report import Plan

_PREFIX = "t5_1_1_"
_MOST = "max"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "ptsys plan --model xxl --topology v5e:2x4 --rows 128 --mesh data=1,model=8",
            "ptsys plan --model xl --topology v5e:2x4 --step train --rows max --remat layer",
            "ptsys plan --model xxl --topology v6e:2x4 --rows 128 --best --json",
        )
    )(plan)


def plan(
    context: typer.Context,
    model: Annotated[
        str, typer.Option(help="tiny, base, small, large, xl, xxl, or a gin file of a size.")
    ],
    topology: Annotated[str, typer.Option(help="Such as v5e:2x4, v5p:2x2x1 or v6e:4x4.")],
    step: Annotated[
        Literal["gradients", "train", "predict", "score", "meta"],
        typer.Option(help="Which pass; meta trains meta-prompts."),
    ] = "gradients",
    inputs: Annotated[int, typer.Option("--input", min=1, help="Input tokens a row.")] = 256,
    prompt: Annotated[int, typer.Option(min=1, help="Prompt tokens.")] = 100,
    prompt_kind: Annotated[
        str,
        typer.Option(help="tokens, decoder, encoder_decoder or deep: see docs/prompt_kinds.md."),
    ] = "tokens",
    target: Annotated[int, typer.Option(min=1, help="Target tokens a row.")] = 16,
    rows: Annotated[
        str, typer.Option(metavar="N|max", help="Rows a step; max searches for the most that fit.")
    ] = "128",
    users: Annotated[
        int | None,
        typer.Option(
            min=1, help="Users a step.", show_default="one a row; of meta one a data shard"
        ),
    ] = None,
    tasks: Annotated[
        int, typer.Option(min=1, help="For meta: tasks that each user's meta-prompt writes for.")
    ] = 8,
    shown: Annotated[
        int,
        typer.Option("--examples", min=1, help="For meta: examples of a task, as long as inputs."),
    ] = 16,
    generator: Annotated[
        Literal["shared", "own", "own-trained"],
        typer.Option(help="For meta: the frozen encoder reads examples, or one of each user's."),
    ] = "shared",
    mesh: Annotated[
        str | None,
        typer.Option(
            metavar="data=N,model=N", show_default="as many along model as the heads allow"
        ),
    ] = None,
    remat: Annotated[
        Literal["none", "dots", "layer"],
        typer.Option(help="What a backward pass computes again: nothing, all but products, all."),
    ] = "none",
    microbatch: Annotated[
        str,
        typer.Option(
            metavar="N|max",
            help="Rows at a time on one data shard, rounded down to a power of two; max searches "
            "for the most that fit.",
        ),
    ] = "8",
    attention: Annotated[
        Literal["kernel", "blocks"],
        typer.Option(help="Attend in a kernel that keeps scores out of HBM, or in XLA."),
    ] = "kernel",
    attention_block: Annotated[
        int, typer.Option(min=1, help="Queries that attend at a time with --attention blocks.")
    ] = 512,
    dtype: Annotated[
        Literal["bfloat16", "float32"], typer.Option(help="Of the frozen weights.")
    ] = "bfloat16",
    best: Annotated[
        bool, typer.Option("--best", help="Choose mesh, remat and microbatch for the rows given.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that one compilation may take.")
    ] = 3600,
    as_json: Json = False,
) -> None:
    """Compile the real step for a TPU topology, without a TPU: memory, collectives, roofline.

    Results are remembered; the same question again is answered at once.
    """
    count, at_a_time = _count(rows, "rows"), _count(microbatch, "microbatch")
    if best and (count is None or at_a_time is None or mesh is not None):
        raise InvalidInput(
            "--best chooses mesh and microbatch for a number of rows; leave out --mesh and max",
            field="best",
        )
    if count is None and at_a_time is None:
        raise InvalidInput("either --rows or --microbatch can be max, not both", field="rows")
    name, config = _config(model)

    from ptsys.kinds.registry import read_as_it_is
    from ptsys.models.execution import Execution
    from ptsys.plan.case import Case
    from ptsys.plan.planning import Planner

    data, over = _mesh(mesh, config, topology)
    case = Case(
        config=config,
        topology=topology,
        step=step,
        rows=count or data,
        users=users or (data if step == "meta" else count) or data,
        data=data,
        model=over,
        inputs=inputs,
        prompt=prompt,
        targets=target,
        execution=Execution(
            remat=remat,
            attention=attention,
            attention_block=attention_block,
            chunk_positions=(at_a_time or 1) * (prompt + inputs),
        ),
        dtype=dtype,
        prompt_kind=read_as_it_is(prompt_kind).name,
        tasks=tasks,
        examples=shown,
        generator=generator,
    )
    deployment: Deployment = context.obj
    planner = Planner(name, deployment.settings.root / "plans", timeout, note)
    made = _made(planner, case, count, at_a_time, users is None, best)

    from ptsys.plan import report

    if as_json:
        print_json(report.as_json(made))
    else:
        report.show(made, results())


def _made(
    planner: Planner,
    case: Case,
    rows: int | None,
    at_a_time: int | None,
    users_follow: bool,
    best: bool,
) -> Plan:
    if best:
        return planner.best(case)
    if rows is None:
        return planner.most_rows(case, users_follow=users_follow)
    if at_a_time is None:
        return planner.most_at_a_time(case, users_follow=users_follow)
    return planner.one(case)


def _count(text: str, field: str) -> int | None:
    """A positive number; None for `max`."""
    if text == _MOST:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InvalidInput(f"{text!r} is neither a number from 1 on nor max", field=field)
    return int(text)


def _mesh(text: str | None, config: T5Config, topology: str) -> tuple[int, int]:
    """(data, model); all chips along `model`, as far as the heads divide, unless it is given."""
    from ptsys.plan.case import model_axes
    from ptsys.plan.topologies import topology as named

    chips = named(topology).chips
    if text is None:
        model = max(model_axes(config, chips))
        return chips // model, model
    try:
        sizes = {name.strip(): int(size) for name, size in (x.split("=") for x in text.split(","))}
        data, model = sizes.pop("data"), sizes.pop("model")
    except (ValueError, KeyError):
        sizes, data, model = {"": 0}, 0, 0
    if sizes or data < 1 or model < 1:
        raise InvalidInput(f"{text!r} is no mesh; write data=2,model=4", field="mesh")
    return data, model


def _config(name: str) -> tuple[str, T5Config]:
    """A size of gin/models by name, or a gin file."""
    from ptsys.models.t5.gin_bindings import config_from_gin

    if name.endswith(".gin"):
        return Path(name).stem, config_from_gin([name])
    folders = (Path("gin/models"), Path(ptsys.__file__).parent.parent / "gin" / "models")
    short = name.removeprefix(_PREFIX)
    for folder in folders:
        file = folder / f"{short}.gin"
        if file.is_file():
            return short, config_from_gin([file])
    known = sorted({file.stem for folder in folders for file in folder.glob("*.gin")})
    raise InvalidInput(
        f"no size is called {name!r}; use {', '.join(known)} or a gin file", field="model"
    )
