"""Results go to stdout, as a table or as JSON; everything else goes to stderr."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ptsys.errors import InvalidInput
from ptsys.store.private_files import as_usual

if TYPE_CHECKING:
    import datetime

    from rich.console import Console

    from ptsys.types.model import Value

Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")
]


_PATIENCE_SECONDS = 2.0  # before a line says what is under way


@functools.cache
def messages() -> Console:
    """Where progress and notes go: stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


@functools.cache
def results() -> Console:
    """Where tables go: stdout."""
    from rich.console import Console

    return Console(highlight=False)


def note(text: str) -> None:
    """Say something that is no result. `text` is plain: no markup."""
    messages().print(text, markup=False, soft_wrap=True)


@contextlib.contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """Show that something is under way: a spinner with what it is given last. Where no terminal is,
    a line for each new thing, once it has taken a while; what stands in brackets, such as seconds,
    is nothing new."""
    if messages().is_terminal:
        with messages().status(text) as status:
            yield lambda new: status.update(new)
        return
    said: set[str] = set()
    began = time.monotonic()

    def say(new: str) -> None:
        plain_text = re.sub(r" \([^()]*\)$", "", new)
        if plain_text not in said and time.monotonic() - began >= _PATIENCE_SECONDS:
            said.add(plain_text)
            note(f"{plain_text} …")

    timer = threading.Timer(_PATIENCE_SECONDS, say, [text])
    timer.daemon = True
    timer.start()
    try:
        yield say
    finally:
        timer.cancel()


def plain(value: Any) -> Any:
    """A value, or values in lists and maps, as JSON types."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def print_json(value: Value | Mapping[str, Any] | Sequence[Any], *, indent: int | None = 2) -> None:
    """The value as JSON on stdout."""
    sys.stdout.write(json.dumps(plain(value), indent=indent, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_fields(fields: Mapping[str, object]) -> None:
    """One thing: a name and its value a line; what is not set is left out."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, value in fields.items():
        if value not in (None, "", (), {}):
            table.add_row(f"[dim]{name}[/dim]", _cell(value))
    results().print(table)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Many things: a line each; `empty` goes to stderr if there are none."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        *columns, box=SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0)
    )
    for column in table.columns:
        column.overflow = "fold"  # whatever is copied into the next command stands there whole
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    if table.row_count:
        results().print(table)
    else:
        note(empty)


def ago(moment: datetime.datetime) -> str:
    """How long ago that was, in the largest whole unit."""
    import datetime

    seconds = (datetime.datetime.now(datetime.UTC) - moment).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def percent(score: float) -> str:
    """A share as people read it."""
    return f"{100 * score:.1f}%"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it appears whole or not at all. Raises InvalidInput if it cannot be."""
    part = path.parent / f".{path.name}.{uuid.uuid4().hex}.part"
    try:
        with as_usual():
            part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InvalidInput(
            f"{path} cannot be written ({error.strerror or error}); choose another place",
            field="output",
        ) from None


def check_place(path: Path) -> None:
    """Raise InvalidInput, before work is done for it, if no file can be written there."""
    folder = path.parent
    if path.is_dir():
        reason = "it is a folder"
    elif not folder.is_dir():
        reason = f"there is no folder {folder}"
    elif not os.access(folder, os.W_OK):
        reason = f"the folder {folder} is not yours to write in"
    else:
        return
    raise InvalidInput(f"{path} cannot be written ({reason}); choose another place", field="output")


def _cell(value: object) -> str:
    from rich.markup import escape

    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return escape(", ".join(f"{key} {_bare(item)}" for key, item in value.items()))
    if isinstance(value, list | tuple):
        return escape(", ".join(map(str, value)))
    return escape("" if value is None else str(value))


def _bare(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
