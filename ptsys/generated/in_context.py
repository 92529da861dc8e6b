"""Tasks that show solved examples of another task before the input to solve."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ptsys.generated.task import Family, GeneratedTask, make

MOST_WORDS = 60
_FORMATS: dict[str, tuple[str, str, str]] = {
    "named": ("input: {} output: {}", " ; ", "input: {} output:"),
    "arrow": ("{} -> {}", " ; ", "{} ->"),
    "arrow bar": ("{} -> {}", " | ", "{} ->"),
    "question": ("Q: {} A: {}", " ", "Q: {} A:"),
    "equals": ("{} = {}", " ; ", "{} ="),
    "becomes": ("{} becomes {}", ". ", "{} becomes"),
    "example": ("example: {} answer: {}", " ", "now: {} answer:"),
}


def _short_enough(text: str) -> bool:
    return len(text.split()) <= MOST_WORDS and len(text) <= 400


def in_context_family(families: Sequence[Family], weight: float = 4.0) -> Family:
    """The family that wraps a task of any of the given families into its own examples."""
    names = [family.name for family in families]
    weights = [family.weight for family in families]
    by_name = {family.name: family for family in families}

    def sample(rng: random.Random) -> GeneratedTask:
        inner = by_name[rng.choices(names, weights)[0]].sample(rng)
        shots = rng.choice((1, 2, 2, 3, 3, 4))
        format_name = rng.choice(sorted(_FORMATS))
        solved, join, asked = _FORMATS[format_name]

        def draw(r: random.Random) -> tuple[str, str]:
            query, target = inner.draw(r)
            shown: list[str] = []
            for _ in range(shots):
                example = inner.draw(r)
                longer = [*shown, solved.format(*example)]
                if example[0] == query or not _short_enough(
                    join.join([*longer, asked.format(query)])
                ):
                    continue
                shown = longer
            return join.join([*shown, asked.format(query)]), target

        return make(
            "in_context",
            (shots, format_name, inner.name),
            (
                "continue the pattern",
                "Solve the last one like the examples.",
                "Give the output of the last input.",
                "Follow the examples.",
                inner.instructions[0],
            ),
            draw,
        )

    return Family("in_context", weight, sample)
