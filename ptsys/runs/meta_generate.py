"""`ptsys run --gin_file=gin/runs/meta_generate.gin`: prompts for many tasks, written by a
meta-prompt, each in one pass over its examples."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from rich.console import Console

from ptsys.config import Settings
from ptsys.data.told_task import ToldTask, check_examples
from ptsys.engine.engine import Engine
from ptsys.engine.serving import Serving
from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput
from ptsys.jobs.limits import read_limits
from ptsys.kinds.registry import META
from ptsys.kinds.trees import Tree
from ptsys.progress_lines import ProgressLines
from ptsys.prompts.storage import load_tree
from ptsys.runs.model_bench import model_bench
from ptsys.runs.run_folder import alone_in, write_json
from ptsys.runs.stores import Stores, engine_of, opened_stores
from ptsys.runs.tasks.task_lines import told_tasks
from ptsys.runs.tuning import check_visibility, deployed
from ptsys.runs.written_prompts import InLibrary, InShards, Keeper, WrittenBy, written_prompts
from ptsys.training.written_start import shipped_meta_prompt
from ptsys.types.requests import GENERIC, Aggregate


@dataclasses.dataclass(frozen=True)
class MetaGenerate:
    """A run that writes prompts. Only `tasks` must be named, a JSONL file or a folder: see
    `ptsys.runs.tasks.task_lines`.

    At most so many `examples` of a task are read, and its description too where `described`.
    `into` the library the prompts go under `prefix` and the task's name, or as shards of
    `shard_size` into `output`.
    """

    tasks: str
    meta: str = GENERIC
    data: str | None = None
    owner: str | None = None
    model: str | None = None
    serving: Serving | None = None
    examples: int = 16
    described: bool = False
    aggregate: Aggregate = "each"
    truncate: bool = False
    into: Literal["library", "shards"] = "library"
    prefix: str = ""
    visibility: Literal["private", "public"] = "private"
    shard_size: int = 1000
    output: str | None = None
    title: ClassVar[str] = "MetaGenerate"

    def __call__(self, settings: Settings | None = None) -> dict[str, Any]:
        """Write the prompts that are not there yet.

        Returns a summary, whose `failed` names the tasks that could not be done and why. Raises
        InvalidInput for what cannot be asked, before anything is written; Conflict if another run
        works in the same output.
        """
        config, settings, output, tasks = self._checked(settings or Settings())
        bench = model_bench(config.model, config.serving, settings)
        user = config.owner or "local"
        with alone_in(output), opened_stores(settings) as stores:
            meta, name = self._meta_prompt(stores, user, bench)
            keeper = self._keeper(stores, bench, user, name, output)
            groups, wrong = keeper.missing(tasks)
            new = sum(map(len, groups))
            with engine_of(bench, settings, 1) as engine:
                engine.start()
                seconds = self._write(engine, meta, groups, keeper, user, len(tasks) - new)
            summary: dict[str, Any] = {
                "prompts": new,
                "there already": len(tasks) - new - len(wrong),
                "seconds": round(seconds, 1),
                "prompts a second": round(new / seconds, 1) if new else None,
                "model": bench.served.name,
                "meta-prompt": name,
                "output": "the library" if self.into == "library" else str(output),
                "failed": [{"task": task, "error": error} for task, error in wrong.items()],
            }
            write_json(output / "summary.json", summary)
        return summary

    def plan(self, settings: Settings) -> dict[str, Any]:
        """What it would do."""
        config, _, output, tasks = self._checked(settings)
        return {
            "tasks": len(tasks),
            "examples": sum(len(task.examples) for task in tasks),
            "model": config.model,
            "output": "the library" if self.into == "library" else str(output),
        }

    def _checked(self, settings: Settings) -> tuple[MetaGenerate, Settings, Path, list[ToldTask]]:
        config, settings, output = deployed(self, settings, "meta_generate")
        check_visibility(self.title, self.visibility)
        check_examples(self.examples, f"{self.title}.examples")
        for field, choices in (("into", ("library", "shards")), ("aggregate", get_args(Aggregate))):
            if getattr(self, field) not in choices:
                raise InvalidInput(
                    f"{getattr(self, field)!r}: it should be {' or '.join(map(repr, choices))}",
                    field=f"{self.title}.{field}",
                )
        if self.shard_size < 1:
            raise InvalidInput("at least 1", field=f"{self.title}.shard_size")
        limits = read_limits(settings.root, config.model or "")
        place = Path(self.tasks).expanduser()
        tasks = told_tasks(place, self.examples, described=self.described, prefix=self.prefix)
        for task in tasks:
            inputs = [example.input for example in task.examples]
            try:
                limits.check_inputs(inputs, truncate=self.truncate, field="tasks")
            except InvalidInput as error:
                field = f"{self.title}.tasks"
                raise InvalidInput(f"task {task.name}: {error}", field=field) from None
        return config, settings, output, tasks

    def _meta_prompt(self, stores: Stores, user: str, bench: Workbench) -> tuple[Tree, str]:
        """The meta-prompt, and its id or `generic`."""
        field = f"{self.title}.meta"
        if self.meta == GENERIC:
            return shipped_meta_prompt(bench.served, field), GENERIC
        record = stores.prompts.get(self.meta, user)
        if record.kind != META or record.model_fingerprint != bench.served.fingerprint:
            raise InvalidInput(
                f"{self.meta!r} is no meta-prompt of model {bench.served.name!r}", field=field
            )
        return load_tree(stores.prompts.tensor_path(record.id)), record.id

    def _keeper(
        self, stores: Stores, bench: Workbench, user: str, meta: str, output: Path
    ) -> Keeper:
        if self.into == "library":
            made = WrittenBy(
                owner=user,
                model=bench.served.name,
                fingerprint=bench.served.fingerprint,
                meta_prompt=meta,
                aggregate=self.aggregate,
                visibility=self.visibility,
            )
            return InLibrary(stores.prompts, made)
        told = {
            "model_fingerprint": bench.served.fingerprint,
            "meta_prompt": meta,
            "aggregate": self.aggregate,
        }
        return InShards(output, self.shard_size, told)

    def _write(
        self,
        engine: Engine,
        meta: Tree,
        groups: Sequence[Sequence[ToldTask]],
        keeper: Keeper,
        user: str,
        before: int,
    ) -> float:
        """Write all groups; gives the seconds that it took."""
        began = time.monotonic()
        total = before + sum(map(len, groups))
        console = Console(stderr=True, highlight=False)
        lines = ProgressLines(
            lambda text: console.print(text, markup=False, soft_wrap=True),
            "prompts written",
            total,
            done=before,
            at_once=True,
        )
        tasks = [task for group in groups for task in group]
        prompts = written_prompts(engine, meta, tasks, self.aggregate, user)
        done = 0
        for group in groups:
            found = []
            for _ in group:
                found.append(next(prompts).result())
                rate = (done + len(found)) / max(time.monotonic() - began, 1e-3)
                lines.tell(before + done + len(found), rate=f"{rate:.1f}/s")
            keeper.keep(group, found)
            done += len(group)
        return time.monotonic() - began
