"""Tasks on things that have an order: numbers, days, months, letters; and small arithmetic."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ptsys.generated.lexicon.nouns import UNCOUNTABLE
from ptsys.generated.lexicon.parse import words
from ptsys.generated.surface import cased_labels, wrapper, yes_no
from ptsys.generated.task import Family, GeneratedTask, make

_ONES = words("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
""")
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SPELLED: tuple[str, ...] = _ONES + tuple(
    tens if not n else f"{tens}-{_ONES[n]}" for tens in _TENS for n in range(10)
)
_ORDINALS = words("""
first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth
fourteenth fifteenth
""")


def roman(number: int) -> str:
    """The Roman numeral of a number below 100."""
    text = ""
    for value, sign in (
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ):
        while number >= value:
            text, number = text + sign, number - value
    return text


_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
SEQUENCES: dict[str, tuple[tuple[str, ...], bool]] = {
    "number": (tuple(str(n) for n in range(200)), False),
    "number word": (SPELLED, False),
    "letter": (_LETTERS, True),
    "capital letter": (tuple(c.upper() for c in _LETTERS), True),
    "double letter": (tuple(c * 2 for c in _LETTERS), True),
    "triple letter": (tuple(c * 3 for c in _LETTERS), True),
    "weekday": (UNCOUNTABLE["day"], True),
    "short weekday": (tuple(d[:3].lower() for d in UNCOUNTABLE["day"]), True),
    "month": (UNCOUNTABLE["month"], True),
    "short month": (tuple(m[:3] for m in UNCOUNTABLE["month"]), True),
    "Roman numeral": (tuple(roman(n) for n in range(1, 60)), False),
    "ordinal": (_ORDINALS, False),
    "year": (tuple(str(y) for y in range(1900, 2030)), False),
    "time": (tuple(f"{h}:00" for h in range(1, 13)), True),
    "item code": (tuple(f"{c}{n}" for c in "ABC" for n in range(1, 10)), False),
}


def _neighbour(items: Sequence[str], at: int, step: int) -> str:
    return items[(at + step) % len(items)]


def _sequence(rng: random.Random) -> GeneratedTask:
    kinds = sorted(SEQUENCES)
    mixed = rng.random() < 0.35
    chosen = rng.sample(kinds, rng.randint(3, 8)) if mixed else [rng.choice(kinds)]
    step = rng.choice((1, 1, -1, -1, 2))
    word = {1: "next", -1: "previous", 2: "second next"}[step]
    template_name, template = wrapper(rng)

    def draw(r: random.Random) -> tuple[str, str]:
        items, wraps = SEQUENCES[r.choice(chosen)]
        low = 0 if wraps or step > 0 else -step
        high = len(items) if wraps or step < 0 else len(items) - step
        at = r.randrange(low, high)
        return template.format(items[at]), _neighbour(items, at, step)

    what = "item" if mixed else chosen[0]
    instructions = (
        f"{word} {what}",
        f"What is the {word} {what}?",
        f"Give the {word} {what}.",
        f"Continue: which {what} comes {'after' if step > 0 else 'before'} it?"
        if abs(step) == 1
        else f"Skip one and give the {what} after that.",
        f"{what} {'+' if step > 0 else '-'}{abs(step)}",
    )
    kind = "+".join(kind[:4] for kind in sorted(chosen))
    return make("sequence", (word, kind, template_name), instructions, draw)


def _continue(rng: random.Random) -> GeneratedTask:
    kind = rng.choice(sorted(SEQUENCES))
    items, _ = SEQUENCES[kind]
    step = rng.choice((1, 1, 2, -1))
    shown = rng.choice((2, 3, 4))
    join = rng.choice((", ", " ", " - "))

    def draw(r: random.Random) -> tuple[str, str]:
        at = r.randrange(len(items))
        run = [_neighbour(items, at, step * n) for n in range(shown + 1)]
        return join.join(run[:-1]), run[-1]

    return make(
        "sequence_continue",
        (kind, step, shown, join),
        (
            "continue",
            "What comes next in the sequence?",
            "Give the next item of the series.",
            f"Continue the series of {kind}s.",
        ),
        draw,
    )


