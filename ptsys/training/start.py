"""Where a prompt of any kind starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ptsys.engine.trainings import Snapshot
from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput
from ptsys.kinds.registry import kind_of, prompt_kind
from ptsys.kinds.starting import refuse_first, refuse_start
from ptsys.kinds.trees import Tree
from ptsys.types.training import TOKENS, TrainingOptions


def first_prompt(
    bench: Workbench, spec: TrainingOptions, texts: Sequence[str], other: Tree | None = None
) -> Snapshot:
    """The prompt of a job before its first step; `texts` are its targets, `other` the prompt that
    the spec names to start from, as the model reads it.

    Raises InvalidInput for a start that there is not for this kind of prompt.
    """
    kind, config = prompt_kind(spec.prompt_kind), bench.config
    named = spec.initialization.kind == "prompt"
    if not named:
        refuse_start(kind, spec.initialization.kind)
    elif other is None:
        raise InvalidInput("the prompt to start from is missing", field="initialization.prompt")
    else:
        refuse_first(spec.prompt_kind, other.keys())
    if spec.prompt_kind == TOKENS or other is None:
        rows = None if other is None else other["prompt"]
        begun = kind.start(bench.initial(spec, spec.length, texts, rows), config)
        return Snapshot.start(begun, spec.prompt_kind)
    begun = kind.start(bench.start(spec.length), config)
    for name, own in kind_of(other).check(other, config, bench.served.name).items():
        rows = own[-len(begun[name]) :]  # of a shorter one the rest begins as all do
        begun[name][len(begun[name]) - len(rows) :] = rows
    return Snapshot.start(begun, spec.prompt_kind)


def blank(bench: Workbench, spec: TrainingOptions) -> Snapshot:
    """A prompt with the shapes of a job's, of zeros."""
    shapes = prompt_kind(spec.prompt_kind).shapes(spec.length, bench.config)
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    return Snapshot.start(zeros, spec.prompt_kind)
