"""Searching the library: what is sent, and the wait for a prompt that is trained on rows first."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ptsys.client.connection import Connection, decoded, value
from ptsys.client.references import reference
from ptsys.client.rows import Row, read_rows
from ptsys.client.rows import examples as parsed
from ptsys.errors import InvalidInput, Unavailable
from ptsys.types.library import MOST_FOUND, Filters, Found
from ptsys.types.records import Dataset, Job, Prompt
from ptsys.types.training import TOKENS

if TYPE_CHECKING:
    from ptsys.client.jobs import JobHandle
    from ptsys.client.prompts import Prompts

_PATH = "/v1/prompts/search"


def rows_of(
    examples: Iterable[Row] | None, data: Dataset | str | os.PathLike[str] | None
) -> dict[str, Any]:
    """The part of the body that brings rows or names a dataset. Raises InvalidInput."""
    if examples is not None and data is not None:
        raise InvalidInput("give examples or data, not both", field="data")
    if isinstance(data, Dataset) or (isinstance(data, str) and not data.endswith(".jsonl")):
        return {"dataset": reference(data)}
    if data is not None:
        examples = read_rows(data)
    if examples is None:
        return {}
    rows = parsed(examples, require_target=False)
    return {"examples": [{"input": row.input, "target": row.target} for row in rows]}


def with_datasets(
    prompts: Prompts, query: str, model: str | None = None
) -> list[tuple[Prompt, Dataset]]:
    """Stored prompts of soft tokens whose datasets are the caller's to see, one of a name: those
    that the words of a query fit or, as `prompt:NAME`, those near a prompt. Raises InvalidInput if
    there is none."""
    kind, colon, name = query.partition(":")
    near, text = (name, "") if colon and kind == "prompt" else (None, query)
    found: dict[str, tuple[Prompt, Dataset]] = {}
    for one in prompts.search(near, text=text, count=MOST_FOUND, model=model):
        stored = one.prompt.kind == TOKENS and one.prompt.general is None
        if stored and one.dataset is not None:
            found.setdefault(one.prompt.name, (one.prompt, one.dataset))
    if not found:
        raise InvalidInput(
            f"the library has no prompt for {query!r} whose dataset is yours to see",
            field="from_library",
        )
    return list(found.values())


def checked(filters: Mapping[str, Any]) -> dict[str, Any]:
    """The filters that are set, as JSON. Raises InvalidInput naming the field."""
    try:
        known = Filters.model_validate(dict(filters))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"{place}: {first['msg']}", field=place or None) from None
    return known.model_dump(mode="json", exclude_defaults=True)


def search(
    connection: Connection,
    body: Mapping[str, Any],
    timeout: float | None,
    wait: Callable[[JobHandle], object] | None = None,
) -> list[Found]:
    """Ask until the answer is there: while a prompt is trained for the query, wait for its job, as
    `wait` does.

    Raises JobFailed or JobCancelled if it ended so, Unavailable when the time (seconds) is over.
    """
    from ptsys.client.jobs import JobHandle  # which imports the prompts, which import this

    given = {name: one for name, one in body.items() if one is not None}
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        answer = connection.ask("POST", _PATH, json=given)
        told = decoded(answer)
        if answer.status_code != 202:
            return [_found(one) for one in told.get("results", ())]
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise Unavailable(
                "the prompt to search with is not trained yet; its job goes on: search again later"
            )
        job = JobHandle(connection, value(Job, told))
        if wait is None:
            job.wait(timeout=left)
        else:
            wait(job)


def _found(told: Any) -> Found:
    """A result; each part may tell what only a newer service knows."""
    if not isinstance(told, dict):
        return value(Found, told)
    dataset = told.get("dataset")
    parts = {
        "prompt": value(Prompt, told.get("prompt")),
        "dataset": None if dataset is None else value(Dataset, dataset),
    }
    return value(Found, {**told, **parts})
