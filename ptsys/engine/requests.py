"""Requests: cut into calls, which ride in batches with those of other users, and put together."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from ptsys.engine.calls import (
    Call,
    Generator,
    Placement,
    lay_apart,
    lay_in_turn,
    readings_of,
    rows_of,
)
from ptsys.engine.device import Device
from ptsys.engine.groups import Group
from ptsys.engine.joining import joined
from ptsys.engine.loop import DeviceLoop, Dispatched
from ptsys.engine.operations import OPERATIONS, GradientsResult
from ptsys.engine.parts import Cutting, Part, cut
from ptsys.engine.scheduler import Item, Step
from ptsys.engine.shapes import Shapes
from ptsys.kinds.model_kind import Question, RowCoder
from ptsys.kinds.trees import Layout, Tree

Row = TypeVar("Row")

CALL_ROWS = 64  # longer requests are split, so that they fit small shapes and share fairly


class Asked(NamedTuple):
    """A part of a request on its way: the numbers of its rows there, and the answer to come."""

    rows: Sequence[int]
    future: concurrent.futures.Future[Any]


class Requests:
    """The calls that wait and those on the device."""

    def __init__(
        self, device: Device, shapes: Shapes, loop: DeviceLoop, coder: RowCoder, max_rows: int
    ) -> None:
        self._device = device
        self._shapes = shapes
        self._loop = loop
        self._coder = coder
        self._max_rows = max_rows
        self._calls: dict[int, Call] = {}
        self._numbers = itertools.count()

    @property
    def empty(self) -> bool:
        """Nobody waits for an answer."""
        return not self._calls

    # ---- asking, from any thread ----------------------------------------------------------

    def ask(
        self,
        question: Question,
        tree: Tree | None,
        layout: Layout,
        user: str,
        *,
        generator: Generator | None = None,
    ) -> concurrent.futures.Future[list[Any]]:
        """The answers to a question's rows with a prompt, of that padded layout; cut into calls.
        They are read by the `generator`, if that is not the frozen model's encoder."""
        parts = self._submit(question, tree, layout, user, generator=generator)
        return joined(
            [part.future for part in parts],
            lambda answers: question.whole(_in_order(parts, answers)),
        )

    def ask_gradients(
        self,
        question: Question,
        tree: Tree,
        layout: Layout,
        user: str,
        *,
        whole: bool = False,
    ) -> concurrent.futures.Future[GradientsResult]:
        """The loss of a question's rows and its gradient."""
        return join_gradients(self._submit(question, tree, layout, user, whole=whole))

    def _submit(
        self,
        question: Question,
        tree: Tree | None,
        layout: Layout,
        user: str,
        *,
        whole: bool = False,
        generator: Generator | None = None,
    ) -> list[Asked]:
        group = Group(
            question.operation,
            layout,
            question.layout,
            question.options,
            question.copies,
            "" if generator is None else generator.key,
        )
        sizes, share = question.sizes, object()
        parts = [Part(tuple(range(len(sizes))), question.layout[0].size)]
        if not whole and question.layout[0].shape:
            parts = cut(sizes, self._cutting(group))
        calls = [
            Call(
                key=next(self._numbers),
                user=user,
                group=group.resized(part.inputs) if question.layout[0].shape else group,
                tree=tree,
                share=share,
                features={
                    name: [rows[row] for row in part.rows]
                    for name, rows in question.features.items()
                },
                numbers=part.rows,
                future=concurrent.futures.Future(),
                generator=generator,
            )
            for part in parts
        ]
        self._calls.update({call.key: call for call in calls})
        if self._loop.broken is not None:
            for call in calls:
                refuse(call.future, self._loop.broken)
        self._loop.command(lambda: self._enqueue(calls))
        for call in calls:
            call.future.add_done_callback(functools.partial(self._given_up, call.key))
        return [Asked(call.numbers, call.future) for call in calls]

    def _cutting(self, group: Group) -> Cutting:
        """How requests of a group are cut. Those of which something comes back for a whole prompt
        lie on one shard; rows of others are dealt to all shards anyway."""
        costs, besides = self._device.costs, group.prompt.positions
        if OPERATIONS[group.operation].apart:
            sizes = self._coder.sizes(fine=True)
            return Cutting(sizes, besides, costs, self._max_rows, self._device.shards)
        most = min(CALL_ROWS, self._max_rows)
        return Cutting(self._coder.sizes(), besides, dataclasses.replace(costs, full=None), most)

    def _given_up(self, key: int, future: concurrent.futures.Future[Any]) -> None:
        """If nobody waits for a call any more, it leaves the queue; one under way is done with."""
        if future.cancelled():
            self._loop.command(lambda: self._withdraw(key))

    def _withdraw(self, key: int) -> None:
        if self._loop.scheduler.withdraw(key):
            self._calls.pop(key, None)

    def _enqueue(self, calls: Sequence[Call]) -> None:
        for call in calls:
            item = Item(call.key, call.user, call.group, call.rows)
            self._loop.scheduler.request(item, time.monotonic())

    # ---- on the device thread -------------------------------------------------------------

    def dispatch(self, step: Step[Any]) -> Dispatched:
        """Start a step of calls."""
        calls = [self._calls[item.key] for item in step.items]
        shards = self._device.shards
        lay = lay_apart if OPERATIONS[step.group.operation].apart else lay_in_turn
        layout = lay(calls, shards)
        shape = self._shapes.fitting(step.group, layout.slots, layout.rows)
        placements = layout.placed(shape)
        readings = readings_of(placements, layout, shape)
        rows = rows_of(placements, shape, shards)
        result = self._device.answer(shape, readings, rows, calls[0].generator)

        def finish() -> None:
            answer_calls(placements, lambda: self._device.read(result), self._coder)

        return Dispatched(finish, shape.rows * shards)

    def ended(self, step: Step[Any]) -> None:
        """The calls have their answers."""
        for item in step.items:
            self._calls.pop(item.key, None)

    def blame(self, key: int, error: Exception, trace: str) -> None:
        """A call's step failed."""
        call = self._calls.pop(key, None)
        if call is not None:
            refuse(call.future, error)

    def lost(self, key: int, error: Exception) -> None:
        """A call's step will perhaps never end. From any thread."""
        refuse(self._calls[key].future, error)

    def abort(self, error: Exception) -> None:
        """No call will ever be answered. From any thread."""
        for call in list(self._calls.values()):
            refuse(call.future, error)


