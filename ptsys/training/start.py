"""Where a prompt of any kind starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ptsys.engine.engine import Engine
from ptsys.engine.trainings import Snapshot
from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput
from ptsys.kinds.registry import GENERATOR, kind_of, prompt_kind, stored_kind
from ptsys.kinds.starting import refuse_first, refuse_shared, refuse_start
from ptsys.kinds.trees import Tree
from ptsys.prompts.meta import META, generator_of
from ptsys.types.meta_training import SHARED, MetaOptions
from ptsys.types.training import TOKENS, TrainingOptions

_NEAR, _LABELS = 0.3, 0.7  # of a new meta-prompt: its maps' diagonals, the scale of embeddings


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


def first_meta_prompt(
    bench: Workbench, engine: Engine, spec: MetaOptions, other: Tree | None = None
) -> Tree:
    """The meta-prompt of a job before its first step: `other`, which the spec names, or that which
    ships with the model; else, or where a new one is wanted, one that writes the shared start
    whatever it reads. A generator of its own is that of `other`, or a copy of the frozen model's
    encoder. Raises InvalidInput for another that is none, or has a generator where none is
    wanted."""
    begun = _first_meta_prompt(bench, spec, other)
    own = generator_of(begun) is not None
    if own:
        refuse_shared(spec.generator)
    if own or spec.generator == SHARED:
        return begun
    return begun | {GENERATOR + path: array for path, array in engine.encoder().result().items()}


def _first_meta_prompt(bench: Workbench, spec: MetaOptions, other: Tree | None) -> Tree:
    config, named = bench.config, spec.initialization.kind == "prompt"
    if named:
        if other is None or stored_kind(other).name != META.name:
            raise InvalidInput(
                "a meta-prompt starts at another meta-prompt; `ptsys meta list` shows them",
                field="initialization.prompt",
            )
        return META.check(other, config, bench.served.name)
    shipped = bench.served.meta_prompt
    if shipped is not None and spec.initialization.kind == "shared":
        return META.check(shipped, config, bench.served.name)
    tokens = bench.initial(spec, spec.length + 1, ())
    width = config.d_model
    near = np.float32(_NEAR) * np.eye(width, dtype=np.float32)
    return {
        "tokens": tokens,
        "start": bench.start(spec.length),
        "tail": np.zeros((spec.length, width, width), np.float32),
        "summary": near,
        "label": near,
        "embedding_scale": np.full((1,), _LABELS, np.float32),
    }


def blank(bench: Workbench, spec: TrainingOptions) -> Snapshot:
    """A prompt with the shapes of a job's, of zeros."""
    shapes = prompt_kind(spec.prompt_kind).shapes(spec.length, bench.config)
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    return Snapshot.start(zeros, spec.prompt_kind)
