"""Tasks that only their examples tell: labels and tables that are drawn anew for every task.

A model that has seen such tasks by the thousand cannot know their answers from its weights; it has
to look them up in the examples it was given.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from ptsys.generated.intents import utterance
from ptsys.generated.lexicon.intents import INTENTS
from ptsys.generated.pools import CATEGORIES, ITEMS, WORDS
from ptsys.generated.surface import LETTERS, digest, wrapper
from ptsys.generated.task import Draw, Family, GeneratedTask, make

MOST_LABELS = 16
_SYLLABLES = tuple(a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "on", "ar"))
_CARRIERS = (
    "{}",
    "{}",
    "the {}",
    "here is {}",
    "{} again",
    "what about {}?",
    "{} {w}",
    "{w} {}",
    "{w} {w} {}",
    "{} and then {w}",
    "i saw {} near the {w}",
    "tell me of {}, please",
)


def random_labels(rng: random.Random, count: int) -> tuple[str, ...]:
    """So many different labels that say nothing of what they stand for."""
    style = rng.choice(("word", "word", "word", "two", "snake", "letter", "number", "made up"))
    if style == "letter" and count <= len(LETTERS):
        return tuple(rng.sample(LETTERS, count))
    makers: dict[str, Callable[[], str]] = {
        "two": lambda: f"{rng.choice(WORDS)} {rng.choice(WORDS)}",
        "snake": lambda: f"{rng.choice(WORDS)}_{rng.choice(WORDS)}",
        "number": lambda: str(rng.randrange(100)),
        "made up": lambda: "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 3))),
    }
    maker = makers.get(style, lambda: rng.choice(ITEMS))
    found: dict[str, None] = {}
    while len(found) < count:
        found[maker()] = None
    return tuple(found)


def relabelled(rows: Sequence[tuple[str, str]], rng: random.Random) -> list[tuple[str, str]] | None:
    """The rows of a classification under labels drawn anew; None where the targets are no labels
    (one only, too many, or most of them seen once)."""
    labels = sorted({target for _, target in rows})
    if not 2 <= len(labels) <= min(MOST_LABELS, len(rows) // 2):
        return None
    new = dict(zip(labels, random_labels(rng, len(labels)), strict=True))
    return [(source, new[target]) for source, target in rows]


def _carried(key: str, rng: random.Random) -> str:
    """The key, often in a few words around it."""
    frame = rng.choice(_CARRIERS)
    while "{w}" in frame:
        frame = frame.replace("{w}", rng.choice(WORDS), 1)
    return frame.format(key)


def _of_classes(
    family: str, variant: Sequence[object], labels: Sequence[str], member: Sequence[Draw]
) -> GeneratedTask:
    """A task whose label tells which of the members drew the input."""

    def draw(rng: random.Random) -> tuple[str, str]:
        at = rng.randrange(len(labels))
        return member[at](rng)[0], labels[at]

    return make(family, variant, ("Answer like the examples.", "Look it up."), draw)


def _table(rng: random.Random) -> GeneratedTask:
    """Words that stand for other words, in this task alone."""
    keys = rng.sample(ITEMS, rng.choice((2, 3, 4, 5, 6, 8, 10, 12)))
    labels = random_labels(rng, len(keys))
    members = [lambda r, key=key: (_carried(key, r), "") for key in keys]
    return _of_classes("look_up", (len(keys), digest(keys, labels)), labels, members)


def _kinds(rng: random.Random) -> GeneratedTask:
    """What kind of thing a word is, the kinds under names of this task alone."""
    kinds = rng.sample(sorted(CATEGORIES), rng.randint(2, 8))
    labels = random_labels(rng, len(kinds))
    in_words = rng.random() < 0.4

    def member(kind: str) -> Draw:
        def draw(r: random.Random) -> tuple[str, str]:
            word = r.choice(CATEGORIES[kind])
            return (_carried(word, r) if in_words else word), ""

        return draw

    return _of_classes(
        "look_up_kind", (len(kinds), digest(kinds, labels)), labels, [member(k) for k in kinds]
    )


def _wishes(rng: random.Random) -> GeneratedTask:
    """What somebody wants; most of the time under names of this task alone."""
    chosen = rng.sample(list(INTENTS), rng.randint(3, MOST_LABELS))
    roll = rng.random()
    labels = (
        random_labels(rng, len(chosen))
        if roll < 0.6
        else tuple(intent.name.replace(" ", "_" if roll < 0.8 else " ") for intent in chosen)
    )
    members = [lambda r, intent=intent: (utterance(intent, r), "") for intent in chosen]
    _, frame = wrapper(rng, 0.9)
    framed = [lambda r, of=of: (frame.format(of(r)[0]), "") for of in members]
    return _of_classes("look_up_wish", (len(chosen), digest(labels)), labels, framed)


LOOKUPS: tuple[Family, ...] = (
    Family("look_up", 1.0, _table),
    Family("look_up_kind", 1.0, _kinds),
    Family("look_up_wish", 1.5, _wishes),
)


def sample_lookup(rng: random.Random) -> GeneratedTask:
    """One task that only its examples tell."""
    family = rng.choices(LOOKUPS, [family.weight for family in LOOKUPS])[0]
    return family.sample(rng)
