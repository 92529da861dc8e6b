"""What a run that trains prompts is asked for, and the spec that one prompt's training follows."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import ValidationError

from ptsys.config import Settings
from ptsys.engine.serving import Serving
from ptsys.errors import InvalidInput
from ptsys.store.models import BUILTIN
from ptsys.types.flat import flat_name, flat_options, nested
from ptsys.types.model import Value
from ptsys.types.training import JobSpec, TrainingOptions

V = TypeVar("V", bound=Value)
T = TypeVar("T", bound=JobSpec)
R = TypeVar("R", bound="Deployed")


class Deployed(Protocol):
    """The part of a run's dataclass that says on which deployment it works."""

    @property
    def title(self) -> str:
        """The run's name in gin."""

    @property
    def data(self) -> str | None:
        """The data directory."""

    @property
    def owner(self) -> str | None:
        """Whose the prompts are."""

    @property
    def model(self) -> str | None:
        """The frozen model's name."""

    @property
    def output(self) -> str | None:
        """Where metrics, checkpoints and the summary lie."""


class Keeping(Deployed, Protocol):
    """A run's dataclass, as far as the parts that store rows read it."""

    @property
    def prefix(self) -> str:
        """What stands before the names of datasets and prompts."""

    @property
    def visibility(self) -> Literal["private", "public"]:
        """Of datasets and prompts."""


class Tuning(Keeping, Protocol):
    """A run's dataclass, as far as the parts that train prompts read it."""

    @property
    def serving(self) -> Serving | None:
        """How the model is laid out; as the deployment says where it is None."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """A prompt for each."""

    @property
    def max_rows(self) -> int | None:
        """Most training rows of a task."""

    @property
    def truncate(self) -> bool:
        """Cut inputs that are too long, instead of refusing them."""

    @property
    def licence(self) -> str | None:
        """Of the prompts; each task's own where it is None."""

    @property
    def contact(self) -> str | None:
        """Shown with the prompts."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Of the prompts."""

    @property
    def evaluate_on(self) -> tuple[str, ...]:
        """Parts to score on."""

    @property
    def at_once(self) -> int:
        """Prompts in the engine at a time."""

    def options(self, name: str, seed: int) -> TrainingOptions:
        """What is asked for one prompt. Raises InvalidInput naming the field that is wrong."""


def deployed(config: R, settings: Settings, folder: str) -> tuple[R, Settings, Path]:
    """The run with the deployment's own owner and model where it names none, the settings with
    its data directory, and its output, `<data>/runs/<folder>` unless it names one."""
    if config.data is not None:
        settings = settings.model_copy(update={"data_dir": Path(config.data)})
    changes = {"owner": config.owner or settings.user, "model": config.model or settings.model}
    complete: R = dataclasses.replace(config, **changes)  # type: ignore[type-var]
    output = Path(config.output or settings.root / "runs" / folder).expanduser()
    return complete, settings, output


def job_options(kind: type[T], run: Deployed, **given: Any) -> T:
    """A job's options: those that the run's dataclass has fields for, under their flat names, and
    over them those that are `given`. Raises InvalidInput, naming the run's field that is wrong."""
    known = [name for name in flat_options(kind) if name not in given and hasattr(run, name)]
    values = {name: getattr(run, name) for name in known} | given
    values["model"] = run.model or BUILTIN
    if "init" in values:
        values["init"] = {"kind": values["init"]}
    return checked(kind, run.title, **nested(kind, values))


def checked(kind: type[V], run: str, **values: Any) -> V:
    """A value from a run's fields. Raises InvalidInput, naming the run's field that is wrong."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        field = flat_name(first["loc"]) if first["loc"] else "settings"
        reason = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input ")
        given = first["input"]
        shown = f"{given!r}: it " if isinstance(given, str | int | float) else ""
        raise InvalidInput(f"{shown}{reason}", field=f"{run}.{field}") from None


@contextlib.contextmanager
def naming(field: str) -> Iterator[None]:
    """An InvalidInput raised inside names that field, the run's own."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(str(error), field=field) from None


def check_tuning(config: Tuning) -> None:
    """Refuse what no task could be done with, before anything is read or loaded."""
    if not config.seeds or len(set(config.seeds)) != len(config.seeds):
        raise InvalidInput("name each seed once", field=f"{config.title}.seeds")
    for seed in config.seeds:
        config.options("unnamed", seed)
    for field in ("at_once", "max_rows"):
        value = getattr(config, field)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise InvalidInput(
                f"{value!r}: it should be at least 1", field=f"{config.title}.{field}"
            )
    check_visibility(config.title, config.visibility)
    check_parts(config.title, config.evaluate_on)


def check_visibility(run: str, visibility: str) -> None:
    """Raises InvalidInput."""
    if visibility not in ("private", "public"):
        raise InvalidInput(
            f"{visibility!r}: it should be 'private' or 'public'", field=f"{run}.visibility"
        )


def check_parts(run: str, parts: tuple[str, ...]) -> None:
    """Raises InvalidInput for parts that are none to score on."""
    for part in parts:
        if part not in ("validation", "test"):
            raise InvalidInput(
                f"{part!r}: it should be 'validation' or 'test'", field=f"{run}.evaluate_on"
            )
