"""Tasks that change a sentence: copy, drop, swap, join; its tense and number; set phrases."""

from __future__ import annotations

import random
from collections.abc import Callable

from ptsys.generated.lexicon.facts import PHRASES
from ptsys.generated.lexicon.inflect import past, plural, third_person
from ptsys.generated.pools import ADJECTIVES, CATEGORIES, OBJECTS, WORDS
from ptsys.generated.surface import cased_labels, classify_instructions, wrapper
from ptsys.generated.task import Family, GeneratedTask, make

_VERBS = (
    "open",
    "carry",
    "clean",
    "repair",
    "break",
    "buy",
    "sell",
    "find",
    "lose",
    "bring",
    "hide",
    "take",
    "draw",
    "wash",
    "see",
    "make",
    "use",
    "need",
    "like",
    "want",
    "hold",
    "move",
    "paint",
)


def _clause(rng: random.Random) -> tuple[str, str, str, str]:
    """Adjective, subject, verb, object."""
    return (
        rng.choice(ADJECTIVES),
        rng.choice(CATEGORIES["profession"]),
        rng.choice(_VERBS),
        rng.choice(OBJECTS),
    )


def _text(rng: random.Random) -> str:
    adjective, subject, verb, thing = _clause(rng)
    return rng.choice(
        (
            f"the {adjective} {subject} {past(verb)} a {thing}",
            f"{' '.join(rng.sample(WORDS, 4))}",
            f"my {subject} {past(verb)} the {adjective} {thing}",
            f"{' '.join(rng.sample(WORDS, 3))}",
        )
    )


def _drop_vowels(text: str) -> str:
    return "".join(c for c in text if c not in "aeiou")


_EDITS: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "copy": (lambda s: s, ("copy", "Repeat the sentence.", "Write the same text again.")),
    "upper": (str.upper, ("uppercase", "Write the sentence in capitals.", "all caps")),
    "title": (str.title, ("title case", "Capitalize every word.", "Write it as a title.")),
    "sentence": (
        lambda s: s[0].upper() + s[1:] + ".",
        (
            "punctuate",
            "Begin with a capital and end with a full stop.",
            "Write it as a proper sentence.",
        ),
    ),
    "join dash": (
        lambda s: s.replace(" ", "-"),
        ("join with -", "Put dashes between the words.", "Replace the spaces by dashes."),
    ),
    "join underscore": (lambda s: s.replace(" ", "_"), ("snake case", "Join the words with _.")),
    "join none": (lambda s: s.replace(" ", ""), ("no spaces", "Write it without spaces.")),
    "commas": (lambda s: s.replace(" ", ", "), ("commas", "Put commas between the words.")),
    "drop vowels": (_drop_vowels, ("drop the vowels", "Remove all vowels.", "only consonants")),
    "reverse": (
        lambda s: " ".join(s.split()[::-1]),
        ("reverse the words", "Write the words from last to first."),
    ),
    "drop first": (
        lambda s: " ".join(s.split()[1:]),
        ("drop the first word", "Remove the first word."),
    ),
    "drop last": (
        lambda s: " ".join(s.split()[:-1]),
        ("drop the last word", "Remove the last word."),
    ),
    "swap two": (
        lambda s: " ".join([s.split()[1], s.split()[0], *s.split()[2:]]),
        ("swap the first two words", "Exchange the first and the second word."),
    ),
    "question mark": (lambda s: s + "?", ("add ?", "Put a question mark at the end.")),
    "twice": (lambda s: f"{s} {s}", ("twice", "Write it two times.")),
}


def _sentence_edit(rng: random.Random) -> GeneratedTask:
    kind = rng.choice(sorted(_EDITS))
    edit, instructions = _EDITS[kind]
    short = kind == "twice" or rng.random() < 0.3
    frame_name, frame = wrapper(rng)

    def draw(r: random.Random) -> tuple[str, str]:
        text = " ".join(r.sample(WORDS, 2)) if short else _text(r)
        return frame.format(text), edit(text)

    return make(
        "sentence_edit", (kind, "short" if short else "long", frame_name), instructions, draw
    )


