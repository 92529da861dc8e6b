"""`ptsys run --gin_file=gin/runs/infer.gin`: answers to many rows, in files."""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from ptsys.config import Settings
from ptsys.data.examples import read_examples
from ptsys.engine.serving import Serving
from ptsys.errors import InvalidInput
from ptsys.jobs.limits import read_limits
from ptsys.runs.answering import Question, answer
from ptsys.runs.model_bench import model_bench
from ptsys.runs.named_prompt import identity, named_prompt
from ptsys.runs.row_bar import row_bar
from ptsys.runs.run_folder import alone_in, write_json
from ptsys.runs.run_plan import noted, tell
from ptsys.runs.stores import engine_of, opened_stores
from ptsys.runs.tuning import checked, deployed
from ptsys.types.example import Example
from ptsys.types.input_notes import InputNotes
from ptsys.types.requests import Decoding


@dataclasses.dataclass(frozen=True)
class Infer:
    """A run that answers rows. Only `inputs`, JSONL files, and `prompt` must be named: a stored
    prompt, a file, or None for the bare model.

    The rest is how answers are made, as `ptsys predict --help` tells.
    """

    inputs: str | tuple[str, ...]
    prompt: str | None
    data: str | None = None
    owner: str | None = None
    model: str | None = None
    serving: Serving | None = None
    method: str = "greedy"
    max_tokens: int = 32
    temperature: float = 1.0
    top_p: float = 1.0
    beams: int = 4
    length_penalty: float = 0.6
    seed: int = 0
    labels: tuple[str, ...] | None = None
    truncate: bool = False
    output: str | None = None
    title: ClassVar[str] = "Infer"

    def __call__(self, settings: Settings | None = None) -> dict[str, Any]:
        """Answer, or go on behind the rows that an earlier run has answered.

        Returns a summary. Raises InvalidInput for what cannot be asked, before anything is
        answered; Conflict if another run works in the same output.
        """
        began = time.monotonic()
        config, settings, output, files, decoding, notes = self._checked(settings or Settings())
        tell(notes)
        bench = model_bench(config.model, config.serving, settings)
        user = config.owner or "local"
        lines = []
        with alone_in(output), opened_stores(settings) as stores:
            prompt = named_prompt(self.prompt, stores, user, bench, f"{self.title}.prompt")
            with (
                engine_of(bench, settings, 1) as engine,
                row_bar(sum(map(len, files.values()))) as done,
            ):
                engine.start()
                for path, rows in files.items():
                    question = Question(rows, prompt, decoding, identity(prompt, bench), user)
                    target = output / f"{path.stem}.jsonl"
                    found = answer(engine, question, target, partial(done, path.stem))
                    lines.append({"inputs": str(path), "rows": len(found), "answers": str(target)})
            summary: dict[str, Any] = {
                "files": lines,
                "model": bench.served.name,
                "output": str(output),
            }
            summary |= {"seconds": round(time.monotonic() - began, 1)}
            write_json(output / "summary.json", summary)
        return summary

    def plan(self, settings: Settings) -> dict[str, Any]:
        """What it would do: its files with their rows."""
        config, _, output, files, _, notes = self._checked(settings)
        lines = [{"inputs": str(path), "rows": len(rows)} for path, rows in files.items()]
        return {
            "files": lines,
            "prompt": self.prompt or "(none)",
            "model": config.model,
            **noted(notes),
            "output": str(output),
        }

    def _checked(
        self, settings: Settings
    ) -> tuple[Infer, Settings, Path, dict[Path, list[Example]], Decoding, InputNotes]:
        config, settings, output = deployed(self, settings, "infer")
        limits = read_limits(settings.root, config.model or "")
        if self.max_tokens > limits.max_target_length:
            raise InvalidInput(
                f"{self.max_tokens} tokens, but {limits.model!r} writes at most "
                f"{limits.max_target_length}; lower it",
                field=f"{self.title}.max_tokens",
            )
        names = ("method", "max_tokens", "temperature", "top_p", "beams", "length_penalty")
        values = {name: getattr(self, name) for name in (*names, "seed", "labels")}
        decoding = checked(Decoding, self.title, **values)
        files = self._files(output)
        notes = InputNotes()
        for path, rows in files.items():
            inputs = [row.input for row in rows]
            try:
                limits.check_inputs(inputs, truncate=self.truncate, field=f"{self.title}.inputs")
            except InvalidInput as error:
                raise InvalidInput(f"{path}: {error}", field=f"{self.title}.inputs") from None
            notes += limits.notes(inputs)
        if decoding.labels:
            limits.target_tokens(decoding.labels, field=f"{self.title}.labels")
        return config, settings, output, files, decoding, notes

    def _files(self, output: Path) -> dict[Path, list[Example]]:
        """The rows of each file. Raises InvalidInput for none, and for two of one name."""
        field = f"{self.title}.inputs"
        given = (self.inputs,) if isinstance(self.inputs, str) else self.inputs
        files: dict[Path, list[Example]] = {}
        for name in given:
            path = Path(name).expanduser()
            if path.stem in {known.stem for known in files}:
                raise InvalidInput(
                    f"two files are called {path.stem!r}, and so would their answers; rename one",
                    field=field,
                )
            if path.absolute().parent == output.absolute():
                raise InvalidInput(
                    f"{path} lies where the answers go; choose another {self.title}.output",
                    field=field,
                )
            try:
                files[path] = read_examples(path, require_target=False)
            except InvalidInput as error:
                told = str(error)
                told = told if str(path) in told else f"{path}: {told}"
                raise InvalidInput(told, field=field) from None
        if not files:
            raise InvalidInput("name at least one JSONL file", field=field)
        return files
