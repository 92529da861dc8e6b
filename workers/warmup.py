"""Shapes worth compiling before anyone asks: small rows, short prompts, few users."""

from __future__ import annotations

from ptsys.engine.groups import Group, Shape
from ptsys.engine.model import ServedModel
from ptsys.engine.requests import CALL_ROWS
from ptsys.kinds.buckets import ROWS, SLOTS, fit
from ptsys.kinds.model_kind import Question
from ptsys.kinds.registry import kind_of
from ptsys.kinds.trees import Layout, shapes_of
from ptsys.sharding.mesh import shards_of
from ptsys.types.example import Example
from ptsys.types.requests import Decoding

_ROWS = 16  # a step, by default
_TARGETS = 8
_READ_AT_ONCE = 256  # rows that a choice of examples has read at a time


def common_shapes(served: ServedModel) -> list[Shape]:
    """Training of one to four jobs with the default batch of 16 rows, gradients and greedy
    answers for one request and for sixteen rows, each for inputs of two sizes. Then, as fewer ask
    for them and each is compiled after the others, encodings as a choice of examples wants them,
    and the prompt that the model's own meta-prompt writes from up to sixteen examples."""
    shapes = []
    prompt = served.no_prompt
    for size in served.rows.sizes()[:2]:
        learned = served.rows.layout({"inputs": size, "targets": _TARGETS})
        train = Group("train", prompt, learned, (("packed", False),))
        gradients = Group("gradients", prompt, learned)
        answers = _group(served.rows.question(["a"], Decoding()), prompt, size)
        shapes += [Shape(train, 1, _ROWS), Shape(train, 4, 4 * _ROWS)]
        shapes += [Shape(gradients, 1, 1), Shape(gradients, 1, _ROWS)]
        shapes += [Shape(answers, 1, 1), Shape(answers, 1, _ROWS)]
    return shapes + _read_alone(served)


def _read_alone(served: ServedModel) -> list[Shape]:
    """Those of operations that read rows and write nothing."""
    shards, (small, size) = shards_of(served.frozen.mesh), served.rows.sizes()[:2]
    encodings = served.rows.read(["a"])
    rows = fit(-(-_READ_AT_ONCE // shards), ROWS, "rows")
    slots = fit(-(-_READ_AT_ONCE // CALL_ROWS), SLOTS, "prompts")  # each call may have its own
    shapes = [Shape(_group(encodings, served.no_prompt, x), slots, rows) for x in (small, size)]
    if served.meta_prompt is not None:
        tokens = {"prompt": served.meta_prompt["tokens"]}
        layout = kind_of(tokens).layout(shapes_of(tokens))
        emission = _group(served.rows.emitting([Example("a", "a")]), layout, size)
        shapes.append(Shape(emission, 1, fit(-(-_ROWS // shards), ROWS, "rows")))
    return shapes


def _group(question: Question, prompt: Layout, size: int) -> Group:
    """Of questions whose first feature is so long."""
    operation, layout = question.operation, question.layout
    return Group(operation, prompt, layout, question.options, question.copies).resized(size)
