"""What makes a prompt useful, and that what one may not see adds nothing to it."""

import itertools
import math

import pytest
from library_stores import LibraryStores
from sqlalchemy import event

from ptsys.library.utility import PASSED_ON, POINTS, Rankings, worths
from ptsys.store.prompt_lineage import Member, Tie
from ptsys.types.library import Filters
from ptsys.types.ranking import RankedPrompt
from ptsys.types.records import Parent, ParentRole, Prompt

ALL = Filters()


def member(name: str, requests: int = 0, after: float | None = None, plain: float | None = None):
    return Member(name, "ann", requests, after, plain)


def tie(parent: str, child: str, role: str = "second", weight: float | None = None) -> Tie:
    return Tie(parent, child, role, weight)


def family(*members: Member) -> dict[str, Member]:
    return {one.id: one for one in members}


def test_uses_alone_count_by_doubling() -> None:
    found = worths(family(member("a", 7), member("b")), [])
    assert (found["a"].utility, found["b"].utility) == (3.0, 0.0)


def test_a_childs_gain_is_shared_by_weight_and_passed_on_halved() -> None:
    members = family(
        member("root"), member("a"), member("b"), member("c", 0, 0.8, 0.5), member("d", 0, 0.9, 0.7)
    )
    ties = [
        tie("root", "a"),
        tie("a", "c", weight=0.75),
        tie("b", "c", weight=0.25),
        tie("c", "d", "start"),
    ]
    found = worths(members, ties)
    below = 30 + PASSED_ON * 20
    assert found["c"].gained == pytest.approx(20)
    assert found["a"].gained == pytest.approx(0.75 * below)
    assert found["b"].gained == pytest.approx(0.25 * below)
    assert found["root"].gained == pytest.approx(PASSED_ON * 0.75 * below)
    assert found["a"].utility == pytest.approx(math.log2(2) + 0.75 * below / POINTS)


def test_all_shares_of_a_child_are_at_most_the_whole() -> None:
    members = family(member("a"), member("b"), member("c", 0, 1.0, 0.0))
    ties = [tie(one, "c", role, 1.0) for one in "ab" for role in ("start", "second")]
    found = worths(members, ties)
    assert found["a"].gained == found["b"].gained == pytest.approx(50)
    assert found["a"].made == 1  # in two roles


@pytest.mark.parametrize(
    ("child", "gained"),
    [
        (member("c", 0, 0.4, 0.6), 0),  # a loss
        (member("c", 0, 0.6, None), 40),  # against what was searched with
        (member("c", 0, None, 0.1), 0),
    ],
)
def test_what_counts_as_a_gain(child: Member, gained: float) -> None:
    members = family(member("q", 0, 0.2), member("a"), child)
    found = worths(members, [tie("q", "c", "query"), tie("a", "c")])
    assert found["a"].gained == pytest.approx(gained)
    assert (found["q"].made, found["q"].gained) == (0, 0)  # nothing was built on the query


def test_without_anything_to_compare_with_nothing_is_gained() -> None:
    found = worths(family(member("a"), member("c", 0, 0.9)), [tie("a", "c")])
    assert (found["a"].made, found["a"].gained) == (1, 0)


def test_a_long_chain_is_counted_without_recursion() -> None:
    names = [f"p{number:05}" for number in range(3000)]
    members = {name: member(name, 0, 0.6, 0.5) for name in names}
    found = worths(members, [tie(a, b) for a, b in itertools.pairwise(names)])
    assert found[names[0]].gained == pytest.approx(10 / (1 - PASSED_ON))


# ---- rankings, from the database --------------------------------------------------------------


def child(
    stores: LibraryStores,
    name: str,
    *parents: Prompt,
    role: ParentRole = "second",
    **fields: object,
) -> Prompt:
    ties = tuple(Parent(prompt=one.id, role=role) for one in parents)
    scores = {"accuracy": 0.9, "plain_accuracy": 0.5}
    return stores.add(name, owner="bob", parents=ties, scores=scores, **fields)


def ranked(stores: LibraryStores, user: str, **filters: object) -> dict[str, RankedPrompt]:
    found = Rankings(stores.database).prompts(user, filters=Filters(**filters), count=100)
    return {one.prompt.name: one for one in found}


