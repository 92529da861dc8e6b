"""What the choice of examples is asked, and how what it needs of rows is found."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from ptsys.api.alternatives import one_of
from ptsys.api.context import Context
from ptsys.api.searching import ExampleRow
from ptsys.errors import InvalidInput
from ptsys.jobs.limits import ModelLimits
from ptsys.library.map import by_components, layout
from ptsys.prompts.safetensors_format import decode
from ptsys.selection.pool import Pool
from ptsys.selection.registry import METHODS, check, choose
from ptsys.types.example import Example
from ptsys.types.model import Value
from ptsys.types.records import Prompt
from ptsys.types.requests import Decoding, EncodeRequest, Labels, Prediction, PredictRequest
from ptsys.types.selection import (
    MOST_CHOSEN,
    MOST_PLACES,
    MOST_ROWS,
    MOST_SCORES,
    Chosen,
    Place,
    Places,
    Selection,
    SelectionMethod,
)
from ptsys.types.text import MOST_LABELS, Reference, Text

_AT_ONCE = 256  # rows of one question to a worker
_SCORES_AT_ONCE = 2048
_MOST_NUMBERS = 2**24  # of all encodings together: 64 MiB


class SelectBody(Value):
    """Rows, sent or stored, and how examples are chosen of them."""

    model_config = ConfigDict(json_schema_extra=one_of(["rows", "dataset"]))

    method: SelectionMethod = Field(
        default="kmeans",
        description="`kmeans`: nearest to the centres of clusters; `margin`: nearest to a prompted "
        "model's decision boundary; `contrastive`: pairs read alike with different targets; "
        "`badge`: long and diverse gradients of a prompted model; `random`.",
    )
    count: int = Field(default=16, ge=1, le=MOST_CHOSEN, description="How many rows to choose.")
    per_class: bool = Field(default=False, description="Choose `count` rows of each target.")
    seed: int = Field(default=0, ge=0, lt=2**31)
    rows: Annotated[list[ExampleRow], Field(fail_fast=True)] | None = Field(
        default=None, min_length=1, description=f"At most {MOST_ROWS} rows."
    )
    dataset: Reference | None = Field(
        default=None,
        description=f"In place of `rows`: a stored dataset, of at most {MOST_ROWS} rows.",
    )
    prompt: Reference | None = Field(
        default=None,
        description="A stored prompt that rows are read with; `margin` and `badge` need one.",
    )
    general: Reference | None = Field(
        default=None,
        description="For a task-specific prompt: a general prompt to use in place of its own.",
    )
    labels: Labels | None = Field(
        default=None,
        description="For `margin` and `badge`: what the prompted model chooses between; unset, the "
        f"targets of the rows. Rows times labels are at most {MOST_SCORES}.",
    )
    model: Text | None = Field(
        default=None,
        max_length=100,
        description="The frozen model that reads the rows; unset, the prompt's, or the service's "
        "default.",
    )
    places: bool = Field(
        default=False,
        description=f"Tell a map of the encodings too: of all rows, or of {MOST_PLACES} with those "
        "chosen among them.",
    )
    truncate: bool = Field(
        default=False, description="Cut inputs that are too long, instead of refusing them."
    )


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A choice that can be made: its body, and what that names."""

    body: SelectBody
    rows: list[Example]
    limits: ModelLimits
    prompt: Prompt | None
    labels: tuple[str, ...]

    @property
    def encodes(self) -> bool:
        """Whether the rows' encodings are needed."""
        return METHODS[self.body.method].encodings or self.body.places

    @property
    def scores(self) -> bool:
        """Whether the labels' scores are."""
        return METHODS[self.body.method].scores

    @property
    def total(self) -> int:
        """Rows that workers read, counted each time."""
        return len(self.rows) * (self.encodes + self.scores)


