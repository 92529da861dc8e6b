"""`client.datasets`: the user's examples, stored with the service for training jobs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ptsys.client.connection import Connection, compressed, decoded, value
from ptsys.client.idempotency import new_key
from ptsys.client.references import path, reference
from ptsys.client.rows import Row, jsonl, parse
from ptsys.errors import InvalidInput, NotFound
from ptsys.types.example import Example, digest
from ptsys.types.generation import Generated
from ptsys.types.records import Dataset, Prompt, Visibility


class Datasets:
    """Stored examples. A dataset is named by its record, its id or a name of your own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        name: str,
        data: str | os.PathLike[str] | Iterable[Row],
        *,
        description: str | None = None,
        visibility: Visibility = "private",
        shared_with: Sequence[str] = (),
    ) -> Dataset:
        """Store the rows, or those of a JSONL file, under a name.

        Raises Conflict if the name is taken, InvalidInput naming the first wrong row.
        """
        lines = jsonl(data)
        body, headers = compressed(lines)
        query = {
            "name": name,
            "description": description,
            "visibility": visibility,
            "shared_with": list(shared_with),
        }
        return self._connection.create(
            "/v1/datasets",
            lambda: self._same(name, lines),
            Dataset,
            query=query,
            headers={
                "Content-Type": "application/x-ndjson",
                "Idempotency-Key": new_key(),
                **headers,
            },
            content=body,
        )

    def ensure(self, name: str, data: str | os.PathLike[str] | Iterable[Row]) -> Dataset:
        """The dataset of that name if it holds these very rows, or a new one.

        Raises Conflict if the name is taken by other rows.
        """
        return self.ensured(name, data)[0]

    def ensured(
        self, name: str, data: str | os.PathLike[str] | Iterable[Row]
    ) -> tuple[Dataset, bool]:
        """As `ensure`, and whether the dataset is a new one."""
        lines = jsonl(data)
        known = self._same(name, lines)
        return (self.add(name, parse(lines)), True) if known is None else (known, False)

    def generate(
        self,
        name: str,
        prompt: str | Prompt,
        inputs: Iterable[str] | None = None,
        *,
        dataset: str | Dataset | None = None,
        min_score: float | None = None,
        general: str | Prompt | None = None,
        description: str | None = None,
        visibility: Visibility = "private",
        shared_with: Sequence[str] = (),
        truncate: bool = False,
        **decoding: Any,
    ) -> Generated:
        """Store a prompt's answers to inputs, or to those of a stored dataset, as a dataset to
        train later prompts on.

            made = client.datasets.generate("more-reviews", "reviews", texts, min_score=-0.2)
            print(made.dataset.rows, made.left_out)

        Answers that are empty are left out, as are those whose tokens have a mean log-probability
        (nats) below `min_score`. Inputs that are too long are refused, or cut where `truncate` says
        so. `decoding` are the fields of `Decoding`, such as `labels`.

        Raises InvalidInput naming the field, also if no answer is left; Conflict if the name is
        taken; NotFound; Unavailable if no worker answers in time.
        """
        texts = None if inputs is None else list(inputs)
        body = {
            "name": name,
            "prompt": reference(prompt),
            "general": None if general is None else reference(general),
            "inputs": texts,
            "dataset": None if dataset is None else reference(dataset),
            "min_score": min_score,
            "decoding": decoding,
            "description": description,
            "visibility": visibility,
            "shared_with": list(shared_with),
            "truncate": truncate or None,
        }
        given = {field: one for field, one in body.items() if one is not None}
        told = decoded(self._connection.ask("POST", "/v1/datasets/generate", json=given))
        return value(Generated, {**told, "dataset": value(Dataset, told.get("dataset"))})

    def get(self, dataset: str | Dataset) -> Dataset:
        """Its record as it is now. Raises NotFound."""
        return value(Dataset, decoded(self._connection.ask("GET", path("datasets", dataset))))

    def list(self, *, owner: str | None = None, name: str | None = None) -> Iterator[Dataset]:
        """The datasets you may see, newest first."""
        return self._connection.pages(Dataset, "/v1/datasets", owner=owner, name=name)

    def rows(self, dataset: str | Dataset) -> Sequence[Example]:
        """All its rows in order. Raises NotFound."""
        response = self._connection.ask("GET", path("datasets", dataset, "rows"))
        return parse(response.content)

    def update(
        self,
        dataset: str | Dataset,
        *,
        visibility: Visibility | None = None,
        shared_with: Sequence[str] | None = None,
    ) -> Dataset:
        """Change who may see it. Raises NotFound."""
        changes: dict[str, object] = {}
        if visibility is not None:
            changes["visibility"] = visibility
        if shared_with is not None:
            changes["shared_with"] = list(shared_with)
        answer = self._connection.ask("PATCH", path("datasets", dataset), json=changes)
        return value(Dataset, decoded(answer))

    def delete(self, dataset: str | Dataset) -> None:
        """Delete it. Raises NotFound, or Conflict while a job uses it."""
        self._connection.delete(path("datasets", dataset))

    def _same(self, name: str, lines: bytes) -> Dataset | None:
        """The user's dataset of that name, if it holds these rows."""
        try:
            known = self.get(name)
            return known if known.digest == digest(parse(lines)) else None
        except (NotFound, InvalidInput):  # no such dataset, or no rows
            return None