def test_the_most_useful_comes_first(stores: LibraryStores) -> None:
    much_used = stores.add("much-used", visibility="public")
    built_on = stores.add("built-on", visibility="public")
    stores.add("idle", visibility="public")
    stores.prompts.count_uses({much_used.id: 15})
    child(stores, "child", built_on, visibility="public")
    found = ranked(stores, "eve")
    assert list(found) == ["built-on", "much-used", "child", "idle"]
    assert found["built-on"].utility == pytest.approx(1 + 40 / POINTS)
    assert found["much-used"].utility == 4
    assert [one.prompt.uses for one in found.values()] == [one.uses for one in found.values()]
    [best] = Rankings(stores.database).prompts("eve", filters=ALL, count=1)
    assert best.prompt.name == "built-on"
    first, second = Rankings(stores.database).submitters("eve", filters=ALL, count=10)
    assert (first.submitter, first.prompts, first.uses, first.made) == ("ann", 3, 16, 1)
    assert first.utility == pytest.approx(math.log2(17) + 40 / POINTS)
    assert (second.submitter, second.utility) == ("bob", 0)


def test_what_is_hidden_changes_nothing_that_is_told(stores: LibraryStores) -> None:
    """The whole answer to eve is the same with and without bob's private prompts."""
    parent = stores.add("parent", visibility="public")
    other = stores.add("other", visibility="public")
    child(stores, "shown", parent, visibility="public")
    rankings = Rankings(stores.database)

    def told(user: str) -> tuple[object, ...]:
        return (
            rankings.prompts(user, filters=ALL, count=100),
            rankings.submitters(user, filters=ALL, count=100),
            stores.prompts.get(parent.id, user),
            stores.prompts.list(user),
        )

    before, of_bob = told("eve"), told("bob")
    hidden = child(stores, "hidden", parent, other)
    stores.prompts.count_uses({hidden.id: 100})
    below = child(stores, "below", hidden, parent, visibility="public")
    after_public = told("eve")
    assert told("bob") != of_bob
    assert hidden.id not in repr(after_public)
    stores.prompts.delete("below", "bob")
    assert told("eve") == before
    secret = stores.add("secret", owner="cas", scores={"accuracy": 0.1})
    child(stores, "below", secret, role="query", visibility="public", id=below.id)
    assert ranked(stores, "eve")["below"].prompt.parents == ()


def test_a_query_that_is_hidden_is_no_measure(stores: LibraryStores) -> None:
    """Else a gain would tell the score of a prompt that is somebody's alone."""
    secret = stores.add("secret", owner="bob", scores={"accuracy": 0.123})
    shown = stores.add("shown", visibility="public")
    stores.add(
        "made",
        owner="bob",
        visibility="public",
        scores={"accuracy": 0.9},
        parents=(
            Parent(prompt=secret.id, role="query"),
            Parent(prompt=shown.id, role="second", weight=1.0),
        ),
    )
    assert ranked(stores, "eve")["shown"].gained == 0
    assert ranked(stores, "bob")["shown"].gained == pytest.approx(77.7)


def test_queries_and_other_models_are_not_ranked(stores: LibraryStores) -> None:
    stores.add("query-1", tags=["query"])
    stores.add("elsewhere", model="other")
    stores.add("here")
    assert list(ranked(stores, "ann", model="m")) == ["here"]
    [only] = Rankings(stores.database).submitters("ann", filters=Filters(model="m"), count=9)
    assert only.prompts == 1


def test_uses_count_a_child_once_whatever_its_roles(stores: LibraryStores) -> None:
    parent = stores.add("parent")
    roles = [Parent(prompt=parent.id, role=role) for role in ("query", "start", "second")]
    stores.add("child", parents=tuple(roles))
    assert stores.prompts.get("parent", "ann").uses == 1
    assert stores.prompts.read(parent.id).uses == 1
    stores.prompts.delete("child", "ann")
    assert stores.prompts.get("parent", "ann").uses == 0


def test_a_ranking_takes_few_queries_however_many_prompts(stores: LibraryStores) -> None:
    counts = []
    for size in (3, 30):
        for number in range(size):
            stores.add(f"p{size}-{number}")
        asked: list[str] = []
        engine = stores.database.engine

        def note(*arguments: object, asked: list[str] = asked) -> None:
            asked.append(str(arguments[2]))

        event.listen(engine, "before_cursor_execute", note)
        Rankings(stores.database).prompts("ann", filters=ALL, count=50)
        event.remove(engine, "before_cursor_execute", note)
        counts.append(len(asked))
    assert counts[0] == counts[1]
