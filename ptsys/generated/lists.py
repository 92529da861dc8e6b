"""Tasks on a list of items: pick by position or order, count, sort, reverse."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from ptsys.generated.pools import ITEM_POOLS
from ptsys.generated.surface import casing, separator, wrapper
from ptsys.generated.task import Family, GeneratedTask, make

Items = Sequence[str]
_POOL_NAMES = ("mixed",) * 6 + ("words",) * 3 + tuple(sorted(ITEM_POOLS))
_SPELLED = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven"}

#: position -> (index of an item in a list of n, fewest items)
POSITIONS: dict[str, tuple[Callable[[int], int], int]] = {
    "first": (lambda n: 0, 2),
    "last": (lambda n: n - 1, 2),
    "second": (lambda n: 1, 2),
    "third": (lambda n: 2, 3),
    "fourth": (lambda n: 3, 4),
    "fifth": (lambda n: 4, 5),
    "middle": (lambda n: n // 2, 3),
    "second to last": (lambda n: n - 2, 2),
}
_POSITION_WEIGHTS = (3, 3, 2, 2, 1, 1, 3, 1)


class _Lists:
    """One random way to draw and write lists: pool, sizes, separator, case, wrapper."""

    def __init__(
        self, rng: random.Random, fewest: int = 2, sizes: Sequence[int] = (), *, words: bool = False
    ) -> None:
        choices = [n for n in (sizes or range(2, 8)) if n >= fewest]
        self.sizes = tuple(choices) if rng.random() < 0.3 else (rng.choice(choices),)
        names = [name for name in _POOL_NAMES if not (words and name in ("numbers", "letters"))]
        self.pool_name = rng.choice(names)
        self.separator_name, self.separator = separator(rng)
        self.case_name, self.case = ("as is", str) if rng.random() < 0.8 else casing(rng, 0.3)
        self.wrapper_name, self.wrapper = wrapper(rng, 0.85)
        items = [self.case(item) for item in ITEM_POOLS[self.pool_name]]
        if self.separator in (" ", " - ", ","):
            plain = [item for item in items if " " not in item and "-" not in item]
            if len(plain) > max(self.sizes):
                items = plain
            else:
                self.separator_name, self.separator = "comma", ", "
        self.items = tuple(dict.fromkeys(items))

    @property
    def variant(self) -> tuple[object, ...]:
        """The parts of the task's name that say how its lists look."""
        sizes = self.sizes[0] if len(self.sizes) == 1 else "n"
        return (sizes, self.pool_name, self.separator_name, self.case_name, self.wrapper_name)

    @property
    def size_word(self) -> str:
        """`three items`, or `the items` when their number varies."""
        return f"the {_SPELLED[self.sizes[0]]} items" if len(self.sizes) == 1 else "the items"

    def draw(self, rng: random.Random) -> list[str]:
        """Distinct items."""
        return rng.sample(self.items, rng.choice(self.sizes))

    def write(self, items: Items) -> str:
        """The list as an input."""
        return self.wrapper.format(self.separator.join(items))


def _list_pick(rng: random.Random) -> GeneratedTask:
    position = rng.choices(tuple(POSITIONS), _POSITION_WEIGHTS)[0]
    index, fewest = POSITIONS[position]
    lists = _Lists(rng, fewest, (3, 5, 7) if position == "middle" else ())

    def draw(r: random.Random) -> tuple[str, str]:
        items = lists.draw(r)
        return lists.write(items), items[index(len(items))]

    instructions = (
        f"{position} item",
        f"Give the {position} item of the list.",
        f"Pick the {position} one.",
        f"Which is the {position} of {lists.size_word}?",
        f"Copy the {position} word of the list.",
        f"Choose the {position} element.",
        f"Return the {position} entry and nothing else.",
        f"What comes {position} in the list?"
        if position in ("first", "last")
        else f"Select the {position} item in the input.",
    )
    return make("list_pick", (position, *lists.variant), instructions, draw)


_ORDERS: dict[str, tuple[Callable[[Items], str], tuple[str, ...]]] = {
    "first": (
        lambda items: min(items, key=str.lower),
        (
            "alphabetically first",
            "Which item comes first in alphabetical order?",
            "Give the item that a dictionary lists first.",
            "Pick the alphabetically first word.",
            "Sort the words from a to z and give the first.",
            "first in the alphabet",
        ),
    ),
    "last": (
        lambda items: max(items, key=str.lower),
        (
            "alphabetically last",
            "Which item comes last in alphabetical order?",
            "Give the item that a dictionary lists last.",
            "Pick the alphabetically last word.",
            "Sort the words from a to z and give the last.",
            "last in the alphabet",
        ),
    ),
}


def _list_alphabet(rng: random.Random) -> GeneratedTask:
    order = rng.choice(("first", "first", "last", "last", "sorted"))
    lists = _Lists(rng, sizes=(2, 3, 4) if order == "sorted" else (2, 3, 3, 4, 5, 5, 6), words=True)

    def draw(r: random.Random) -> tuple[str, str]:
        items = lists.draw(r)
        if order == "sorted":
            return lists.write(items), lists.separator.join(sorted(items, key=str.lower))
        return lists.write(items), _ORDERS[order][0](items)

    instructions = (
        _ORDERS[order][1]
        if order in _ORDERS
        else (
            "sort",
            "Sort the items alphabetically.",
            "Put the words in alphabetical order.",
            "alphabetical order",
            "List the items from a to z.",
        )
    )
    return make("list_alphabet", (order, *lists.variant), instructions, draw)


