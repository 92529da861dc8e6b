"""Shapes worth compiling before anyone asks: small rows, short prompts, few users."""

from __future__ import annotations

from ptsys.engine.groups import Group, Shape
from ptsys.engine.model import ServedModel
from ptsys.types.requests import Decoding

_ROWS = 16  # a step, by default
_TARGETS = 8


def common_shapes(served: ServedModel) -> list[Shape]:
    """Training of one to four jobs with the default batch of 16 rows, gradients and greedy
    answers for one request and for sixteen rows, each for inputs of two sizes."""
    shapes = []
    prompt = served.no_prompt
    for size in served.rows.sizes()[:2]:
        learned = served.rows.layout({"inputs": size, "targets": _TARGETS})
        train = Group("train", prompt, learned, (("packed", False),))
        gradients = Group("gradients", prompt, learned)
        question = served.rows.question(["a"], Decoding())
        answers = Group(
            question.operation, prompt, question.layout, question.options, question.copies
        ).resized(size)
        shapes += [Shape(train, 1, _ROWS), Shape(train, 4, 4 * _ROWS)]
        shapes += [Shape(gradients, 1, 1), Shape(gradients, 1, _ROWS)]
        shapes += [Shape(answers, 1, 1), Shape(answers, 1, _ROWS)]
    return shapes
