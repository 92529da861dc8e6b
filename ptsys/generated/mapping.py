"""Tasks that map one word to another by a table: how such tasks are built from pairs."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from ptsys.generated.surface import casing, wrapper
from ptsys.generated.task import GeneratedTask, make

Pairs = Sequence[tuple[str, str]]


def first_answers(pairs: Pairs) -> tuple[tuple[str, str], ...]:
    """One answer for each left word: the first one listed."""
    found: dict[str, str] = {}
    for left, right in pairs:
        found.setdefault(left, right)
    return tuple(found.items())


def flipped(pairs: Pairs) -> tuple[tuple[str, str], ...]:
    """The pairs the other way round, where the answer is then the only one."""
    lefts: dict[str, list[str]] = defaultdict(list)
    for left, right in pairs:
        lefts[right].append(left)
    return tuple((right, found[0]) for right, found in lefts.items() if len(found) == 1)


def mapping_task(
    rng: random.Random,
    family: str,
    variant: Sequence[object],
    instructions: Sequence[str],
    pairs: Pairs,
    *,
    frames: Sequence[str] = (),
    keep_case: bool = False,
) -> GeneratedTask:
    """A task from a left word to its right word, in a random frame (bare, mostly) and case."""
    case_name, to_case = ("as is", str) if keep_case and rng.random() < 0.85 else casing(rng, 0.85)
    if frames and rng.random() < 0.3:
        at = rng.randrange(len(frames))
        frame_name, frame = f"frame {at}", frames[at]
    else:
        frame_name, frame = wrapper(rng)
    same_case = case_name != "as is" and rng.random() < 0.5
    table = tuple(pairs)

    def draw(r: random.Random) -> tuple[str, str]:
        left, right = r.choice(table)
        return frame.format(to_case(left)), to_case(right) if same_case else right

    shown = list(instructions)
    rng.shuffle(shown)
    name = (*variant, case_name, "both" if same_case else "input", frame_name)
    return make(family, name, shown, draw)


def choice_task(
    rng: random.Random,
    family: str,
    variant: Sequence[object],
    instructions: Sequence[str],
    pairs: Pairs,
    distractors: Sequence[str],
) -> GeneratedTask:
    """A task to pick the right word of a left word among several candidates."""
    count = rng.randint(2, 4)
    form = rng.choice(("{left}: {options}", "{left} ({options})", "{left} - {options}?"))
    table, wrong = tuple(pairs), tuple(distractors)
    rights: dict[str, set[str]] = defaultdict(set)
    for left, right in table:
        rights[left].add(right)

    def draw(r: random.Random) -> tuple[str, str]:
        left, right = r.choice(table)
        pool = [
            word
            for word in r.sample(wrong, min(len(wrong), count + 4))
            if word not in rights[left] and word != left
        ]
        options = [*pool[: count - 1], right]
        r.shuffle(options)
        return form.format(left=left, options=", ".join(options)), right

    return make(family, (*variant, "choose", count, form[6:9]), instructions, draw)
