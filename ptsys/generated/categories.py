"""Tasks on what kind of thing a word names, and which part of speech it is."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ptsys.generated.lexicon.inflect import article
from ptsys.generated.lexicon.nouns import PLURALS_OF_LABELS
from ptsys.generated.pools import (
    ABSTRACT,
    CATEGORIES,
    FUNCTION_WORDS,
    NOT_OBJECTS,
    OBJECTS,
    PURE,
)
from ptsys.generated.surface import (
    arbitrary,
    cased_labels,
    classify_instructions,
    digest,
    separator,
    wrapper,
    yes_no,
)
from ptsys.generated.task import Family, GeneratedTask, make

Pool = tuple[str, ...]

#: Categories wide enough to draw several distractors from.
WIDE: dict[str, Pool] = {name: pool for name, pool in CATEGORIES.items() if len(pool) >= 12}
_SUPER: dict[str, Pool] = {
    "object": OBJECTS,
    "food": CATEGORIES["fruit"] + CATEGORIES["vegetable"] + CATEGORIES["dish"],
    "living thing": CATEGORIES["animal"] + CATEGORIES["bird"] + CATEGORIES["fish"],
    "animal": CATEGORIES["animal"] + CATEGORIES["bird"] + CATEGORIES["insect"] + CATEGORIES["fish"],
    "person": CATEGORIES["profession"] + CATEGORIES["relative"],
    "place": CATEGORIES["building"] + CATEGORIES["landform"],
    "plant": CATEGORIES["tree"] + CATEGORIES["flower"] + CATEGORIES["vegetable"],
}
_SPEECH: dict[str, Pool] = {**PURE, "preposition or pronoun": FUNCTION_WORDS}
_CONCEPTS: dict[str, Pool] = {"concept": NOT_OBJECTS, "thing": OBJECTS, "idea": ABSTRACT}
_HUGE = {**WIDE, **_SUPER}
_PAIRS: tuple[tuple[str, str], ...] = tuple(
    (a, b)
    for a in sorted(_HUGE)
    for b in sorted(_HUGE)
    if a != b and len(set(_HUGE[a]) & set(_HUGE[b])) <= 3
)


def _two_pools(rng: random.Random) -> tuple[str, Pool, str, Pool]:
    """A wanted kind and another kind, with the words that are in both taken out."""
    roll = rng.random()
    if roll < 0.25:
        name, other = rng.sample(("verb", "adjective", "noun", "verb", "adjective"), 2)
        while other == name:
            other = rng.choice(("verb", "adjective", "noun"))
        return name, _SPEECH[name], other, _SPEECH[other]
    if roll < 0.4:
        name, other = rng.choice((("concept", "thing"), ("thing", "concept")))
        if rng.random() < 0.25:
            name, other = rng.choice((("thing", "idea"), ("idea", "thing")))
        return name, _CONCEPTS[name], other, _CONCEPTS[other]
    if roll < 0.55:
        name, other = rng.sample(
            ("animal", "object", "colour", "fruit", "profession", "country"), 2
        )
    else:
        name, other = rng.choice(_PAIRS)
    wanted, others = _HUGE[name], _HUGE[other]
    shared = set(wanted) & set(others)
    return (
        name,
        tuple(w for w in wanted if w not in shared),
        other,
        tuple(w for w in others if w not in shared),
    )


def _draw_among(
    r: random.Random, wanted: Pool, others: Pool, count: int, join: str
) -> tuple[list[str], str]:
    """Items of which exactly one is wanted, in random order."""
    if join in (" ", " - ", ","):
        wanted = tuple(w for w in wanted if " " not in w) or wanted
        others = tuple(w for w in others if " " not in w) or others
    right = r.choice(wanted)
    items = [*r.sample(others, count - 1), right]
    r.shuffle(items)
    return items, right


def _category_pick(rng: random.Random) -> GeneratedTask:
    name, wanted, other, others = _two_pools(rng)
    many = rng.random() < 0.2
    count = rng.choice((2, 3, 3, 3, 4, 5, 5, 5, 6))
    join_name, join = separator(rng)
    frame_name, frame = wrapper(rng, 0.85)

    def draw(r: random.Random) -> tuple[str, str]:
        n = r.randint(2, 6) if many else count
        items, right = _draw_among(r, wanted, others, n, join)
        return frame.format(join.join(items)), right

    one = article(name)
    instructions = [
        f"which is {one}?",
        f"Pick the {name}.",
        f"Which of the items is {one}?",
        f"{name}",
        f"Find the {name} in the list.",
        f"Give the only {name} of the list.",
        f"One item is {one}, the others are of the kind {other}. Give the {name}.",
        f"choose the {name}, not the {other}",
    ]
    rng.shuffle(instructions)
    variant = (name, other, "n" if many else count, join_name, frame_name)
    return make("category_pick", variant, instructions, draw)


def _odd_one_out(rng: random.Random) -> GeneratedTask:
    count = rng.choice((3, 4, 4, 5, 6))
    join_name, join = separator(rng)
    open_kinds = rng.random() < 0.6
    fixed = _two_pools(rng)

    def draw(r: random.Random) -> tuple[str, str]:
        _, wanted, _, others = _two_pools(r) if open_kinds else fixed
        items, right = _draw_among(r, wanted, others, count, join)
        return join.join(items), right

    kinds = ("any",) if open_kinds else (fixed[0], fixed[2])
    hint = "" if open_kinds else f" It is {article(fixed[0])}."
    return make(
        "odd_one_out",
        (*kinds, count, join_name),
        (
            "odd one out",
            f"Which item does not belong with the others?{hint}",
            f"Find the item of another kind.{hint}",
            "Give the one that does not fit.",
            "Pick the intruder.",
        ),
        draw,
    )


_LABEL_WORDS: dict[str, tuple[str, ...]] = {
    "animal": ("animal", "beast", "creature"),
    "garment": ("garment", "clothes", "clothing"),
    "vehicle": ("vehicle", "transport"),
    "profession": ("profession", "job", "occupation"),
    "instrument": ("instrument", "music"),
    "colour": ("colour", "color"),
    "tool": ("tool", "tools"),
    "furniture": ("furniture",),
    "kitchen item": ("kitchen item", "kitchen", "kitchenware"),
    "body part": ("body part", "body"),
    "first name": ("first name", "name", "person"),
    "country": ("country", "nation"),
    "city": ("city", "town"),
    "sport": ("sport", "sports"),
    "emotion": ("emotion", "feeling"),
    "building": ("building", "buildings"),
    "dish": ("dish", "meal", "food"),
    "landform": ("landform", "landscape"),
}


def _named(rng: random.Random, names: Sequence[str]) -> tuple[str, ...]:
    """Label words of categories, distinct."""
    labels = tuple(rng.choice(_LABEL_WORDS.get(name, (name,))) for name in names)
    return labels if len(set(labels)) == len(labels) else tuple(names)


def _category_name(rng: random.Random) -> GeneratedTask:
    while True:
        chosen = rng.sample(sorted(WIDE), rng.choice((2, 2, 3, 3, 4, 5, 6, 8)))
        pools = [
            tuple(
                w
                for w in WIDE[name]
                if all(w not in WIDE[other] for other in chosen if other != name)
            )
            for name in chosen
        ]
        if all(len(pool) >= 6 for pool in pools):
            break
    arbitrary_labels = len(chosen) <= 5 and rng.random() < 0.2
    labels = (
        arbitrary(rng, len(chosen)) if arbitrary_labels else cased_labels(rng, _named(rng, chosen))
    )
    frame_name, frame = wrapper(rng)
    examples = rng.random() < 0.2

    def draw(r: random.Random) -> tuple[str, str]:
        at = r.randrange(len(labels))
        words = r.sample(pools[at], 3 if examples else 1)
        return frame.format(", ".join(words)), labels[at]

    instructions = classify_instructions(rng, "word", "What kind of thing is it?", labels, chosen)
    variant = (len(chosen), digest(chosen, labels), frame_name, "many" if examples else "one")
    return make("category_name", variant, instructions, draw)


def _is_a(rng: random.Random) -> GeneratedTask:
    while True:
        name, wanted, other, others = _two_pools(rng)
        if len(wanted) > 5 and len(others) > 5:
            break
    mixed = name in _HUGE and rng.random() < 0.5
    yes, no = yes_no(rng)
    away = tuple(w for n in sorted(WIDE) for w in WIDE[n] if w not in set(_HUGE.get(name, ())))
    outside = away if mixed else others
    form = rng.choice(("{word}", "{word}?", f"is {{word}} {article(name)}?", "word: {word}"))

    def draw(r: random.Random) -> tuple[str, str]:
        holds = r.random() < 0.5
        return form.format(word=r.choice(wanted if holds else outside)), yes if holds else no

    instructions = (
        f"Is it {article(name)}? {yes} or {no}",
        f"{name}: {yes} or {no}",
        f"Say {yes} for {article(name)}, otherwise {no}.",
        f"Does the word name {article(name)}?",
        f"{yes} if {name}, {no} if not",
    )
    return make("is_a", (name, "any" if mixed else other, yes, form), instructions, draw)


def _part_of_speech(rng: random.Random) -> GeneratedTask:
    kinds = rng.choice(
        (
            ("noun", "verb"),
            ("verb", "adjective"),
            ("noun", "adjective"),
            ("noun", "verb", "adjective"),
            ("noun", "verb", "adjective", "adverb"),
        )
    )
    style = rng.randrange(4)
    full = {
        "noun": ("thing", "n"),
        "verb": ("action", "v"),
        "adjective": ("quality", "adj"),
        "adverb": ("manner", "adv"),
    }
    labels = tuple(kinds) if style < 2 else tuple(full[k][style - 2] for k in kinds)
    if rng.random() < 0.2:
        labels = arbitrary(rng, len(kinds))
    labels = cased_labels(rng, labels)
    frame_name, frame = wrapper(rng)

    def draw(r: random.Random) -> tuple[str, str]:
        at = r.randrange(len(kinds))
        return frame.format(r.choice(_SPEECH[kinds[at]])), labels[at]

    instructions = classify_instructions(
        rng, "part of speech", "Which part of speech is it?", labels, kinds
    )
    return make("part_of_speech", (*kinds, *labels, frame_name), instructions, draw)


def _category_filter(rng: random.Random) -> GeneratedTask:
    """Keep, or count, the items of one kind."""
    name, wanted, other, others = _two_pools(rng)
    mode = rng.choice(("keep", "count", "remove"))
    plural_label = PLURALS_OF_LABELS.get(name, f"{name}s")

    def draw(r: random.Random) -> tuple[str, str]:
        k = r.randint(1, 3)
        right = r.sample(wanted, k)
        wrong = r.sample(others, r.randint(1, 2))
        items = right + wrong
        r.shuffle(items)
        kept = [item for item in items if (item in right) == (mode != "remove")]
        return ", ".join(items), str(k) if mode == "count" else ", ".join(kept)

    asked = {
        "keep": f"List only the {plural_label}.",
        "count": f"How many {plural_label} are there?",
        "remove": f"Remove the {plural_label}.",
    }[mode]
    return make(
        "category_filter",
        (mode, name, other),
        (asked, f"{mode} {plural_label}", f"The list has {plural_label} and others. {asked}"),
        draw,
    )


FAMILIES: tuple[Family, ...] = (
    Family("category_pick", 4.0, _category_pick),
    Family("odd_one_out", 1.0, _odd_one_out),
    Family("category_name", 2.0, _category_name),
    Family("is_a", 1.2, _is_a),
    Family("part_of_speech", 0.8, _part_of_speech),
    Family("category_filter", 0.8, _category_filter),
)
