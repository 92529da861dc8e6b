"""All tables as lines of JSON, and back: the same on SQLite and PostgreSQL, and of any version
whose migrations are known here."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Connection, MetaData, Table, insert, select

from ptsys.store.tables import Row

_AT_ONCE = 500


def write_tables(connection: Connection, folder: Path) -> dict[str, int]:
    """Write `<table>.jsonl` of every table, as this transaction sees it; how many rows each has."""
    counts = {}
    for table in Row.metadata.sorted_tables:
        found = connection.execution_options(yield_per=_AT_ONCE).execute(select(table))
        with (folder / f"{table.name}.jsonl").open("w", encoding="utf-8") as file:
            counts[table.name] = 0
            for row in found.mappings():
                file.write(json.dumps(_encoded(table, row), ensure_ascii=True) + "\n")
                counts[table.name] += 1
    return counts


def read_tables(connection: Connection, folder: Path) -> None:
    """Put the rows of `write_tables` into tables that are there and empty, within the caller's
    transaction."""
    metadata = MetaData()
    metadata.reflect(connection)
    for table in metadata.sorted_tables:
        path = folder / f"{table.name}.jsonl"
        if path.exists():
            for rows in _portions(_rows(path)):
                connection.execute(insert(table), rows)


def drop_rows(folder: Path, gone: Mapping[str, set[str]]) -> None:
    """Take datasets and prompts (ids by table) that were deleted meanwhile out of what was written,
    with all that hangs on them."""
    everything = {one for ids in gone.values() for one in ids}
    if not everything:
        return
    hanging = {"shares": "resource", "prompt_parents": "prompt", "prompt_vectors": "prompt"}
    for table, column in {**dict.fromkeys(gone, "id"), **hanging}.items():
        path = folder / f"{table}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)[column] not in everything]
        path.write_text("".join(kept), encoding="utf-8")


def _encoded(table: Table, row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        column.name: {"json": row[column.name]}
        if isinstance(column.type, JSON)
        else _plain(row[column.name])
        for column in table.columns
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return {"time": value.isoformat()}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    return value


def _decoded(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    [(kind, told)] = value.items()
    if kind == "time":
        return datetime.datetime.fromisoformat(told).astimezone(datetime.UTC)
    return base64.b64decode(told) if kind == "bytes" else told


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield {name: _decoded(value) for name, value in json.loads(line).items()}


def _portions(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    portion: list[dict[str, Any]] = []
    for row in rows:
        portion.append(row)
        if len(portion) == _AT_ONCE:
            yield portion
            portion = []
    if portion:
        yield portion
