"""Generated tasks: well-formed, repeatable rows, and targets checked by a second computation."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptsys.generated import FAMILIES, WEIGHTS, GeneratedTask, sample_tasks
from ptsys.generated.lexicon.inflect import comparative, gerund, past, plural, superlative
from ptsys.generated.lexicon.intents import INTENTS
from ptsys.generated.pools import CATEGORIES, ITEMS, PURE, WORDS
from ptsys.generated.surface import SEPARATORS

SEEDS = st.integers(0, 2**32 - 1)


def _find(family: str, accept: Callable[[GeneratedTask], bool], seed: int = 0) -> GeneratedTask:
    """The first task of a family that is accepted."""
    rng = random.Random(seed)
    for _ in range(5000):
        task = FAMILIES[family](rng)
        if accept(task):
            return task
    raise AssertionError(f"no such variant of {family}")


def _rows(task: GeneratedTask, count: int = 60) -> list[tuple[str, str]]:
    return [task.draw(random.Random(seed)) for seed in range(count)]


@pytest.mark.parametrize("family", sorted(FAMILIES))
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_every_family_draws_well_formed_rows(family: str, seed: int) -> None:
    task = FAMILIES[family](random.Random(seed))
    again = FAMILIES[family](random.Random(seed))
    assert task.family == family
    assert task.name.startswith(f"{family}/")
    assert (task.name, task.instructions) == (again.name, again.instructions)
    assert 2 <= len(task.instructions) <= 8
    assert len(set(task.instructions)) == len(task.instructions)
    for text in task.instructions:
        assert text.strip() == text != ""
    for row_seed in range(4):
        row = task.draw(random.Random(row_seed))
        assert row == again.draw(random.Random(row_seed))
        for text in row:
            assert text.strip() == text != ""
            assert text.isprintable()
            assert "{" not in text
            assert len(text) <= 420
        assert len(row[0].split()) <= 60


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_task_draws_different_rows(family: str) -> None:
    rng = random.Random(3)
    assert any(len(set(_rows(FAMILIES[family](rng)))) > 5 for _ in range(5))


def test_a_mixture_has_distinct_tasks_of_every_family_and_repeats() -> None:
    tasks = sample_tasks(seed=0, count=600)
    assert len(tasks) == len({task.name for task in tasks}) == 600
    assert {task.family for task in tasks} == set(FAMILIES)
    assert [t.name for t in tasks] == [t.name for t in sample_tasks(seed=0, count=600)]
    assert [t.name for t in tasks] != [t.name for t in sample_tasks(seed=1, count=600)]
    found = Counter(task.family for task in tasks)
    assert found["intent"] > found["rhyme"]


def test_thousands_of_distinct_tasks_exist() -> None:
    names = {task.name for task in sample_tasks(seed=2, count=3000)}
    assert len(names) == 3000


def test_excluded_families_are_absent_also_inside_of_in_context_tasks() -> None:
    gone = frozenset({"intent", "antonym", "list_pick"})
    tasks = sample_tasks(seed=0, count=800, exclude=gone)
    assert not {task.family for task in tasks} & gone
    wrapped = [task.name for task in tasks if task.family == "in_context"]
    assert wrapped
    assert not [
        name
        for name in wrapped
        if name.split("/", 3)[3].startswith(tuple(f"{family}_" for family in gone))
    ]


def test_an_unknown_family_cannot_be_excluded() -> None:
    with pytest.raises(ValueError, match="no such families: nonsense"):
        sample_tasks(seed=0, count=3, exclude=frozenset({"nonsense"}))


def test_weights_are_positive_for_each_family() -> None:
    assert WEIGHTS.keys() == FAMILIES.keys()
    assert min(WEIGHTS.values()) > 0


def test_the_lexicon_is_wide() -> None:
    assert len(WORDS) >= 3000
    assert len(set(ITEMS)) == len(ITEMS)
    assert len(INTENTS) >= 60
    assert min(len(intent.ways) for intent in INTENTS) >= 8


@pytest.mark.parametrize(("position", "index"), [("first", 0), ("last", -1), ("second", 1)])
@pytest.mark.parametrize("separator", sorted(SEPARATORS))
def test_list_pick_by_position(position: str, index: int, separator: str) -> None:
    task = _find(
        "list_pick",
        lambda t: (
            t.name.startswith(f"list_pick/{position}/")
            and t.name.split("/")[-3] == separator
            and t.name.endswith("/bare")
        ),
    )
    for text, target in _rows(task):
        assert text.split(SEPARATORS[separator])[index] == target


@pytest.mark.parametrize("count", [3, 5])
def test_list_pick_middle(count: int) -> None:
    task = _find(
        "list_pick",
        lambda t: (
            t.name.startswith(f"list_pick/middle/{count}/")
            and "/comma/" in t.name
            and t.name.endswith("/bare")
        ),
    )
    for text, target in _rows(task):
        assert text.split(", ")[count // 2] == target


@pytest.mark.parametrize("order", ["first", "last"])
def test_list_alphabet(order: str) -> None:
    task = _find(
        "list_alphabet",
        lambda t: (
            t.name.startswith(f"list_alphabet/{order}/")
            and "/comma/" in t.name
            and t.name.endswith("/bare")
        ),
    )
    for text, target in _rows(task):
        ordered = sorted(text.split(", "), key=str.lower)
        assert target.lower() == ordered[0 if order == "first" else -1].lower()


@pytest.mark.parametrize(("position", "index"), [("first", 0), ("second", 1), ("last", -1)])
@pytest.mark.parametrize("case", ["upper", "lower"])
def test_letter_pick(position: str, index: int, case: str) -> None:
    task = _find(
        "letter_pick",
        lambda t: t.name.startswith(f"letter_pick/{position}/{case}/") and t.name.endswith("/bare"),
    )
    for text, target in _rows(task):
        assert target == getattr(text[index], case)()


def test_word_length_and_reversal() -> None:
    length = _find("letter_count", lambda t: "/length/" in t.name and t.name.endswith("/bare"))
    assert all(len(text) == int(target) for text, target in _rows(length))
    reverse = _find("spelling", lambda t: "/reverse/" in t.name and t.name.endswith("/bare"))
    assert all("".join(reversed(text)) == target for text, target in _rows(reverse))


@pytest.mark.parametrize(("word", "step"), [("next", 1), ("previous", -1)])
def test_sequence_of_letters_wraps(word: str, step: int) -> None:
    task = _find("sequence", lambda t: t.name == f"sequence/{word}/lett/bare")
    for text, target in _rows(task):
        assert (ord(target) - ord(text)) % 26 == step % 26


def test_arithmetic_plus() -> None:
    task = _find("arithmetic", lambda t: t.name == "arithmetic/plus/10/False/{}_+_{}/-")
    for text, target in _rows(task):
        left, sign, right = text.split()
        assert sign == "+"
        assert int(left) + int(right) == int(target)


def test_category_pick_names_the_only_item_of_the_kind() -> None:
    task = _find(
        "category_pick",
        lambda t: (
            t.name.startswith("category_pick/colour/animal/") and t.name.endswith("/comma/bare")
        ),
    )
    for text, target in _rows(task):
        assert [item for item in text.split(", ") if item in CATEGORIES["colour"]] == [target]


def test_parts_of_speech_do_not_overlap() -> None:
    for one, other in (("noun", "verb"), ("verb", "adjective"), ("noun", "adjective")):
        assert not set(PURE[one]) & set(PURE[other])


def test_entity_targets_are_in_their_sentences() -> None:
    rng = random.Random(5)
    for _ in range(60):
        task = FAMILIES["entity"](rng)
        for text, target in _rows(task, 20):
            assert target in text


def test_classification_targets_are_named_by_an_instruction() -> None:
    rng = random.Random(7)
    for family in (
        "intent",
        "topic",
        "sentiment",
        "subjectivity",
        "question_kind",
        "category_name",
    ):
        for _ in range(20):
            task = FAMILIES[family](rng)
            named = [
                text
                for text in task.instructions
                if all(target in text for _, target in _rows(task, 20))
            ]
            assert 2 * len(named) >= len(task.instructions), task


def test_intents_differ_within_one_intent() -> None:
    task = _find("intent", lambda t: t.name.startswith("intent/small_talk/"))
    by_label: dict[str, set[str]] = {}
    for text, target in _rows(task, 400):
        by_label.setdefault(target, set()).add(text)
    assert min(len(texts) for texts in by_label.values()) >= 5


def test_in_context_shows_examples_of_the_task_it_wraps() -> None:
    task = _find(
        "in_context", lambda t: t.name.startswith("in_context/2/arrow/letter_count_length")
    )
    for text, _ in _rows(task):
        assert text.endswith(" ->")
        assert text.count("->") >= 2


@pytest.mark.parametrize(
    ("form", "word", "expected"),
    [
        (plural, "box", "boxes"),
        (plural, "city", "cities"),
        (plural, "toy", "toys"),
        (plural, "tooth", "teeth"),
        (plural, "knife", "knives"),
        (past, "stop", "stopped"),
        (past, "carry", "carried"),
        (past, "bake", "baked"),
        (past, "write", "wrote"),
        (past, "play", "played"),
        (gerund, "lie", "lying"),
        (gerund, "make", "making"),
        (gerund, "run", "running"),
        (gerund, "see", "seeing"),
        (comparative, "big", "bigger"),
        (comparative, "easy", "easier"),
        (superlative, "nice", "nicest"),
        (superlative, "dry", "driest"),
    ],
)
def test_inflection(form: Callable[[str], str], word: str, expected: str) -> None:
    assert form(word) == expected
