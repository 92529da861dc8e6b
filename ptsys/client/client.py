"""The client of a ptsys service."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from ptsys.client import asking, searching, selecting
from ptsys.client.asking import General, Gradients, Members, PromptLike
from ptsys.client.connection import Connection, decoded
from ptsys.client.datasets import Datasets
from ptsys.client.in_order import in_order
from ptsys.client.jobs import JobHandle, Jobs
from ptsys.client.keys import Keys
from ptsys.client.library import write_whole
from ptsys.client.meta_prompts import MetaPrompts
from ptsys.client.models import Models
from ptsys.client.prompts import Prompts
from ptsys.client.references import reference
from ptsys.client.retries import Retries
from ptsys.client.rows import Row, batches, read_rows
from ptsys.client.rows import examples as as_examples
from ptsys.data.metrics import summarize
from ptsys.data.told_task import ToldTask
from ptsys.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    PtsysError,
    QuotaExceeded,
    RowsWarning,
)
from ptsys.types.augmentation import AugmentOptions, Strategy
from ptsys.types.example import Example, digest
from ptsys.types.input_notes import InputNotes
from ptsys.types.meta_training import MetaOptions, MetaTaskRows
from ptsys.types.model import Value
from ptsys.types.multitask import MultiTaskOptions, TaskRows
from ptsys.types.records import Dataset, Prompt
from ptsys.types.requests import GENERIC, Decoding, Ensemble, Prediction
from ptsys.types.selection import Selection, SelectionMethod
from ptsys.types.training import TrainingOptions
from ptsys.types.writing import WriteOptions

TIMEOUT = 180.0
"""Seconds to wait for an answer: the shape of a first request may have to be compiled."""
_MOST_ROWS = 64  # rows a request, where the service would take more; a few are under way at once

Data = Dataset | str | os.PathLike[str] | Iterable[Row]
Progress = Callable[[int], object]
"""Called with the number of rows that are done more."""

_V = TypeVar("_V", bound=Value)


class Client:
    """A service's models, datasets, prompts and jobs; predictions and gradients.

        client = ptsys.Client()
        job = client.train("reviews", "reviews.jsonl", steps=300)
        job.wait()
        client.predict("reviews", ["a fine film"])

    The address and the key come from the arguments, else from PTSYS_URL and PTSYS_API_KEY.
    Requests are repeated with growing pauses when the connection breaks or the service is busy
    or away (see `Retries`); nothing is made twice. Every error is a `ptsys.errors.PtsysError`.
    May be shared between threads; close it, or use it in a `with`.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Nothing is sent yet. `transport` replaces the network, as in tests.

        Raises InvalidInput without a key, or for an address that is no URL.
        """
        self._connection = Connection(
            url, key, timeout=timeout, retries=retries or Retries(), transport=transport
        )
        self.models = Models(self._connection)
        self.datasets = Datasets(self._connection)
        self.prompts = Prompts(self._connection)
        self.meta_prompts = MetaPrompts(self._connection)
        self.jobs = Jobs(self._connection)
        self.keys = Keys(self._connection)
        self._rows: int | None = None

    def __repr__(self) -> str:
        return f"<ptsys.Client {self._connection.url}>"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all sockets."""
        self._connection.close()

    def me(self) -> dict[str, Any]:
        """Who the key belongs to, and its limits."""
        return decoded(self._connection.ask("GET", "/v1/me"))

    def usage(self, user: str | None = None) -> dict[str, Any]:
        """How much is stored and runs, of how much may; of another `user` for admins."""
        return decoded(self._connection.ask("GET", "/v1/usage", query={"user": user}))

    # ---- with the user's own optimizer ----------------------------------------------------

    def gradients(
        self,
        prompt: PromptLike,
        rows: Iterable[Row],
        *,
        general: General | None = None,
        model: str | None = None,
        truncate: bool = False,
        progress: Progress | None = None,
    ) -> Gradients:
        """The loss of a prompt on rows, and its gradient [length, d_model]; of a stored
        task-specific prompt that of its combination with its general one, or with `general`.

        The loss is the mean over all target tokens of the rows (nats). Nothing of it is stored.
        Inputs longer than the model reads are refused, or cut where `truncate` says so, as in
        `predict`, `evaluate` and jobs; one RowsWarning counts them, and those with characters
        that the model does not know. More rows than a request may hold are sent in parts and
        joined; `progress` is called with the rows of each. Raises InvalidInput naming the field,
        NotFound for a prompt that is not there.
        """

        def ask(part: Sequence[Example]) -> Gradients:
            return asking.gradients(
                self._connection, prompt, model, part, general=general, truncate=truncate
            )

        parts = []
        for part in in_order(ask, batches(as_examples(rows), self._rows_a_request())):
            parts.append(part)
            (progress or _silent)(len(part.row_losses))
        whole = asking.joined(parts)
        _warn(whole.notes)
        return whole

    def predict(
        self,
        prompt: PromptLike | Members | None,
        inputs: Iterable[str],
        *,
        examples: Iterable[Row] | None = None,
        meta: str | Prompt = GENERIC,
        general: General | None = None,
        ensemble: Ensemble = "vote",
        model: str | None = None,
        labels: Sequence[str] | None = None,
        decoding: Decoding | None = None,
        truncate: bool = False,
        progress: Progress | None = None,
        **options: Any,
    ) -> list[Prediction]:
        """The model's answers under a prompt (None: the bare model), in order.

        A stored task-specific prompt is combined with its general one, or with that which
        `general` names; any two of one model whose shapes fit make a pair. Several stored prompts
        of one task, as a list, are asked in one pass, and their answers made one: by `ensemble`
        that which most give, or ("mean") the label with the best mean score.
        With `examples` of a task instead of a prompt (None), the meta-prompt `meta` writes one from
        them first: of many inputs once for each request, so keep it (`meta_prompts.generate`)
        where there are thousands.
        `labels` are scored instead of generating. `options` are the fields of `Decoding`, such as
        `method="beam"` or `max_tokens=8`; or give a whole `Decoding`. `progress` is called with the
        rows of each request that is answered.
        """
        answers: list[Prediction] = []
        parts = self.answers(
            prompt,
            inputs,
            examples=examples,
            meta=meta,
            general=general,
            ensemble=ensemble,
            model=model,
            decoding=_decoding(decoding, labels, options),
            truncate=truncate,
        )
        for part in parts:
            answers += part
            (progress or _silent)(len(part))
        return answers

    def answers(
        self,
        prompt: PromptLike | Members | None,
        inputs: Iterable[str],
        *,
        examples: Iterable[Row] | None = None,
        meta: str | Prompt = GENERIC,
        general: General | None = None,
        ensemble: Ensemble = "vote",
        model: str | None = None,
        decoding: Decoding | None = None,
        truncate: bool = False,
    ) -> Iterator[list[Prediction]]:
        """As `predict`, but a few answers at a time, as they come: of many inputs the first are
        there long before the last."""
        shown = None if examples is None else as_examples(examples)
        if isinstance(inputs, str):
            raise InvalidInput("inputs is one text; give a list of texts", field="inputs")
        members = len(prompt) if asking.is_ensemble(prompt) else 1
        most = max(self._rows_a_request() // members, 1)

        def ask(part: Sequence[str]) -> tuple[list[Prediction], InputNotes]:
            return asking.predict(
                self._connection,
                prompt,
                model,
                part,
                decoding or Decoding(),
                examples=shown,
                meta=meta,
                general=general,
                ensemble=ensemble,
                truncate=truncate,
            )

        notes = InputNotes()
        for found, told in in_order(ask, batches(inputs, most)):
            notes += told
            yield found
        _warn(notes)

    def evaluate(
        self,
        prompt: PromptLike | Members | None,
        data: str | Dataset | Iterable[Row],
        *,
        general: General | None = None,
        ensemble: Ensemble = "vote",
        model: str | None = None,
        labels: Sequence[str] | None = None,
        decoding: Decoding | None = None,
        truncate: bool = False,
        progress: Progress | None = None,
        **options: Any,
    ) -> dict[str, float]:
        """`accuracy` (exact match) and `token_f1` of the answers, as jobs record them; from 0 to 1.

        `data` are rows with targets, or a stored dataset. Other arguments as in `predict`; unless
        `max_tokens` or a whole `decoding` is given, answers have room for the longest target, as
        everywhere where answers are scored.
        """
        stored = isinstance(data, str | Dataset)
        rows = as_examples(self.datasets.rows(data) if stored else data)  # type: ignore[arg-type]
        targets = [row.target or "" for row in rows]
        if decoding is None and labels is None and "max_tokens" not in options:
            most = self._rows_a_request()
            found = asking.scoring_of(self._connection, prompt, model, targets, most)
            options["max_tokens"] = found.max_tokens
        answers = self.predict(
            prompt,
            [row.input for row in rows],
            general=general,
            ensemble=ensemble,
            model=model,
            labels=labels,
            decoding=decoding,
            truncate=truncate,
            progress=progress,
            **options,
        )
        return summarize([x.prediction for x in answers], targets)

    def select(
        self,
        data: Data,
        method: SelectionMethod = "kmeans",
        count: int = 16,
        *,
        per_class: bool = False,
        seed: int = 0,
        prompt: str | Prompt | None = None,
        general: General | None = None,
        labels: Sequence[str] | None = None,
        model: str | None = None,
        truncate: bool = False,
        places: bool = False,
        plot: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Selection:
        """Choose `count` examples out of many, or as many of each target, and say why each.

            few = client.select("reviews.jsonl", "kmeans", 16, plot="few.png")
            for one in few.chosen:
                print(one.row, one.reason)

        `data` is a stored dataset (record, id, name), or rows: a `Path` or a text that ends in
        `.jsonl`, or a list. `margin` and `badge` ask a prompted model which of the `labels` is
        likeliest, by default the rows' targets; other methods read rows behind the `prompt` if one
        is named. `places` asks for a map of the encodings, and `plot` draws it into a PNG file.
        `progress` is called with the rows that were read more. Nothing is stored.

        Raises InvalidInput naming the field, NotFound, Unavailable if no worker answers.
        """
        body: dict[str, Any] = {
            **_named_or_rows(data),
            "method": method,
            "count": count,
            "per_class": per_class,
            "seed": seed,
            "prompt": None if prompt is None else reference(prompt),
            "general": None if general is None else reference(general),
            "labels": None if labels is None else list(labels),
            "model": model,
            "truncate": truncate,
            "places": places or plot is not None,
        }
        found = selecting.select(
            self._connection,
            {field: one for field, one in body.items() if one is not None},
            progress or _silent,
        )
        _warn(InputNotes(rows=found.rows, cut=found.cut_inputs, unknown=found.unknown_inputs))
        if plot is not None:
            from ptsys.selection.picture import png  # draws: seconds to import

            write_whole(Path(plot).expanduser(), png(found))
        return found

    # ---- with the service's optimizer -----------------------------------------------------

    def train(
        self,
        name: str,
        data: Data,
        *,
        validation: Data | None = None,
        idempotency_key: str | None = None,
        **settings: Any,
    ) -> JobHandle:
        """Queue a job that tunes a prompt; `.wait()` for it, then use the prompt by its name.

        `data` and `validation` are stored datasets (record, id, name), or else are stored first,
        as `<name>-train` and `<name>-validation`: a `Path` or a text that ends in `.jsonl`, or
        rows. `settings` are the other fields of `TrainingSpec`: model, steps, length, batch_size,
        optimizer (`{"kind": "adamw", "learning_rate": 0.1}`), initialization, seed and so on.

        A row without a target is trained on by span corruption. Raises InvalidInput naming the
        field, Conflict if the name is taken.
        """
        options = _valid(TrainingOptions, {"name": name, **settings})  # before anything is stored
        with self.storing() as stored:
            dataset = stored(f"{name}-train", data)
            scored = None if validation is None else stored(f"{name}-validation", validation)
            spec = _checked(lambda: options.on(dataset, scored))
            return self.jobs.submit(spec, idempotency_key=idempotency_key)

    def train_multitask(
        self,
        name: str,
        tasks: Mapping[str, Data],
        *,
        validation: Mapping[str, Data] | None = None,
        rates: Mapping[str, float] | None = None,
        idempotency_key: str | None = None,
        **settings: Any,
    ) -> JobHandle:
        """Queue a job that tunes a general prompt and one for each of the `tasks`, together.

            job = client.train_multitask("support", {"intent": "intents.jsonl", "mood": rows})
            job.wait()
            client.predict("support.mood", ["a fine film"])

        The general prompt is stored as `name`, a task's as `<name>.<task>`. Tasks, and the rows
        they are scored on, are datasets as in `train`, stored as `<name>.<task>-train` and
        `-validation` if need be. With `rates` the tasks are mixed by them. `settings` are the
        other fields of `MultiTaskSpec`: combination, task_length, mixing, steps, seed and so on.

        Raises InvalidInput naming the field, Conflict if a name is taken.
        """
        parts: dict[str, dict[str, Any]] = {task: {"name": task} for task in tasks}
        for field, values in (("validation", validation), ("rates", rates)):
            for task in values or {}:
                if task not in parts:
                    raise InvalidInput(
                        f"there is no task {task!r}; there are {', '.join(parts)}", field=field
                    )
        for task, rate in (rates or {}).items():
            parts[task]["rate"] = rate
        if rates is not None:
            settings = {"mixing": "rates", **settings}

        options = _valid(
            MultiTaskOptions, {"name": name, "tasks": list(parts.values()), **settings}
        )  # before anything is stored
        with self.storing() as stored:
            rows: dict[str, TaskRows] = {
                task: {"dataset": stored(f"{name}.{task}-train", data)}
                for task, data in tasks.items()
            }
            for task, data in (validation or {}).items():
                rows[task]["validation"] = stored(f"{name}.{task}-validation", data)
            spec = _checked(lambda: options.on(rows))
            return self.jobs.submit(spec, idempotency_key=idempotency_key)

    def train_meta(
        self,
        name: str,
        tasks: Mapping[str, Data] | None = None,
        *,
        from_library: str | None = None,
        related: int = 0,
        prompts: Mapping[str, str | Prompt] | None = None,
        descriptions: Mapping[str, str] | None = None,
        held_out: Collection[str] | int | None = None,
        idempotency_key: str | None = None,
        **settings: Any,
    ) -> JobHandle:
        """Queue a job that trains a meta-prompt: on many tasks it learns to write prompts.

            job = client.train_meta("words", {"plurals": "plurals.jsonl", "pasts": rows, …})
            job.wait()
            client.meta_prompts.generate(few, meta="words")

        `tasks` are datasets as in `train`, stored as `<name>.<task>-train` if need be; each row
        needs its target. `prompts` were tuned on some of them; where others are needed, by
        regression or with `tuning_steps`, they are tuned first. `descriptions` say in words what
        is to be done. Tasks `held_out`, by their names or a number of the last ones, are scored on
        and not learned from. `from_library` takes in the tasks of stored prompts that you may see
        with their datasets: those that these words fit or, with `prompt:NAME`, those near a prompt;
        they come with their prompts. `related` takes in likewise the tasks of so many prompts that
        are nearest to `tasks`, as the model's own meta-prompt reads these; they come first, so that
        what is held out is yours. `settings` are the other fields of `MetaSpec`: method,
        aggregate, examples, steps, initialization and so on.

        Raises InvalidInput naming the field, Conflict if the name is taken.
        """
        tasks, prompts = dict(tasks or {}), dict(prompts or {})
        if related:
            own = {task: self._at_hand(data) for task, data in tasks.items()}
            near = searching.related(self.prompts, own, related, settings.get("model"))
            tasks = {**{one.name: dataset for one, dataset in near}, **own}
            prompts = {one.name: one.id for one, _ in near} | prompts
        if from_library is not None:
            known = searching.with_datasets(self.prompts, from_library, settings.get("model"))
            tasks = {one.name: dataset for one, dataset in known} | tasks
            prompts = {one.name: one.id for one, _ in known} | prompts
        parts: dict[str, dict[str, Any]] = {task: {"name": task} for task in tasks}
        apart = () if held_out is None or isinstance(held_out, int) else held_out
        given = (("prompts", prompts), ("descriptions", descriptions), ("held_out", apart))
        for field, named in given:
            for task in named or ():
                if task not in parts:
                    raise InvalidInput(f"there is no task {task!r}", field=field)
        for task, description in (descriptions or {}).items():
            parts[task]["description"] = description
        for task in apart:
            parts[task]["held_out"] = True
        if isinstance(held_out, int):
            settings = {"held_out": held_out, **settings}
        wanted = {"name": name, "tasks": list(parts.values()), **settings}
        options = _valid(MetaOptions, wanted)  # before anything is stored
        with self.storing() as stored:
            rows: dict[str, MetaTaskRows] = {
                task: {"dataset": stored(f"{name}.{task}-train", data)}
                for task, data in tasks.items()
            }
            for task, prompt in prompts.items():
                rows[task]["prompt"] = reference(prompt)
            spec = _checked(lambda: options.on(rows))
            return self.jobs.submit(spec, idempotency_key=idempotency_key)

    def _at_hand(self, data: Data) -> Dataset | list[Row]:
        """A task's rows, to go through more than once, or the stored dataset that is named."""
        if isinstance(data, str) and not data.endswith(".jsonl"):
            return self.datasets.get(data)
        if isinstance(data, Dataset):
            return data
        return list(read_rows(data) if isinstance(data, str | os.PathLike) else data)

    def augment(
        self,
        name: str,
        data: Data | None = None,
        strategy: Strategy = "auto",
        *,
        query: str | Prompt | None = None,
        validation: Data | None = None,
        idempotency_key: str | None = None,
        **settings: Any,
    ) -> JobHandle:
        """Queue a job that tunes a prompt on a few rows with the help of the library.

            job = client.augment("lifted", "few.jsonl")
            job.wait()
            client.prompts.get("lifted").parents  # what it was made from

        `data` and `validation` are as in `train`. A `query` is a stored prompt to search with as
        it is; with one, `data` may be left out, and is what that one was trained on. `settings`
        are the other fields of `AugmentSpec`: neighbours, rounds, metric, weights, budget and so
        on; the length is the query's unless given.

        Raises InvalidInput naming the field, Conflict if the name is taken, NotFound for a query
        that is not there.
        """
        given: dict[str, Any] = {"name": name, "strategy": strategy, **settings}
        if query is not None:
            found = self.prompts.get(query)
            given = {"length": found.length, "model": found.model, **given, "query": found.id}
            data = found.dataset if data is None else data
        if data is None:
            raise InvalidInput(
                "give your rows, or a query whose dataset is known and yours to see", field="data"
            )
        options = _valid(AugmentOptions, given)  # before anything is stored
        with self.storing() as stored:
            dataset = stored(f"{name}-train", data)
            scored = None if validation is None else stored(f"{name}-validation", validation)
            spec = _checked(lambda: options.on(dataset, scored))
            return self.jobs.submit(spec, idempotency_key=idempotency_key)

    def write_prompts(
        self,
        name: str,
        tasks: Mapping[str, Iterable[Row]] | Iterable[ToldTask],
        *,
        descriptions: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        **settings: Any,
    ) -> JobHandle:
        """Queue a job that writes a prompt for each of many tasks, in one pass over its examples.

            job = client.write_prompts("words", {"plurals": [("cat", "cats"), ("box", "boxes")]})
            job.wait()
            client.predict("words.plurals", ["river"])

        A task's prompt is stored as `<name>.<task>` as soon as it is written; those of a job that
        was cancelled stay. `descriptions` tell tasks in words; `settings` are the other fields of
        `WriteSpec`: model, meta_prompt, aggregate, examples, described, visibility, truncate.

        Raises InvalidInput naming the field, Conflict if a job of that name is under way.
        """
        options = _valid(WriteOptions, {"name": name, **settings})  # before anything is stored
        told = [task.row() for task in _told(tasks, descriptions or {})]
        with self.storing() as stored:
            dataset = stored(f"{name}-tasks-{digest(told)[:8]}", told)
            spec = _checked(lambda: options.on(dataset))
            return self.jobs.submit(spec, idempotency_key=idempotency_key)

    @contextlib.contextmanager
    def storing(self) -> Iterator[Callable[[str, Data], str]]:
        """What gives the reference of a job's data, and stores what is not stored yet. If the job
        is refused, for a taken name for example, that is deleted again."""
        new: list[Dataset] = []

        def stored(name: str, data: Data) -> str:
            if isinstance(data, Dataset):
                return reference(data)
            if isinstance(data, str) and not data.endswith(".jsonl"):
                return data
            dataset, made = self.datasets.ensured(name, data)
            new.extend([dataset] if made else [])
            return dataset.id

        try:
            yield stored
        except (Conflict, InvalidInput, NotFound, QuotaExceeded, Forbidden):
            for dataset in new:
                with contextlib.suppress(PtsysError):
                    self.datasets.delete(dataset)
            raise

    def _rows_a_request(self) -> int:
        """Rows that one request may hold; asked once."""
        if self._rows is None:
            told = self.me().get("limits")
            most = told.get("rows_per_request") if isinstance(told, Mapping) else None
            self._rows = max(1, min(_MOST_ROWS, int(most or _MOST_ROWS)))
        return self._rows


def _told(
    tasks: Mapping[str, Iterable[Row]] | Iterable[ToldTask], descriptions: Mapping[str, str]
) -> list[ToldTask]:
    """The tasks in one form. Raises InvalidInput naming the task that is wrong."""
    if not isinstance(tasks, Mapping):
        return list(tasks)
    found = []
    for name in dict.fromkeys((*tasks, *descriptions)):
        rows = list(tasks.get(name, ()))
        try:
            shown = as_examples(rows) if rows else []
        except InvalidInput as error:
            raise InvalidInput(f"task {name!r}: {error}", field="tasks") from None
        found.append(ToldTask(name, tuple(shown), descriptions.get(name)))
    return found


def _silent(rows: int) -> None:
    """Nobody wants to know how far it is."""


def _warn(notes: InputNotes) -> None:
    """Tell once what was not read of a call's inputs."""
    if notes.warning is not None:
        warnings.warn(notes.warning, RowsWarning, stacklevel=3)


def _decoding(
    decoding: Decoding | None, labels: Sequence[str] | None, options: Mapping[str, Any]
) -> Decoding:
    given = dict(options) | ({} if labels is None else {"labels": tuple(labels)})
    if decoding is None:
        return _valid(Decoding, given)
    if given:
        raise InvalidInput(f"give a whole decoding or {sorted(given)}, not both", field="decoding")
    return decoding


def _valid(kind: type[_V], fields: Mapping[str, Any]) -> _V:
    return _checked(lambda: kind.model_validate(dict(fields)))


def _checked(make: Callable[[], _V]) -> _V:
    try:
        return make()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"{place}: {first['msg']}", field=place or None) from None


def _named_or_rows(data: Data) -> dict[str, Any]:
    """A stored dataset by its name, or rows as they are sent."""
    if isinstance(data, Dataset) or (isinstance(data, str) and not data.endswith(".jsonl")):
        return {"dataset": reference(data)}
    if isinstance(data, str | os.PathLike):
        rows = read_rows(data)
    else:
        rows = as_examples(data, require_target=False)
    return {"rows": [{"input": row.input, "target": row.target} for row in rows]}
