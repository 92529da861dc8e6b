"""What the library as a whole tells: reading rankings and maps."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any, TypeVar

from ptsys.client.connection import Connection, decoded, value
from ptsys.errors import InvalidInput
from ptsys.types.library import VectorKind
from ptsys.types.map import ColorBy, PromptMap
from ptsys.types.ranking import RankedPrompt, RankedSubmitter
from ptsys.types.records import Prompt

Ranked = TypeVar("Ranked", RankedPrompt, RankedSubmitter)

_FORMS = {".png": "image/png", ".html": "text/html"}


def ranking(connection: Connection, kind: type[Ranked], query: dict[str, Any]) -> list[Ranked]:
    """The places of a ranking, best first; each may tell what only a newer service knows."""
    told = decoded(connection.ask("GET", "/v1/prompts/ranking", query=query))
    found = []
    for one in told.get("ranking", ()):
        if kind is RankedPrompt and isinstance(one, dict):
            one = {**one, "prompt": value(Prompt, one.get("prompt"))}
        found.append(value(kind, one))
    return found


def coordinates(connection: Connection, model: str | None, kind: VectorKind) -> PromptMap:
    """The map as coordinates."""
    query = {"model": model, "kind": kind}
    answer = connection.ask(
        "GET", "/v1/prompts/map", query=query, headers={"Accept": "application/json"}
    )
    return value(PromptMap, decoded(answer))


def draw(
    connection: Connection,
    path: str | os.PathLike[str],
    model: str | None,
    kind: VectorKind,
    color_by: ColorBy,
) -> Path:
    """Write the map as a picture or a page; the file appears whole or not at all. Raises
    InvalidInput for another ending, or a place that cannot be written."""
    file = Path(path).expanduser()
    form = _FORMS.get(file.suffix.lower())
    if form is None:
        raise InvalidInput(f"{file} ends in neither .png nor .html; name one of them", field="path")
    query = {"model": model, "kind": kind, "color_by": color_by}
    answer = connection.ask("GET", "/v1/prompts/map", query=query, headers={"Accept": form})
    return write_whole(file, answer.content)


def write_whole(file: Path, content: bytes) -> Path:
    """Write a file so that it appears whole or not at all. Raises InvalidInput if it cannot be."""
    draft = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
    try:
        draft.write_bytes(content)
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InvalidInput(
            f"{file} cannot be written ({error.strerror or error}); choose another place",
            field="path",
        ) from None
    return file
