"""What a search of the library finds, and what it never tells."""

import datetime
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from library_stores import FINGERPRINT, START, WIDTH, LibraryStores
from sqlalchemy import func, select

from ptsys.errors import InvalidInput, Unavailable
from ptsys.library.library import Library
from ptsys.library.model_index import ModelIndex
from ptsys.library.starts import library_folder
from ptsys.prompts.storage import save_tree
from ptsys.store.clock import utc_now
from ptsys.store.tables import PromptRow, PromptVectorRow
from ptsys.types.example import Example
from ptsys.types.library import DEFAULT_KIND, Filters, Found
from ptsys.types.records import Parent

AXES = np.eye(WIDTH, dtype=np.float32)


def names(found: list[Found]) -> list[str]:
    return [one.prompt.name for one in found]


def near(
    library: Library, user: str, direction: np.ndarray = AXES[0], **how: object
) -> list[Found]:
    """A search by a tensor that moved into a direction."""
    how = {"fingerprint": FINGERPRINT, "count": 100, **how}
    return library.search(START[-4:] + direction, user, **how)  # type: ignore[arg-type]


def test_results_come_nearest_first_and_without_the_query(
    stores: LibraryStores, library: Library
) -> None:
    query = stores.add("query-like", AXES[0])
    for number, turn in enumerate((0.1, 0.5, 2.0)):
        stores.add(f"p{number}", AXES[0] + turn * AXES[1])
    found = library.search(query, "ann")
    assert names(found) == ["p0", "p1", "p2"]
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(1 / np.hypot(1, 0.1), abs=1e-5)
    assert names(library.search(query, "ann", exclude=[found[0].prompt.id], count=1)) == ["p1"]


@pytest.mark.parametrize("metric", ["cosine", "l2", "dot"])
@pytest.mark.parametrize("kind", ["mean", "token", "projection"])
def test_every_metric_and_kind_finds_the_twin_first(
    stores: LibraryStores, library: Library, metric: str, kind: str
) -> None:
    for axis in range(4):
        stores.add(f"axis-{axis}", AXES[axis], length=4)
    found = near(library, "ann", AXES[2], metric=metric, kind=kind)
    assert names(found)[0] == "axis-2"
    assert len(found) == 4


def test_prompts_of_other_lengths_compare(stores: LibraryStores, library: Library) -> None:
    stores.add("long", AXES[0], length=20)
    stores.add("short", AXES[1], length=2)
    assert names(near(library, "ann", AXES[0], kind="token"))[0] == "long"
    assert names(near(library, "ann", AXES[1], kind="token"))[0] == "short"


def test_a_private_prompt_is_its_owners_alone(stores: LibraryStores, library: Library) -> None:
    secret = stores.add("secret", AXES[0], owner="ann", tags=["colour"], description="words")
    child = stores.add(
        "child",
        AXES[0],
        owner="bob",
        visibility="public",
        parents=(Parent(prompt=secret.id, role="second", similarity=0.9),),
    )
    assert sorted(names(near(library, "ann"))) == ["child", "secret"]
    for user in ("bob", "eve"):
        found = near(library, user, count=100)
        assert names(found) == ["child"]
        assert (found[0].prompt.parents == ()) == (user != "ann")
        assert secret.id not in repr(found)
        assert library.find("secret colour words", user) == []
        assert names(near(library, user, filters=Filters(owner="ann"))) == []
    [told] = [one.prompt for one in near(library, "ann") if one.prompt.id == child.id]
    assert told.parents == child.parents


def test_a_shared_prompt_is_found_by_those_it_is_shared_with(
    stores: LibraryStores, library: Library
) -> None:
    stores.add("ours", AXES[0], visibility="shared", shared_with=("bob",), description="ours")
    assert names(near(library, "bob")) == names(library.find("ours", "bob")) == ["ours"]
    assert near(library, "bob")[0].prompt.shared_with == ()
    assert near(library, "eve") == library.find("ours", "eve") == []
    stores.prompts.update("ours", "ann", shared_with=["eve"])
    assert near(library, "bob") == []
    assert names(near(library, "eve")) == ["ours"]


def test_what_is_made_private_is_gone_at_once(stores: LibraryStores, library: Library) -> None:
    stores.add("open", AXES[0], visibility="public")
    assert names(near(library, "bob")) == names(library.find("open", "bob")) == ["open"]
    stores.prompts.update("open", "ann", visibility="private")
    assert near(library, "bob") == library.find("open", "bob") == []
    assert names(near(library, "ann")) == ["open"]