def answer_calls(placements: Sequence[Placement], read: Callable[[], Any], coder: RowCoder) -> None:
    """Wait for the device and resolve every call's future, with its error if it failed. On the
    finishing thread."""
    try:
        result = jax.tree.map(np.asarray, read())
    except Exception as error:
        for placement in placements:
            refuse(placement.call.future, error)
        raise
    for placement in placements:
        operation = OPERATIONS[placement.call.group.operation]
        try:
            answer = operation.answer(placement, result, coder)
        except Exception as error:
            refuse(placement.call.future, error)
        else:
            with contextlib.suppress(concurrent.futures.InvalidStateError):  # nobody waits
                placement.call.future.set_result(answer)


def refuse(future: concurrent.futures.Future[Any], error: Exception) -> None:
    """Let whoever waits for it have the error, unless there is an answer already."""
    with contextlib.suppress(concurrent.futures.InvalidStateError):
        future.set_exception(error)


def join_gradients(parts: Sequence[Asked]) -> concurrent.futures.Future[GradientsResult]:
    """One future for a request that was split: every part counts by its tokens."""

    def whole(results: list[GradientsResult]) -> GradientsResult:
        tokens = sum(part.tokens for part in results)
        names: Mapping[str, Any] = results[0].gradients
        return GradientsResult(
            loss=sum(part.loss * part.tokens for part in results) / tokens,
            tokens=tokens,
            gradients={
                name: np.sum(
                    [part.gradients[name] * np.float32(part.tokens / tokens) for part in results],
                    axis=0,
                )
                for name in names
            },
            row_losses=_in_order(parts, [part.row_losses for part in results]),
            predictions=_in_order(parts, [part.predictions for part in results]),
        )

    if len(parts) == 1:
        return parts[0].future
    return joined([part.future for part in parts], whole)


def _in_order(parts: Sequence[Asked], answers: Sequence[Sequence[Row]]) -> list[Row]:
    """The rows of all parts as the request has them."""
    numbered = (
        numbered
        for part, own in zip(parts, answers, strict=True)
        for numbered in zip(part.rows, own, strict=True)
    )
    return [row for _, row in sorted(numbered, key=operator.itemgetter(0))]
