"""Shapes worth compiling before anyone asks: small rows, short prompts, few users."""

from __future__ import annotations

from ptsys.engine.groups import Group, Shape

_PROMPT, _TARGETS = 16, 8  # the smallest buckets, which the defaults fall into


def common_shapes(inputs: tuple[int, ...] = (16, 32)) -> list[Shape]:
    """Training of one to four jobs with the default batch of 16 rows, gradients and greedy
    answers for one request and for sixteen rows, each for these input lengths (tokens)."""
    shapes = []
    for width in inputs:
        train = Group("train", _PROMPT, width, _TARGETS)
        gradients = Group("gradients", _PROMPT, width, _TARGETS)
        answers = Group("generate", _PROMPT, width, 32, "greedy")
        shapes += [Shape(train, 1, 16), Shape(train, 4, 64)]
        shapes += [Shape(gradients, 1, 1), Shape(gradients, 1, 16)]
        shapes += [Shape(answers, 1, 1), Shape(answers, 1, 16)]
    return shapes
