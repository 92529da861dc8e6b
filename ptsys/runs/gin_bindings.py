"""What a run's gin file may bind: the dataclasses of runs, and which run to start.

Only here and in `ptsys.models.t5.gin_bindings` does gin meet the code; the dataclasses are plain.
"""

from __future__ import annotations

import dataclasses
import re
import tokenize
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gin

from ptsys.config import Settings
from ptsys.engine.serving import Serving
from ptsys.errors import InvalidInput
from ptsys.models.t5.gin_search import check_gin_file, gin_search
from ptsys.pretraining.bindings import PRETRAINING, chosen
from ptsys.runs.build_library import BuildLibrary
from ptsys.runs.evaluate import Evaluate
from ptsys.runs.gin_errors import gin_error
from ptsys.runs.infer import Infer
from ptsys.runs.meta_generate import MetaGenerate
from ptsys.runs.meta_train import MetaTrain
from ptsys.runs.multitask import MultiTask
from ptsys.runs.prompt_tune import PromptTune
from ptsys.runs.tasks.jsonl_task import JsonlTask, JsonlTasks
from ptsys.runs.tasks.seqio_task import SeqioTask
from ptsys.runs.tasks.task_mixture import TaskMixture
from ptsys.sharding.rules import LogicalRules

Run = Callable[[Settings], dict[str, Any]]
"""Given the settings of the deployment, a run returns its summary."""

CONFIGURABLES = (
    *PRETRAINING,
    *(
        gin.external_configurable(one, module="ptsys.runs")
        for one in (
            *(BuildLibrary, PromptTune, MultiTask, MetaTrain, MetaGenerate, Evaluate, Infer),
            *(JsonlTask, JsonlTasks, SeqioTask, TaskMixture),
        )
    ),
    gin.external_configurable(Serving, module="ptsys.engine"),
    gin.external_configurable(LogicalRules, module="ptsys.sharding"),
)

_GIN_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    RuntimeError,
    AttributeError,
    tokenize.TokenError,
)


def run_from_gin(
    files: Sequence[str | Path],
    bindings: Sequence[str] = (),
    search_paths: Sequence[str | Path] = (),
) -> Run:
    """The run that gin files and bindings such as `PretrainRun.steps = 10` describe.

    Files, and what they include, are looked for from the working directory, in `search_paths`
    and from the repository's root. gin's state is global: it is emptied before and after. Raises
    InvalidInput in one line for absent files, unknown names and what was left unset.
    """
    return configured(files, bindings, search_paths).run


@dataclasses.dataclass(frozen=True)
class Configured:
    """A run, and the operative configuration that made it: every value that is in force, those of
    defaults too, as a gin file."""

    run: Run
    text: str


def configured(
    files: Sequence[str | Path],
    bindings: Sequence[str] = (),
    search_paths: Sequence[str | Path] = (),
) -> Configured:
    """As `run_from_gin`, with the configuration's text."""
    gin.clear_config()
    try:
        with gin_search(search_paths):
            for file in files:
                check_gin_file(Path(file), search_paths)
            gin.parse_config_files_and_bindings(
                [str(file) for file in files], list(bindings), finalize_config=False
            )
        _check_macros(bindings)
        found = Configured(chosen(), gin.operative_config_str())
    except (InvalidInput, *_GIN_ERRORS) as error:
        raise gin_error(error, bindings) from None
    finally:
        gin.clear_config()
    return found


def _check_macros(bindings: Sequence[str]) -> None:
    """Refuse a macro that nothing uses, which gin takes without a word, and one without value."""
    text = gin.config_str(max_line_length=10**6)
    for name in (binding.partition("=")[0].strip() for binding in bindings):
        if "." not in name and not re.search(rf"%{re.escape(name)}\b", text):
            raise InvalidInput(
                f"nothing in these files uses %{name}; check the name", field=f"gin.{name}"
            )
    unset = re.search(r"^(\w+) = %gin\.REQUIRED", text, re.MULTILINE)
    if unset:
        raise InvalidInput(
            f"{unset[1]} has no value yet; add --gin.{unset[1]}=VALUE", field=f"gin.{unset[1]}"
        )
    given = set(re.findall(r"^(\w+) = ", text, re.MULTILINE))
    for name, macro in re.findall(r"^([\w.]+) = %(\w+)$", text, re.MULTILINE):
        if macro not in given:
            raise InvalidInput(
                f"nothing is called %{macro}; add --gin.{macro}=VALUE", field=f"gin.{name}"
            )
