"""Tasks of naming what kind of answer a question asks for."""

from __future__ import annotations

import random

from ptsys.generated.grammar import Filler, fill, one_of, person_name
from ptsys.generated.lexicon import names
from ptsys.generated.lexicon.parse import phrases
from ptsys.generated.pools import CATEGORIES
from ptsys.generated.surface import (
    arbitrary,
    cased_labels,
    classify_instructions,
    digest,
    wrapper,
)
from ptsys.generated.task import Family, GeneratedTask, make

#: kind of answer -> (other labels, templates)
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "person": (
        ("someone", "people", "who"),
        phrases("""
who (invented/discovered/designed) the {item} | who (wrote/painted/composed/directed) {title}
who was the (first/last/youngest) (president/king/queen/mayor) of {country}
what {profession} (won/founded) {title}
who is the (owner/chief/founder) of {firm}
which (actor/singer/player) (was born in/comes from) {city}
name the {profession} who (married/killed/taught) {person} | whose {item} was found in {city}
what is the name of the {profession} in {title} | what company makes the {item}
who leads {country}
what team plays in {city} | what man (climbed/crossed) the {place} first | who did {person} marry
"""),
    ),
    "place": (
        ("location", "where", "somewhere"),
        phrases("""
where (is/was/are) (the {place}/{person} born/{firm} located)
(what/which) (country/city/state) (has/is home to) the {place}
in (what/which) (city/country/town) did {person} (live/die/study)
where do {animal}s (live/come from)
what is the capital of {country}
what (river/mountain/island) is the (largest/longest/highest) in {country}
where can i (buy/find) a {item} | which country borders {country} | what continent is {country} on
name a (lake/desert/city) in {country} | where did the {item} originate
what street is the {place} on
"""),
    ),
    "number": (
        ("quantity", "date or amount", "how many", "amount"),
        phrases("""
how many ({animal}s/people/{item}s) are (there/found) in {country}
how (old/tall/long/far/fast/heavy) is (the {place}/{person}/a {animal})
when (was/did) (the {place} built/{person} die/{country} become free)
what year (was/did) {person} (born/die)
how much does a {item} (cost/weigh) | what is the (population/area) of {country}
how often does a {animal} eat
what is the (length/height/depth) of the {place}
on what (day/date) (was/did) {title} (shown/appear)
how long does it take to (cook {dish}/fly to {city}) | what percent of {country} is (water/forest)
what is the phone number of {firm} | at what age did {person} (retire/marry)
how hot is the {place}
"""),
    ),
    "description": (
        ("definition", "explanation", "reason"),
        phrases("""
what (is/are) {thing} | what does {word} mean | why (do/did) {animal}s (sleep/fly/migrate)
how (do/does) (you/one) (make/clean) a {item}
why is {country} (famous/called so) | what is the (origin/meaning/definition) of {word}
how does a {item} work
what causes {thing} | how did {person} (die/become rich)
what is the difference between a {item} and a {animal}
what (happened/took place) in {city} in {year} | what is {word} used for
how can i (stop/improve) {thing}
explain {thing} | why did {person} leave {city} | what was the purpose of {title}
describe {thing}
"""),
    ),
    "thing": (
        ("entity", "object", "what"),
        phrases("""
what (colour/animal/fruit/instrument/sport) is (on/in) the {item} of {country}
what (kind/type/breed) of {animal} is {person}
what (language/religion/currency) is (used/common) in {country}
what {item} does a {profession} use
what (food/drink) do {animal}s (eat/like) | what is the (best/fastest) (car/dog/computer)
which (book/film/song) made {person} famous
name a (disease/plant/food) that (starts/ends) with {letter}
what (game/sport) has {number} players
what (substance/material) is a {item} made of
what is the (favourite/national) (flower/dish/bird) of {country}
what (word/term) means {word} | what instrument does {person} play
what did {person} (invent/win/eat)
what disease is spread by the {animal} | what product did {firm} sell first
"""),
    ),
    "abbreviation": (
        ("short form", "acronym", "letters"),
        phrases("""
what does {abbr} (stand for/mean) | what is the (full form/meaning) of {abbr}
what is {abbr} short for
what is the abbreviation (of/for) {thing} | how is {thing} abbreviated
what do the letters {abbr} (stand for/mean)
{abbr} is an acronym for what | what is the short form of {thing} | expand {abbr}
what does the {abbr} in {firm} mean
"""),
    ),
    "yes or no": (
        ("yes/no", "truth", "closed"),
        phrases("""
(is/was) {person} (a {profession}/born in {city}) | (do/can) {animal}s (swim/fly/climb)
did {country} win against {country}
(is/are) there a {item} in {city} | has {person} been to {country} | does {firm} sell {item}s
can you eat {food} raw
"""),
    ),
}
_THINGS = phrases("""
gravity | the sea breeze | a leap year | inflation | photosynthesis | an eclipse | rust | jazz
the stock market | insomnia
a black hole | thunder | a prime number | the water cycle | hiccups | democracy | an embargo
a sonnet | acid rain | a haiku
""")
_EXTRA: dict[str, Filler] = {
    "firm": one_of(names.ORGANISATIONS),
    "person": person_name,
    "thing": one_of(_THINGS),
    "year": lambda r: str(r.randint(1700, 2020)),
    "abbr": lambda r: "".join(r.choice("ABCDEFGHILMNOPRSTU") for _ in range(r.randint(2, 4))),
    "place": lambda r: (
        f"{r.choice(names.PLACES)} {r.choice(CATEGORIES['building'] + CATEGORIES['landform'])}"
    ),
}


def question(kind: str, rng: random.Random) -> str:
    """One question of a kind, written with or without a question mark and a capital."""
    text = fill(rng.choice(KINDS[kind][1]), rng, _EXTRA)
    text = text[0].upper() + text[1:] if rng.random() < 0.75 else text.lower()
    return text + rng.choice((" ?", " ?", "?", ""))


def _question_kind(rng: random.Random) -> GeneratedTask:
    chosen = tuple(rng.sample(sorted(KINDS), rng.choice((2, 3, 4, 5, 6, 6, 7))))
    labels: tuple[str, ...] = chosen
    roll = rng.random()
    if roll < 0.4:
        labels = tuple(rng.choice(KINDS[k][0]) for k in chosen)
    elif roll < 0.5 and len(chosen) <= 5:
        labels = arbitrary(rng, len(chosen))
    labels = cased_labels(rng, labels)
    frame_name, frame = wrapper(rng, 0.9)

    def draw(r: random.Random) -> tuple[str, str]:
        at = r.randrange(len(chosen))
        return frame.format(question(chosen[at], r)), labels[at]

    return make(
        "question_kind",
        (len(chosen), digest(chosen, labels), frame_name),
        classify_instructions(
            rng, "kind of answer", "What kind of answer is asked for?", labels, chosen
        ),
        draw,
    )


FAMILIES: tuple[Family, ...] = (Family("question_kind", 2.0, _question_kind),)
