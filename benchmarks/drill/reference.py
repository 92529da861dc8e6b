"""What the drill's jobs make when nobody disturbs them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.drill.nursery import Nursery
from benchmarks.drill.stage import Stage
from benchmarks.drill.users import answers_without_prompt
from benchmarks.drill.variants import DATASETS, VARIANTS, endings
from ptsys.prompts.orbax_form import read_orbax
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.training import TrainingSpec

_WAIT_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class Reference:
    """Prompts by variant and ending of their name, and the bare model's answers."""

    prompts: dict[str, dict[str, NDArray[np.float32]]]
    answers: list[str]


def make_reference(folder: Path, template: Path, nursery: Nursery) -> Reference:
    """Run every variant alone, one after another; kept in `folder` for the next time."""
    kept = folder / "reference.npz"
    if kept.exists():
        return _read(kept)
    shutil.rmtree(folder / "undisturbed", ignore_errors=True)
    stage = Stage(folder / "undisturbed", template, nursery, disk=False, helper=False)
    try:
        for name, rows in DATASETS.items():
            stage.service.datasets.add(name, "ann", rows)
        for role in ("api", "worker-1"):
            stage.start(role)
        stage.wait_until_answering()
        prompts = {variant: _alone(stage, variant) for variant in VARIANTS}
        reference = Reference(prompts, answers_without_prompt(stage))
    finally:
        stage.close()
    _write(kept, reference)
    return reference


def _alone(stage: Stage, variant: str) -> dict[str, NDArray[np.float32]]:
    given = {**VARIANTS[variant], "name": variant}
    form = MultiTaskSpec if "tasks" in given else TrainingSpec
    job = stage.service.submit(form.model_validate(given), "ann")
    stage.service.wait(job.id, "ann", timeout=_WAIT_SECONDS)
    return {
        ending: read_orbax(
            stage.service.prompts.tensor_path(
                stage.service.prompts.get(f"{variant}{ending}", "ann").id
            )
        )
        for ending in endings(variant)
    }


def _write(path: Path, reference: Reference) -> None:
    arrays = {
        f"{variant}/{ending}": array
        for variant, made in reference.prompts.items()
        for ending, array in made.items()
    }
    draft = path.with_suffix(".draft.npz")
    np.savez(draft, answers=np.array(json.dumps(reference.answers)), **arrays)
    draft.replace(path)


def _read(path: Path) -> Reference:
    prompts: dict[str, dict[str, NDArray[np.float32]]] = {}
    with np.load(path) as file:
        answers = json.loads(str(file["answers"]))
        for name in file.files:
            variant, slash, ending = name.partition("/")
            if slash:
                prompts.setdefault(variant, {})[ending] = file[name]
    return Reference(prompts, answers)
