"""Where a prompt of any kind starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ptsys.engine.trainings import Snapshot
from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput
from ptsys.kinds.registry import prompt_kind
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
    if spec.prompt_kind == TOKENS or not named:
        if not named and not kind.starts_at(spec.initialization.kind):
            raise InvalidInput(
                f"a prompt of the kind {spec.prompt_kind!r} starts at the `shared` start or at "
                "another prompt, as it holds no tokens",
                field="initialization.kind",
            )
        rows = None if other is None else other.get("prompt")
        if named and rows is None:
            raise InvalidInput(
                "the prompt to start from has no tokens before the input; name one that has",
                field="initialization.prompt",
            )
        begun = kind.start(bench.initial(spec, spec.length, texts, rows), config)
        return Snapshot.start(begun, spec.prompt_kind)
    begun = kind.start(bench.start(spec.length), config)
    if other is None or set(other) - set(begun):
        raise InvalidInput(
            f"the prompt to start from is not of the kind {spec.prompt_kind!r}; name one that is",
            field="initialization.prompt",
        )
    for name, own in kind.check(other, config, bench.served.name).items():
        rows = own[-len(begun[name]) :]  # of a shorter one the rest begins as all do
        begun[name][len(begun[name]) - len(rows) :] = rows
    return Snapshot.start(begun, spec.prompt_kind)


def blank(bench: Workbench, spec: TrainingOptions) -> Snapshot:
    """A prompt with the shapes of a job's, of zeros."""
    shapes = prompt_kind(spec.prompt_kind).shapes(spec.length, bench.config)
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    return Snapshot.start(zeros, spec.prompt_kind)
