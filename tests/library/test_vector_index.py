"""The index against an independent reference, exactly and through ScaNN."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from numpy.typing import NDArray

from ptsys.errors import InvalidInput, NotFound
from ptsys.library import approximate, exact, index, scann_loading
from ptsys.library.index import VectorIndex
from ptsys.library.ranking import Hit
from ptsys.types.metric import Metric

METRICS: tuple[Metric, ...] = ("cosine", "l2", "dot")


def reference(
    vectors: dict[str, NDArray[np.float32]], query: NDArray[np.float32], metric: Metric
) -> list[tuple[str, float]]:
    """Every id with its score in float64, best first, equal ones by id."""
    found = []
    q = query.astype(np.float64)
    for one, vector in vectors.items():
        x = vector.astype(np.float64)
        if metric == "cosine":
            lengths = np.sqrt((q @ q) * (x @ x))
            score = float(q @ x / lengths) if lengths else 0.0
        else:
            score = float(q @ x) if metric == "dot" else -float((q - x) @ (q - x))
        found.append((one, score))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def agrees(
    hits: list[Hit],
    vectors: dict[str, NDArray[np.float32]],
    query: NDArray[np.float32],
    count: int,
    metric: Metric,
) -> None:
    """The hits are the reference's best, up to what float32 cannot tell apart."""
    best = reference(vectors, query, metric)
    assert len(hits) == min(count, len(vectors))
    assert len({hit.id for hit in hits}) == len(hits)
    scores = dict(best)
    scale = 1 + max((abs(score) for score in scores.values()), default=0)
    for hit, (_, score) in zip(hits, best, strict=False):
        assert hit.score == pytest.approx(scores[hit.id], abs=2e-6 * scale)
        assert hit.score == pytest.approx(score, abs=2e-6 * scale)
    assert hits == sorted(hits, key=lambda hit: (-hit.score, hit.id))