def _arithmetic(rng: random.Random) -> GeneratedTask:
    top = rng.choice((10, 10, 20, 50))
    kind = rng.choice(("plus", "minus", "times", "plus n", "minus n", "double"))
    spelled = top <= 20 and rng.random() < 0.3
    n = rng.randint(2, 9)
    sign = rng.choice(
        {
            "plus": ("{} + {}", "{} plus {}", "{}+{}"),
            "minus": ("{} - {}", "{} minus {}"),
            "times": ("{} x {}", "{} times {}", "{} * {}"),
        }.get(kind, ("{}",))
    )

    def show(number: int) -> str:
        return SPELLED[number] if spelled and 0 <= number < 100 else str(number)

    def draw(r: random.Random) -> tuple[str, str]:
        a, b = r.randint(0, top), r.randint(0, top)
        if kind == "minus":
            a, b = max(a, b), min(a, b)
        if kind == "times":
            a, b = a % 11, b % 11
        result = {
            "plus": a + b,
            "minus": a - b,
            "times": a * b,
            "plus n": a + n,
            "minus n": a,
            "double": 2 * a,
        }[kind]
        if kind == "minus n":
            return show(a + n), show(a)
        return sign.format(*(show(x) for x in ((a, b) if sign.count("{}") == 2 else (a,)))), show(
            result
        )

    asked = {
        "plus": "add",
        "minus": "subtract",
        "times": "multiply",
        "plus n": f"add {n}",
        "minus n": f"subtract {n}",
        "double": "double the number",
    }[kind]
    return make(
        "arithmetic",
        (kind, top, spelled, sign, n if kind.endswith(" n") else ""),
        (
            asked,
            f"Compute: {asked}.",
            f"What is the result if you {asked}?",
            f"number task: {asked}",
        ),
        draw,
    )


def _compare(rng: random.Random) -> GeneratedTask:
    word = rng.choice(("bigger", "smaller"))
    join = rng.choice((", ", " or ", " vs ", " and ", " "))
    top = rng.choice((20, 100, 1000))
    count = rng.choice((2, 2, 3, 4))

    def draw(r: random.Random) -> tuple[str, str]:
        numbers = r.sample(range(top), count)
        chosen = max(numbers) if word == "bigger" else min(numbers)
        return join.join(map(str, numbers)), str(chosen)

    most = {"bigger": "biggest", "smaller": "smallest"}[word] if count > 2 else word
    return make(
        "number_compare",
        (word, join, top, count),
        (
            f"{most} number",
            f"Which number is {most}?",
            f"Give the {most} of the numbers.",
            f"Pick the {most} one.",
        ),
        draw,
    )


def _number_test(rng: random.Random) -> GeneratedTask:
    kind = rng.choice(("parity", "limit", "tens"))
    limit = rng.choice((10, 20, 50, 100))
    top = 2 * limit if kind == "limit" else rng.choice((20, 100, 1000))
    if kind == "parity":
        labels = cased_labels(rng, rng.choice((("even", "odd"), ("even", "odd"), ("yes", "no"))))
        what = "Is the number even or odd?" if "yes" not in labels[0].lower() else "Is it even?"
    else:
        labels = (
            rng.choice((("big", "small"), ("high", "low"), yes_no(rng)))
            if kind == "limit"
            else yes_no(rng)
        )
        what = f"Is the number {limit} or more?" if kind == "limit" else "Does the number end in 0?"

    def draw(r: random.Random) -> tuple[str, str]:
        number = r.randrange(top)
        if kind == "tens" and r.random() < 0.5:
            number = number // 10 * 10
        holds = {"parity": number % 2 == 0, "limit": number >= limit, "tens": number % 10 == 0}[
            kind
        ]
        return str(number), labels[0] if holds else labels[1]

    return make(
        "number_test",
        (kind, labels[0], limit, top),
        (
            what,
            f"{what} Answer {labels[0]} or {labels[1]}.",
            f"{labels[0]} or {labels[1]}: {what}",
            f"Say {labels[0]} if so, else {labels[1]}. {what}",
        ),
        draw,
    )


def _convert(rng: random.Random) -> GeneratedTask:
    forms = {
        "digits": tuple(str(n) for n in range(1, 60)),
        "word": SPELLED[1:60],
        "Roman numeral": SEQUENCES["Roman numeral"][0],
        "ordinal": tuple(
            f"{n}{'th' if 10 < n % 100 < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"
            for n in range(1, 60)
        ),
    }
    source, target = rng.sample(sorted(forms), 2)
    template_name, template = wrapper(rng)

    def draw(r: random.Random) -> tuple[str, str]:
        at = r.randrange(59)
        return template.format(forms[source][at]), forms[target][at]

    return make(
        "number_convert",
        (source, target, template_name),
        (
            f"number as {target}",
            f"Write the number as {target}.",
            f"Turn the {source} into {target}.",
            f"{source} to {target}",
        ),
        draw,
    )


FAMILIES: tuple[Family, ...] = (
    Family("sequence", 1.5, _sequence),
    Family("sequence_continue", 0.8, _continue),
    Family("arithmetic", 0.8, _arithmetic),
    Family("number_compare", 0.5, _compare),
    Family("number_test", 0.4, _number_test),
    Family("number_convert", 0.4, _convert),
)
