"""The training of a meta-prompt on many tasks: one resident, which writes prompts anew in every
step and learns from what the frozen model makes of them (WO2023022727A1, figures 4 and 9), or from
prompts that were tuned (figures 3 and 8).

It is scored on tasks that it does not learn from, before the first step too; what is kept is the
best that was scored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.data.features import EncodedExamples
from ptsys.data.mixture_order import joined
from ptsys.data.order import permutation
from ptsys.engine import trainings
from ptsys.engine.evaluation import mean_scores
from ptsys.engine.trainings import Progress, Shown, Snapshot, Training, TrainingTask, Validation
from ptsys.errors import InvalidInput
from ptsys.kinds.model_kind import RowCoder
from ptsys.kinds.registry import META
from ptsys.kinds.starting import refuse_teacher
from ptsys.kinds.trees import Tree, shapes_of
from ptsys.library.domain import domain_of, written_vectors
from ptsys.prompts.meta_kind import written_layout
from ptsys.prompts.tokens import NAME
from ptsys.training.course import (
    Checkpoint,
    Completed,
    Ending,
    Listener,
    Steps,
    finite,
)
from ptsys.training.loop import Place
from ptsys.training.meta_answers import with_answers
from ptsys.training.meta_episodes import EpisodeOrder, ShownTask
from ptsys.training.resident import ResidentTraining, numbers, of_members
from ptsys.training.trained import Trained
from ptsys.training.written_start import shown_rows
from ptsys.types.example import Example
from ptsys.types.meta_training import MetaSpec
from ptsys.types.records import Parent

SCORE = "accuracy"  # by which one state is better than another
BEST = "best"
_ASKED = 32  # rows of a task that is scored on, at most
_WRITTEN = 256  # tasks that prompts are written of, to be compared by, at most
_STREAM = 0x73636F72


@dataclasses.dataclass(frozen=True)
class MetaTaskData:
    """A task's rows as they are, and encoded; the prompt that was tuned on it, [P, D], and its
    vectors as `ptsys.library.domain` has them, if it compares with others."""

    rows: Sequence[Example]
    examples: EncodedExamples
    prompt: NDArray[np.float32] | None = None
    vectors: NDArray[np.float32] | None = None


class MetaTraining(ResidentTraining):
    """The course of such a training."""

    def __init__(
        self,
        identifier: str,
        user: str,
        spec: MetaSpec,
        tasks: Sequence[MetaTaskData],
        coder: RowCoder,
        start: Tree,
        resumed: Checkpoint | None,
        listener: Listener,
        parents: tuple[Parent, ...] = (),
        shared: NDArray[np.float32] | None = None,
    ) -> None:
        """From the meta-prompt `start`, or from a checkpoint of a training that began there.
        `coder` lays out rows that are shown; with `shared` [S, D], where the model's prompts start,
        what is made keeps its domain. Raises InvalidInput for a task with too few rows, and for a
        tuned prompt that is shorter than what is written."""
        scored = spec.scored()
        learned = {
            place: task
            for place, (task, apart) in enumerate(zip(tasks, scored, strict=True))
            if not apart
        }
        self._examples = {place: task.examples for place, task in learned.items()}
        self._prompts = {
            place: task.prompt for place, task in learned.items() if task.prompt is not None
        }
        self._spec, self._parents = spec, parents
        self._learned, self._shared = list(learned.values()), shared
        self._vectors = {
            place: task.vectors for place, task in learned.items() if task.vectors is not None
        }
        snapshot = Snapshot.start(start, META)
        self._best: dict[str, Any] = {"step": -1, "score": -1.0, "since": 0, "evaluated": -1}
        self._kept: Tree = dict(start)
        self._scores_kept: dict[str, float] = {}
        if resumed is not None:
            snapshot = Snapshot.of(resumed.step, resumed.arrays, snapshot)
            self._kept = {name: np.array(x) for name, x in resumed.arrays[BEST].items()}
            self._best = dict(resumed.notes["best"])
            self._scores_kept = dict(resumed.notes["scores"])
        self._shown, self._begun = _shown(spec, tasks, coder, start["start"]), start["start"]
        order = EpisodeOrder(spec, list(self._shown.values()), self._begun)
        size = self._size = coder.shown_size(min(order.longest, coder.sizes()[-1]))
        self._consistent: Checkpoint | None = resumed
        self._owed: list[Checkpoint] = []
        self._ended = False  # by patience
        task = TrainingTask(
            id=identifier,
            user=user,
            spec=spec.model_copy(update={"batch_size": 1}) if spec.needs_prompts else spec,
            examples=joined(list(self._examples.values())),
            start=snapshot,
            validations=[
                _validation(spec, data, number)
                for number, (data, apart) in enumerate(zip(tasks, scored, strict=True))
                if apart
            ],
            order=order.padded(size),
            kind=META,
            layout=written_layout(
                shapes_of(start),
                order.readings,
                order.examples,
                size,
                spec.aggregate,
                taught=order.taught or (spec.compares_prompts and bool(spec.missing_prompts)),
                generator_learns=spec.generator == "own-trained",
            ),
        )
        super().__init__(task, listener)

    def teach(self, prompts: Mapping[int, NDArray[np.float32]]) -> None:
        """Before it runs: learn from these prompts too, which are as long as what is written ends
        with [Q, D], by the places of their tasks."""
        self._prompts.update(prompts)
        for place, prompt in prompts.items():
            self._shown[place] = dataclasses.replace(self._shown[place], teacher=prompt)
            if self._shared is not None:
                self._vectors[place] = written_vectors(prompt, self._shared)
        order = EpisodeOrder(self._spec, list(self._shown.values()), self._begun)
        self._task = dataclasses.replace(self._task, order=order.padded(self._size))

    # ---- on its way -----------------------------------------------------------------------

    def _keep(self, event: trainings.Checkpointed, training: Training) -> None:
        self._owed.append(self._checkpoint(event.snapshot, event.progress))
        self._pay()

    def _judge(self, event: trainings.Evaluated, training: Training) -> None:
        if self._ended:
            return  # it was under way when patience was at its end
        super()._judge(event, training)
        self._compare(event.snapshot, event.scores, event.member_scores)
        patience = self._spec.patience
        if patience is not None and self._best["since"] >= patience:
            self._ended = True
            training.stop()
        self._pay()

    def _stopped(self, place: Place, event: trainings.Stopped) -> Steps[Ending]:
        """Its end, if patience was at one."""
        if not self._ended:
            return (yield from super()._stopped(place, event))
        return (yield from self._completed(place, event.snapshot))

    # ---- what is kept ---------------------------------------------------------------------

    def _begin(self, place: Place) -> Steps[None]:
        """How the tuned prompts answer, if that is learned from; then the score of where it
        starts, and of a checkpoint that was stored before its own."""
        if weight := self._spec.answer_weight:
            rows = with_answers(place, self._examples, self._prompts, weight, self._task.user)
            self._task = dataclasses.replace(self._task, examples=(yield from rows))
        task, step = self._task, self._task.start.step
        due = step % task.spec.evaluate_every == 0 and self._best["evaluated"] < step
        if not task.validations or not due:
            return
        members = {}
        for one in task.validations:
            future = place.engine.validated(task, task.start.values, one)
            answers = yield from place.answer(future)
            found = one.score([answer.prediction for answer in answers], list(one.targets))
            members[one.member] = dict(found)
        self._listener.evaluation(step, finite(mean_scores(members)))
        self._compare(task.start, mean_scores(members), members)

    def _compare(
        self, snapshot: Snapshot, scores: dict[str, float], members: dict[int, dict[str, float]]
    ) -> None:
        """Keep what is better than all before it."""
        score = scores.get(SCORE, 0.0)
        self._best["evaluated"] = snapshot.step
        if score > self._best["score"]:
            self._best |= {"step": snapshot.step, "score": score, "since": 0}
            self._kept = dict(snapshot.values)
            self._scores_kept = scores | {
                f"{SCORE}/{self._spec.tasks[number].name}": own[SCORE]
                for number, own in members.items()
                if SCORE in own
            }
        elif snapshot.step > 0:
            self._best["since"] += 1

    def _pay(self) -> None:
        """Tell of checkpoints whose scores, and all before them, are known: only these resume as
        if nothing had happened. Once patience is at its end there are no more: what resumes is
        scored once more then, and ends there again."""
        every = self._task.spec.evaluate_every
        while self._owed and not self._ended:
            checkpoint = self._owed[0]
            last = checkpoint.step // every * every
            if self._task.validations and last > max(self._best["evaluated"], 0):
                return
            self._owed.pop(0)
            self._consistent = dataclasses.replace(
                checkpoint, arrays=self._arrays(checkpoint.arrays), notes=self._notes()
            )
            self._listener.checkpoint(self._consistent)

    def _arrays(self, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, BEST: dict(self._kept)}

    def _notes(self) -> dict[str, Any]:
        return {"best": dict(self._best), "scores": finite(self._scores_kept)}

    def checkpoint(self) -> Checkpoint | None:
        """Of the state it left the device with; the last one whose scores are known, if its own
        still were to come."""
        if self._snapshot.step == 0:
            return None
        self._owed = [self._checkpoint(self._snapshot, self._progress)]
        every = self._task.spec.evaluate_every
        last = self._snapshot.step // every * every
        if self._task.validations and last > max(self._best["evaluated"], 0):
            return self._consistent
        arrays = self._arrays(self._owed[0].arrays)
        return dataclasses.replace(self._owed[0], arrays=arrays, notes=self._notes())

    def _checkpoint(self, snapshot: Snapshot, progress: Progress | None) -> Checkpoint:
        metrics = {} if progress is None else finite(numbers(progress))
        return Checkpoint(snapshot.step, snapshot.state(), metrics=metrics)

    # ---- numbers --------------------------------------------------------------------------

    def _metrics(self, progress: Progress) -> dict[str, float]:
        return numbers(progress)

    def _scores(self, event: trainings.Evaluated | trainings.Finished) -> dict[str, float]:
        return of_members(event, [task.name for task in self._spec.tasks])

    def _finish(self, place: Place, event: trainings.Finished) -> Steps[Completed]:
        return (yield from self._completed(place, event.snapshot))

    def _completed(self, place: Place, snapshot: Snapshot) -> Steps[Completed]:
        values, scores = dict(snapshot.values), {}
        progress = self._progress
        if self._task.validations:
            values, scores = dict(self._kept), dict(self._scores_kept)
        if progress is not None:
            scores = {**scores, "train_loss": progress.loss}
        best = self._best["step"] if self._task.validations else snapshot.step
        made = Trained(
            name=self._spec.name,
            values=values | (yield from self._domain(place, values)),
            kind=META,
            dataset=None,
            scores=scores,
            steps=best,
            parents=self._parents,
        )
        metrics = {} if progress is None else self._metrics(progress)
        return Completed((made,), snapshot.step, finite({**metrics, **scores}))

    def _domain(self, place: Place, values: Tree) -> Steps[Tree]:
        """Where the prompts of its tasks lie: those that were tuned, or those that it writes."""
        if self._shared is None:
            return {}
        if self._prompts:
            return domain_of(list(self._vectors.values()))
        seed, aggregate = self._spec.seed, self._spec.aggregate
        found = []
        for number in permutation(len(self._learned), (seed, _STREAM))[:_WRITTEN]:
            shown = shown_rows(self._learned[number].rows, seed)[: self._spec.examples]
            future = place.engine.written(
                values,
                shown,
                aggregate="mean" if aggregate == "each" else aggregate,
                user=self._task.user,
            )
            found.append(written_vectors((yield from place.answer(future)), self._shared))
        return domain_of(found)


def tuned_rows(prompt: Tree | None, name: str, field: str) -> NDArray[np.float32]:
    """A stored prompt to learn from, [P, D]. Raises InvalidInput for one that has other arrays."""
    found = prompt or {}
    refuse_teacher(name, found.keys(), field)
    return found[NAME]


def blank_arrays(start: Tree) -> dict[str, Any]:
    """What a checkpoint of a training that starts there holds."""
    return {**Snapshot.start(start, META).state(), BEST: dict(start)}


def _shown(
    spec: MetaSpec, tasks: Sequence[MetaTaskData], coder: RowCoder, start: NDArray[np.float32]
) -> dict[int, ShownTask]:
    """The tasks that are learned from, by their places."""
    found = {}
    together = coder.shown_jointly if spec.aggregate == "joint" else None
    for place, (task, data, apart) in enumerate(zip(spec.tasks, tasks, spec.scored(), strict=True)):
        if len(data.rows) < 2:
            raise InvalidInput(
                f"task {task.name!r} has {len(data.rows)} rows; one is shown, one asked",
                field=f"tasks.{place}.dataset",
            )
        if apart:
            continue
        teacher = data.prompt
        if spec.compares_prompts and teacher is not None and len(teacher) < len(start):
            raise InvalidInput(
                f"the prompt of task {task.name!r} has {len(teacher)} tokens, and what is written "
                f"ends with {len(start)}; tune a longer one",
                field=f"tasks.{place}.prompt",
            )
        described = None if task.description is None else coder.shown_description(task.description)
        try:
            rows = coder.shown(data.rows, spec.max_input_length)
        except InvalidInput as error:
            raise InvalidInput(f"task {task.name!r}: {error}", field=error.field) from error
        own = None if teacher is None else teacher[-len(start) :]
        found[place] = ShownTask(rows, together, described, own)
    return found


def _validation(spec: MetaSpec, data: MetaTaskData, number: int) -> Validation:
    """A task that is scored on: as many of its rows as a prompt is written of, and others."""
    order = np.random.default_rng([spec.seed, _STREAM, number]).permutation(len(data.rows))
    count = min(spec.examples, max(len(order) // 2, 1))
    asked = [data.rows[row] for row in order[count : count + _ASKED]]
    return Validation(
        inputs=[row.input for row in asked],
        targets=[row.target or "" for row in asked],
        member=number,
        shown=Shown([data.rows[row] for row in order[:count]], None, spec.aggregate),
    )
