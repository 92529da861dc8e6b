"""`ptsys prompts ranking`: the most useful prompts, and those who share them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ptsys.cli import deployment
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptsys.types.ranking import Difficulty, RankedPrompt, RankedSubmitter

EPILOG = examples("ptsys prompts ranking", "ptsys prompts ranking --by submitter --count 5 --json")


def ranking(
    context: typer.Context,
    by: Annotated[Literal["prompt", "submitter"], typer.Option(help="Who is ranked.")] = "prompt",
    count: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 10,
    model: Annotated[str | None, typer.Option(help="Only prompts of this model.")] = None,
    as_json: Json = False,
) -> None:
    """Rank prompts, or those who share them: by how much they are used, and by the points of
    accuracy that those who built on them gained. Only what you may see counts."""
    with deployment.of(context).client() as client:
        found: Sequence[RankedPrompt | RankedSubmitter] = client.prompts.ranking(
            by, count=count, model=model
        )
    if as_json:
        print_json(found)
        return
    print_table(
        ("", "utility", by, "uses", "built on it", "gained", "id" if by == "prompt" else "prompts"),
        (
            (
                rank,
                f"{one.utility:.2f}",
                _called(one),
                one.uses,
                one.made,
                f"{one.gained:.1f}",
                _last(one),
            )
            for rank, one in enumerate(found, start=1)
        ),
        empty="there are no prompts that you may see",
    )


def difficulty_line(found: Difficulty) -> str | None:
    """How difficult a task is, and why, in one line; None if nothing is known."""
    if found.difficulty is None:
        return None
    own = "no score of its own" if found.own is None else f"{found.own:.2f} by its own score"
    near = ", ".join(f"{one.owner}/{one.name} {one.difficulty:.2f}" for one in found.neighbours)
    return f"{found.difficulty:.2f} of 1 ({own}; nearby: {near or 'none'})"


def _called(one: RankedPrompt | RankedSubmitter) -> str:
    from ptsys.types.ranking import RankedPrompt

    if isinstance(one, RankedPrompt):
        return f"{one.prompt.owner}/{one.prompt.name}"
    return one.submitter


def _last(one: RankedPrompt | RankedSubmitter) -> object:
    from ptsys.types.ranking import RankedPrompt

    return one.prompt.id if isinstance(one, RankedPrompt) else one.prompts
