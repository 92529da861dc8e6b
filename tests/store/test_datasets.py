import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from ptsys.errors import Conflict, Damaged, InvalidInput, NotFound, Unavailable
from ptsys.store.database import Database
from ptsys.store.datasets import Datasets
from ptsys.types.example import Example, digest

ROWS = [Example("Größe ✓", "ja"), Example("line\u2028separator\nnew", "no")]


@pytest.fixture
def datasets(database: Database, tmp_path: Path) -> Datasets:
    return Datasets(database, tmp_path)


def test_rows_come_back_as_they_went_in(datasets: Datasets) -> None:
    made = datasets.add("reviews", "ann", ROWS, description="films")
    assert datasets.read(made.id) == ROWS
    assert (made.rows, made.digest, made.description) == (2, digest(ROWS), "films")
    assert datasets.get("reviews", "ann") == datasets.get(made.id, "ann") == made


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.builds(Example, st.text(), st.none() | st.text(min_size=1)), min_size=1, max_size=5
    )
)
def test_any_text_survives(datasets: Datasets, rows: list[Example]) -> None:
    made = datasets.add("any", "ann", rows)
    assert datasets.read(made.id) == rows
    datasets.delete("any", "ann")


def test_names_are_unique_for_each_owner_alone(datasets: Datasets) -> None:
    datasets.add("reviews", "ann", ROWS)
    datasets.add("reviews", "bob", ROWS)
    with pytest.raises(Conflict, match="choose another name"):
        datasets.add("reviews", "ann", ROWS)
    assert len(list(datasets.path("x").parent.iterdir())) == 2  # the refused one left no file


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-a", "a b", "x" * 101, "a\n"])
def test_bad_names_are_refused(datasets: Datasets, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        datasets.add(name, "ann", ROWS)
    assert caught.value.field == "name"


def test_a_private_dataset_is_not_there_for_others(datasets: Datasets) -> None:
    made = datasets.add("secret", "ann", ROWS)
    for reference in (made.id, "secret", "ann/secret"):
        with pytest.raises(NotFound):
            datasets.get(reference, "bob")
        with pytest.raises(NotFound):
            datasets.delete(reference, "bob")
    assert datasets.list("bob") == []


def test_public_and_shared_ones_are_seen_but_not_deleted(datasets: Datasets) -> None:
    public = datasets.add("public", "ann", ROWS, visibility="public")
    shared = datasets.add("shared", "ann", ROWS, visibility="shared", shared_with=["bob"])
    assert datasets.get("ann/public", "eve").id == public.id
    assert datasets.get(shared.id, "bob").shared_with == ()
    assert datasets.get("shared", "ann").shared_with == ("bob",)
    assert [dataset.name for dataset in datasets.list("bob")] == ["shared", "public"]
    assert [dataset.name for dataset in datasets.list("eve")] == ["public"]
    with pytest.raises(NotFound):
        datasets.get(shared.id, "eve")
    with pytest.raises(NotFound):
        datasets.delete(public.id, "bob")


def test_users_beside_another_visibility_are_refused(datasets: Datasets) -> None:
    with pytest.raises(InvalidInput) as caught:
        datasets.add("x", "ann", ROWS, shared_with=["bob"])
    assert caught.value.field == "shared_with"


def test_a_write_that_fails_half_way_leaves_neither_file_nor_record(datasets: Datasets) -> None:
    class Torn(Example):
        def to_json(self) -> str:
            raise RuntimeError("the disk went away")

    with pytest.raises(RuntimeError):
        datasets.add("torn", "ann", [*ROWS * 10_000, Torn("x", "y")])
    assert list(datasets.path("x").parent.iterdir()) == []
    assert datasets.list("ann") == []


def test_a_changed_file_is_noticed(datasets: Datasets) -> None:
    made = datasets.add("reviews", "ann", ROWS)
    path = datasets.path(made.id)
    path.write_text(path.read_text().replace("ja", "nein"))
    with pytest.raises(Damaged, match="changed"):
        datasets.read(made.id)
    path.write_text('{"input"')
    with pytest.raises(Damaged, match="damaged"):
        datasets.read(made.id)


def test_deleting_removes_record_and_file(datasets: Datasets) -> None:
    made = datasets.add("reviews", "ann", ROWS)
    assert datasets.delete("reviews", "ann") == made
    assert not datasets.path(made.id).exists()
    with pytest.raises(NotFound):
        datasets.read(made.id)


def test_lists_come_in_pages(datasets: Datasets) -> None:
    names = [f"d{number}" for number in range(5)]
    for name in names:
        datasets.add(name, "ann", ROWS)
    first = datasets.list("ann", limit=3)
    second = datasets.list("ann", limit=3, before=first[-1].id)
    assert [dataset.name for dataset in first + second] == names[::-1]


def test_where_nobody_knows_whether_the_record_is_there_the_file_stays(
    datasets: Datasets, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after the commit: the caller hears of an error, the record is there."""
    real = database.session

    @contextlib.contextmanager
    def cut() -> Iterator[Session]:
        with real() as session:
            yield session
        raise Unavailable("the connection was lost")

    monkeypatch.setattr(database, "session", cut)
    with pytest.raises(Unavailable):
        datasets.add("reviews", "ann", ROWS)
    assert datasets.read(datasets.get("reviews", "ann").id) == ROWS


def test_an_absent_folder_is_no_damage(datasets: Datasets, tmp_path: Path) -> None:
    """A file system that is not mounted comes back; a file that alone is gone does not."""
    made = datasets.add("reviews", "ann", ROWS)
    folder = Path(datasets.path(made.id)).parent
    away = folder.rename(folder.with_name("away"))
    with pytest.raises(Unavailable):
        datasets.read(made.id)
    away.rename(folder)
    Path(datasets.path(made.id)).unlink()
    with pytest.raises(Damaged):
        datasets.read(made.id)
