"""A map of the library: where prompts lie, who is on it, and what a page of it may do."""

import re
import subprocess
import sys

import numpy as np
import pytest
from library_stores import FINGERPRINT, WIDTH, LibraryStores

import ptsys.library.map
from ptsys.library.library import Library
from ptsys.library.map import layout, prompt_map
from ptsys.library.map_colors import OTHERS, UNTOLD, groups
from ptsys.library.map_html import page
from ptsys.library.map_png import png
from ptsys.types.example import Example
from ptsys.types.map import MapPoint, PromptMap

DRAW = np.random.default_rng(3)


def point(number: int, **fields: object) -> MapPoint:
    values = {"prompt": f"pr-{number}", "name": f"p{number}", "owner": "ann", "model": "m"}
    x, y = DRAW.uniform(-1, 1, 2)
    return MapPoint(**{**values, "x": x, "y": y, "uses": number, **fields})


def drawn(*points: MapPoint, total: int | None = None) -> PromptMap:
    return PromptMap(
        model="m",
        model_fingerprint=FINGERPRINT,
        kind="token",
        method="pca",
        total=len(points) if total is None else total,
        points=points,
    )


def names(made: PromptMap) -> list[str]:
    return sorted(one.name for one in made.points)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 9, 10, 12, 40])
def test_every_number_of_prompts_has_a_place_in_the_frame(count: int) -> None:
    vectors = DRAW.normal(size=(count, 6)).astype(np.float32)
    places = layout(vectors)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert np.abs(places).max(initial=0) <= 1 + 1e-9
    assert np.array_equal(places, layout(vectors))  # the same every time
    if count > 3:
        assert len(np.unique(places.round(6), axis=0)) == count


@pytest.mark.parametrize("count", [4, 30])
def test_what_is_all_the_same_or_nothing_is_laid_out_too(count: int) -> None:
    for vector in (np.ones(5), np.zeros(5)):
        places = layout(np.tile(vector, (count, 1)).astype(np.float32))
        assert np.isfinite(places).all()


@pytest.mark.parametrize("size", [3, 12])
def test_groups_stay_together(size: int) -> None:
    """By components and by neighbourhoods: the nearest others are of one's own group."""
    centres = np.eye(8)[:3]
    own = np.repeat(np.arange(3), size)
    vectors = (centres[own] + 0.05 * DRAW.normal(size=(3 * size, 8))).astype(np.float32)
    places = layout(vectors * DRAW.uniform(0.1, 10, size=(3 * size, 1)))  # lengths do not matter
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (own[apart.argmin(axis=1)] == own).all()


def test_others_see_nothing_of_what_is_private(stores: LibraryStores, library: Library) -> None:
    dataset = stores.datasets.add("rows", "ann", [Example("a", "b")])
    stores.add("public", visibility="public", dataset=dataset.id, scores={"accuracy": 0.5})
    before = prompt_map(library, "m", FINGERPRINT, "eve")
    for number in range(11):
        stores.add(f"secret-{number}")
    stores.add("for-bob", visibility="shared", shared_with=("bob",))
    stores.add("asked", tags=["query"], visibility="public")
    stores.add("elsewhere", visibility="public", initialization={"kind": "labels"})
    assert prompt_map(library, "m", FINGERPRINT, "eve") == before
    [shown] = before.points
    assert (shown.name, shown.dataset, shown.accuracy) == ("public", None, 0.5)
    assert (before.total, before.method) == (1, "pca")
    assert names(prompt_map(library, "m", FINGERPRINT, "bob")) == ["for-bob", "public"]
    own = prompt_map(library, "m", FINGERPRINT, "ann")
    assert (len(own.points), own.method) == (13, "t-sne")
    assert [one.dataset for one in own.points if one.name == "public"] == ["rows"]
    for made in (png(before), page(before).encode()):
        assert b"secret" not in made


