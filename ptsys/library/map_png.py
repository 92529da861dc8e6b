"""A map of prompts as a PNG picture."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ptsys.library.map_colors import Group, area, groups, headline
from ptsys.types.map import ColorBy, MapPoint, PromptMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

_DPI = 150
_MOST_LABELS = 150  # are tried; those that fit are drawn
_LONGEST = 24  # letters of a label
_GAP = 2.5  # points between a dot and its label
_INK, _FAINT = "#333333", "#777777"


def png(drawn: PromptMap, color_by: ColorBy = "tag") -> bytes:
    """The map as a picture of 1650 by 1200 pixels: a dot for each prompt, a legend, and the names
    of prompts where they do not cover anything, the most used first.

    Nothing of matplotlib's global state is used, so threads may draw at the same time.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), dpi=_DPI, facecolor="white")
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.02, 0.73, 0.9))
    _frame(axes)
    parts = groups(drawn.points, color_by)
    for group in parts:
        _dots(axes, group)
    if parts:
        _legend(axes, parts)
    figure.text(0.02, 0.965, "Prompt library", fontsize=15, color=_INK, weight="bold", va="center")
    figure.text(0.02, 0.935, headline(drawn, color_by), fontsize=9, color=_FAINT, va="center")
    _names(axes, canvas.get_renderer(), drawn.points)
    made = io.BytesIO()
    figure.savefig(made, format="png")
    return made.getvalue()


def _frame(axes: Axes) -> None:
    axes.set_xlim(-1.12, 1.12)
    axes.set_ylim(-1.08, 1.08)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#fafafa")
    for side in axes.spines.values():
        side.set_color("#dddddd")


def _dots(axes: Axes, group: Group) -> None:
    axes.scatter(
        [point.x for point in group.points],
        [point.y for point in group.points],
        s=[area(point) for point in group.points],
        color=group.color,
        alpha=0.85,
        linewidths=0.8,
        edgecolors="white",
    )


def _legend(axes: Axes, parts: Sequence[Group]) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], marker="o", linestyle="", color=group.color, markersize=7) for group in parts
    ]
    names = [f"{_short(group.label)}  ({len(group.points)})" for group in parts]
    legend = axes.legend(
        marks, names, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=9
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a tag may hold a $
        text.set_color(_INK)


def _names(axes: Axes, renderer: RendererBase, points: Sequence[MapPoint]) -> None:
    """Write the names that fit: right of the dot, left, above or below it."""
    from matplotlib.transforms import Bbox

    scale = _DPI / 72
    inside = axes.get_window_extent(renderer)
    taken: list[Bbox] = []
    centres = axes.transData.transform([(point.x, point.y) for point in points] or [(0, 0)])
    radii = [scale * area(point) ** 0.5 / 2 for point in points]
    for (x, y), radius in zip(centres, radii, strict=False):
        taken.append(Bbox.from_extents(x - radius, y - radius, x + radius, y + radius))
    order = sorted(
        range(len(points)),
        key=lambda i: (-points[i].uses, -(points[i].accuracy or 0.0), points[i].name),
    )
    for i in order[:_MOST_LABELS]:
        text = axes.text(
            0, 0, _short(points[i].name), fontsize=7, color=_INK, transform=None, parse_math=False
        )
        own = taken[i]
        for _ in _places(text, own, scale * _GAP):
            box = text.get_window_extent(renderer)
            free = all(one is own or not box.overlaps(one) for one in taken)
            if free and inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1):
                taken.append(box)
                break
        else:
            text.remove()


def _places(text: Text, dot: Bbox, gap: float) -> Iterator[str]:
    """Puts the text beside the dot, in one way after the other."""
    x, y = (dot.x0 + dot.x1) / 2, (dot.y0 + dot.y1) / 2
    for across, up, place in (
        ("left", "center", (dot.x1 + gap, y)),
        ("right", "center", (dot.x0 - gap, y)),
        ("center", "bottom", (x, dot.y1 + gap)),
        ("center", "top", (x, dot.y0 - gap)),
    ):
        text.set_position(place)
        text.set_horizontalalignment(across)  # type: ignore[arg-type]
        text.set_verticalalignment(up)  # type: ignore[arg-type]
        yield across


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
