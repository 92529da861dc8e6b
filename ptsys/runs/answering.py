"""Answers to many rows, kept as they come: a run that was killed goes on behind the last chunk."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ptsys.engine.engine import Engine
from ptsys.kinds.trees import Tree
from ptsys.types.example import Example, digest
from ptsys.types.requests import Decoding, Prediction

CHUNK = 256  # rows; what is sampled depends on a row's chunk and place
_IN_FLIGHT = 3


@dataclasses.dataclass(frozen=True)
class Question:
    """Rows, the prompt to answer them with (None: the bare model), and how.

    `identity` tells what decides the answers beside rows and decoding: model and prompt.
    """

    rows: Sequence[Example] = dataclasses.field(repr=False)
    prompt: Tree | None = dataclasses.field(repr=False)
    decoding: Decoding
    identity: str
    user: str

    @property
    def digest(self) -> str:
        """Equal if the answers are."""
        told = f"{digest(self.rows)} {self.decoding.model_dump_json()} {self.identity} {CHUNK}"
        return hashlib.sha256(told.encode()).hexdigest()


def answer(
    engine: Engine, question: Question, path: Path, told: Callable[[int], object]
) -> list[dict[str, Any]]:
    """The answers, a line a row in `path`: `input`, `prediction`, `score` (nats, summed over the
    answer's tokens), and the `target` if there is one.

    They grow in `<path>.part` and appear under their name when they are whole; `<path>.json` says
    to which question. `told` is called with how many rows are done. The engine runs.
    """
    beside = path.with_name(path.name + ".json")
    if path.exists() and _told(beside) == question.digest:
        lines = path.read_text(encoding="utf-8").splitlines()
        told(len(lines))
        return [json.loads(line) for line in lines]
    part = path.with_name(f"{path.name}.{question.digest[:12]}.part")
    found = _kept(part)
    told(len(found))
    with part.open("a", encoding="utf-8") as file:
        for rows, answers in _chunks(engine, question, len(found)):
            lines_found = [_line(*pair) for pair in zip(rows, answers, strict=True)]
            file.writelines(json.dumps(x, ensure_ascii=False) + "\n" for x in lines_found)
            file.flush()
            os.fsync(file.fileno())
            found += lines_found
            told(len(found))
    beside.unlink(missing_ok=True)
    os.replace(part, path)
    draft = beside.with_suffix(".draft")
    draft.write_text(json.dumps({"question": question.digest, "rows": len(found)}) + "\n")
    os.replace(draft, beside)
    return found


def _chunks(
    engine: Engine, question: Question, start: int
) -> Iterator[tuple[Sequence[Example], list[Prediction]]]:
    """Rows and their answers from row `start` on, in order, with some chunks on their way."""
    waiting: collections.deque[
        tuple[Sequence[Example], concurrent.futures.Future[list[Prediction]]]
    ] = collections.deque()
    while start < len(question.rows) or waiting:
        while start < len(question.rows) and len(waiting) < _IN_FLIGHT:
            rows = question.rows[start : start + CHUNK]
            seed = (question.decoding.seed + start // CHUNK) % 2**31
            future = engine.predict(
                [row.input for row in rows],
                question.prompt,
                question.decoding.model_copy(update={"seed": seed}),
                user=question.user,
            )
            waiting.append((rows, future))
            start += CHUNK
        rows, future = waiting.popleft()
        yield rows, future.result()


def _line(row: Example, answer: Prediction) -> dict[str, Any]:
    line: dict[str, Any] = {"input": row.input}
    if row.target is not None:
        line["target"] = row.target
    return line | {"prediction": answer.prediction, "score": round(answer.score, 6)}


def _kept(part: Path) -> list[dict[str, Any]]:
    """The lines of whole chunks; what was torn, or follows them, is cut off."""
    if not part.exists():
        return []
    lines = part.read_bytes().split(b"\n")[:-1]
    whole = []
    for line in lines:
        try:
            whole.append(json.loads(line))
        except ValueError:
            break
    count = len(whole) // CHUNK * CHUNK
    size = sum(len(line) + 1 for line in lines[:count])
    with part.open("r+b") as file:
        file.truncate(size)
    return whole[:count]


def _told(beside: Path) -> str | None:
    try:
        return str(json.loads(beside.read_text())["question"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
