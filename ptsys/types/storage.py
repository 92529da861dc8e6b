"""What a user stores, and how much of it is allowed."""

from __future__ import annotations

from pydantic import Field

from ptsys.types.model import Value
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.specs import AnySpec

_NUMBER = 4  # bytes of a float32


class Quota(Value):
    """The most that a user may store."""

    bytes: int
    objects: int


class Usage(Value):
    """What a user stores: rows of datasets and numbers of prompts. Those that unfinished jobs will
    make are counted as if they were there."""

    bytes: int
    objects: int = Field(description="Datasets and prompts.")


NOTHING = Usage(bytes=0, objects=0)
ONE = Usage(bytes=0, objects=1)


def stored_size(spec: AnySpec, d_model: int) -> Usage:
    """What a job of this spec will store when it succeeds."""
    width = d_model * _NUMBER
    if not isinstance(spec, MultiTaskSpec):
        return Usage(bytes=spec.length * width, objects=1)
    own = 0 if spec.combination == "affine" and spec.task_length is None else spec.specific_length
    task = own * width
    if spec.combination == "affine":
        task += spec.prompt_length * (spec.source_length * _NUMBER + width)
    count = len(spec.tasks)
    return Usage(bytes=spec.length * width + count * task, objects=1 + count)
