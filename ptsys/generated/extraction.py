"""Tasks of finding a piece of a sentence: a name, a place, a date, a word by its position."""

from __future__ import annotations

import random
from collections.abc import Callable

from ptsys.generated.grammar import Filler, one_of
from ptsys.generated.lexicon import names, nouns
from ptsys.generated.lexicon.inflect import past
from ptsys.generated.lexicon.parse import phrases
from ptsys.generated.pools import CATEGORIES, OBJECTS
from ptsys.generated.surface import wrapper
from ptsys.generated.task import Family, GeneratedTask, make


def _full_name(rng: random.Random) -> str:
    last = rng.choice(names.SURNAMES)
    return rng.choice(
        (f"{rng.choice(names.FIRST_NAMES)} {last}",) * 3
        + (last, f"{rng.choice('ABCDGHJKLMPRST')}. {last}")
    )


def _date(rng: random.Random) -> str:
    month = rng.choice(nouns.UNCOUNTABLE["month"])
    return rng.choice(
        (
            rng.choice(nouns.UNCOUNTABLE["day"]),
            f"{month} {rng.randint(1, 28)}",
            f"{month} {rng.randint(1960, 2024)}",
            f"{rng.randint(1, 28)} {month}",
        )
    )


KINDS: dict[str, Filler] = {
    "person": _full_name,
    "place": one_of(names.PLACES),
    "organisation": lambda r: r.choice((r.choice(names.ORGANISATIONS), r.choice(names.TEAMS))),
    "date": _date,
    "number": lambda r: str(r.randint(2, 999)),
    "product": lambda r: r.choice(names.PRODUCTS)[0],
    "colour": one_of(CATEGORIES["colour"]),
    "animal": one_of(CATEGORIES["animal"]),
    "job": one_of(CATEGORIES["profession"]),
    "nationality": lambda r: r.choice(
        tuple(facts[3] for facts in names.COUNTRIES.values())
    ).replace("_", " "),
    "thing": one_of(OBJECTS),
    "food": one_of(CATEGORIES["fruit"] + CATEGORIES["vegetable"]),
}
_OTHER_WORDS = {
    "person": ("name of the person", "who"),
    "place": ("location", "where"),
    "organisation": ("company or team", "organization"),
    "date": ("when", "day"),
    "number": ("quantity", "how many"),
    "product": ("brand name", "product name"),
    "colour": ("color",),
    "animal": ("beast",),
    "job": ("profession", "occupation"),
    "nationality": ("people",),
    "thing": ("object",),
    "food": ("fruit or vegetable",),
}
#: Sentences; each slot occurs once, so that the answer is the only one of its kind.
SENTENCES = phrases("""
{person} flew to {place} on {date} | {person} works for {organisation} in {place}
{organisation} opened {number} shops in {place}
{organisation} sold {number} of the {product} | the {colour} {animal} ran through {place}
{person} saw a {animal} near {place}
the {nationality} {job} {person} bought a {colour} {thing}
on {date}, {organisation} hired {person} as {job}
{person}, a {job} from {place}, won {number} prizes | {person} ate {number} {food}s
the {thing} of {person} is {colour}
the meeting with {organisation} is on {date} in {place}
{place}, {date} : {organisation} said profits rose {number} percent
{organisation} beat the {nationality} champions in {place}
{nationality} {job} {person} died on {date} aged {number}
{person} ({organisation}) scored {number} points in {place}
{person} told {organisation} about the {product}
we met {person} at the station of {place} | the {product} costs {number} dollars in {place}
{organisation} spokesman {person} said on {date}
a {colour} {thing} was found by {person} on {date} | {job} {person} lost a {thing} in {place}
my {animal} likes {food}
a {nationality} firm will build the {product} in {place} | "i love {place}," said {person}
{person} sold a {thing} to a {job}
{place} ({date}) {person} {number} | at the farm in {place} they grow {food}
shares of {organisation} fell on {date}
{nationality} police arrested {person} in {place} on {date}
{person} of {organisation} will visit {place} next week
{organisation} {number} {number_2} | {person} and a {animal} crossed {place} in {number} days
results from {place} on {date}: {person} first
the {job} painted the {thing} {colour} | no {animal} eats {food}
president {person} arrived in {place} | {number} {animal}s escaped in {place}
{organisation} signed {person} until {date} | in {place} a {thing} costs {number}
{person} married a {nationality} {job}
the mayor of {place}, {person}, met workers of {organisation}
{organisation}, based in {place}, makes the {product}
""")


def _parts(sentence: str) -> tuple[str, ...]:
    return tuple(kind for kind in KINDS if "{" + kind + "}" in sentence)


_BY_KIND: dict[str, tuple[str, ...]] = {
    kind: tuple(s for s in SENTENCES if kind in _parts(s)) for kind in KINDS
}


def sentence(template: str, rng: random.Random) -> tuple[str, dict[str, str]]:
    """A filled sentence and the piece that fills each slot."""
    found = {kind: KINDS[kind](rng) for kind in _parts(template)}
    text = template.replace("{number_2}", str(rng.randint(2, 99)))
    for kind, piece in found.items():
        text = text.replace("{" + kind + "}", piece)
    return text, found


