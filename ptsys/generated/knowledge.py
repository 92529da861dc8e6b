"""Tasks of everyday knowledge: opposites, synonyms, countries, animals, jobs, things."""

from __future__ import annotations

import random
from collections.abc import Callable

from ptsys.generated.lexicon import facts, names
from ptsys.generated.lexicon.adjectives import ANTONYMS, SYNONYMS
from ptsys.generated.mapping import Pairs, choice_task, first_answers, flipped, mapping_task
from ptsys.generated.pools import ADJECTIVES, WORDS
from ptsys.generated.surface import yes_no
from ptsys.generated.task import Family, GeneratedTask, make


def _both_ways(pairs: Pairs) -> tuple[tuple[str, str], ...]:
    """One answer for each word, reading each pair forward and then backward."""
    return first_answers((*pairs, *((right, left) for left, right in pairs)))


OPPOSITES: Pairs = _both_ways(ANTONYMS)
SAME: Pairs = _both_ways(tuple((group[0], word) for group in SYNONYMS for word in group[1:]))
_ALL_OPPOSITE = frozenset((*ANTONYMS, *((b, a) for a, b in ANTONYMS)))


def _relation(
    rng: random.Random,
    family: str,
    pairs: Pairs,
    word: str,
    texts: tuple[str, ...],
    frames: tuple[str, ...],
) -> GeneratedTask:
    """Say the related word, choose it among others, or judge two words."""
    kind = rng.choice(("say",) * 5 + ("choose", "judge"))
    if kind == "choose":
        return choice_task(
            rng,
            family,
            (word,),
            (
                f"choose the {word}",
                f"Which option is the {word} of the first word?",
                f"Pick the {word}.",
            ),
            pairs,
            ADJECTIVES,
        )
    if kind == "judge":
        yes, no = yes_no(rng)
        join = rng.choice((", ", " and ", " - ", " / "))
        rights = frozenset(pairs)

        def draw(r: random.Random) -> tuple[str, str]:
            left, right = r.choice(tuple(pairs))
            if r.random() < 0.5:
                return f"{left}{join}{right}", yes
            other = r.choice(WORDS)
            return f"{left}{join}{other}", yes if (left, other) in rights else no

        return make(
            family,
            (word, "judge", yes, join),
            (
                f"Are the two words {word}s? {yes} or {no}",
                f"{word}s: {yes} or {no}",
                f"Say {yes} if the words are {word}s, else {no}.",
            ),
            draw,
        )
    return mapping_task(rng, family, (word,), texts, pairs, frames=frames)


def _antonym(rng: random.Random) -> GeneratedTask:
    return _relation(
        rng,
        "antonym",
        OPPOSITES,
        "antonym",
        (
            "antonym",
            "opposite",
            "Give the opposite of the word.",
            "What is the opposite?",
            "Write a word that means the contrary.",
            "Give the antonym.",
        ),
        ("the opposite of {} is", "not {} but", "{} is the contrary of"),
    )


def _synonym(rng: random.Random) -> GeneratedTask:
    return _relation(
        rng,
        "synonym",
        SAME,
        "synonym",
        (
            "synonym",
            "same meaning",
            "Give a word with the same meaning.",
            "What is another word for it?",
            "Write a synonym.",
            "Say it with another word.",
        ),
        ("another word for {} is", "{} means", "{}, in other words"),
    )


def _country_pairs(column: int) -> Pairs:
    return tuple(
        (country, facts_[column].replace("_", " ")) for country, facts_ in names.COUNTRIES.items()
    )


_CAPITALS, _CONTINENTS, _LANGUAGES, _ADJECTIVES = (_country_pairs(n) for n in range(4))
_CAPITAL_CONTINENT = tuple((c, k) for (_, c), (_, k) in zip(_CAPITALS, _CONTINENTS, strict=True))

