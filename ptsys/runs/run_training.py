"""A run's one training: the loop has a thread of its own, so that a signal, which comes to the main
thread, finds nothing half done."""

from __future__ import annotations

import abc
import concurrent.futures
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ptsys.engine.engine import Engine
from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput, Unavailable
from ptsys.progress_lines import ProgressLines
from ptsys.runs.run_checkpoints import keep
from ptsys.runs.run_metrics import RunMetrics
from ptsys.store.job_checkpoints import JobCheckpoints
from ptsys.training.course import Checkpoint, Completed, Course, Ending, Failed, Interrupted
from ptsys.training.identity import Identity
from ptsys.training.loop import Loop
from ptsys.types.specs import AnySpec

_PAUSE = 0.1  # seconds between two showings of progress
_OF_STEPS = ("loss", "gradient_norm")  # the numbers that a step has, a score has not


@dataclasses.dataclass(frozen=True)
class Learned:
    """What was trained, and checkpoints that are to be forgotten once it is recorded."""

    completed: Completed
    checkpoints: JobCheckpoints

    def forget(self) -> None:
        """It is recorded."""
        self.checkpoints.forget()


class RunTraining(abc.ABC):
    """One run's training, and the listener of its course."""

    def __init__(
        self,
        bench: Workbench,
        engine: Engine,
        spec: AnySpec,
        digests: Sequence[str],
        checkpoints: Path,
        metrics: RunMetrics,
    ) -> None:
        """`digests` are of the rows of its tasks. `engine` is not started yet."""
        self._bench = bench
        self._engine = engine
        self._metrics = metrics
        self._name, self._steps = spec.name, spec.planned_steps
        self._loop = Loop(engine, pause=lambda: _PAUSE)
        identity = Identity(spec, tuple(digests), bench.served.fingerprint)
        self._checkpoints = JobCheckpoints(checkpoints / spec.name, identity.json(), identity.owns)
        self._display = _Display(spec.planned_steps)

    @abc.abstractmethod
    def _prepare(self) -> tuple[Course, int]:
        """The training, and the step from which it goes on."""

    @abc.abstractmethod
    def _line(self, task: str) -> str:
        """The name under which numbers of a task, or of all together, which has none, are told."""

    def train(self) -> Learned:
        """Train from the last checkpoint on, if there is one.

        On KeyboardInterrupt the step that is reached is checkpointed, before that is raised again.
        Raises InvalidInput if a loss is no longer finite, Unavailable if the device thread ends by
        itself.
        """
        self._engine.start()
        with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="training") as pool:
            running = pool.submit(self._train)
            try:
                return running.result()
            except KeyboardInterrupt:
                self.note("stopping: the step reached is checkpointed; run again to go on")
                self._loop.stop()
                concurrent.futures.wait([running])
                raise

    def _train(self) -> Learned:
        """All steps, and the scores at their end."""
        course, step = self._prepare()
        try:
            with self._display.shown(step):
                return self._end(self._loop.run(course))
        except Unavailable as error:
            raise Unavailable(f"{error}; run again to go on") from None
        finally:
            self._checkpoints.close()

    # ---- what the course tells ------------------------------------------------------------

    def progress(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show it."""
        self._display.step(step, metrics)

    def evaluation(self, step: int, scores: Mapping[str, float], **about: object) -> None:
        """Write every task's scores, unless they are told at the end."""
        if step < self._steps:
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
        lines: dict[str, dict[str, float]] = {}
        for name, value in numbers.items():
            kind, _, task = name.partition("/")
            lines.setdefault(self._line(task), {})[kind] = value
        for line, values in lines.items():
            self._metrics.write(line, step, **values)

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
        self._told(ending)
        return Learned(ending, self._checkpoints)

    @abc.abstractmethod
    def _told(self, ending: Completed) -> None:
        """Write the scores of what was made."""


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

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """So many steps are made; the loss of the last one (nats a token), or how many of the
        prompts are tuned that come first."""
        shown = f"{metrics['loss']:.3f}" if "loss" in metrics else "-"
        if "prompts_to_tune" in metrics:
            shown = "-, {prompts_tuned:.0f} of {prompts_to_tune:.0f} prompts tuned".format(
                **metrics
            )
        self._bars.update(self._bar, completed=step, loss=shown)
        if self._lines is not None:
            self._lines.tell(step, loss=shown)

    def say(self, text: str) -> None:
        """Something for people."""
        self._console.print(text, markup=False, soft_wrap=True)
