"""The training of a multi-task run: the loop has a thread of its own, so that a signal, which comes
to the main thread, finds nothing half done."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ptsys.engine.engine import Engine
from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput, Unavailable
from ptsys.progress_lines import ProgressLines
from ptsys.runs.run_checkpoints import keep
from ptsys.runs.run_metrics import RunMetrics
from ptsys.runs.tasks.task import Task
from ptsys.store.job_checkpoints import JobCheckpoints
from ptsys.training.course import Checkpoint, Completed, Ending, Failed, Interrupted
from ptsys.training.identity import Identity
from ptsys.training.last_rows import LastRows
from ptsys.training.loop import Loop
from ptsys.training.multitask import MultiTaskTraining, TaskData, blank_arrays
from ptsys.types.example import Example, digest
from ptsys.types.multitask import MultiTaskSpec

if TYPE_CHECKING:
    from ptsys.runs.multitask import MultiTask

_PAUSE = 0.1  # seconds between two showings of progress
_OF_STEPS = ("loss", "gradient_norm")  # the numbers that a step has, a score has not


@dataclasses.dataclass(frozen=True)
class Learned:
    """The prompts that were trained, and checkpoints that are to be forgotten once these are
    recorded."""

    completed: Completed
    checkpoints: JobCheckpoints

    def forget(self) -> None:
        """The prompts are recorded."""
        self.checkpoints.forget()


def train_together(
    config: MultiTask,
    bench: Workbench,
    engine: Engine,
    tasks: Sequence[Task],
    spec: MultiTaskSpec,
    checkpoints: Path,
    metrics: RunMetrics,
) -> Learned:
    """Train from the last checkpoint on, if there is one. `engine` is not started yet.

    On KeyboardInterrupt the step that is reached is checkpointed, before that is raised again.
    Raises InvalidInput if a loss is no longer finite, Unavailable if the device thread ends by
    itself.
    """
    run = _Run(config, bench, engine, tasks, spec, checkpoints, metrics)
    engine.start()
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="training") as pool:
        running = pool.submit(run.train)
        try:
            return running.result()
        except KeyboardInterrupt:
            run.note("stopping: the step reached is checkpointed; run again to go on")
            run.loop.stop()
            concurrent.futures.wait([running])
            raise


class _Run:
    """One run's training, and the listener of its course."""

    def __init__(
        self,
        config: MultiTask,
        bench: Workbench,
        engine: Engine,
        tasks: Sequence[Task],
        spec: MultiTaskSpec,
        checkpoints: Path,
        metrics: RunMetrics,
    ) -> None:
        self.loop = Loop(engine, pause=lambda: _PAUSE)
        self._config = config
        self._bench = bench
        self._engine = engine
        self._tasks = tasks
        self._spec = spec
        self._metrics = metrics
        digests = tuple(digest(task.rows("train")) for task in tasks)
        identity = Identity(spec, digests, bench.served.fingerprint)
        self._checkpoints = JobCheckpoints(checkpoints / spec.name, identity.json(), identity.owns)
        self._display = _Display(spec.steps)

    def train(self) -> Learned:
        """All steps, and the scores at their end."""
        course, step = self._prepare()
        try:
            with self._display.shown(step):
                return self._end(self.loop.run(course))
        except Unavailable as error:
            raise Unavailable(f"{error}; run again to go on") from None
        finally:
            self._checkpoints.close()

    # ---- before ---------------------------------------------------------------------------

    def _prepare(self) -> tuple[MultiTaskTraining, int]:
        """The training, and the step from which it goes on."""
        spec, bench = self._spec, self._bench
        data = [self._encoded(task) for task in self._tasks]
        restored = self._checkpoints.restore_noted(blank_arrays(spec, bench.config.d_model))
        start = None if restored is None else Checkpoint(*restored)
        if start is not None:
            self.note(f"going on from step {start.step}")
        texts = [text for task in data for text in task.examples.texts]
        training = MultiTaskTraining(
            spec.name,
            self._config.owner or "local",
            spec,
            data,
            start or bench.initial(spec, spec.source_length, texts),
            self,
        )
        return training, 0 if start is None else start.step

    def _encoded(self, task: Task) -> TaskData:
        scored = self._config.scored_rows(task)
        tests = task.rows("test") if "test" in self._config.evaluate_on else []
        last = LastRows(*_split(tests), lambda answers, _: task.score("test", answers))
        return TaskData(
            self._engine.encode(self._spec, task.rows("train")),
            *_split(scored),
            lambda answers, _: task.score("validation", answers),
            last if tests else None,
        )

    # ---- what the course tells ------------------------------------------------------------

    def progress(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show it."""
        self._display.step(step, metrics.get("loss"))

    def evaluation(self, step: int, scores: Mapping[str, float], **about: object) -> None:
        """Write every task's scores, unless they are told at the end."""
        if step < self._spec.steps:
            self._write(step, scores)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep it. If that is impossible, training goes on: the next one may be."""
        self._write(checkpoint.step, checkpoint.metrics)
        keep(self._checkpoints, checkpoint, self.note)

    def note(self, message: str, **about: object) -> None:
        """Say it."""
        self._display.say(message)

    def _write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers called `<number>/<task>` are a task's, the others of all together."""
        names = {task.name: self._spec.prompt_name(task.name) for task in self._spec.tasks}
        lines: dict[str, dict[str, float]] = {}
        for name, value in numbers.items():
            kind, _, task = name.partition("/")
            lines.setdefault(names.get(task, self._spec.name), {})[kind] = value
        for prompt, values in lines.items():
            self._metrics.write(prompt, step, **values)

    # ---- the end --------------------------------------------------------------------------

    def _end(self, ending: Ending) -> Learned:
        if isinstance(ending, Failed):
            raise (Unavailable if ending.retry else InvalidInput)(ending.message)
        if isinstance(ending, Interrupted):
            if ending.checkpoint is not None:
                self.checkpoint(ending.checkpoint)
            raise Unavailable("the training was stopped")
        numbers = ending.metrics.items()
        self._write(ending.step, {name: x for name, x in numbers if name.startswith(_OF_STEPS)})
        for prompt in ending.prompts[1:]:
            scores = {name: x for name, x in prompt.scores.items() if name != "train_loss"}
            self._metrics.write(prompt.name, ending.step, **scores)
        return Learned(ending, self._checkpoints)


def _split(rows: Sequence[Example]) -> tuple[list[str], list[str]]:
    """Inputs and targets."""
    return [row.input for row in rows], [row.target or "" for row in rows]


class _Display:
    """How far it is: a bar on the terminal, lines elsewhere."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._console = Console(stderr=True, highlight=False)
        self._lines: ProgressLines | None = None
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
        )
        quiet = not self._console.is_terminal
        self._bars = Progress(*columns, console=self._console, disable=quiet)
        self._bar = self._bars.add_task("steps", total=steps, loss="-")

    @contextlib.contextmanager
    def shown(self, step: int) -> Iterator[None]:
        """From that step on, for as long as it lasts."""
        if not self._console.is_terminal:
            self._lines = ProgressLines(self.say, "steps", self._steps, done=step, at_once=True)
        with self._bars:
            yield

    def step(self, step: int, loss: float | None) -> None:
        """So many steps are made; the loss of the last one (nats a token)."""
        shown = "-" if loss is None else f"{loss:.3f}"
        self._bars.update(self._bar, completed=step, loss=shown)
        if self._lines is not None:
            self._lines.tell(step, loss=shown)

    def say(self, text: str) -> None:
        """Something for people."""
        self._console.print(text, markup=False, soft_wrap=True)
