"""What a job will store when it succeeds: it counts for its owner's quota until it ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ptsys.kinds.registry import read_as_it_is, writer
from ptsys.types.meta_training import MetaSpec
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.specs import AnySpec
from ptsys.types.storage import Usage
from ptsys.types.writing import WriteSpec

if TYPE_CHECKING:
    from ptsys.jobs.limits import ModelShape
    from ptsys.kinds.trees import Shapes

_NUMBER = 4  # bytes of a float32
_TAIL, _SIDE = 8, 128  # positions of a prompt that is written, at the most: see ptsys.prompts.meta


def stored_size(spec: AnySpec, model: ModelShape, tasks: int = 0) -> Usage:
    """What a job of this spec will store; one that writes, for so many `tasks`, at most. Raises
    InvalidInput for a kind that no job makes."""
    if isinstance(spec, WriteSpec):
        most = _TAIL + _SIDE if spec.aggregate == "each" else _TAIL
        return Usage(bytes=tasks * most * model.d_model * _NUMBER, objects=tasks)
    if isinstance(spec, MetaSpec):
        return Usage(bytes=_bytes(writer().shapes(spec.length, model)), objects=1)
    if not isinstance(spec, MultiTaskSpec):
        return Usage(bytes=_prompt_bytes(spec.makes, spec.length, model), objects=1)
    width = model.d_model * _NUMBER
    own = 0 if spec.combination == "affine" and spec.task_length is None else spec.specific_length
    task = own * width
    if spec.combination == "affine":
        task += spec.prompt_length * (spec.source_length * _NUMBER + width)
    count = len(spec.tasks)
    return Usage(bytes=spec.length * width + count * task, objects=1 + count)


def _prompt_bytes(name: str, length: int, model: ModelShape) -> int:
    return _bytes(read_as_it_is(name).shapes(length, model))


def _bytes(shapes: Shapes) -> int:
    return _NUMBER * sum(math.prod(shape) for shape in shapes.values())