def _word_edit(rng: random.Random) -> GeneratedTask:
    """Remove, replace or insert a named word."""
    kind = rng.choice(("remove", "replace", "mask", "where"))
    form = rng.choice(("{task}: {text}", "{text} ({task})", "{text} | {task}"))

    def draw(r: random.Random) -> tuple[str, str]:
        text = _text(r)
        tokens = text.split()
        at = r.randrange(len(tokens))
        word, new = tokens[at], r.choice(WORDS)
        if kind == "remove":
            return form.format(task=word, text=text), " ".join(t for t in tokens if t != word)
        if kind == "replace":
            changed = " ".join(new if t == word else t for t in tokens)
            return form.format(task=f"{word} -> {new}", text=text), changed
        if kind == "mask":
            changed = " ".join("_" if t == word else t for t in tokens)
            return form.format(task=new, text=changed), " ".join(
                new if t == word else t for t in tokens
            )
        return form.format(task=word, text=text), str(tokens.index(word) + 1)

    asked = {
        "remove": "Remove the named word.",
        "replace": "Replace the word as told.",
        "mask": "Put the word in place of the blank.",
        "where": "At which place is the word in the sentence?",
    }[kind]
    return make(
        "named_word_edit", (kind, form[:6]), (asked, f"{kind} word", f"{kind}: {asked}"), draw
    )


def _fill_blank(rng: random.Random) -> GeneratedTask:
    blank = rng.choice(("", " _", " ...", " ___", " [blank]"))
    first = rng.random() < 0.25
    frame_name, frame = wrapper(rng)

    def draw(r: random.Random) -> tuple[str, str]:
        start, end = r.choice(PHRASES)
        tokens = start.split()
        if first and len(tokens) > 1:
            return frame.format(f"{blank.strip() or '_'} {' '.join(tokens[1:])} {end}"), tokens[0]
        return frame.format(start + blank), end

    return make(
        "fill_blank",
        (blank, "first" if first else "last", frame_name),
        (
            "complete",
            "Complete the phrase.",
            "Which word is missing?",
            "Fill the blank.",
            "Finish the saying.",
        ),
        draw,
    )


_PRONOUN_SUBJECTS = ("she", "he", "the teacher", "my sister", "the old man")


def _timed(tense: str, r: random.Random) -> str:
    subject, verb, thing = r.choice(_PRONOUN_SUBJECTS), r.choice(_VERBS), r.choice(OBJECTS)
    form = {"past": past(verb), "present": third_person(verb), "future": f"will {verb}"}[tense]
    return f"{subject} {form} the {thing}"


def _sentence_tense(rng: random.Random) -> GeneratedTask:
    tenses = ("past", "present", "future") if rng.random() < 0.6 else ("past", "present")
    frame_name, frame = wrapper(rng)
    if rng.random() < 0.4:
        source, target = rng.sample(("past", "present", "future"), 2)

        def change(r: random.Random) -> tuple[str, str]:
            state = r.getrandbits(32)
            return (
                frame.format(_timed(source, random.Random(state))),
                _timed(target, random.Random(state)),
            )

        return make(
            "sentence_tense",
            (source, "to", target, frame_name),
            (
                f"{source} to {target}",
                f"Put the sentence into the {target} tense.",
                f"Rewrite it in the {target}.",
            ),
            change,
        )
    labels = cased_labels(
        rng,
        rng.choice(
            (tenses, ("before", "now", "later")[: len(tenses)], ("A", "B", "C")[: len(tenses)])
        ),
    )

    def draw(r: random.Random) -> tuple[str, str]:
        at = r.randrange(len(tenses))
        return frame.format(_timed(tenses[at], r)), labels[at]

    return make(
        "sentence_tense",
        ("name", *labels, frame_name),
        classify_instructions(rng, "tense", "In which tense is the sentence?", labels, tenses),
        draw,
    )


def _sentence_number(rng: random.Random) -> GeneratedTask:
    frame_name, frame = wrapper(rng)
    labels = cased_labels(rng, rng.choice((("singular", "plural"), ("one", "many"), ("1", "2"))))

    def draw(r: random.Random) -> tuple[str, str]:
        adjective, subject, verb, thing = _clause(r)
        one = r.random() < 0.5
        who = subject if one else plural(subject)
        return frame.format(f"the {adjective} {who} {past(verb)} the {thing}"), labels[
            0 if one else 1
        ]

    return make(
        "sentence_number",
        (*labels, frame_name),
        classify_instructions(
            rng, "subject", "Is the subject singular or plural?", labels, ("singular", "plural")
        ),
        draw,
    )


FAMILIES: tuple[Family, ...] = (
    Family("sentence_edit", 1.2, _sentence_edit),
    Family("named_word_edit", 0.6, _word_edit),
    Family("fill_blank", 0.3, _fill_blank),
    Family("sentence_tense", 0.5, _sentence_tense),
    Family("sentence_number", 0.3, _sentence_number),
)
