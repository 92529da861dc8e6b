"""The library as a map: two coordinates for each prompt, so that prompts alike lie together.

Few prompts are laid out by their principal components, more by t-SNE (van der Maaten and Hinton
2008) with cosine distances and a fixed seed, so that the same prompts make the same map.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ptsys.library.library import Library
from ptsys.store.prompt_lineage import finite_score
from ptsys.types.library import DEFAULT_KIND, VectorKind
from ptsys.types.map import MOST_POINTS, MapPoint, PromptMap
from ptsys.types.records import Dataset, Prompt

_FEWEST = 10  # points for t-SNE
_PERPLEXITY = 30.0
_SEED = 0
_SPREAD = 0.6  # of a place, by its order on each axis
_SAME = 1e-6  # spread below which all directions are one


def prompt_map(
    library: Library, model: str, fingerprint: str, user: str, *, kind: VectorKind = DEFAULT_KIND
) -> PromptMap:
    """The map of all prompts of a model that compare and that the user may see; of more than
    MOST_POINTS a sample. Prompts that were trained to search with are never on it.

    Takes a minute for thousands of prompts. Raises Unavailable if nobody knows yet where the
    model's prompts start.
    """
    pairs, total = library.vectors(fingerprint, user, kind=kind, most=MOST_POINTS)
    prompts = [prompt for prompt, _ in pairs]
    vectors = side_by_side([(prompt.kind, vector) for prompt, vector in pairs])
    places = layout(vectors)
    datasets = library.datasets(prompts, user)
    return PromptMap(
        model=model,
        model_fingerprint=fingerprint,
        kind=kind,
        method="none" if not pairs else "pca" if by_components(vectors) else "t-sne",
        total=total,
        points=tuple(
            _point(prompt, place, datasets.get(prompt.dataset or ""))
            for prompt, place in zip(prompts, places.tolist(), strict=True)
        ),
    )


def side_by_side(vectors: Sequence[tuple[str, NDArray[np.float32]]]) -> NDArray[np.float32]:
    """Vectors of several kinds of prompts, all of one kind as long as each other, as one matrix
    [N, D]. Each kind has columns of its own: what cannot be compared has nothing in common."""
    lengths = {kind: len(vector) for kind, vector in vectors}
    ends = dict(zip(lengths, itertools.accumulate(lengths.values()), strict=True))
    whole = np.zeros((len(vectors), sum(lengths.values())), np.float32)
    for row, (kind, vector) in enumerate(vectors):
        whole[row, ends[kind] - lengths[kind] : ends[kind]] = vector
    return whole


def layout(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """A place [N, 2] for each vector [N, D], with coordinates from -1 to 1."""
    if len(vectors) == 0:
        return np.zeros((0, 2))
    directions = _directions(vectors)
    if by_components(vectors):
        return _framed(_components(directions))
    places = _framed(_neighbourhoods(directions))
    spread: NDArray[np.float64] = (1 - _SPREAD) * places + _SPREAD * _framed(_ranks(places))
    return spread


def _framed(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred, with a greatest coordinate of one."""
    centred = places - (places.max(axis=0) + places.min(axis=0)) / 2
    whole: NDArray[np.float64] = centred / max(float(np.abs(centred).max()), _SAME)
    return whole


def _ranks(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The order on each axis. Mixed in, crowds take more room and the void between them less."""
    return np.argsort(np.argsort(places, axis=0, kind="stable"), axis=0).astype(np.float64)


def by_components(vectors: NDArray[np.float32]) -> bool:
    """Whether there are too few points for t-SNE, or all point into one direction."""
    return len(vectors) < _FEWEST or float(np.ptp(_directions(vectors), axis=0).max()) < _SAME


def _directions(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The unit vectors: what the cosine compares. One that is zero stays so."""
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    units: NDArray[np.float64] = np.divide(
        exact, lengths, out=np.zeros_like(exact), where=lengths > 0
    )
    return units


def _components(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first two principal components; the sign of each is fixed by its greatest entry."""
    centred = directions - directions.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(directions), 2))
    count = min(2, len(sizes))
    places[:, :count] = left[:, :count] * sizes[:count]
    greatest = np.take_along_axis(places, np.abs(places).argmax(axis=0)[None], axis=0)
    turned: NDArray[np.float64] = places * np.where(greatest < 0, -1, 1)
    return turned


def _neighbourhoods(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE  # seconds to import
    from threadpoolctl import threadpool_limits

    perplexity = min(_PERPLEXITY, max((len(directions) - 1) / 4, 2.0))
    made = TSNE(perplexity=perplexity, metric="cosine", init="pca", random_state=_SEED, n_jobs=1)
    with threadpool_limits(1, user_api="openmp"):  # a map need not take the whole machine
        places = made.fit_transform(directions.astype(np.float32))
    return np.asarray(places, np.float64)


def _point(prompt: Prompt, place: list[float], dataset: Dataset | None) -> MapPoint:
    return MapPoint(
        prompt=prompt.id,
        name=prompt.name,
        owner=prompt.owner,
        model=prompt.model,
        x=place[0],
        y=place[1],
        uses=prompt.uses,
        accuracy=finite_score(prompt.scores, "accuracy"),
        dataset=None if dataset is None else dataset.name,
        tags=prompt.tags,
        description=prompt.description,
    )
