"""`ptsys quickstart`: the whole story, on three users' tasks, in a folder of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ptsys.cli import quickstart_library, quickstart_written
from ptsys.cli import quickstart_outcomes as outcomes
from ptsys.cli.deployment import TIMEOUT
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, note, percent, print_json, results, working
from ptsys.cli.signals import termination_raises

if TYPE_CHECKING:
    from ptsys.cli.local_service import LocalService
    from ptsys.cli.quickstart_tasks import QuickstartTask
    from ptsys.client import JobHandle
    from ptsys.stack.stack import Stack
    from ptsys.types.records import Job

STEPS, LENGTH, BATCH = 300, 16, 16
_EVALUATE_EVERY = 50


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One user's result: shares of the test rows answered exactly, and answers to fresh inputs
    (input, wanted, answer)."""

    task: str
    user: str
    title: str
    prompt: str
    majority: float
    zero_shot: float
    tuned: float
    fresh: outcomes.Fresh


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("ptsys quickstart", "ptsys quickstart --data ./try --json"))(
        quickstart
    )


def quickstart(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(help="A folder to work in and to leave.", show_default="a temporary one"),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the temporary folder.")] = False,
    model: Annotated[str, typer.Option(hidden=True)] = "tiny",
    steps: Annotated[int, typer.Option(min=1, hidden=True)] = STEPS,
    as_json: Json = False,
) -> None:
    """See it work: three users tune prompts on one frozen model at once, in a few minutes.

    Starts Redis and a worker in a folder of its own, trains, compares each prompt with the
    commonest answer and with the bare model; then a fourth user, with sixteen examples, is lifted
    by the prompts of the others, and a fifth, with five, has hers written by the model in one pass.
    At the end everything is taken down again.
    """
    from ptsys.cli.local_service import LocalService
    from ptsys.config import Settings
    from ptsys.jobs.limits import read_limits
    from ptsys.stack.stack import Stack

    began = time.monotonic()
    with termination_raises(), _folder(data, keep) as root:
        settings = Settings(data_dir=root, redis_url=None, database_url=None, model=model)
        read_limits(settings.root, model)
        note(f"Three users, one frozen model ({model}), one worker. Working in {root}")
        with (
            LocalService(settings, timeout=TIMEOUT) as local,
            Stack(settings, model=model, note=note) as stack,
        ):
            with working("starting") as status:
                stack.wait_until_ready(status)
            note(f"Redis and a worker are ready after {time.monotonic() - began:.0f} s")
            found, lift, written = _Story(local, model, stack, steps).tell()
        if as_json:
            seconds = round(time.monotonic() - began, 1)
            told = {
                "tasks": _plain(found),
                "library": quickstart_library.plain_data(lift),
                "written": quickstart_written.plain_data(written),
            }
            print_json({"seconds": seconds, **told})
        else:
            _show(found)
            quickstart_library.show(lift)
            if written is not None:
                quickstart_written.show(written)
            note(f"{time.monotonic() - began:.0f} seconds in all; no process is left behind.")
            _what_next(root, kept=keep or data is not None)