def test_a_prompt_that_went_private_leaves_the_map(stores: LibraryStores, library: Library) -> None:
    stores.add("one", visibility="public")
    assert names(prompt_map(library, "m", FINGERPRINT, "eve")) == ["one"]
    stores.prompts.update("one", "ann", visibility="private")
    made = prompt_map(library, "m", FINGERPRINT, "eve")
    assert (made.points, made.total, made.method) == ((), 0, "none")


def test_of_too_many_a_sample_is_shown_and_said(
    stores: LibraryStores, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        stores.add(f"p{number}", visibility="public")
        stores.add(f"hidden{number}", owner="bob")
    monkeypatch.setattr(ptsys.library.map, "MOST_POINTS", 4)
    made = prompt_map(library, "m", FINGERPRINT, "eve")
    assert (len(made.points), made.total) == (4, 9)  # bob's do not count
    assert made == prompt_map(library, "m", FINGERPRINT, "eve")
    assert all(one.name.startswith("p") for one in made.points)


def test_a_prompt_lies_beside_its_likes(stores: LibraryStores, library: Library) -> None:
    for axis in range(3):
        for number in range(2):
            turn = np.eye(WIDTH)[axis] + 0.05 * number * np.eye(WIDTH)[axis + 3]
            stores.add(f"{axis}-{number}", turn)
    places = {
        p.name: np.array([p.x, p.y]) for p in prompt_map(library, "m", FINGERPRINT, "ann").points
    }
    for name, place in places.items():
        nearest = min(
            (other for other in places if other != name),
            key=lambda other: float(np.linalg.norm(places[other] - place)),
        )
        assert nearest[0] == name[0]


def test_colours_go_to_the_largest_groups() -> None:
    points = [point(n, tags=(f"t{n % 12:02}", "rare")) if n else point(n) for n in range(40)]
    points = [p.model_copy(update={"tags": p.tags[:1]}) for p in points]
    found = groups(points, "tag")
    assert [group.label for group in found[-2:]] == [OTHERS, UNTOLD]
    sizes = [len(group.points) for group in found[:-2]]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(len(group.points) for group in found) == 40
    assert len({group.color for group in found}) == len(found)
    [mine] = groups(points, "owner")
    assert (mine.label, len(mine.points)) == ("ann", 40)


def test_a_prompt_counts_to_the_tag_that_most_have() -> None:
    points = [point(0, tags=("a", "b")), point(1, tags=("b",)), point(2, tags=("b", "c"))]
    assert [group.label for group in groups(points, "tag")] == ["b"]


def test_a_picture_is_a_png_of_one_size_whatever_is_on_it() -> None:
    odd = [point(n, name="n" * 90, tags=("$\\frac{", "日本")) for n in range(30)]
    for points in ([], odd):
        made = png(drawn(*points))
        assert made.startswith(b"\x89PNG\r\n")
        assert (int.from_bytes(made[16:20]), int.from_bytes(made[20:24])) == (1650, 1200)


def test_a_page_escapes_what_users_wrote_and_asks_the_network_for_nothing() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    made = page(drawn(point(1, tags=(evil,), description=evil, dataset=evil, accuracy=0.25)))
    own = made[made.rindex("Plotly.newPlot") :]  # what follows plotly's own code
    assert "alert(1)" in own
    assert "<img" not in own
    assert own.count("</script>") == 1
    assert "<script>alert" not in made
    assert not re.search(r"<(script|link|img)[^>]*\s(src|href)=", made)
    assert "accuracy 25.0%" in own


def test_a_sample_says_so() -> None:
    told = page(drawn(point(1), point(2), total=20_000))
    assert "a sample of 2 of 20,000 prompts" in told


def test_drawing_brings_no_accelerator_stack() -> None:
    code = (
        "import sys, numpy as np\n"
        "import ptsys.api.routes.library\n"
        "late = {'matplotlib', 'plotly', 'sklearn'} & sys.modules.keys()\n"
        "from ptsys.library.map import layout\n"
        "layout(np.random.default_rng(0).normal(size=(20, 4)).astype('f'))\n"
        "print(sorted(late), sorted({'jax', 'flax', 'torch', 'tensorflow'} & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[] []"
