"""`ptsys run`: a large run from gin files, as users of T5X start theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptsys.config import Settings
from ptsys.runs.gin_errors import no_binding

if TYPE_CHECKING:
    from ptsys.runs.submission import JobRequest


def start(
    files: Sequence[str | Path],
    bindings: Sequence[str] = (),
    settings: Settings | None = None,
    search_paths: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """Start the run that the files and bindings describe, on the deployment of these settings
    (those of the environment if None); returns its summary.

    Raises InvalidInput for a configuration that describes none.
    """
    from ptsys.runs.gin_bindings import run_from_gin

    return run_from_gin(files, bindings, search_paths)(settings or Settings())


def dry_run(
    files: Sequence[str | Path],
    bindings: Sequence[str] = (),
    settings: Settings | None = None,
    search_paths: Sequence[str | Path] = (),
) -> tuple[str, dict[str, Any]]:
    """The operative configuration as gin, and what the run would do; nothing is done.

    Raises InvalidInput as `start` does, and for a run that cannot tell.
    """
    from ptsys.runs.gin_bindings import configured

    found = configured(files, bindings, search_paths)
    plan = getattr(found.run, "plan", None)
    return found.text, {} if plan is None else plan(settings or Settings())


def job_requests(
    files: Sequence[str | Path],
    bindings: Sequence[str],
    settings: Settings,
    search_paths: Sequence[str | Path] = (),
) -> tuple[list[JobRequest], str | None, str | None]:
    """The run as queued jobs, and the data directory and the owner that it names itself. Raises
    InvalidInput as `start` does, and for a run that cannot be queued."""
    from ptsys.runs.gin_bindings import run_from_gin
    from ptsys.runs.submission import Submittable, not_submittable

    run: object = run_from_gin(files, bindings, search_paths)
    if not isinstance(run, Submittable):
        raise not_submittable(run)
    return run.jobs(settings), run.data, run.owner


def gin_bindings(arguments: Sequence[str], given: Sequence[str] = ()) -> list[str]:
    """`--gin.NAME=VALUE`, and T5X's `--gin_bindings=NAME=VALUE` as `given`, as gin's
    `NAME = VALUE`. Raises InvalidInput for anything else.

    A name without a dot is a macro, as in T5X: `--gin.STEPS=10`.
    """
    bindings = []
    for argument in (*(f"--gin.{binding}" for binding in given), *arguments):
        name, equals, value = argument.removeprefix("--gin.").partition("=")
        name, value = name.strip(), value.strip()
        if not argument.startswith("--gin.") or not equals or not name or not value:
            raise no_binding(argument)
        bindings.append(f"{name} = {value}")
    return bindings
