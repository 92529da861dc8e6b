"""The options that say how prompts are trained: those of the job's own type, as flags.

A command names the type (`@flags_of(TrainingOptions)`), and gets what was typed as `options`. What
an option is called, what it is by default and what its help says stand at the type's fields.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from pydantic import ValidationError

from ptsys.cli.failures import invalid, make
from ptsys.errors import InvalidInput
from ptsys.types.flat import FlatOption, flat_name, flat_options, nested
from ptsys.types.training import BareJobSpec, Initialization

T = TypeVar("T", bound=BareJobSpec)
Command = TypeVar("Command", bound=Callable[..., None])
Typed = Mapping[str, Any]
"""What was typed, by the options' flat names."""

LEARNING_RATES = {"adafactor": 0.3, "adamw": 0.3, "sgd": 10.0}
"""What `--learning-rate` is when nothing is said."""

_NO_FLAGS = frozenset({"z_loss", "initial_step", "momentum", "beta1", "beta2", "tags"})
_CALLED = {
    "learning_rate": ("--learning-rate", "--lr"),
    "affine_learning_rate": ("--affine-lr",),
    "warmup_steps": ("--warmup",),
    "truncate": ("--truncate",),
    "meta_prompt": ("--meta",),
    "described": ("--described",),
}
_STARTS = "shared, vocabulary, labels, text:SOME WORDS, prompt:NAME, meta or meta:NAME"
_OTHERWISE: dict[str, tuple[Any, Any]] = {  # type and default
    "model": (
        Annotated[
            str | None,
            typer.Option(help="The frozen model.", envvar="PTSYS_MODEL", show_default="tiny"),
        ],
        None,
    ),
    "learning_rate": (
        Annotated[
            float | None,
            typer.Option(
                *_CALLED["learning_rate"],
                help="How fast it learns.",
                show_default=", ".join(
                    f"{rate:g} for {kind}" for kind, rate in LEARNING_RATES.items()
                ),
            ),
        ],
        None,
    ),
    "init": (Annotated[str, typer.Option(help=f"Where the prompt starts: {_STARTS}.")], "shared"),
}
Wait = Annotated[bool, typer.Option("--wait", help="Show it learn, until it is done.")]


def flags_of(
    kind: type[BareJobSpec],
    *,
    besides: Collection[str] = (),
    otherwise: Mapping[str, tuple[Any, Any]] | None = None,
) -> Callable[[Command], Command]:
    """Give a command the flags of a kind of job in place of its parameter `options`, all but those
    `besides`; some have another type and default, as `otherwise` says."""

    def decorate(command: Command) -> Command:
        changed = _OTHERWISE | dict(otherwise or {})
        flags = {
            name: _parameter(option, changed)
            for name, option in flat_options(kind).items()
            if name not in _NO_FLAGS | set(besides)
        }

        @functools.wraps(command)
        def typed(**given: Any) -> None:
            options = {name: given.pop(name) for name in flags}
            command(**given, options=options)

        hints = get_type_hints(command, include_extras=True)
        shown = [
            one
            for name, parameter in inspect.signature(command).parameters.items()
            for one in (
                flags.values()
                if name == "options"
                else [parameter.replace(annotation=hints[name], kind=_KEYWORD)]
            )
        ]
        typed.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
        typed.__annotations__ = {one.name: one.annotation for one in shown}
        return typed  # type: ignore[return-value]

    return decorate


_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def options_from(kind: type[T], typed: Typed, **more: Any) -> T:
    """The options that were typed, with `more` that no flag says. Raises InvalidInput, naming the
    option."""
    values = dict(typed)
    if "learning_rate" in values and values["learning_rate"] is None:
        values["learning_rate"] = LEARNING_RATES[values["optimizer"]]
    if "init" in values:
        values["init"] = start(values["init"])
    try:
        return kind(**nested(kind, values), **more)
    except ValidationError as error:
        first = tuple(error.errors()[0]["loc"])
        told = invalid(error)
        raise InvalidInput(str(told), field=flat_name(first) if first else None) from None


def start(text: str) -> Initialization:
    """The start that `--init` names. Raises InvalidInput."""
    kind, _, rest = text.partition(":")
    if kind in ("shared", "vocabulary", "labels") and not rest:
        return make(Initialization, kind=kind)
    if kind == "meta" and (rest or text == kind):
        return make(Initialization, kind=kind, meta_prompt=rest or None)
    if kind in ("text", "prompt") and rest:
        return make(Initialization, kind=kind, **{kind: rest})
    raise InvalidInput(f"{text!r} is no start; write {_STARTS}", field="init")


def _parameter(option: FlatOption, otherwise: Mapping[str, tuple[Any, Any]]) -> inspect.Parameter:
    """The flag of an option."""
    if option.name in otherwise:
        annotation, default = otherwise[option.name]
    else:
        field = option.field
        told: dict[str, Any] = {"help": field.description}
        if option.unset is not None:
            told["show_default"] = option.unset
        flag = typer.Option(*_CALLED.get(option.name, ()), **told)
        annotation = Annotated[field.annotation, flag]
        default = inspect.Parameter.empty if field.is_required() else field.default
    return inspect.Parameter(option.name, _KEYWORD, annotation=annotation, default=default)
