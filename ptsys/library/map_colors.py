"""What the colours and sizes of a drawn map mean."""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence
from typing import NamedTuple

from ptsys.types.map import ColorBy, MapPoint, PromptMap

OTHERS, UNTOLD = "others", "not told"
GREY, PALE = "#9a9a9a", "#c9c9c9"
# Ten that stay apart in print and for most who are colour blind (Tol 2021, "muted" and "bright").
COLORS = (
    "#4477aa",
    "#ee6677",
    "#228833",
    "#ccbb44",
    "#66ccee",
    "#aa3377",
    "#ee8866",
    "#44bb99",
    "#332288",
    "#882255",
)


class Group(NamedTuple):
    """Points of one colour, and what its legend says."""

    label: str
    color: str
    points: list[MapPoint]


def groups(points: Sequence[MapPoint], color_by: ColorBy) -> list[Group]:
    """The points by colour, the largest group first; what has no colour of its own comes last.

    A prompt with several tags counts to that which most prompts of the map have.
    """
    labels = _labels(points, color_by)
    sizes = collections.Counter(label for label in labels if label is not None)
    ranked = sorted(sizes, key=lambda label: (-sizes[label], label))[: len(COLORS)]
    found = [Group(label, color, []) for label, color in zip(ranked, COLORS, strict=False)]
    by_label = {group.label: group for group in found}
    others, untold = Group(OTHERS, GREY, []), Group(UNTOLD, PALE, [])
    for point, label in zip(points, labels, strict=True):
        group = untold if label is None else by_label.get(label, others)
        group.points.append(point)
    return found + [group for group in (others, untold) if group.points]


def _labels(points: Sequence[MapPoint], color_by: ColorBy) -> list[str | None]:
    if color_by == "tag":
        counts = collections.Counter(tag for point in points for tag in point.tags)
        return [
            max(sorted(point.tags), key=lambda tag: counts[tag], default=None) for point in points
        ]
    values = {
        "owner": lambda p: p.owner,
        "dataset": lambda p: p.dataset,
        "model": lambda p: p.model,
    }
    return [values[color_by](point) for point in points]


def area(point: MapPoint) -> float:
    """How large its dot is, in square points: more for each doubling of its uses."""
    return 36.0 + 22.0 * math.log2(1 + point.uses)


def headline(drawn: PromptMap, color_by: ColorBy) -> str:
    """What the picture shows, in one line."""
    count = len(drawn.points)
    many = f"a sample of {count:,} of {drawn.total:,}" if drawn.sampled else f"{count:,}"
    things = "prompt" if count == 1 else "prompts"
    return (
        f"{many} {things} of {drawn.model}, coloured by {color_by}, larger the more they are used"
    )
