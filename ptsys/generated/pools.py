"""The pools of words that families draw from, built once from the lexicon."""

from __future__ import annotations

from ptsys.generated.lexicon import adjectives, names, nouns, opinions, verbs


def _union(*parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for part in parts for word in part))


VERBS = verbs.VERBS
ADJECTIVES = adjectives.ADJECTIVES
ADVERBS = adjectives.ADVERBS
CATEGORIES: dict[str, tuple[str, ...]] = {
    **nouns.CATEGORIES,
    "country": tuple(names.COUNTRIES),
    "city": names.CITIES,
    "first name": names.FIRST_NAMES,
    "surname": names.SURNAMES,
}
COMMON_CATEGORIES = nouns.CATEGORIES
CATEGORY_NOUNS = _union(*nouns.CATEGORIES.values())
COUNTABLE_NOUNS = _union(*nouns.COUNTABLE.values())
NOUNS = _union(CATEGORY_NOUNS, nouns.OTHER_NOUNS)
OBJECTS = nouns.OBJECTS
FUNCTION_WORDS = nouns.FUNCTION_WORDS
ABSTRACT = nouns.UNCOUNTABLE["abstract idea"]

#: Every single lower-case word without a space or hyphen: what letter games are played with.
WORDS: tuple[str, ...] = tuple(
    word
    for word in _union(
        NOUNS, VERBS, ADJECTIVES, ADVERBS, FUNCTION_WORDS, opinions.POSITIVE, opinions.NEGATIVE
    )
    if word.isalpha() and word.islower() and len(word) > 1
)
#: Every word and name, as list items.
ITEMS: tuple[str, ...] = _union(
    NOUNS,
    VERBS,
    ADJECTIVES,
    ADVERBS,
    FUNCTION_WORDS,
    opinions.POSITIVE,
    opinions.NEGATIVE,
    *CATEGORIES.values(),
)

#: Words of one part of speech, without those that are also of another one in these lists.
_VERB_SET, _ADJECTIVE_SET, _NOUN_SET = set(VERBS), set(ADJECTIVES), set(NOUNS)
PURE: dict[str, tuple[str, ...]] = {
    "verb": tuple(w for w in VERBS if w not in _NOUN_SET and w not in _ADJECTIVE_SET),
    "adjective": tuple(w for w in ADJECTIVES if w not in _NOUN_SET and w not in _VERB_SET),
    "noun": tuple(w for w in NOUNS if w not in _VERB_SET and w not in _ADJECTIVE_SET),
    "adverb": tuple(w for w in ADVERBS if w not in _ADJECTIVE_SET),
}
OBJECT_SET = frozenset(OBJECTS)
#: What is not a thing one can hold: qualities, acts, ideas, little words.
NOT_OBJECTS: tuple[str, ...] = tuple(
    w for w in _union(ADJECTIVES, VERBS, ABSTRACT, FUNCTION_WORDS) if w not in OBJECT_SET
)

ITEM_POOLS: dict[str, tuple[str, ...]] = {
    "mixed": ITEMS,
    "words": WORDS,
    "nouns": NOUNS,
    "verbs": VERBS,
    "adjectives": ADJECTIVES,
    "names": names.FIRST_NAMES,
    "things": OBJECTS,
    "animals": nouns.COUNTABLE["animal"],
    "cities": names.PLACES,
    "foods": nouns.COUNTABLE["fruit"] + nouns.COUNTABLE["vegetable"],
    "numbers": tuple(str(n) for n in range(100)),
    "letters": tuple("abcdefghijklmnopqrstuvwxyz"),
    "surnames": names.SURNAMES,
    "full names": tuple(
        f"{first} {names.SURNAMES[(5 * n + 3) % len(names.SURNAMES)]}"
        for n, first in enumerate(names.FIRST_NAMES)
    ),
}
