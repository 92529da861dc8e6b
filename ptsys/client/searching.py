"""Searching the library: what is sent, and the wait for a prompt that is trained on rows first."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
_ROWS = 32  # of a task that related ones are looked for


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


def related(
    prompts: Prompts,
    tasks: Mapping[str, Dataset | Sequence[Row]],
    count: int,
    model: str | None = None,
) -> list[tuple[Prompt, Dataset]]:
    """The `count` stored prompts of soft tokens nearest to any of these tasks whose datasets are
    the caller's to see, none of them a task's own, one of a name; nearest first. What the tasks
    are searched by is written by the model's own meta-prompt. Raises InvalidInput if there is none.
    """
    best: dict[str, tuple[float, Prompt, Dataset]] = {}
    own = {data.id for data in tasks.values() if isinstance(data, Dataset)}
    for data in tasks.values():
        rows = None if isinstance(data, Dataset) else data[:: max(-(-len(data) // _ROWS), 1)]
        found = prompts.search(
            examples=rows,
            data=data if isinstance(data, Dataset) else None,
            written=True,
            truncate=True,
            count=MOST_FOUND,
            model=model,
            prompt_kind=TOKENS,
        )
        for one in found:
            prompt, dataset = one.prompt, one.dataset
            if dataset is None or dataset.id in own or prompt.general is not None:
                continue
            if prompt.name not in tasks and one.comparable:
                best.setdefault(prompt.name, (one.score, prompt, dataset))
                best[prompt.name] = max(
                    best[prompt.name], (one.score, prompt, dataset), key=lambda known: known[0]
                )
    if not best:
        raise InvalidInput(
            "the library has no prompt near these tasks whose dataset is yours to see",
            field="related",
        )
    nearest = sorted(best.values(), key=lambda one: -one[0])[:count]
    return [(prompt, dataset) for _, prompt, dataset in nearest]


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
