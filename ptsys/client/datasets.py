"""`client.datasets`: the user's examples, stored with the service for training jobs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ptsys.client.connection import Connection, compressed, decoded, value
from ptsys.client.idempotency import new_key
from ptsys.client.references import address, reference
from ptsys.client.rows import Row, jsonl, parse
from ptsys.errors import InvalidInput, NotFound
from ptsys.types.example import Example, digest
from ptsys.types.fit import RowsFit, RowsUse
from ptsys.types.generation import Generated
from ptsys.types.records import Dataset, Prompt, Visibility

_FEW = 64  # inputs that any service takes at once
_CHECK = "/v1/datasets/check"


class Datasets:
    """Stored examples. A dataset is named by its record, its id, a name of your own or
    "owner/name"."""

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
        body, headers = self._body(lines)
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
            headers={"Idempotency-Key": new_key(), **headers},
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

    def check(
        self,
        data: str | Dataset | os.PathLike[str] | Iterable[Row],
        *,
        model: str | None = None,
        use: RowsUse = "train",
        max_input_length: int | None = None,
        truncate: bool = False,
    ) -> RowsFit:
        """Whether a model can use rows, those of a file or a stored dataset: to train on, to
        answer, or to score its answers; and what it would not read of them. Nothing is stored.

        Raises InvalidInput naming the first row that does not fit.
        """
        query: dict[str, Any] = {
            "model": model,
            "use": use,
            "max_input_length": max_input_length,
            "truncate": "true" if truncate else None,
        }
        if isinstance(data, Dataset) or (isinstance(data, str) and not data.endswith(".jsonl")):
            told = self._connection.ask("POST", _CHECK, query=query | {"dataset": reference(data)})
        else:
            body, headers = self._body(jsonl(data))
            told = self._connection.ask("POST", _CHECK, query=query, headers=headers, content=body)
        return value(RowsFit, decoded(told))

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
        so; more than a request may hold are stored while they are answered. `decoding` are the
        fields of `Decoding`, such as `labels`.

        Raises InvalidInput naming the field, also if no answer is left; Conflict if the name is
        taken; NotFound; Unavailable if no worker answers in time.
        """
        texts = None if inputs is None else list(inputs)
        with self._for_a_while(name, texts) as stored:
            if stored is not None:
                texts, dataset = None, stored
            return self._generated(
                name=name,
                prompt=reference(prompt),
                general=None if general is None else reference(general),
                inputs=texts,
                dataset=None if dataset is None else reference(dataset),
                min_score=min_score,
                decoding=decoding,
                description=description,
                visibility=visibility,
                shared_with=list(shared_with),
                truncate=truncate or None,
            )

    def _generated(self, **body: Any) -> Generated:
        given = {field: one for field, one in body.items() if one is not None}
        told = decoded(self._connection.ask("POST", "/v1/datasets/generate", json=given))
        return value(Generated, {**told, "dataset": value(Dataset, told.get("dataset"))})

    def get(self, dataset: str | Dataset) -> Dataset:
        """Its record as it is now. Raises NotFound."""
        return value(Dataset, decoded(self._connection.ask("GET", self._address(dataset))))

    def list(self, *, owner: str | None = None, name: str | None = None) -> Iterator[Dataset]:
        """The datasets you may see, newest first."""
        return self._connection.pages(Dataset, "/v1/datasets", owner=owner, name=name)

    def rows(self, dataset: str | Dataset) -> Sequence[Example]:
        """All its rows in order. Raises NotFound."""
        response = self._connection.ask("GET", self._address(dataset, "rows"))
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
        answer = self._connection.ask("PATCH", self._address(dataset), json=changes)
        return value(Dataset, decoded(answer))

    def delete(self, dataset: str | Dataset) -> None:
        """Delete it. Raises NotFound, or Conflict while a job uses it."""
        self._connection.delete(self._address(dataset))

    def _address(self, dataset: str | Dataset, *rest: str) -> str:
        return address(self._connection, Dataset, dataset, *rest)

    def _body(self, lines: bytes) -> tuple[bytes, dict[str, str]]:
        """Rows as they are sent, and the headers that say how."""
        body, headers = (lines, {}) if self._connection.near else compressed(lines)
        return body, {"Content-Type": "application/x-ndjson", **headers}

    @contextlib.contextmanager
    def _for_a_while(self, name: str, texts: Sequence[str] | None) -> Iterator[Dataset | None]:
        """A dataset of inputs that are more than a request may hold, while they are answered."""
        if texts is None or len(texts) <= _FEW:
            yield None
            return
        limits = decoded(self._connection.ask("GET", "/v1/me")).get("limits")
        most = limits.get("rows_per_request") if isinstance(limits, Mapping) else None
        if not most or len(texts) <= int(most):
            yield None
            return
        stored = self.add(f"{name[:80]}-inputs", [Example(text, None) for text in texts])
        try:
            yield stored
        finally:
            self.delete(stored)

    def _same(self, name: str, lines: bytes) -> Dataset | None:
        """The user's dataset of that name, if it holds these rows."""
        try:
            known = self.get(name)
            return known if known.digest == digest(parse(lines)) else None
        except (NotFound, InvalidInput):  # no such dataset, or no rows
            return None
