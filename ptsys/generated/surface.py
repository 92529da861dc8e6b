"""How inputs and labels look: separators, wrappers, casing, names of labels."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence

SEPARATORS: dict[str, str] = {
    "comma": ", ",
    "space": " ",
    "semicolon": "; ",
    "bar": " | ",
    "slash": " / ",
    "dash": " - ",
    "tight": ",",
    "then": " then ",
    "colon": " : ",
}
WRAPPERS: dict[str, str] = {
    "bare": "{}",
    "quoted": '"{}"',
    "word": "word: {}",
    "arrow": "{} ->",
    "input": "input: {}",
    "stop": "{}.",
    "brackets": "[{}]",
    "equals": "{} =",
    "text": "text: {}",
    "q": "Q: {} A:",
}
CASINGS: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "title": str.title,
    "upper": str.upper,
}


def separator(rng: random.Random) -> tuple[str, str]:
    """A (name, separator of list items); the comma with a space is the usual one."""
    if rng.random() < 0.5:
        return "comma", SEPARATORS["comma"]
    name = rng.choice(sorted(SEPARATORS))
    return name, SEPARATORS[name]


def wrapper(rng: random.Random, bare: float = 0.7) -> tuple[str, str]:
    """A (name, template with one `{}`) that the input stands in; mostly the input alone."""
    if rng.random() < bare:
        return "bare", "{}"
    name = rng.choice(sorted(WRAPPERS))
    return name, WRAPPERS[name]


def casing(rng: random.Random, plain: float = 0.8) -> tuple[str, Callable[[str], str]]:
    """A (name, function) that sets the case of input words; mostly lower."""
    name = "lower" if rng.random() < plain else rng.choice(sorted(CASINGS))
    return name, CASINGS[name]


def digest(*parts: object) -> str:
    """A short stable signature of what a task drew, for its name."""
    return f"{zlib.crc32(repr(parts).encode()):08x}"[:6]


YES_NO: tuple[tuple[str, str], ...] = (
    ("yes", "no"),
    ("yes", "no"),
    ("true", "false"),
    ("1", "0"),
    ("Yes", "No"),
    ("True", "False"),
    ("correct", "wrong"),
    ("right", "wrong"),
    ("y", "n"),
    ("positive", "negative"),
)
LETTERS = "ABCDEFGHIJKLMNOP"
COLOURS = ("red", "blue", "green", "yellow", "black", "white", "pink", "brown")


def yes_no(rng: random.Random) -> tuple[str, str]:
    """The two words of a yes-or-no answer."""
    return rng.choice(YES_NO)


def arbitrary(rng: random.Random, count: int) -> tuple[str, ...]:
    """Labels that say nothing of what they mean: letters, digits or colours."""
    kind = rng.randrange(4)
    if kind == 0:
        return tuple(LETTERS[:count])
    if kind == 1:
        return tuple(str(n + 1) for n in range(count))
    if kind == 2 and count <= len(COLOURS):
        return tuple(rng.sample(COLOURS, count))
    return tuple(LETTERS[:count].lower())


def cased_labels(rng: random.Random, labels: Sequence[str]) -> tuple[str, ...]:
    """The labels as they are, or (one time in four) with a capital, in capitals or with `_`."""
    style = rng.randrange(12)
    if style == 0:
        return tuple(label.upper() for label in labels)
    if style in (1, 2):
        return tuple(label[:1].upper() + label[1:] for label in labels)
    if style == 3:
        return tuple(label.replace(" ", "_") for label in labels)
    return tuple(labels)


def listed(labels: Sequence[str], joiner: str = "or") -> str:
    """`a, b or c`."""
    if len(labels) == 1:
        return labels[0]
    return f"{', '.join(labels[:-1])} {joiner} {labels[-1]}"


def classify_instructions(
    rng: random.Random, what: str, question: str, labels: Sequence[str], meanings: Sequence[str]
) -> tuple[str, ...]:
    """Phrasings of a classification; labels that differ from their meanings are explained."""
    options = listed(labels)
    plain = tuple(label.lower().replace("_", " ") for label in labels) == tuple(
        meaning.lower() for meaning in meanings
    )
    if not plain:
        key = ", ".join(f"{a} = {b}" for a, b in zip(labels, meanings, strict=True))
        key_2 = ", ".join(f"{b}: {a}" for a, b in zip(labels, meanings, strict=True))
        return (
            f"{question} {key}",
            f"Classify the {what}. {key}",
            f"{what}: {key_2}",
            f"Answer with {options}, where {key}.",
            f"Give the label of the {what}: {key_2}.",
        )
    choices = [
        f"{question} {options}?",
        f"Is the {what} {options}?",
        f"Classify the {what} as {options}.",
        f"{what}: {options}",
        f"Choose one of {', '.join(labels)} for the {what}.",
        f"Label the {what} with {options}.",
        question,
        f"{what} classification",
    ]
    rng.shuffle(choices)
    return tuple(choices)
