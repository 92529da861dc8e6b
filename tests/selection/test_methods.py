"""What each method chooses, against the method written out plainly or another's implementation."""

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist
from scipy.special import log_softmax, softmax
from skactiveml.base import SkactivemlClassifier
from skactiveml.pool import Badge, UncertaintySampling

from ptsys.errors import InvalidInput
from ptsys.selection.pool import Pick, Pool
from ptsys.selection.registry import METHODS, choose
from ptsys.types.selection import SelectionMethod

ROWS, WIDTH, LABELS = 60, 5, ("no", "perhaps", "yes")


def pool(seed: int = 0, rows: int = ROWS) -> Pool:
    draw = np.random.default_rng(seed)
    scores = log_softmax(3 * draw.normal(size=(rows, len(LABELS))), axis=1) - 2
    targets = [LABELS[i] for i in draw.integers(0, len(LABELS), rows)]
    encodings = draw.normal(size=(rows, WIDTH)) + 4  # all have much in common
    return Pool(targets, encodings.astype(np.float32), scores, LABELS)


class Told(SkactivemlClassifier):
    """A classifier whose probabilities are given: a sample is its own number, then its features."""

    def __init__(self, probabilities: np.ndarray) -> None:
        super().__init__(classes=range(probabilities.shape[1]), missing_label=np.nan)
        self.probabilities = probabilities

    def fit(self, X, y, sample_weight=None):
        return self

    def predict_proba(self, X):
        return self.probabilities[X[:, 0].astype(int)], X[:, 1:]


def told(made: Pool) -> tuple[Told, np.ndarray]:
    """The classifier of a pool's scores, and its samples."""
    samples = np.column_stack([np.arange(len(made)), made.read()])
    return Told(softmax(made.scored(), axis=1)), samples


def rows(picks: list[Pick]) -> list[int]:
    return [pick.row for pick in picks]


def test_kmeans_takes_the_row_nearest_to_the_middle_of_each_crowd() -> None:
    draw = np.random.default_rng(1)
    middles = 10 * np.eye(4, WIDTH)
    sizes = [30, 20, 12, 5]
    crowds = np.concatenate(
        [m + draw.normal(size=(n, WIDTH)) for m, n in zip(middles, sizes, strict=True)]
    )
    crowds = crowds[draw.permutation(len(crowds))]
    centres, own = kmeans2(crowds, middles, minit="matrix")  # scipy's, from the true middles
    wanted = cdist(centres, crowds).argmin(axis=1)
    picks = choose("kmeans", Pool([None] * len(crowds), crowds), 4, seed=3)
    assert rows(picks) == wanted.tolist()  # the largest crowd first
    assert [pick.numbers["cluster_rows"] for pick in picks] == np.bincount(own).tolist() == sizes
    for pick, centre in zip(picks, centres, strict=True):
        distance = np.linalg.norm(crowds[pick.row] - centre)
        assert pick.numbers["distance"] == pytest.approx(distance)
        assert f"{distance:.3g} away" in pick.reason


@pytest.mark.parametrize("copies", [1, 7])
def test_kmeans_takes_no_row_twice_where_rows_are_the_same(copies: int) -> None:
    encodings = np.repeat(np.eye(3), copies, axis=0)
    picks = choose("kmeans", Pool([None] * len(encodings), encodings), len(encodings))
    assert sorted(rows(picks)) == list(range(len(encodings)))


def test_margin_takes_those_that_another_implementation_takes() -> None:
    made = pool()
    _, samples = told(made)
    # margins of probabilities and of log-probabilities rank two labels alike, more not
    two = Pool(made.targets, made.encodings, made.scored()[:, :2], LABELS[:2])
    query = UncertaintySampling(method="margin_sampling", random_state=0)
    probabilities = softmax(two.scored(), axis=1)
    clf = type("Plain", (Told,), {"predict_proba": lambda self, X: probabilities})(probabilities)
    wanted = query.query(samples, np.full(ROWS, np.nan), clf, fit_clf=False, batch_size=8)
    assert rows(choose("margin", two, 8)) == list(wanted)
    plain = np.sort(made.scored(), axis=1)
    margins = plain[:, -1] - plain[:, -2]
    picks = choose("margin", made, 8)
    assert rows(picks) == np.argsort(margins)[:8].tolist()
    assert [pick.numbers["margin"] for pick in picks] == pytest.approx(np.sort(margins)[:8])
    first = picks[0]
    assert first.numbers["best"] - first.numbers["second"] == pytest.approx(first.numbers["margin"])
    best, second = np.argsort(-made.scored()[first.row])[:2]
    assert repr(LABELS[best]) in first.reason.split(" and ")[0]
    assert repr(LABELS[second]) in first.reason.split(" and ")[1]