def clustered(count: int, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    """Fifty tight clusters of unlike lengths."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(1).standard_normal((50, dimension))
    found = centres[random.integers(50, size=count)]
    found = found + 0.3 * random.standard_normal((count, dimension))
    return (found * random.lognormal(0, 0.2, (count, 1))).astype(np.float32)


def filled(vectors: NDArray[np.float32], **options: int) -> VectorIndex:
    found = VectorIndex(vectors.shape[1], **options)
    found.upsert([f"p{i:05d}" for i in range(len(vectors))], vectors)
    return found


# ---- exact --------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("count", [1, 10, 300])
def test_exact_search_equals_the_reference(metric: Metric, count: int) -> None:
    vectors = clustered(exact.ROWS_AT_ONCE + 1000, 8)  # more than a block, and a torn group
    found = filled(vectors, exact_below=10**6)
    queries = clustered(3, 8, seed=2)
    by_id = {f"p{i:05d}": vector for i, vector in enumerate(vectors)}
    for query, hits in zip(queries, found.search(queries, count, metric), strict=True):
        agrees(hits, by_id, query, count, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_vectors_come_by_id_wherever_they_lie(metric: Metric) -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((3000, 33)).astype(np.float32)
    vectors[::7] = 3 * vectors[0]
    ids = [f"{i:04d}" for i in random.permutation(3000)]
    found = VectorIndex(33)
    found.upsert(ids, vectors)
    [hits] = found.search(vectors[:1] * 3, 20, metric)
    assert [hit.id for hit in hits] == sorted(ids[::7])[:20]


def test_a_zero_vector_is_unlike_everything_by_cosine() -> None:
    found = VectorIndex(2)
    found.upsert(["zero", "with", "against"], np.array([[0, 0], [1, 1], [-1, -1]], np.float32))
    [hits] = found.search(np.array([[2, 2]], np.float32), 3)
    assert [(hit.id, round(hit.score, 6)) for hit in hits] == [
        ("with", 1),
        ("zero", 0),
        ("against", -1),
    ]
    [hits] = found.search(np.zeros((1, 2), np.float32), 3)
    assert [hit.score for hit in hits] == [0, 0, 0]


@pytest.mark.parametrize(
    "bad",
    [
        np.array([[0, np.nan]]),
        np.array([[np.inf, 0]]),
        np.array([[1e30, 0]]),
        np.zeros((1, 3)),
        np.zeros(2),
        [["a", "b"]],
    ],
)
def test_bad_vectors_are_refused_and_change_nothing(bad: NDArray[np.float32]) -> None:
    found = VectorIndex(2)
    found.upsert(["a"], np.ones((1, 2), np.float32))
    with pytest.raises(InvalidInput) as caught:
        found.upsert(["b"], bad)
    assert caught.value.field == "vectors"
    with pytest.raises(InvalidInput) as caught:
        found.search(bad, 1)
    assert caught.value.field == "queries"
    assert len(found) == 1


def test_other_bad_arguments_name_their_field() -> None:
    found = filled(clustered(10, 2))
    one = np.ones((1, 2), np.float32)
    for field, call in {
        "ids": lambda: found.upsert(["a", "a"], np.ones((2, 2), np.float32)),
        "count": lambda: found.search(one, 0),
        "metric": lambda: found.search(one, 1, "cos"),  # type: ignore[arg-type]
        "allowed": lambda: found.search(one, 1, allowed=np.ones(10**6, np.bool_)),
        "dimension": lambda: VectorIndex(0),
    }.items():
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == field
    with pytest.raises(InvalidInput):
        found.search(one, 1, allowed=np.zeros(3, np.int64))  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        found.vectors_of(["p00000", "nobody"])


# ---- any order of writes and searches -----------------------------------------------------------

IDS = st.sampled_from([f"id{i}" for i in range(40)])
SEEDS = st.integers(0, 2**32 - 1)


class Changes(RuleBasedStateMachine):
    """Writes in any order; exact searches equal the reference, masked or not."""

    def __init__(self) -> None:
        super().__init__()
        self.index = VectorIndex(5)
        self.vectors: dict[str, NDArray[np.float32]] = {}
        self.slots: dict[str, int] = {}

    @rule(ids=st.lists(IDS, unique=True, max_size=12), seed=SEEDS)
    def upsert(self, ids: list[str], seed: int) -> None:
        random = np.random.default_rng(seed)
        vectors = random.integers(-2, 3, (len(ids), 5)).astype(np.float32)  # equals are common
        slots = self.index.upsert(ids, vectors)
        for one, slot, vector in zip(ids, slots.tolist(), vectors, strict=True):
            assert self.slots.setdefault(one, slot) == slot
            self.vectors[one] = vector

    @rule(ids=st.lists(IDS, max_size=12))
    def delete(self, ids: list[str]) -> None:
        self.index.delete(ids)
        for one in ids:
            self.vectors.pop(one, None)
            self.slots.pop(one, None)

    @rule(
        seed=SEEDS, count=st.integers(1, 50), metric=st.sampled_from(METRICS), masked=st.booleans()
    )
    def search(self, seed: int, count: int, metric: Metric, masked: bool) -> None:
        random = np.random.default_rng(seed)
        queries = random.standard_normal((2, 5)).astype(np.float32)
        allowed = random.random(self.index.capacity) < 0.4 if masked else None
        seen = {
            one: vector
            for one, vector in self.vectors.items()
            if allowed is None or allowed[self.slots[one]]
        }
        found = self.index.search(queries, count, metric, allowed=allowed)
        for query, hits in zip(queries, found, strict=True):
            agrees(hits, seen, query, count, metric)

    @invariant()
    def slots_belong_to_one_id_each(self) -> None:
        assert len(self.index) == len(self.vectors)
        ids = list(self.vectors)
        assert self.index.slots([*ids, "nobody"]).tolist() == [*(self.slots[i] for i in ids), -1]
        assert len(set(self.slots.values())) == len(self.slots)
        assert all(self.index.id_at(slot) == one for one, slot in self.slots.items())
        assert self.index.capacity <= 64  # freed slots are used again
        if ids:
            wanted = np.stack([self.vectors[one] for one in ids])
            assert np.array_equal(self.index.vectors_of(ids), wanted)


def test_any_changes_leave_what_the_reference_finds() -> None:
    run_state_machine_as_test(
        Changes,
        settings=hypothesis_settings(max_examples=40, stateful_step_count=25, deadline=None),
    )


# ---- files --------------------------------------------------------------------------------------


def test_what_was_saved_is_loaded_with_its_slots(tmp_path: Path) -> None:
    saved = filled(clustered(200, 6))
    saved.delete([f"p{i:05d}" for i in range(0, 200, 3)])
    saved.upsert(["später\nam Tag"], np.ones((1, 6), np.float32))
    saved.save(tmp_path / "index")
    loaded = VectorIndex.load(tmp_path / "index")
    ids = [one for slot in range(saved.capacity) if (one := saved.id_at(slot))]
    assert len(loaded) == len(ids) == len(saved)
    assert loaded.capacity == saved.capacity
    assert np.array_equal(loaded.slots(ids), saved.slots(ids))
    assert np.array_equal(loaded.vectors_of(ids), saved.vectors_of(ids))
    query = clustered(1, 6, seed=3)
    assert loaded.search(query, 20) == saved.search(query, 20)
    free = {slot for slot in range(200) if loaded.id_at(slot) is None}
    assert int(loaded.upsert(["new"], np.ones((1, 6), np.float32))[0]) in free


def test_an_empty_index_comes_back(tmp_path: Path) -> None:
    VectorIndex(4).save(tmp_path)
    loaded = VectorIndex.load(tmp_path)
    assert (len(loaded), loaded.dimension) == (0, 4)
    assert loaded.search(np.ones((2, 4), np.float32), 3) == [[], []]


def test_damage_anywhere_is_told(tmp_path: Path) -> None:
    filled(clustered(20, 3)).save(tmp_path)
    [file] = tmp_path.iterdir()
    whole = file.read_bytes()
    random = np.random.default_rng(0)
    damaged = [whole[:size] for size in (0, 5, 100, len(whole) - 1)]
    for place in random.integers(0, len(whole), 60).tolist():
        damaged.append(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
    damaged.append(np.random.default_rng(0).bytes(500))
    for content in damaged:
        file.write_bytes(content)
        with pytest.raises(InvalidInput) as caught:
            VectorIndex.load(tmp_path)
        assert caught.value.field == "folder"
    with pytest.raises(InvalidInput):
        VectorIndex.load(tmp_path / "nothing")


def test_a_save_that_fails_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(clustered(20, 3)).save(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(type(index.epath.Path(tmp_path)), "replace", _no_space)
        with pytest.raises(OSError, match="no space"):
            filled(clustered(50, 3)).save(tmp_path)
    assert len(VectorIndex.load(tmp_path)) == 20
    assert len(list(tmp_path.iterdir())) == 1


def _no_space(*_: object) -> None:
    raise OSError("no space")


# ---- through ScaNN ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    return clustered(20_000, 32)


@pytest.fixture(scope="module", params=METRICS)
def large(request: pytest.FixtureRequest, vectors: NDArray[np.float32]) -> VectorIndex:
    """Twenty thousand vectors and a searcher of one metric, named by `large.metric`."""
    found = filled(vectors, exact_below=500)
    assert found.prepare(request.param)
    found.metric = request.param  # type: ignore[attr-defined]
    return found


def recall(found: list[list[Hit]], right: list[list[Hit]]) -> float:
    shared = [len({h.id for h in a} & {h.id for h in b}) for a, b in zip(found, right, strict=True)]
    return sum(shared) / sum(map(len, right))


def exactly(
    large: VectorIndex, queries: NDArray[np.float32], count: int, metric: Metric, **options: object
) -> list[list[Hit]]:
    large.exact_below = 10**9
    try:
        return large.search(queries, count, metric, **options)  # type: ignore[arg-type]
    finally:
        large.exact_below = 500


def test_recall_on_clusters_survives_changes(large: VectorIndex) -> None:
    metric: Metric = large.metric  # type: ignore[attr-defined]
    queries = clustered(200, 32, seed=4)
    approximately = large.search(queries, 10, metric)
    assert recall(approximately, exactly(large, queries, 10, metric)) > 0.9
    alone = [large.search(query[None], 10, metric)[0] for query in queries[:20]]
    assert recall(alone, approximately[:20]) > 0.95  # batches may differ in what they prune

    gone = [f"p{i:05d}" for i in range(0, 4000, 2)]
    large.delete(gone)
    large.upsert([f"p{i:05d}" for i in range(4001, 5001)], clustered(1000, 32, seed=5))
    large.upsert([f"new{i}" for i in range(2500)], clustered(2500, 32, seed=6))
    found = large.search(queries, 10, metric)
    assert recall(found, exactly(large, queries, 10, metric)) > 0.9
    assert not {hit.id for hits in found for hit in hits} & set(gone)
    assert any(hit.id.startswith("new") for hits in found for hit in hits)


@pytest.mark.parametrize("share", [0.002, 0.3, 0.9])
@pytest.mark.parametrize("count", [10, 40])
def test_only_what_is_allowed_comes_and_enough_of_it(
    large: VectorIndex, share: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "VISIBLE_EXACT", 50)  # so that most shares go through ScaNN
    metric: Metric = large.metric  # type: ignore[attr-defined]
    allowed = np.random.default_rng(7).random(large.capacity) < share
    queries = clustered(50, 32, seed=8)
    found = large.search(queries, count, metric, allowed=allowed)
    right = exactly(large, queries, count, metric, allowed=allowed)
    for hits in found:
        ids = [hit.id for hit in hits]
        assert len(set(ids)) == len(ids)
        assert allowed[large.slots(ids)].all()
    assert [len(hits) for hits in found] == [len(hits) for hits in right]
    assert recall(found, right) > 0.9
    for hits, best in zip(found, right, strict=True):  # scored alike, however they were found
        scores = dict(best)
        assert all(scores.get(hit.id, hit.score) == hit.score for hit in hits)


def test_who_sees_only_far_away_things_gets_them_all(
    large: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "VISIBLE_EXACT", 0)
    metric: Metric = large.metric  # type: ignore[attr-defined]
    query = clustered(1, 32, seed=9)
    everything = exactly(large, query, len(large), metric)[0]
    worst = [hit.id for hit in everything[-12:]]
    allowed = np.zeros(large.capacity, np.bool_)
    allowed[large.slots(worst)] = True
    [hits] = large.search(query, 10, metric, allowed=allowed)
    assert [hit.id for hit in hits] == worst[:10]


def test_many_equal_vectors_come_by_id_through_scann() -> None:
    vectors = clustered(3000, 16)
    vectors[1000:1100] = vectors[1000]
    found = filled(vectors, exact_below=500)
    assert found.prepare("l2")
    [hits] = found.search(vectors[1000:1001], 10, "l2")
    assert hits == [Hit(f"p{i:05d}", 0.0) for i in range(1000, 1010)]


@pytest.mark.parametrize("metric", METRICS)
def test_vectors_that_are_all_equal_or_zero_are_found(metric: Metric) -> None:
    for value in (0, 1):
        found = filled(np.full((600, 4), value, np.float32), exact_below=500)
        found.prepare(metric)
        [hits] = found.search(np.ones((1, 4), np.float32), 5, metric)
        assert [hit.id for hit in hits] == [f"p{i:05d}" for i in range(5)]


def test_searches_beside_writes_never_see_what_was_deleted_before() -> None:
    found = filled(clustered(2000, 16), exact_below=500)
    assert found.prepare("cosine")
    queries = clustered(8, 16, seed=1)
    gone: set[str] = set()
    stop = threading.Event()
    wrong: list[object] = []

    def look() -> None:
        while not stop.is_set():
            before = set(gone)
            try:
                hits = [hit.id for some in found.search(queries, 10) for hit in some]
            except BaseException as error:
                wrong.append(error)
                return
            wrong.extend(set(hits) & before)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(40):  # all are changed, so the searcher is built anew meanwhile
        ids = [f"p{i:05d}" for i in range(turn * 50, turn * 50 + 50)]
        found.delete(ids)
        gone.update(ids)
        found.upsert([f"n{turn}-{i}" for i in range(60)], clustered(60, 16, seed=turn))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert found.prepare("cosine")
    right = exactly(found, queries, 10, "cosine")
    assert recall(found.search(queries, 10), right) > 0.9


def test_what_changes_while_a_searcher_is_built_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = filled(clustered(1000, 16), exact_below=500)
    building, going_on = threading.Event(), threading.Event()
    build = approximate._build

    def slowly(*arguments: object) -> object:
        building.set()
        assert going_on.wait(30)
        return build(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(approximate, "_build", slowly)
    mine = 5 * clustered(1, 16, seed=3)
    found.search(mine, 1)  # starts the build and answers exactly
    assert building.wait(30)
    found.upsert(
        ["mine", *(f"m{i}" for i in range(300))], np.concatenate([mine, clustered(300, 16, 4)])
    )
    gone = {f"p{i:05d}" for i in range(700)}
    found.delete(list(gone))
    going_on.set()
    assert found.prepare("cosine")
    [hits] = found.search(mine, 10)
    assert hits[0].id == "mine"
    [everything] = found.search(mine, len(found))
    assert len(everything) == len(found) == 601
    assert not gone & {hit.id for hit in [*hits, *everything]}


def test_without_scann_all_is_exact_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("scann", "scann.scann_ops.py"):
        monkeypatch.setitem(sys.modules, name, None)
    scann_loading.load_scann.cache_clear()
    try:
        vectors = clustered(1000, 8)
        found = filled(vectors, exact_below=500)
        for metric in METRICS:
            assert not found.prepare(metric)
            [hits] = found.search(vectors[:1], 3, metric)
            assert len(hits) == 3
    finally:
        scann_loading.load_scann.cache_clear()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