def wanted(context: Context, body: SelectBody, user: str) -> Wanted:
    """The choice, once it is known that it can be made. Raises InvalidInput naming the field,
    NotFound."""
    check_body(context, body)
    prompts, method = context.service.prompts, METHODS[body.method]
    prompt = None if body.prompt is None else prompts.get(body.prompt, user)
    if prompt is not None and body.model not in (None, prompt.model):
        raise InvalidInput(
            f"prompt {body.prompt!r} belongs to model {prompt.model!r}; leave `model` out",
            field="model",
        )
    if prompt is not None and (body.general is not None or prompt.general is not None):
        prompts.general_of(prompt, user, body.general)
    model = prompt.model if prompt is not None else body.model or context.settings.model
    limits = context.limits(model)
    rows = _rows(context, body, user, min(MOST_ROWS, _MOST_NUMBERS // limits.d_model), model)
    check(body.method, Pool([row.target for row in rows]), body.count, per_class=body.per_class)
    labels = _labels(body, rows, limits) if method.scores else ()
    found = Wanted(body, rows, limits, prompt, labels)
    if found.total:
        limits.check_inputs(
            [row.input for row in rows],
            truncate=body.truncate,
            field="dataset" if body.rows is None else "rows",
            by_place=body.rows is not None,
        )
    return found


def check_body(context: Context, body: SelectBody) -> None:
    """Raise InvalidInput naming the field for what no record is needed to find wrong."""
    if (body.rows is None) == (body.dataset is None):
        raise InvalidInput("give `rows`, or a `dataset` that has some", field="rows")
    if METHODS[body.method].scores:
        if body.prompt is None:
            raise InvalidInput(
                f"{body.method} asks a prompted model; name a stored prompt", field="prompt"
            )
    elif body.labels is not None:
        raise InvalidInput(f"{body.method} scores no labels; leave them out", field="labels")
    if body.general is not None and body.prompt is None:
        raise InvalidInput("name the stored task-specific prompt it goes with", field="general")
    most = context.settings.max_row_bytes
    if len(body.rows or ()) > MOST_ROWS:
        raise InvalidInput(f"{len(body.rows or ())} rows; send at most {MOST_ROWS}", field="rows")
    for place, row in enumerate(body.rows or ()):
        for field, text in (("input", row.input), ("target", row.target)):
            if text is not None and len(text.encode()) > most:
                raise InvalidInput(
                    f"this text is longer than {most} bytes", field=f"rows.{place}.{field}"
                )


async def steps(context: Context, wanted: Wanted, user: str) -> AsyncIterator[int | Selection]:
    """Makes the choice: after each question to a worker the number of rows that are read so far,
    and at last what was chosen."""
    body, reading = wanted.body, _Reading(context, wanted, user)
    encodings: list[NDArray[np.float32]] = []
    scores: list[list[float]] = []
    if wanted.encodes:
        for part in reading.parts(_AT_ONCE):
            encodings.append(await reading.encodings(part))
            yield reading.done
    if wanted.scores:
        for part in reading.parts(min(_AT_ONCE, max(_SCORES_AT_ONCE // len(wanted.labels), 1))):
            scores += await reading.scores(part)
            yield reading.done
    pool = Pool(
        [row.target for row in wanted.rows],
        np.concatenate(encodings) if encodings else None,
        np.array(scores) if scores else None,
        wanted.labels,
    )
    chosen, places = await context.drawn(_chosen, wanted, pool)
    yield Selection(
        method=body.method,
        model=wanted.limits.model,
        prompt=None if wanted.prompt is None else wanted.prompt.id,
        seed=body.seed,
        per_class=body.per_class,
        rows=len(wanted.rows),
        labels=wanted.labels,
        chosen=chosen,
        places=places,
        cut_inputs=reading.cut,
        unknown_inputs=reading.unknown,
    )


class _Reading:
    """Asks workers of the model, a part of the rows at a time."""

    def __init__(self, context: Context, wanted: Wanted, user: str) -> None:
        self.done = self.cut = self.unknown = 0
        self._context, self._wanted, self._user = context, wanted, user
        prompt = wanted.prompt
        self._way = {
            "model": wanted.limits.model,
            "prompt": None if prompt is None else prompt.id,
            "general": wanted.body.general,
        }

    def parts(self, size: int) -> list[list[str]]:
        inputs = [row.input for row in self._wanted.rows]
        return [inputs[start : start + size] for start in range(0, len(inputs), size)]

    async def encodings(self, inputs: list[str]) -> NDArray[np.float32]:
        asked = EncodeRequest.model_validate({**self._way, "inputs": inputs})
        told, tensors = await self._context.ask(
            self._user, asked.model, "encode", asked.model_dump(mode="json"), None, rows=len(inputs)
        )
        found: NDArray[np.float32] = decode(tensors or b"", tensor="encodings")[0]
        _refuse_nan(found, self.done)
        self._read(inputs, told)
        return found

    async def scores(self, inputs: list[str]) -> list[list[float]]:
        decoding = Decoding(labels=self._wanted.labels)
        asked = PredictRequest.model_validate({**self._way, "inputs": inputs, "decoding": decoding})
        told, _ = await self._context.ask(
            self._user,
            asked.model,
            "predict",
            asked.model_dump(mode="json"),
            None,
            rows=len(inputs),
        )
        answers = [Prediction.model_validate(row).label_scores or {} for row in told["predictions"]]
        found = [[row[label] for label in self._wanted.labels] for row in answers]
        _refuse_nan(np.array(found), self.done % len(self._wanted.rows))
        self._read(inputs, told)
        return found

    def _read(self, inputs: list[str], told: dict[str, int]) -> None:
        if self.done < len(self._wanted.rows):  # the first time that these are read
            self.cut += told.get("cut_inputs", 0)
            self.unknown += told.get("unknown_inputs", 0)
        self.done += len(inputs)


def _refuse_nan(numbers: NDArray[np.floating], first: int) -> None:
    wrong = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
    if len(wrong):
        raise InvalidInput(
            f"behind this prompt the model reads nothing finite of row {first + wrong[0]}; its "
            "training may have diverged: name another",
            field="prompt",
        )


def _rows(context: Context, body: SelectBody, user: str, most: int, model: str) -> list[Example]:
    if body.rows is not None:
        count, field = len(body.rows), "rows"
    else:
        stored = context.service.datasets.get(body.dataset or "", user)
        count, field = stored.rows, "dataset"
    if count > most:
        raise InvalidInput(
            f"{count} rows; with model {model!r} examples are chosen of at most {most} at a time",
            field=field,
        )
    if body.rows is None:
        return list(context.service.datasets.read(stored.id))
    return [Example(row.input, row.target) for row in body.rows]


def _labels(body: SelectBody, rows: Sequence[Example], limits: ModelLimits) -> tuple[str, ...]:
    """What the prompted model chooses between."""
    labels = body.labels or tuple(sorted({row.target for row in rows if row.target is not None}))
    if len(set(labels)) < len(labels):
        raise InvalidInput("a label stands there twice; give each once", field="labels")
    if not 2 <= len(labels) <= MOST_LABELS:
        given = "given" if body.labels else "the targets of the rows"
        raise InvalidInput(
            f"{len(labels)} labels, {given}; give 2 to {MOST_LABELS} to choose between",
            field="labels",
        )
    if len(labels) * len(rows) > MOST_SCORES:
        raise InvalidInput(
            f"{len(rows)} rows times {len(labels)} labels are more than {MOST_SCORES} scores; send "
            "fewer rows or labels",
            field="labels",
        )
    limits.target_tokens(labels, field="labels")
    return labels


def _chosen(wanted: Wanted, pool: Pool) -> tuple[tuple[Chosen, ...], Places | None]:
    body = wanted.body
    picks = choose(body.method, pool, body.count, per_class=body.per_class, seed=body.seed)
    chosen = tuple(
        Chosen(
            row=pick.row,
            input=wanted.rows[pick.row].input,
            target=wanted.rows[pick.row].target,
            reason=pick.reason,
            numbers=pick.numbers,
            partner=pick.partner,
        )
        for pick in picks
    )
    return chosen, _places(wanted, pool, [pick.row for pick in picks]) if body.places else None


def _places(wanted: Wanted, pool: Pool, chosen: list[int]) -> Places:
    """A map of the rows, by their encodings less the mean: what all have in common tells none
    apart."""
    assert pool.encodings is not None
    others = np.setdiff1d(np.arange(len(pool)), chosen)
    more = np.random.RandomState(wanted.body.seed).permutation(others)
    shown = np.sort(np.concatenate([chosen, more[: max(MOST_PLACES - len(chosen), 0)]]).astype(int))
    vectors = pool.encodings[shown] - pool.encodings.mean(axis=0, keepdims=True)
    points = tuple(
        Place(row=int(row), target=pool.targets[row], x=x, y=y)
        for row, (x, y) in zip(shown, layout(vectors).tolist(), strict=True)
    )
    return Places(method="pca" if by_components(vectors) else "t-sne", points=points)