def gradient_embeddings(made: Pool) -> np.ndarray:
    probabilities = softmax(made.scored(), axis=1)
    factors = probabilities - np.eye(len(made.labels))[probabilities.argmax(axis=1)]
    return np.einsum("nc,nd->ncd", factors, made.read()).reshape(len(made), -1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_badge_is_k_means_plus_plus_on_gradient_embeddings(seed: int) -> None:
    """The algorithm as its authors wrote it, on whole embeddings."""
    made = pool(seed)
    embeddings, draw = gradient_embeddings(made), np.random.RandomState(seed)
    wanted = [int(np.linalg.norm(embeddings, axis=1).argmax())]
    while len(wanted) < 12:
        squares = cdist(embeddings, embeddings[wanted]).min(axis=1) ** 2
        wanted.append(int(draw.choice(ROWS, p=squares / squares.sum())))
    picks = choose("badge", made, 12, seed=seed)
    assert rows(picks) == wanted
    for number, pick in enumerate(picks):
        assert pick.numbers["norm"] == pytest.approx(np.linalg.norm(embeddings[pick.row]))
        if number:
            distance = cdist(embeddings[[pick.row]], embeddings[wanted[:number]]).min()
            assert pick.numbers["distance"] == pytest.approx(distance, abs=1e-6)


def test_badges_embeddings_are_those_of_another_implementation() -> None:
    """It counts the origin among the centres later on, the paper does not: so the first choice,
    and the lengths that it was made by, are compared."""
    made = pool()
    clf, samples = told(made)
    query = Badge(random_state=0, clf_embedding_flag_name={})
    wanted, chances = query.query(
        samples, np.full(ROWS, np.nan), clf, fit_clf=False, return_utilities=True
    )
    assert rows(choose("badge", made, 1)) == list(wanted)
    every = choose("badge", made, ROWS)
    squares = np.array([pick.numbers["norm"] for pick in sorted(every)]) ** 2
    np.testing.assert_allclose(chances[0], squares / squares.sum(), atol=1e-9)


def test_badge_takes_no_row_twice_where_rows_are_the_same() -> None:
    same = Pool([None] * 5, np.ones((5, 2)), np.zeros((5, 2)), ("a", "b"))
    assert sorted(rows(choose("badge", same, 5))) == list(range(5))


def pairs_by_hand(made: Pool, count: int) -> list[tuple[int, int]]:
    """All pairs ranked, taken greedily."""
    centred = made.read() - made.read().mean(axis=0)
    alike = 1 - cdist(centred, centred, "cosine")
    ranked = sorted(
        ((alike[i, j], i, j) for i in range(len(made)) for j in range(i)
         if made.targets[i] != made.targets[j]), reverse=True,
    )  # fmt: skip
    taken: list[tuple[int, int]] = []
    for _, i, j in ranked:
        if len(taken) < count and not {i, j} & {row for pair in taken for row in pair}:
            taken.append((j, i))
    return taken


@pytest.mark.parametrize("seed", [0, 1])
def test_contrastive_takes_the_most_similar_pairs_with_other_targets(seed: int) -> None:
    made = pool(seed)
    picks = choose("contrastive", made, 24)
    found = [tuple(sorted(rows(picks[i : i + 2]))) for i in range(0, 24, 2)]
    assert found == pairs_by_hand(made, 12)
    partners = {pick.row: pick.partner for pick in picks}
    centred = made.read() - made.read().mean(axis=0)
    for pick in picks:
        assert partners[pick.partner] == pick.row
        assert made.targets[pick.row] != made.targets[pick.partner]
        similarity = 1 - cdist(centred[[pick.row]], centred[[pick.partner]], "cosine")[0, 0]
        assert pick.numbers["similarity"] == pytest.approx(similarity)
        assert f"row {pick.partner}" in pick.reason


def test_an_odd_one_joins_the_pair_it_is_like() -> None:
    picks = choose("contrastive", pool(), 5)
    assert rows(picks)[:4] == rows(choose("contrastive", pool(), 4))
    assert picks[4].partner in rows(picks)[:4]
    assert picks[4].row not in rows(picks)[:4]


def test_rows_that_contradict_each_other_are_no_pair() -> None:
    encodings = np.array([[0.0, 1], [0, 1], [0.1, 1], [3, 3]])
    picks = choose("contrastive", Pool(["a", "b", "b", "b"], encodings), 2)
    assert sorted(rows(picks)) == [0, 2]
    with pytest.raises(InvalidInput, match="read differently") as caught:
        choose("contrastive", Pool(["a", "b"], np.ones((2, 3))), 2)
    assert caught.value.field == "rows"


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_decides_and_no_row_comes_twice(method: SelectionMethod) -> None:
    one, same = (choose(method, pool(), 20, seed=5) for _ in range(2))
    assert one == same
    assert len(set(rows(one))) == 20
    assert all(np.isfinite(list(pick.numbers.values())).all() for pick in one)
    if method in ("kmeans", "badge", "random"):
        assert rows(one) != rows(choose(method, pool(), 20, seed=6))


@pytest.mark.parametrize("method", METHODS)
def test_of_each_class_as_many_or_all_there_are(method: SelectionMethod) -> None:
    made = pool()
    few = Pool([*made.targets[:-2], "rare", "rare"], made.encodings, made.scores, LABELS)
    picks = choose(method, few, 4, per_class=True)
    chosen = [few.targets[pick.row] for pick in picks]
    assert {one: chosen.count(one) for one in sorted(set(chosen))} == {
        "no": 4, "perhaps": 4, "rare": 2, "yes": 4,
    }  # fmt: skip
    assert len(set(rows(picks))) == 14
    if method == "margin":  # as of that class alone
        own = [row for row in range(ROWS) if few.targets[row] == "rare"]
        assert sorted(rows(picks))[-2:] == own


@pytest.mark.parametrize(
    ("method", "targets", "count", "per_class", "field"),
    [
        ("random", [None] * 3, 4, False, "count"),
        ("random", ["a", None, "b"], 1, True, "rows.1.target"),
        ("contrastive", ["a", None, "b"], 2, False, "rows.1.target"),
        ("contrastive", ["a", "a", "a"], 2, False, "method"),
        ("random", [str(i) for i in range(1001)], 1, True, "count"),
    ],
)
def test_what_cannot_be_chosen_is_told_with_its_field(
    method: SelectionMethod, targets: list[str | None], count: int, per_class: bool, field: str
) -> None:
    made = Pool(targets, np.eye(len(targets), 3))
    with pytest.raises(InvalidInput) as caught:
        choose(method, made, count, per_class=per_class)
    assert caught.value.field == field
