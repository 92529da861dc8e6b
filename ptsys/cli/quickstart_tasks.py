"""The users' datasets of `ptsys quickstart`: always the same rows, made here.

Each asks for something that nothing in the input says, so that the bare model cannot know it and
a prompt has to carry it: ann's desks are named after colours, bob wants the place out of a news
line, eve her notes the other way round. Rows are short, so that jobs share their compiled steps.
Then dan comes, with a few examples of what ann's prompt knows, and kim with five of something that
the model has learned, though nothing in her inputs asks for it.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable

from ptsys.generated import FAMILIES, GeneratedTask
from ptsys.generated.intents import utterance
from ptsys.generated.lexicon.intents import INTENTS
from ptsys.generated.morphology import PLURALS
from ptsys.types.example import Example

TRAIN, VALIDATION, TEST, FRESH = 160, 40, 60, 2
FEW, FEWER = 16, 5
DESKS = {
    "money transfer": "red",
    "money in account": "blue",
    "lost card": "green",
    "opening hours": "yellow",
}
"""Which desk of ann's bank answers which request."""

_LONGEST_INPUT, _LONGEST_TARGET = 64, 14  # characters: up to 32 and 8 tokens
_NOTES = "swap_two/short/bare"
_SEED = "quickstart"
_TRIES = 20_000

Draw = Callable[[random.Random], tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class QuickstartTask:
    """A user's task: what to learn from, what to watch, what to be judged by, and inputs that
    nobody has seen. No input occurs twice."""

    name: str
    user: str
    title: str
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    fresh: tuple[Example, ...]


def quickstart_tasks() -> list[QuickstartTask]:
    """The three tasks, the same at every call."""
    return [
        _task("desks", "ann", "which desk answers the customer", _desk()),
        _task("places", "bob", "where the news happens", _variant("entity", "place/as_is/bare")),
        _task("notes", "eve", "notes with the last word first", _variant("sentence_edit", _NOTES)),
    ]


def few_task() -> QuickstartTask:
    """dan's branch of ann's bank has the same desks, and all he has is 16 examples. None of his
    inputs is among those that ann trained on."""
    [ann, *_] = quickstart_tasks()
    taken = {row.input for row in (*ann.train, *ann.validation)}
    rows = _distinct(_desk(), random.Random(f"{_SEED}/few"), len(taken) + FEW + TEST)
    rows = [row for row in rows if row.input not in taken]
    few, test = tuple(rows[:FEW]), tuple(rows[FEW : FEW + TEST])
    return QuickstartTask("branch", "dan", "the same desks, 16 examples", few, (), test, ())


def fewer_task() -> QuickstartTask:
    """kim wants plurals, and says so by five examples."""
    count = FEWER + TEST + FRESH
    rows = _distinct(lambda rng: rng.choice(PLURALS), random.Random(f"{_SEED}/fewer"), count)
    few, test, fresh = rows[:FEWER], rows[FEWER : FEWER + TEST], rows[FEWER + TEST :]
    title = "one thing in, many out"
    return QuickstartTask("plurals", "kim", title, tuple(few), (), tuple(test), tuple(fresh))


def _desk() -> Draw:
    """Each desk in turn, so that none is much commoner than another."""
    intents = itertools.cycle([intent for intent in INTENTS if intent.name in DESKS])

    def draw(rng: random.Random) -> tuple[str, str]:
        intent = next(intents)
        return utterance(intent, rng), DESKS[intent.name]

    return draw


def _variant(family: str, variant: str) -> Draw:
    """The draw of the family's task of exactly that name."""
    rng = random.Random(_SEED)
    for _ in range(_TRIES):
        task: GeneratedTask = FAMILIES[family](rng)
        if task.name == f"{family}/{variant}":
            return task.draw
    raise LookupError(f"the family {family} has no variant {variant}")


def _task(name: str, user: str, title: str, draw: Draw) -> QuickstartTask:
    rows = _distinct(draw, random.Random(f"{_SEED}/{name}"), TRAIN + VALIDATION + TEST + FRESH)
    parts = []
    for size in (TRAIN, VALIDATION, TEST, FRESH):
        parts.append(tuple(rows[:size]))
        rows = rows[size:]
    return QuickstartTask(name, user, title, *parts)


def _distinct(draw: Draw, rng: random.Random, count: int) -> list[Example]:
    found: dict[str, str] = {}
    for _ in range(_TRIES):
        source, target = draw(rng)
        if len(source) <= _LONGEST_INPUT and len(target) <= _LONGEST_TARGET:
            found.setdefault(source, target)
        if len(found) == count:
            rows = [Example(source, target) for source, target in found.items()]
            rng.shuffle(rows)
            return rows
    raise LookupError(f"fewer than {count} different rows")
