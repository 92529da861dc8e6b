"""A map of prompts as a PNG picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ptsys.library.map_colors import Group, area, groups, headline
from ptsys.library.map_names import DPI, INK, Dot, frame, legend, short, write_names
from ptsys.types.map import ColorBy, MapPoint, PromptMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_LABELS = 150  # are tried; those that fit are drawn
_FAINT = "#777777"


def png(drawn: PromptMap, color_by: ColorBy = "tag") -> bytes:
    """The map as a picture of 1650 by 1200 pixels: a dot for each prompt, a legend, and the names
    of prompts where they do not cover anything, the most used first.

    Nothing of matplotlib's global state is used, so threads may draw at the same time.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), dpi=DPI, facecolor="white")
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.02, 0.73, 0.9))
    frame(axes)
    parts = groups(drawn.points, color_by)
    for group in parts:
        _dots(axes, group)
    if parts:
        legend(axes, [(x.color, f"{short(x.label)}  ({len(x.points)})") for x in parts])
    figure.text(0.02, 0.965, "Prompt library", fontsize=15, color=INK, weight="bold", va="center")
    figure.text(0.02, 0.935, headline(drawn, color_by), fontsize=9, color=_FAINT, va="center")
    dots = [Dot(point.x, point.y, area(point)) for point in drawn.points]
    write_names(axes, canvas.get_renderer(), dots, _names(drawn.points))
    made = io.BytesIO()
    figure.savefig(made, format="png")
    return made.getvalue()


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


def _names(points: Sequence[MapPoint]) -> list[tuple[int, str]]:
    """Of those who are to have one: the most used first."""
    order = sorted(
        range(len(points)),
        key=lambda i: (-points[i].uses, -(points[i].accuracy or 0.0), points[i].name),
    )
    return [(i, points[i].name) for i in order[:_MOST_LABELS]]
