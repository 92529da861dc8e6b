"""Fills sentence templates: `(a/b)` is one of its parts, `{slot}` a word of that kind."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence

from ptsys.generated.lexicon import names, nouns
from ptsys.generated.lexicon.parse import words
from ptsys.generated.pools import CATEGORIES, OBJECTS, WORDS

Filler = Callable[[random.Random], str]
_CHOICE = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"\{([a-z]+)\}")
_ADJ = words("""
silent golden lost hidden last broken secret empty red blue endless little wild distant
""")
_NOUN = words("""
river garden summer night king road winter mirror island dream shadow promise city star
""")


def one_of(words: Sequence[str]) -> Filler:
    """A filler that picks one of the words."""
    return lambda rng: rng.choice(words)


def person_name(rng: random.Random) -> str:
    """A first name, mostly with a surname."""
    first = rng.choice(names.FIRST_NAMES)
    return first if rng.random() < 0.4 else f"{first} {rng.choice(names.SURNAMES)}"


def title(rng: random.Random) -> str:
    """The name of a book, film or song."""
    return rng.choice(
        (
            f"the {rng.choice(_ADJ)} {rng.choice(_NOUN)}",
            f"{rng.choice(_NOUN)} of the {rng.choice(_NOUN)}",
            f"a {rng.choice(_ADJ)} {rng.choice(_NOUN)}",
            f"{rng.choice(_ADJ)} {rng.choice(_NOUN)}s",
            f"{rng.choice(_NOUN)} and {rng.choice(_NOUN)}",
            f"the {rng.choice(CATEGORIES['animal'])}'s {rng.choice(_NOUN)}",
        )
    )


def _time(rng: random.Random) -> str:
    hour = rng.randint(1, 12)
    return rng.choice(
        (
            f"{hour} am",
            f"{hour} pm",
            f"{hour}:{rng.randrange(0, 60, 5):02d}",
            f"{hour} o'clock",
            f"half past {hour}",
            "noon",
            "midnight",
        )
    )


_SMALL = words("two three four five six seven eight nine ten")
_MORE_FOODS = words("""
rice bread butter cheese eggs flour sugar ham beef pasta yogurt honey oil meat
""")

SLOTS: dict[str, Filler] = {
    "city": one_of(names.CITIES + names.CAPITALS),
    "country": one_of(tuple(names.COUNTRIES)),
    "person": person_name,
    "time": _time,
    "title": title,
    "song": title,
    "weekday": one_of(nouns.UNCOUNTABLE["day"]),
    "month": one_of(nouns.UNCOUNTABLE["month"]),
    "day": one_of(
        (
            "today",
            "tomorrow",
            "tonight",
            "next week",
            "this weekend",
            "on monday",
            "on friday",
            "next month",
            "this evening",
            "on sunday",
            "this afternoon",
            "on wednesday",
        )
    ),
    "number": lambda rng: str(rng.randint(10, 999)),
    "smallnumber": lambda rng: (
        str(rng.randint(2, 20)) if rng.random() < 0.6 else rng.choice(_SMALL)
    ),
    "amount": lambda rng: rng.choice(("{} dollars", "{} euros", "${}", "{} pounds")).format(
        rng.choice((5, 10, 20, 40, 50, 75, 100, 150, 200, 500, 1000))
    ),
    "currency": one_of(
        ("euro", "pound", "yen", "peso", "franc", "rupee", "krona", "ruble", "zloty")
    ),
    "language": one_of(nouns.UNCOUNTABLE["language"]),
    "word": one_of(WORDS),
    "item": one_of(OBJECTS),
    "dish": one_of(CATEGORIES["dish"]),
    "food": one_of(
        _MORE_FOODS * 3
        + tuple(w for name in ("fruit", "vegetable", "spice", "drink") for w in CATEGORIES[name])
    ),
    "cuisine": one_of(
        ("italian", "thai", "french", "mexican", "indian", "greek", "chinese", "turkish")
    ),
    "shop": one_of(
        (
            "bakery",
            "bank",
            "pharmacy",
            "supermarket",
            "library",
            "post office",
            "museum",
            "gym",
            "book store",
            "mall",
            "hardware store",
            "gas station",
        )
    ),
    "place": lambda rng: rng.choice(
        (
            "work",
            "the airport",
            "the station",
            "my hotel",
            "downtown",
            "school",
            "the stadium",
            "the beach",
            "the mall",
            "the hospital",
            rng.choice(names.CITIES),
            "the museum",
            "the office",
        )
    ),
    "room": one_of(("kitchen", "bedroom", "bathroom", "living room", "hall", "garage", "office")),
    "relative": one_of(CATEGORIES["relative"]),
    "animal": one_of(CATEGORIES["animal"]),
    "profession": one_of(CATEGORIES["profession"]),
    "bodypart": one_of(CATEGORIES["body part"]),
    "letter": one_of("abcdefghijklmnoprstuvw"),
    "chore": one_of(
        (
            "wash the car",
            "water the plants",
            "clean the windows",
            "do the laundry",
            "walk the dog",
            "call the bank",
            "pay the rent",
            "take out the trash",
            "finish the report",
            "buy milk",
            "mow the lawn",
            "fix the tap",
        )
    ),
}


def fill(template: str, rng: random.Random, extra: Mapping[str, Filler] | None = None) -> str:
    """One sentence of a template."""
    text = template
    while _CHOICE.search(text):
        text = _CHOICE.sub(lambda match: rng.choice(match.group(1).split("/")), text)
    slots = SLOTS if extra is None else {**SLOTS, **extra}
    text = _SLOT.sub(lambda match: slots[match.group(1)](rng), text)
    return " ".join(text.split())


_KEYS = "abcdefghijklmnopqrstuvwxyz"


def typo(text: str, rng: random.Random) -> str:
    """The text with one small slip of the keyboard in a longer word."""
    tokens = text.split(" ")
    long = [n for n, token in enumerate(tokens) if len(token) > 4 and token.isalpha()]
    if not long:
        return text
    n = rng.choice(long)
    word = tokens[n]
    at = rng.randrange(1, len(word) - 1)
    tokens[n] = rng.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :],
            word[:at] + rng.choice(_KEYS) + word[at + 1 :],
        )
    )
    return " ".join(tokens)
