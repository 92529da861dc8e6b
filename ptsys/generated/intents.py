"""Tasks of naming what somebody wants: intents, their domains, and yes-or-no about one intent."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from ptsys.generated.grammar import fill, typo
from ptsys.generated.lexicon.intents import INTENTS, Intent
from ptsys.generated.lexicon.parse import words
from ptsys.generated.surface import (
    arbitrary,
    cased_labels,
    classify_instructions,
    digest,
    listed,
    wrapper,
    yes_no,
)
from ptsys.generated.task import Family, GeneratedTask, make

_BEFORE = (
    "please",
    "can you",
    "could you",
    "could you please",
    "i want to",
    "i need to",
    "would you",
    "i would like to",
    "hey,",
    "help me",
    "go ahead and",
    "you should",
    "kindly",
    "just",
)
_ANY_BEFORE = (
    "hi,",
    "hello,",
    "hey",
    "so",
    "excuse me,",
    "quick question,",
    "um",
    "well",
    "ok,",
    "listen,",
)
_AFTER = ("please", "thanks", "for me", "right now", "thank you", "if you can", "asap", "today")

BY_DOMAIN: dict[str, tuple[Intent, ...]] = {}
for _intent in INTENTS:
    BY_DOMAIN[_intent.domain] = (*BY_DOMAIN.get(_intent.domain, ()), _intent)
DOMAINS = tuple(sorted(BY_DOMAIN))


def utterance(intent: Intent, rng: random.Random) -> str:
    """One sentence that means the intent, with politeness, slips and casing at random."""
    way = rng.choice(intent.ways)
    command = way.startswith("!")
    text = fill(way.lstrip("!"), rng)
    roll = rng.random()
    if command and roll < 0.5:
        text = f"{rng.choice(_BEFORE)} {text}"
    elif roll < 0.12:
        text = f"{rng.choice(_ANY_BEFORE)} {text}"
    if command and rng.random() < 0.15:
        text = f"{text} {rng.choice(_AFTER)}"
    if rng.random() < 0.06:
        text = typo(text, rng)
    style = rng.random()
    if style < 0.55:
        return text.lower()
    if style < 0.9:
        text = text[0].upper() + text[1:]
        asks = text.split()[0].lower() in _QUESTION_WORDS
        return text + rng.choice(("?" if asks else ".", "?" if asks else "", ""))
    return text


_QUESTION_WORDS = frozenset(
    words("""
what when where who which how why is are do does did can could will would has have am should may
""")
)


def _choose(rng: random.Random) -> tuple[str, tuple[Intent, ...]]:
    """A set of intents: of one domain, of two, or of all."""
    kind = rng.choice(("one", "one", "one", "two", "all", "all"))
    size = rng.choice((3, 4, 5, 6, 7, 8, 10, 12, 15))
    if kind == "one":
        domain = rng.choice([d for d in DOMAINS if len(BY_DOMAIN[d]) >= 3])
        pool: Sequence[Intent] = BY_DOMAIN[domain]
    elif kind == "two":
        first, second = rng.sample(DOMAINS, 2)
        domain, pool = f"{first}+{second}", (*BY_DOMAIN[first], *BY_DOMAIN[second])
    else:
        domain, pool = "any", INTENTS
    return domain, tuple(rng.sample(list(pool), min(size, len(pool))))


def _intent_task(rng: random.Random) -> GeneratedTask:
    domain, chosen = _choose(rng)
    meanings = tuple(intent.name for intent in chosen)
    roll = rng.random()
    if roll < 0.5:
        labels = meanings
    elif roll < 0.85 or len(chosen) > 5:
        labels = tuple(rng.choice(intent.labels) for intent in chosen)
        labels = labels if len(set(labels)) == len(labels) else meanings
    else:
        labels = arbitrary(rng, len(chosen))
    labels = cased_labels(rng, labels)
    frame_name, frame = wrapper(rng, 0.85)

    def draw(r: random.Random) -> tuple[str, str]:
        at = r.randrange(len(chosen))
        return frame.format(utterance(chosen[at], r)), labels[at]

    coded = all(len(label) <= 2 for label in labels) or labels[0].lower() in (
        "red",
        "blue",
        "green",
    )
    if coded or (roll >= 0.85 and len(chosen) <= 5):
        instructions = classify_instructions(
            rng, "request", "What does the user want?", labels, meanings
        )
    else:
        options = listed(labels)
        found = [
            f"What does the user want? {options}",
            f"intent: {options}",
            "intent of the request",
            f"Name the intent: {options}.",
            "What is the request about?",
            f"Choose the intent among {', '.join(labels)}.",
            f"Classify the request as {options}.",
        ]
        rng.shuffle(found)
        instructions = tuple(found)
    return make(
        "intent", (domain, len(chosen), digest(labels, meanings), frame_name), instructions, draw
    )


def _domain_task(rng: random.Random) -> GeneratedTask:
    chosen = tuple(rng.sample(DOMAINS, rng.choice((2, 3, 4, 5, 6, 8))))
    labels = (
        arbitrary(rng, len(chosen))
        if len(chosen) <= 5 and rng.random() < 0.2
        else cased_labels(rng, chosen)
    )
    frame_name, frame = wrapper(rng, 0.85)

    def draw(r: random.Random) -> tuple[str, str]:
        at = r.randrange(len(chosen))
        return frame.format(utterance(r.choice(BY_DOMAIN[chosen[at]]), r)), labels[at]

    return make(
        "domain",
        (len(chosen), digest(chosen, labels), frame_name),
        classify_instructions(
            rng, "domain of the request", "Which domain is the request about?", labels, chosen
        ),
        draw,
    )


def _about(rng: random.Random) -> GeneratedTask:
    by_domain = rng.random() < 0.4
    yes, no = yes_no(rng)
    if by_domain:
        topic = rng.choice(DOMAINS)
        inside: Sequence[Intent] = BY_DOMAIN[topic]
    else:
        intent = rng.choice(INTENTS)
        topic, inside = intent.name, (intent,)
    groups: dict[bool, list[Intent]] = defaultdict(list)
    for candidate in INTENTS:
        groups[candidate in inside].append(candidate)

    def draw(r: random.Random) -> tuple[str, str]:
        holds = r.random() < 0.5
        return utterance(r.choice(groups[holds]), r), yes if holds else no

    return make(
        "is_about",
        (topic, yes),
        (
            f"Is it about {topic}? {yes} or {no}",
            f"{topic}: {yes} or {no}",
            f"Say {yes} if the request is about {topic}, else {no}.",
            f"Is the request about {topic}?",
        ),
        draw,
    )


FAMILIES: tuple[Family, ...] = (
    Family("intent", 6.0, _intent_task),
    Family("domain", 1.0, _domain_task),
    Family("is_about", 0.8, _about),
)