#: family -> kind -> (pairs, instructions, frames)
_FACTS: dict[str, dict[str, tuple[Pairs, tuple[str, ...], tuple[str, ...]]]] = {
    "country_capital": {
        "capital": (
            _CAPITALS,
            (
                "capital",
                "Give the capital of the country.",
                "country to capital",
                "Which city is its capital?",
            ),
            ("the capital of {} is",),
        ),
        "country of capital": (
            flipped(_CAPITALS),
            ("country of the capital", "Which country has this capital?", "capital to country"),
            ("{} is the capital of",),
        ),
    },
    "country_facts": {
        "continent": (
            _CONTINENTS,
            ("continent", "On which continent is the country?", "country to continent"),
            ("{} lies in",),
        ),
        "continent of capital": (
            _CAPITAL_CONTINENT,
            ("continent of the city", "On which continent is the city?"),
            ("{} lies in",),
        ),
        "language": (
            _LANGUAGES,
            ("language", "Which language is spoken there?", "country to language"),
            ("in {} they speak",),
        ),
        "nationality": (
            _ADJECTIVES,
            ("nationality", "What are the people of the country called?", "country to nationality"),
            ("someone from {} is",),
        ),
        "country of nationality": (
            flipped(_ADJECTIVES),
            ("country", "From which country?", "nationality to country"),
            ("{} people come from",),
        ),
        "currency": (
            facts.COUNTRY_CURRENCY,
            ("currency", "What is the money of the country called?", "country to currency"),
            ("in {} you pay in",),
        ),
    },
    "animal_facts": {
        "young": (
            facts.ANIMAL_YOUNG,
            ("young animal", "What is its young called?", "Name the baby of the animal."),
            ("a young {} is a",),
        ),
        "parent": (
            flipped(facts.ANIMAL_YOUNG),
            ("grown animal", "Which animal has this young?", "young to grown"),
            (),
        ),
        "sound": (
            facts.ANIMAL_SOUND,
            ("animal sound", "What sound does it make?", "How does the animal speak?"),
            ("the {} goes",),
        ),
        "animal of sound": (
            flipped(facts.ANIMAL_SOUND),
            ("animal of the sound", "Which animal makes this sound?"),
            ("what goes {}?",),
        ),
        "home": (
            facts.ANIMAL_HOME,
            ("animal home", "Where does the animal live?", "Name its home."),
            ("the {} lives in its",),
        ),
    },
    "profession_facts": {
        "tool": (
            facts.PROFESSION_TOOL,
            ("tool of the job", "Which tool does this worker use?", "job to tool"),
            ("the {} works with a",),
        ),
        "job of tool": (
            flipped(facts.PROFESSION_TOOL),
            ("job of the tool", "Who uses this tool?", "tool to job"),
            ("who needs a {}?",),
        ),
        "place": (
            facts.PROFESSION_PLACE,
            ("place of work", "Where does this person work?", "job to place"),
            ("you find a {} in the",),
        ),
        "job of place": (
            flipped(facts.PROFESSION_PLACE),
            ("who works there", "Who works in this place?", "place to job"),
            (),
        ),
    },
    "thing_facts": {
        "colour": (
            facts.THING_COLOUR,
            ("colour of the thing", "What colour is it?", "thing to colour"),
            ("the colour of {} is",),
        ),
        "material": (
            facts.THING_MATERIAL,
            ("material", "What is it made of?", "thing to material"),
            ("a {} is made of",),
        ),
        "use": (
            facts.THING_USE,
            ("use", "What do you do with it?", "thing to action"),
            ("with a {} you can",),
        ),
        "thing of use": (
            flipped(facts.THING_USE),
            ("thing for the action", "What do you use for it?"),
            ("to {} you need a",),
        ),
        "body": (facts.BODY_USE, ("body part to sense", "What is this part of the body for?"), ()),
        "maker": (
            names.PRODUCTS,
            ("maker", "Which company makes the product?", "product to company", "Who makes it?"),
            ("{} is made by",),
        ),
    },
}


def _sampler(family: str) -> Callable[[random.Random], GeneratedTask]:
    kinds = _FACTS[family]

    def sample(rng: random.Random) -> GeneratedTask:
        kind = rng.choice(sorted(kinds))
        pairs, instructions, frames = kinds[kind]
        if rng.random() < 0.2:
            answers = tuple(dict.fromkeys(right for _, right in pairs))
            if len(answers) > 5:
                return choice_task(rng, family, (kind,), instructions, pairs, answers)
        return mapping_task(
            rng,
            family,
            (kind,),
            instructions,
            pairs,
            frames=frames,
            keep_case=family.startswith("country") or kind == "maker",
        )

    return sample


FAMILIES: tuple[Family, ...] = (
    Family("antonym", 1.2, _antonym),
    Family("synonym", 1.0, _synonym),
    *(
        Family(name, weight, _sampler(name))
        for name, weight in (
            ("country_capital", 0.5),
            ("country_facts", 0.7),
            ("animal_facts", 0.4),
            ("profession_facts", 0.4),
            ("thing_facts", 0.7),
        )
    ),
)
