"""Tasks on the letters of one word: case, picking, counting, spelling."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Sequence

from ptsys.generated.lexicon import names
from ptsys.generated.pools import ADJECTIVES, ITEM_POOLS, NOUNS, VERBS, WORDS
from ptsys.generated.surface import casing, wrapper, yes_no
from ptsys.generated.task import Draw, Family, GeneratedTask, make

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_SINGLE = {
    "words": WORDS,
    "nouns": NOUNS,
    "verbs": VERBS,
    "adjectives": ADJECTIVES,
    "names": names.FIRST_NAMES,
    "surnames": names.SURNAMES,
    "things": ITEM_POOLS["things"],
}
_POOLS = {name: tuple(w for w in pool if w.isalpha()) for name, pool in _SINGLE.items()}
_POOL_NAMES = ("words",) * 4 + tuple(sorted(_POOLS))


def _word_task(
    rng: random.Random,
    family: str,
    variant: Sequence[object],
    instructions: Sequence[str],
    answer: Callable[[str], str],
    *,
    case: str | None = None,
) -> GeneratedTask:
    """A task from a word to an answer, with a random pool, case and wrapper."""
    pool_name = rng.choice(_POOL_NAMES)
    case_name, to_case = casing(rng) if case is None else (case, getattr(str, case))
    wrapper_name, template = wrapper(rng)
    words = _POOLS[pool_name]

    def draw(r: random.Random) -> tuple[str, str]:
        word = to_case(r.choice(words))
        return template.format(word), answer(word)

    name = (*variant, pool_name, case_name, wrapper_name)
    return make(family, name, instructions, draw)


def _shuffled(rng: random.Random, items: Sequence[str]) -> tuple[str, ...]:
    found = list(items)
    rng.shuffle(found)
    return tuple(found)


_CASES: dict[str, tuple[Callable[[str], str], str, tuple[str, ...]]] = {
    "upper": (
        str.upper,
        "lower",
        (
            "uppercase",
            "Write the word in capital letters.",
            "Turn the word into upper case.",
            "all caps",
            "Change every letter to a capital letter.",
        ),
    ),
    "title": (
        str.title,
        "lower",
        (
            "capitalize",
            "Write the word with a capital first letter.",
            "Capitalize the word.",
            "Make the first letter upper case.",
            "title case",
        ),
    ),
    "lower": (
        str.lower,
        "upper",
        (
            "lowercase",
            "Write the word in small letters.",
            "Turn the word into lower case.",
            "no capitals",
            "Change every letter to a small letter.",
        ),
    ),
    "lower title": (
        str.lower,
        "title",
        ("lowercase", "Write the name without a capital.", "Make the first letter small."),
    ),
    "swap": (
        str.swapcase,
        "title",
        (
            "swap the case",
            "Turn small letters into capitals and capitals into small letters.",
            "invert the case",
        ),
    ),
}


def _word_case(rng: random.Random) -> GeneratedTask:
    kind = rng.choice(("upper", "title", "title", "lower", "lower title", "swap"))
    answer, case, instructions = _CASES[kind]
    if kind == "title" and rng.random() < 0.3:
        template = rng.choice(("{} {}", "{} {} {}"))
        count = template.count("{}")

        def draw(r: random.Random) -> tuple[str, str]:
            text = template.format(*r.sample(WORDS, count))
            return text, text.title()

        return make(
            "word_case",
            ("title phrase", count),
            (
                "title case",
                "Write every word with a capital first letter.",
                "Capitalize each word.",
            ),
            draw,
        )
    return _word_task(rng, "word_case", (kind,), instructions, answer, case=case)


_PICKS = {"first": 0, "second": 1, "third": 2, "last": -1, "second to last": -2}
_OUT_CASES: dict[str, tuple[Callable[[str], str], str]] = {
    "same": (str, ""),
    "upper": (str.upper, " as a capital"),
    "lower": (str.lower, " in lower case"),
}


def _letter_pick(rng: random.Random) -> GeneratedTask:
    position = rng.choices(tuple(_PICKS), (4, 3, 2, 4, 1))[0]
    out = rng.choice(("same", "upper", "upper", "lower", "lower"))
    to_case, how = _OUT_CASES[out]
    index = _PICKS[position]
    instructions = _shuffled(
        rng,
        (
            f"{position} letter{how}",
            f"Give the {position} letter of the word{how}.",
            f"What is the {position} letter?{' Write it' + how + '.' if how else ''}",
            f"Write only the {position} letter{how}.",
            f"Take the {position} character{how}.",
            f"word to its {position} letter{how}",
        ),
    )
    case = {"upper": "lower", "lower": "upper"}.get(out) if rng.random() < 0.6 else None

    def answer(word: str) -> str:
        letters = word if len(word) > 2 else word * 2
        return to_case(letters[index])

    return _word_task(rng, "letter_pick", (position, out), instructions, answer, case=case)


def _letter_neighbour(rng: random.Random) -> GeneratedTask:
    step = rng.choice((1, 1, -1))
    position = rng.choice(("first", "first", "last"))
    upper = rng.random() < 0.5
    word_ = "after" if step == 1 else "before"
    how = "as a capital" if upper else "in lower case"

    def answer(word: str) -> str:
        letter = word[_PICKS[position]].lower()
        found = ALPHABET[(ALPHABET.index(letter) + step) % 26]
        return found.upper() if upper else found

    instructions = _shuffled(
        rng,
        (
            f"letter {word_} the {position} letter, {how}",
            f"Take the {position} letter of the word; give the letter {word_} it in the alphabet.",
            f"Which letter of the alphabet comes {word_} the {position} letter? Write it {how}.",
            f"{'next' if step == 1 else 'previous'} letter from the {position} letter",
        ),
    )
    return _word_task(rng, "letter_neighbour", (word_, position, upper), instructions, answer)


def _letter_count(rng: random.Random) -> GeneratedTask:
    kind = rng.choice(("length", "length", "length", "letter", "vowels", "consonants"))
    if kind == "letter":
        letter = rng.choice("aeiorstln")
        return _word_task(
            rng,
            "letter_count",
            (kind, letter),
            (
                f"count {letter}",
                f"How many times does {letter} occur in the word?",
                f"Count the letter {letter}.",
                f"number of {letter}'s",
            ),
            lambda word: str(word.lower().count(letter)),
        )
    if kind == "length":
        return _word_task(
            rng,
            "letter_count",
            (kind,),
            _shuffled(
                rng,
                (
                    "word length",
                    "How many letters does the word have?",
                    "Count the letters.",
                    "number of letters",
                    "Give the length of the word as a number.",
                ),
            ),
            lambda word: str(len(word)),
        )
    vowels = kind == "vowels"
    return _word_task(
        rng,
        "letter_count",
        (kind,),
        (f"count the {kind}", f"How many {kind} does the word have?", f"number of {kind}"),
        lambda word: str(sum((c in "aeiou") == vowels for c in word.lower())),
    )


_JOINS = {"space": " ", "dash": "-", "comma": ", ", "dot": "."}


def _spelling(rng: random.Random) -> GeneratedTask:
    kind = rng.choice(("reverse", "spell", "spell", "unspell", "sorted"))
    join_name = rng.choice(sorted(_JOINS))
    join = _JOINS[join_name]
    if kind == "unspell":
        words = _POOLS[rng.choice(_POOL_NAMES)]

        def draw(r: random.Random) -> tuple[str, str]:
            word = r.choice(words)
            return join.join(word), word

        return make(
            "spelling",
            (kind, join_name, len(words)),
            (
                "join the letters",
                "Put the letters together into a word.",
                "Write the spelled word.",
                "unspell",
            ),
            draw,
        )
    if kind == "spell":
        return _word_task(
            rng,
            "spelling",
            (kind, join_name),
            _shuffled(
                rng,
                (
                    "spell",
                    f"Spell the word with {join_name} between the letters.",
                    f"Write the letters one by one, separated by {join_name}.",
                    "letter by letter",
                ),
            ),
            lambda word: join.join(word),
        )
    if kind == "sorted":
        return _word_task(
            rng,
            "spelling",
            (kind,),
            (
                "sort the letters",
                "Write the letters of the word in alphabetical order.",
                "Put the letters in order from a to z.",
            ),
            lambda word: "".join(sorted(word.lower())),
        )
    return _word_task(
        rng,
        "spelling",
        (kind,),
        (
            "reverse",
            "Write the word backwards.",
            "Spell the word from its end.",
            "Reverse the letters.",
        ),
        lambda word: word[::-1],
    )


def _letter_test(rng: random.Random) -> GeneratedTask:
    kind = rng.choice(("contains", "contains", "starts", "ends", "vowel", "double", "longer"))
    letter = rng.choice("aeiosrtn")
    size = rng.randint(4, 7)
    yes, no = yes_no(rng)
    tests: dict[str, tuple[Callable[[str], bool], str]] = {
        "contains": (lambda w: letter in w, f"contain the letter {letter}"),
        "starts": (lambda w: w[0] in letter + "bcdp", f"start with {letter}, b, c, d or p"),
        "ends": (lambda w: w[-1] in letter + "ey", f"end with {letter}, e or y"),
        "vowel": (lambda w: w[0] in "aeiou", "start with a vowel"),
        "double": (lambda w: any(a == b for a, b in itertools.pairwise(w)), "have a double letter"),
        "longer": (lambda w: len(w) > size, f"have more than {size} letters"),
    }
    test, question = tests[kind]
    by_answer: dict[bool, list[str]] = defaultdict(list)
    for word in WORDS:
        by_answer[test(word)].append(word)
    template_name, template = wrapper(rng)

    def draw(r: random.Random) -> tuple[str, str]:
        holds = r.random() < 0.5
        return template.format(r.choice(by_answer[holds])), yes if holds else no

    instructions = (
        f"Does the word {question}? {yes} or {no}",
        f"Does it {question}?",
        f"Say {yes} if the word does {question}, else {no}.",
        f"{question}: {yes} or {no}",
    )
    return make("letter_test", (kind, letter, size, yes, template_name), instructions, draw)


def _ends(rng: random.Random) -> GeneratedTask:
    edits: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
        "drop first": (
            lambda w: w[1:],
            (
                "remove the first letter",
                "Write the word without its first letter.",
                "Cut off the first letter.",
            ),
        ),
        "drop last": (
            lambda w: w[:-1],
            (
                "remove the last letter",
                "Write the word without its last letter.",
                "Cut off the last letter.",
            ),
        ),
        "double": (lambda w: f"{w} {w}", ("repeat", "Write the word twice.", "Say it two times.")),
        "no vowels": (
            lambda w: "".join(c for c in w if c.lower() not in "aeiou") or w,
            ("drop the vowels", "Write the word without its vowels.", "only consonants"),
        ),
        "prefix": (
            lambda w: w[:3],
            ("first three letters", "Give the first three letters.", "Shorten to three letters."),
        ),
        "suffix": (
            lambda w: w[-3:],
            ("last three letters", "Give the last three letters.", "the end of the word"),
        ),
        "first and last": (
            lambda w: w[0] + w[-1],
            (
                "first and last letter",
                "Give the first and the last letter together.",
                "the two outer letters",
            ),
        ),
        "copy": (lambda w: w, ("copy", "Repeat the word.", "Write the same word.")),
        "exclaim": (
            lambda w: f"{w}!",
            ("shout", "Put an exclamation mark after the word.", "Add ! at the end."),
        ),
        "plus s": (lambda w: f"{w}s", ("add s", "Put an s after the word.", "append s")),
    }
    kind = rng.choice(sorted(edits))
    answer, instructions = edits[kind]
    return _word_task(rng, "word_edit", (kind,), instructions, answer)


_BY_ENDING: dict[str, tuple[str, ...]] = {}
for _word in WORDS:
    if len(_word) > 3:
        _BY_ENDING[_word[-3:]] = (*_BY_ENDING.get(_word[-3:], ()), _word)
_RHYMES = tuple(sorted(ending for ending, found in _BY_ENDING.items() if len(found) >= 3))


def _rhyme(rng: random.Random) -> GeneratedTask:
    count = rng.randint(2, 5)
    form = rng.choice(("{word}: {options}", "{word} ? {options}", "{word} rhymes with {options}"))

    def draw(r: random.Random) -> tuple[str, str]:
        ending = r.choice(_RHYMES)
        word, right = r.sample(_BY_ENDING[ending], 2)
        others = [w for w in r.sample(WORDS, count + 5) if w[-3:] != ending][: count - 1]
        options = [*others, right]
        r.shuffle(options)
        return form.format(word=word, options=", ".join(options)), right

    return make(
        "rhyme",
        (count, form.replace("{", "").replace("}", "")),
        (
            "rhyme",
            "Which word ends like the first one?",
            "Pick the word with the same ending.",
            "Choose the word that rhymes.",
        ),
        draw,
    )


def _letter_item(rng: random.Random) -> GeneratedTask:
    """Letter of a word chosen by position in a short phrase: two abilities in one."""
    position = rng.choice(("first", "last"))
    which = rng.choice(("each", "first", "last"))
    upper = rng.random() < 0.5
    count = rng.choice((2, 3, 4))
    index = _PICKS[position]

    def draw_with(r: random.Random) -> tuple[str, str]:
        words = r.sample(WORDS, count)
        chosen = words if which == "each" else [words[_PICKS[which]]]
        letters = "".join(word[index] for word in chosen)
        return " ".join(words), letters.upper() if upper else letters

    draw: Draw = draw_with
    how = "capital letters" if upper else "lower case"
    return make(
        "initials",
        (position, which, upper, count),
        (
            f"{position} letter of {which} word",
            f"Give the {position} letter of {which} word in {how}.",
            f"From {which} word take the {position} letter, in {how}.",
        ),
        draw,
    )


FAMILIES: tuple[Family, ...] = (
    Family("word_case", 1.5, _word_case),
    Family("letter_pick", 3.0, _letter_pick),
    Family("letter_neighbour", 1.2, _letter_neighbour),
    Family("letter_count", 1.5, _letter_count),
    Family("spelling", 2.0, _spelling),
    Family("letter_test", 1.0, _letter_test),
    Family("word_edit", 1.5, _ends),
    Family("rhyme", 0.6, _rhyme),
    Family("initials", 0.6, _letter_item),
)