def _list_extreme(rng: random.Random) -> GeneratedTask:
    longest = rng.random() < 0.5
    lists = _Lists(rng, words=True)
    word = "longest" if longest else "shortest"

    def draw(r: random.Random) -> tuple[str, str]:
        for _ in range(50):
            items = lists.draw(r)
            lengths = sorted((len(item) for item in items), reverse=longest)
            if lengths[0] != lengths[1]:
                break
        return lists.write(items), (max if longest else min)(items, key=len)

    instructions = (
        f"{word} item",
        f"Which word is the {word}?",
        f"Give the {word} item of the list.",
        f"Pick the word with the {'most' if longest else 'fewest'} letters.",
        f"Return the {word} of {lists.size_word}.",
    )
    return make("list_extreme", (word, *lists.variant), instructions, draw)


_EDITS: dict[str, tuple[Callable[[Items], Items], tuple[str, ...]]] = {
    "reverse": (
        lambda items: items[::-1],
        (
            "reverse the list",
            "Write the items in reverse order.",
            "List the items from last to first.",
            "Turn the order of the list around.",
            "backwards",
        ),
    ),
    "rest": (
        lambda items: items[1:],
        (
            "all but the first",
            "Remove the first item.",
            "Give the list without its first item.",
            "Drop the first element.",
            "rest of the list",
        ),
    ),
    "start": (
        lambda items: items[:-1],
        (
            "all but the last",
            "Remove the last item.",
            "Give the list without its last item.",
            "Drop the last element.",
        ),
    ),
    "swap": (
        lambda items: [items[-1], *items[1:-1], items[0]],
        (
            "swap first and last",
            "Swap the first and the last item.",
            "Exchange the two ends of the list.",
        ),
    ),
    "ends": (
        lambda items: [items[0], items[-1]],
        ("first and last", "Give the first and the last item.", "Keep only the two ends."),
    ),
    "rotate": (
        lambda items: [*items[1:], items[0]],
        ("rotate", "Move the first item to the end.", "Put the first item last."),
    ),
    "copy": (
        lambda items: items,
        ("copy", "Repeat the list as it is.", "Write the same list again.", "Copy the items."),
    ),
}


def _list_edit(rng: random.Random) -> GeneratedTask:
    kind = rng.choice(sorted(_EDITS))
    edit, instructions = _EDITS[kind]
    lists = _Lists(rng, sizes=(2, 3, 4, 5))
    return make(
        "list_edit",
        (kind, *lists.variant),
        instructions,
        lambda r: (lists.write(items := lists.draw(r)), lists.separator.join(edit(items))),
    )


def _list_count(rng: random.Random) -> GeneratedTask:
    lists = _Lists(rng)
    lists.sizes = tuple(range(1, 8))
    spelled = rng.random() < 0.4
    numbers = {1: "one", **_SPELLED}

    def draw(r: random.Random) -> tuple[str, str]:
        items = lists.draw(r)
        return lists.write(items), numbers[len(items)] if spelled else str(len(items))

    form = "Answer in words." if spelled else "Answer with a digit."
    instructions = (
        "count the items",
        f"How many items are in the list? {form}",
        "Count the words.",
        f"Give the number of items. {form}",
        "length of the list",
    )
    return make(
        "list_count", ("words" if spelled else "digits", *lists.variant), instructions, draw
    )


def _list_duplicate(rng: random.Random) -> GeneratedTask:
    lists = _Lists(rng, fewest=2, sizes=(2, 3, 4, 5))
    dedupe = rng.random() < 0.4

    def draw(r: random.Random) -> tuple[str, str]:
        items = lists.draw(r)
        twice = r.choice(items)
        at = r.randrange(len(items) + 1)
        written = lists.write([*items[:at], twice, *items[at:]])
        if not dedupe:
            return written, twice
        kept = dict.fromkeys([*items[:at], twice, *items[at:]])
        return written, lists.separator.join(kept)

    instructions = (
        (
            "remove duplicates",
            "Write each item once.",
            "List the distinct items.",
            "Delete the repeated item.",
        )
        if dedupe
        else (
            "duplicate",
            "Which item appears twice?",
            "Find the repeated word.",
            "Give the item that occurs more than once.",
        )
    )
    return make(
        "list_duplicate", ("dedupe" if dedupe else "find", *lists.variant), instructions, draw
    )


def _list_neighbour(rng: random.Random) -> GeneratedTask:
    step = rng.choice((1, -1))
    lists = _Lists(rng, fewest=3)
    word = "after" if step == 1 else "before"
    form = rng.choice(("{list} ; {item}", "{item} in {list}", "{word} {item}: {list}"))

    def draw(r: random.Random) -> tuple[str, str]:
        items = lists.draw(r)
        at = r.randrange(len(items) - 1) + (0 if step == 1 else 1)
        text = form.format(list=lists.write(items), item=items[at], word=word)
        return text, items[at + step]

    instructions = (
        f"item {word}",
        f"Which item stands right {word} the named one?",
        f"Give the neighbour {word} the given item.",
        f"What comes {word} it in the list?",
    )
    return make("list_neighbour", (word, form[:6], *lists.variant), instructions, draw)


FAMILIES: tuple[Family, ...] = (
    Family("list_pick", 4.0, _list_pick),
    Family("list_alphabet", 2.5, _list_alphabet),
    Family("list_extreme", 1.0, _list_extreme),
    Family("list_edit", 1.5, _list_edit),
    Family("list_count", 0.7, _list_count),
    Family("list_duplicate", 0.7, _list_duplicate),
    Family("list_neighbour", 1.0, _list_neighbour),
)