class _Story:
    """What happens while the stack runs."""

    def __init__(self, local: LocalService, model: str, stack: Stack, steps: int) -> None:
        from ptsys.cli.quickstart_tasks import quickstart_tasks

        self._client = functools.cache(local.client)  # of a user
        self._model = model
        self._stack = stack
        self._steps = steps
        self._tasks = quickstart_tasks()

    def tell(
        self,
    ) -> tuple[list[Outcome], quickstart_library.Lift, quickstart_written.Written | None]:
        """Submit all jobs, show them learn, and judge their prompts; then let one who has few
        examples learn from them, and write a prompt for one who has fewer, if the model can."""
        titles = [f"{task.user}: {task.name}" for task in self._tasks]
        ended = self._watch([self._submit(task) for task in self._tasks], titles)
        with working("comparing with the commonest answer and the bare model"):
            found = [self._judge(task, job) for task, job in zip(self._tasks, ended, strict=True)]
        return found, self._lift(ended), self._write()

    def _lift(self, others: Sequence[Job]) -> quickstart_library.Lift:
        from ptsys.cli.quickstart_tasks import few_task

        task = few_task()
        note(f"Their prompts are public now. {task.user} has {len(task.train)} examples:")
        for job in others:
            quickstart_library.share(self._client(job.owner), job)
        client = self._client(task.user)
        jobs = quickstart_library.submit(client, task, self._model, LENGTH, self._steps)
        ended = self._watch(jobs, [f"{task.user}: alone", f"{task.user}: with the library"])
        with working("comparing both"):
            return quickstart_library.judge(client, task, ended, self._answers)

    def _write(self) -> quickstart_written.Written | None:
        from ptsys.cli.quickstart_tasks import fewer_task

        task = fewer_task()
        client = self._client(task.user)
        if not quickstart_written.can_write(client, self._model):
            return None
        note(f"{task.user} has {len(task.train)} examples, and the model writes her prompt:")
        with working("writing a prompt in one pass, and asking it"):
            prompt = quickstart_written.write(client, task, self._model)
            return quickstart_written.judge(task, prompt, self._answers)

    def _watch(self, jobs: Sequence[JobHandle], titles: Sequence[str]) -> list[Job]:
        from ptsys.cli.submitting import check_succeeded
        from ptsys.cli.watching import Watched, watch

        watched = [Watched(job, title) for job, title in zip(jobs, titles, strict=True)]
        ended = watch(self._client(self._tasks[0].user), watched, self._stack.tend)
        for job in ended:
            check_succeeded(job)
        return ended

    def _submit(self, task: QuickstartTask) -> JobHandle:
        def one(name: str) -> JobHandle:
            return self._client(task.user).train(
                name,
                task.train,
                validation=task.validation,
                model=self._model,
                steps=self._steps,
                length=LENGTH,
                batch_size=BATCH,
                evaluate_every=_EVALUATE_EVERY,
            )

        return quickstart_library.under_free_name(task.name, one)

    def _judge(self, task: QuickstartTask, job: Job) -> Outcome:
        found = outcomes.judge(task, job.prompt, self._answers)
        return Outcome(
            task=task.name,
            user=task.user,
            title=task.title,
            prompt=job.prompt or "",
            majority=found.majority,
            zero_shot=found.zero_shot,
            tuned=found.reached,
            fresh=found.fresh,
        )

    def _answers(self, task: QuickstartTask, prompt: str | None) -> list[str]:
        from ptsys.types.scoring import scoring

        client, rows = self._client(task.user), (*task.test, *task.fresh)
        fit = client.datasets.check(rows, model=self._model, use="score")
        how = scoring(fit.target_tokens, fit.max_target_length)
        inputs = [row.input for row in rows]
        found = client.predict(prompt, inputs, model=self._model, decoding=how)
        return [answer.prediction for answer in found]


@contextlib.contextmanager
def _folder(data: Path | None, keep: bool) -> Iterator[Path]:
    """The folder to work in; a temporary one is removed, whatever happens."""
    if data is not None:
        yield data.expanduser().absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="ptsys-quickstart-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _show(found: Sequence[Outcome]) -> None:
    rows = []
    for one in found:
        before = (one.majority, one.zero_shot)
        numbers = (*map(percent, before), outcomes.shown(one.tuned, *before))
        rows.append((one.title, one.user, *numbers))
    outcomes.show_table(("task", "user", "majority", "zero-shot", "tuned"), rows)
    results().print("Fresh inputs:")
    for one in found:
        outcomes.show_fresh(one.user, one.fresh)


def _what_next(root: Path, *, kept: bool) -> None:
    note("Next:")
    if kept:
        note(f"  ptsys --data {root} --user ann prompts list")
        note(f"  ptsys --data {root} up")
    else:
        note("  ptsys up                                            the service, until Ctrl-C")
    note("  ptsys train YOUR.jsonl --name NAME --wait           a prompt of your own")
    note("  ptsys predict NAME INPUTS.jsonl                     and what it answers")


def _plain(found: Sequence[Outcome]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(one) | {"fresh": outcomes.plain_fresh(one.fresh)} for one in found]