def _entity(rng: random.Random) -> GeneratedTask:
    kind = rng.choice(
        ("person", "person", "place", "place", "organisation", "organisation", *sorted(KINDS))
    )
    tone = rng.choice(("as is", "as is", "as is", "lower", "stop"))
    frame_name, frame = wrapper(rng, 0.85)

    def draw(r: random.Random) -> tuple[str, str]:
        text, found = sentence(r.choice(_BY_KIND[kind]), r)
        if kind not in ("person", "organisation") or r.random() < 0.5:
            text = text if r.random() < 0.6 else _prefixed(text, r)
        answer = found[kind]
        if tone == "lower":
            text, answer = text.lower(), answer.lower()
        elif tone == "stop":
            text = f"{text[0].upper()}{text[1:]}."
            if answer not in text:
                answer = answer[0].upper() + answer[1:]
        return frame.format(text), answer

    others = _OTHER_WORDS[kind]
    instructions = [
        kind,
        f"Which {kind} does the sentence name?",
        f"Find the {kind}.",
        f"Extract the {kind}.",
        f"Copy the {kind} out of the text.",
        f"{others[0]}",
        f"Give the {others[-1]} in the sentence.",
        f"What is the {kind}?",
    ]
    rng.shuffle(instructions)
    return make("entity", (kind, tone, frame_name), instructions, draw)


def _prefixed(text: str, rng: random.Random) -> str:
    before = rng.choice(
        (
            "they say that",
            "as we heard,",
            "yesterday",
            "in the news:",
            "it is true that",
            "officials said",
            "late at night,",
            "note:",
            "last week",
        )
    )
    return f"{before} {text}"


_ADJECTIVES = ("old", "young", "little", "tall", "happy", "tired", "famous", "quiet")
_SIMPLE_VERBS = (
    "open",
    "paint",
    "carry",
    "clean",
    "repair",
    "break",
    "buy",
    "sell",
    "find",
    "lose",
    "steal",
    "push",
    "throw",
    "admire",
    "examine",
    "bring",
    "hide",
    "need",
    "borrow",
    "polish",
)


def _plain_sentence(rng: random.Random) -> tuple[str, dict[str, str]]:
    """`the old farmer painted a door` and its grammatical parts."""
    parts = {
        "subject": rng.choice(CATEGORIES["profession"]),
        "verb": past(rng.choice(_SIMPLE_VERBS)),
        "object": rng.choice(OBJECTS),
        "adjective": rng.choice(_ADJECTIVES),
    }
    end = rng.choice(("", f" in {rng.choice(names.CITIES)}", " yesterday", " at night"))
    text = f"the {parts['adjective']} {parts['subject']} {parts['verb']} the {parts['object']}{end}"
    return text, parts


def _grammar_part(rng: random.Random) -> GeneratedTask:
    part = rng.choice(("subject", "verb", "object", "adjective"))
    asked = {
        "subject": "Who did it?",
        "verb": "What was done?",
        "object": "What was it done to?",
        "adjective": "How is the person described?",
    }[part]
    frame_name, frame = wrapper(rng, 0.6)

    def draw(r: random.Random) -> tuple[str, str]:
        text, parts = _plain_sentence(r)
        return frame.format(text), parts[part]

    return make(
        "sentence_part",
        (part, frame_name),
        (part, f"Give the {part} of the sentence.", f"Find the {part}.", asked),
        draw,
    )


_WORD_PICKS: dict[str, tuple[Callable[[list[str]], str], tuple[str, ...]]] = {
    "first": (
        lambda w: w[0],
        ("first word", "Give the first word of the sentence.", "How does it begin?"),
    ),
    "last": (
        lambda w: w[-1],
        ("last word", "Give the last word of the sentence.", "How does it end?"),
    ),
    "second": (lambda w: w[1], ("second word", "Give the second word of the sentence.")),
    "longest": (
        lambda w: max(w, key=len),
        ("longest word", "Which word of the sentence is the longest?"),
    ),
    "first two": (lambda w: " ".join(w[:2]), ("first two words", "Give the first two words.")),
    "last two": (lambda w: " ".join(w[-2:]), ("last two words", "Give the last two words.")),
    "count": (lambda w: str(len(w)), ("number of words", "How many words does the sentence have?")),
    "after the": (
        lambda w: w[w.index("the") + 1],
        ("word after the", "Which word comes after the first the?"),
    ),
    "before the last": (lambda w: w[-2], ("second to last word", "Give the word before the last.")),
}


def _sentence_word(rng: random.Random) -> GeneratedTask:
    kind = rng.choice(sorted(_WORD_PICKS))
    pick, instructions = _WORD_PICKS[kind]
    frame_name, frame = wrapper(rng, 0.6)

    def draw(r: random.Random) -> tuple[str, str]:
        text, _ = _plain_sentence(r)
        return frame.format(text), pick(text.split())

    return make("sentence_word", (kind, frame_name), instructions, draw)


def _capitals(rng: random.Random) -> GeneratedTask:
    kind = rng.choice(("capitalised", "quoted", "in brackets", "digits"))
    marks = {"capitalised": "{}", "quoted": '"{}"', "in brackets": "({})", "digits": "{}"}
    frame_name, frame = wrapper(rng, 0.6)

    def draw(r: random.Random) -> tuple[str, str]:
        text, parts = _plain_sentence(r)
        target = r.choice((parts["subject"], parts["object"]))
        if kind == "capitalised":
            return frame.format(text.replace(target, target.upper(), 1)), target.upper()
        if kind == "digits":
            number = str(r.randint(2, 9999))
            return frame.format(
                text.replace(f"the {parts['object']}", f"{number} things", 1)
            ), number
        return frame.format(text.replace(target, marks[kind].format(target), 1)), target

    what = {
        "capitalised": "word in capitals",
        "quoted": "quoted word",
        "in brackets": "word in brackets",
        "digits": "number",
    }[kind]
    return make(
        "marked_word",
        (kind, frame_name),
        (what, f"Give the {what}.", f"Find the {what} in the sentence."),
        draw,
    )


FAMILIES: tuple[Family, ...] = (
    Family("entity", 3.0, _entity),
    Family("sentence_part", 0.7, _grammar_part),
    Family("sentence_word", 0.8, _sentence_word),
    Family("marked_word", 0.4, _capitals),
)