def test_the_database_has_the_last_word(
    stores: LibraryStores, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even an index that learns nothing more lets nothing out, and finds others in its place."""
    for number in range(6):
        stores.add(f"p{number}", AXES[0] + number * AXES[1], visibility="public")
    assert len(near(library, "bob")) == 6
    monkeypatch.setattr(ModelIndex, "refresh", lambda _: None)
    for number in range(3):
        stores.prompts.update(f"p{number}", "ann", visibility="private")
    stores.prompts.delete("p3", "ann")
    assert names(near(library, "bob", count=2)) == ["p4", "p5"]
    assert names(near(library, "ann", count=6)) == ["p0", "p1", "p2", "p4", "p5"]


def test_the_index_itself_offers_nobody_what_is_not_theirs(
    stores: LibraryStores, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By construction: without the database's last word too."""
    asked: list[list[str]] = []
    real = ModelIndex.search

    def listening(index: ModelIndex, *given: object, **named: object) -> object:
        hits = real(index, *given, **named)  # type: ignore[arg-type]
        asked.append([hit.id for hit in hits])
        return hits

    monkeypatch.setattr(ModelIndex, "search", listening)
    own = stores.add("own", AXES[0], owner="bob")
    shown = stores.add("shown", AXES[1], visibility="shared", shared_with=("bob",))
    stores.add("hidden", AXES[0])
    stores.add("others", AXES[0], visibility="shared", shared_with=("eve",))
    near(library, "bob")
    assert sorted(asked[-1]) == sorted([own.id, shown.id])
    stores.prompts.update("shown", "ann", visibility="private")
    near(library, "bob")
    assert asked[-1] == [own.id]


def test_what_is_deleted_is_gone(stores: LibraryStores, library: Library) -> None:
    stores.add("old", AXES[0], visibility="public")
    stores.add("other", AXES[1], visibility="public")
    assert len(near(library, "bob")) == 2
    stores.prompts.delete("old", "ann")
    assert names(near(library, "bob")) == ["other"]
    assert library.find("old", "bob") == []
    stores.add("new", AXES[2], owner="eve")  # may take the freed slot, not its viewers
    assert names(near(library, "bob")) == ["other"]


def test_who_sees_few_finds_all_of_them(stores: LibraryStores, library: Library) -> None:
    for number in range(60):
        stores.add(f"hidden-{number}", AXES[0] + 0.001 * number, owner="eve")
    for number in range(5):
        stores.add(f"mine-{number}", -AXES[0] + number * AXES[2], owner="bob")
    assert sorted(names(near(library, "bob", count=5))) == [f"mine-{n}" for n in range(5)]


def test_processes_see_each_others_prompts(stores: LibraryStores) -> None:
    first, second = stores.library(), stores.library()
    assert near(first, "ann") == near(second, "ann") == []
    stores.add("one", AXES[0])
    assert names(near(first, "ann")) == names(near(second, "ann")) == ["one"]
    stores.add("two", AXES[1])
    assert names(near(second, "ann")) == ["one", "two"]
    assert names(near(first, "ann")) == ["one", "two"]


def test_a_change_that_becomes_visible_late_is_not_missed(
    stores: LibraryStores, library: Library
) -> None:
    """As one of a transaction that took some seconds, or of a clock that is behind."""
    stores.add("now", AXES[0])
    assert len(near(library, "ann")) == 1
    late = stores.add("late", AXES[1])
    with stores.database.session() as session:
        session.get_one(PromptRow, late.id).changed = utc_now() - datetime.timedelta(seconds=60)
    assert sorted(names(near(library, "ann"))) == ["late", "now"]


def test_an_audit_mends_what_was_missed(
    stores: LibraryStores, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the row of a transaction that took an hour, and one that was deleted by hand."""
    gone = stores.add("gone", AXES[0])
    library.refresh(FINGERPRINT)
    late = stores.add("late", AXES[1])
    with stores.database.session() as session:
        session.get_one(PromptRow, late.id).changed = utc_now() - datetime.timedelta(hours=1)
    assert names(near(library, "ann")) == ["gone"]
    monkeypatch.setattr("ptsys.library.model_index._AUDIT_SECONDS", 0.0)
    stores.prompts.delete(gone.id, "ann")
    library.refresh(FINGERPRINT)
    dropped: list[str] = []
    monkeypatch.setattr(ModelIndex, "drop", lambda _, ids: dropped.extend(ids))
    assert names(near(library, "ann")) == ["late"]
    assert dropped == []  # the audit had taken it out


def test_an_index_is_saved_and_a_damaged_one_made_anew(stores: LibraryStores) -> None:
    for axis in range(4):
        stores.add(f"axis-{axis}", AXES[axis])
    stores.library().refresh(FINGERPRINT)
    folder = library_folder(stores.root, FINGERPRINT) / "tokens" / DEFAULT_KIND
    files = [path for path in Path(str(folder)).rglob("*") if path.is_file()]
    assert files
    stores.prompts.delete("axis-3", "ann")
    stores.prompts.update("axis-1", "ann", visibility="public")
    after = stores.library()  # begins with what was saved, and learns what changed since
    assert sorted(names(near(after, "ann"))) == ["axis-0", "axis-1", "axis-2"]
    assert names(near(after, "bob")) == ["axis-1"]
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    rebuilt = stores.library()
    assert sorted(names(near(rebuilt, "ann"))) == ["axis-0", "axis-1", "axis-2"]
    stores.add("axis-5", AXES[5])
    rebuilt.refresh(FINGERPRINT)  # writes over the damaged one
    assert len(near(stores.library(), "ann")) == 4
    shutil.rmtree(str(folder))
    assert len(near(stores.library(), "ann")) == 4


def test_vectors_are_stored_and_go_with_their_prompt(
    stores: LibraryStores, library: Library
) -> None:
    prompt = stores.add("p", AXES[0])
    near(library, "ann")
    count = select(func.count()).select_from(PromptVectorRow)
    with stores.database.reading() as session:
        assert session.scalar(count) == 1
    shutil.rmtree(str(stores.prompts.tensor_path(prompt.id)))
    assert names(near(stores.library(), "ann")) == ["p"]  # the tensor is not needed again
    stores.prompts.delete("p", "ann")
    with stores.database.reading() as session:
        assert session.scalar(count) == 0


def test_a_prompt_that_cannot_be_read_is_left_out_and_told_once(
    stores: LibraryStores, library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    lost = stores.add("lost", AXES[0])
    stores.add("fine", AXES[1])
    shutil.rmtree(str(stores.prompts.tensor_path(lost.id)))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert names(near(library, "ann")) == ["fine"]
            stores.prompts.update("lost", "ann", visibility="public")
    assert caplog.text.count(f"prompt {lost.id} is left out") == 1


def test_only_what_began_alike_compares(stores: LibraryStores, library: Library) -> None:
    stores.add("shared", AXES[0])
    stores.add("descendant", AXES[0], initialization={"kind": "prompt", "prompt": "x"})
    stores.add("uploaded", AXES[0], initialization={})
    other = stores.add("elsewhere", AXES[0], initialization={"kind": "vocabulary"})
    written = {"kind": "meta", "meta_prompt": "generic", "aggregate": "mean"}
    stores.add("written", AXES[0], initialization=written)
    stores.add("own", AXES[0], initialization=written | {"meta_prompt": "pr-0"})
    stores.add("each", AXES[0], initialization=written | {"aggregate": "each"})
    found = {one.prompt.name: one.comparable for one in near(library, "ann")}
    assert found == {"shared": True, "descendant": True, "uploaded": False, "written": True}
    with pytest.raises(InvalidInput) as raised:
        library.search(other, "ann")
    assert raised.value.field == "prompt"


def test_prompts_made_to_search_with_are_nobodys_results(
    stores: LibraryStores, library: Library
) -> None:
    query = stores.add("query-1", AXES[0], tags=["query"], visibility="public")
    stores.add("p", AXES[1])
    assert names(library.search(query, "ann")) == names(near(library, "ann")) == ["p"]
    assert library.find("query", "ann") == []
    stores.prompts.update("p", "ann", tags=["query"])
    assert near(library, "ann") == []
    stores.prompts.update("p", "ann", tags=[])
    assert names(near(library, "ann")) == ["p"]


def test_a_task_specific_prompt_is_found_by_what_the_model_reads(
    stores: LibraryStores, library: Library
) -> None:
    """Both began where the shared start did, one behind the other."""
    settings = {"combination": "concat", "task_length": 3}
    general = stores.add("g", AXES[0], length=5, hyperparameters=settings)
    whole = np.concatenate([START[-8:-3] + AXES[0], START[-3:] + AXES[1]])
    path = stores.prompts.tensor_path(general.id)
    shutil.rmtree(str(path))
    save_tree(path, {"prompt": whole[:5]})
    task = general.model_copy(
        update={
            **{"id": stores.prompts.new_id(), "name": "g.t", "length": 3, "task": "t"},
            **{"general": general.id, "combination": "concat"},
        }
    )
    save_tree(stores.prompts.tensor_path(task.id), {"prompt": whole[5:]})
    stores.prompts.add(task)
    scores = {
        one.prompt.name: one.score
        for one in library.search(whole, "ann", fingerprint=FINGERPRINT, kind="mean")
    }
    assert scores["g.t"] == pytest.approx(1, abs=1e-5)
    scores = {one.prompt.name: one.score for one in near(library, "ann", AXES[0], kind="mean")}
    assert scores["g"] == pytest.approx(1, abs=1e-5)


def test_filters_hold_for_similarity_and_text(stores: LibraryStores, library: Library) -> None:
    stores.add(
        "good",
        AXES[0],
        visibility="public",
        tags=["nli", 'a"b', "größe"],
        licence="CC-BY-4.0",
        scores={"accuracy": 0.9},
        description="one",
    )
    stores.add("bad", AXES[0], scores={"accuracy": 0.2}, tags=["nl"], description="one")
    stores.add("odd", AXES[0], scores={"accuracy": float("nan")}, description="one")
    later = utc_now() + datetime.timedelta(days=1)
    for filters, expected in (
        (Filters(tags=("nli",)), ["good"]),
        (Filters(tags=('a"b', "größe")), ["good"]),
        (Filters(tags=("nli", "nl")), []),
        (Filters(tags=("%",)), []),
        (Filters(licence="cc-by-4.0"), ["good"]),
        (Filters(min_accuracy=0.5), ["good"]),
        (Filters(min_accuracy=0.0), ["bad", "good"]),
        (Filters(visibility="private"), ["bad", "odd"]),
        (Filters(owner="ann", model="m"), ["bad", "good", "odd"]),
        (Filters(owner="bob"), []),
        (Filters(model="other"), []),
        (Filters(created_after=later), []),
        (Filters(created_after=datetime.datetime(2020, 1, 1)), ["bad", "good", "odd"]),
    ):
        assert sorted(names(near(library, "ann", filters=filters))) == expected, filters
        assert sorted(names(library.find("one", "ann", filters=filters))) == expected, filters
    assert names(near(library, "ann", text="goo")) == ["good"]


def test_filters_that_let_many_pass_hold_too(
    stores: LibraryStores, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the nearest are found first, and filtered after."""
    monkeypatch.setattr("ptsys.library.library._FEW", 2)
    for number in range(30):
        tags = ["even"] if number % 2 == 0 else []
        stores.add(f"p{number:02}", AXES[0] + 0.1 * number * AXES[1], tags=tags)
    found = near(library, "ann", filters=Filters(tags=("even",)), count=7)
    assert names(found) == [f"p{number:02}" for number in range(0, 14, 2)]


def test_text_finds_words_by_their_number_and_place(
    stores: LibraryStores, library: Library
) -> None:
    dataset = stores.datasets.add(
        "movies", "ann", [Example("a", "b")], description="Film reviews", visibility="public"
    )
    hidden = stores.datasets.add("film-secrets", "ann", [Example("c", "d")])
    public = {"visibility": "public"}
    stores.add("film", **public)
    stores.add("a", tags=["film"], **public)
    stores.add("b", description="About FILM", **public)
    stores.add("c", dataset=dataset.id, **public)
    stores.add("d", dataset=hidden.id, **public)
    stores.add("e", description="film", task="reviews", **public)
    found = library.find("Film reviews", "bob")
    assert names(found) == ["e", "c", "film", "a", "b"]
    assert [one.dataset and one.dataset.name for one in found if one.prompt.name == "c"] == [
        "movies"
    ]
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert "d" not in names(library.find("secrets", "bob"))
    assert names(library.find("secrets", "ann")) == ["d"]
    for nothing in ("", "  ", "100%", "f_lm", "absent"):
        assert library.find(nothing, "bob") == []
    stores.add("g", description="ÜBER Größe", **public)
    assert names(library.find("über", "bob")) == ["g"]


def test_a_dataset_is_told_to_those_who_may_see_it(stores: LibraryStores, library: Library) -> None:
    dataset = stores.datasets.add("rows", "ann", [Example("a", "b")])
    stores.add("p", AXES[0], visibility="public", dataset=dataset.id)
    assert near(library, "ann")[0].dataset == dataset
    [seen] = near(library, "bob")
    assert seen.dataset is None
    assert seen.prompt.dataset is None


def test_a_model_without_a_known_start_is_told(library: Library) -> None:
    with pytest.raises(Unavailable, match="start a worker"):
        library.search(START[-4:], "ann", fingerprint="0" * 16)
    with pytest.raises(InvalidInput):
        library.search(np.zeros((4, WIDTH + 1), np.float32), "ann", fingerprint=FINGERPRINT)
