"""A choice as a PNG picture: all rows, as the model reads them, and those that were chosen."""

from __future__ import annotations

import collections
import io
from typing import TYPE_CHECKING, Any

from ptsys.errors import InvalidInput
from ptsys.library.map_colors import COLORS, GREY, OTHERS, PALE
from ptsys.library.map_names import DPI, INK, Dot, frame, legend, short, write_names
from ptsys.types.selection import Place, Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMALL, _LARGE = 14.0, 70.0  # square points
_NO_TARGET = "no target"
_MOST_NAMES = 60  # are tried; those that fit are drawn


def png(selection: Selection) -> bytes:
    """The picture, of 1650 by 1200 pixels: a dot for each row, coloured by its target; those that
    were chosen are large, with their inputs' beginnings where these cover no other of them, and a
    line leads from each to its partner. Raises InvalidInput for a selection without places.

    Nothing of matplotlib's global state is used, so threads may draw at the same time.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if selection.places is None:
        raise InvalidInput("this selection has no places; ask for them", field="places")
    figure = Figure(figsize=(11, 8), dpi=DPI, facecolor="white")
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.02, 0.73, 0.9))
    frame(axes)
    points = selection.places.points
    colors = _colors(points)
    chosen = {one.row: one for one in selection.chosen}
    ordered = sorted(points, key=lambda place: place.row in chosen)  # the chosen on top
    _lines(axes, selection)
    for large in (False, True):
        some = [place for place in ordered if (place.row in chosen) == large]
        axes.scatter(
            [place.x for place in some],
            [place.y for place in some],
            s=_LARGE if large else _SMALL,
            color=[colors.get(_label(place), GREY) for place in some],
            alpha=1.0 if large else 0.45,
            linewidths=1.2 if large else 0.0,
            edgecolors="black" if large else "none",
            zorder=4 if large else 2,
        )
    _legend(axes, selection, colors)
    _write_title(figure, selection)
    at = {place.row: place for place in points}
    named = [one for one in selection.chosen if one.row in at]
    dots = [Dot(at[one.row].x, at[one.row].y, _LARGE) for one in named]
    names = [(number, one.input) for number, one in enumerate(named[:_MOST_NAMES])]
    write_names(axes, canvas.get_renderer(), dots, names)
    made = io.BytesIO()
    figure.savefig(made, format="png")
    return made.getvalue()


def _label(place: Place) -> str:
    return _NO_TARGET if place.target is None else place.target


def _colors(points: tuple[Place, ...]) -> dict[str, str]:
    """A colour for each of the targets that most rows have; the others share one."""
    sizes = collections.Counter(_label(place) for place in points)
    sizes.pop(_NO_TARGET, None)
    ranked = sorted(sizes, key=lambda label: (-sizes[label], label))
    return {_NO_TARGET: PALE, **dict(zip(ranked, COLORS, strict=False))}


def _lines(axes: Axes, selection: Selection) -> None:
    assert selection.places is not None
    at = {place.row: place for place in selection.places.points}
    for one in selection.chosen:
        if one.row in at and one.partner in at:
            ends = at[one.row], at[one.partner]
            xs, ys = [end.x for end in ends], [end.y for end in ends]
            axes.plot(xs, ys, color="black", linewidth=1.0, alpha=0.6, zorder=3)


def _legend(axes: Axes, selection: Selection, colors: dict[str, str]) -> None:
    assert selection.places is not None
    chosen = {one.row for one in selection.chosen}
    all_rows, taken = collections.Counter[str](), collections.Counter[str]()
    for place in selection.places.points:
        label = _label(place) if _label(place) in colors else OTHERS
        all_rows[label] += 1
        taken[label] += place.row in chosen
    shown = [label for label in (*list(colors)[1:], OTHERS, _NO_TARGET) if all_rows[label]]
    legend(
        axes,
        [
            (colors.get(label, GREY), f"{short(label)}  ({taken[label]} of {all_rows[label]})")
            for label in shown
        ],
    )


def _write_title(figure: Any, selection: Selection) -> None:
    assert selection.places is not None
    shown = len(selection.places.points)
    sample = "" if shown == selection.rows else f", of which {shown:,} are drawn"
    told = f"{len(selection.chosen):,} of {selection.rows:,} rows{sample}, as {selection.model} "
    told += "reads them" if selection.prompt is None else "reads them behind the prompt"
    title = f"Chosen by {selection.method}"
    figure.text(0.02, 0.965, title, fontsize=15, color=INK, weight="bold", va="center")
    figure.text(0.02, 0.935, told, fontsize=9, color="#777777", va="center", parse_math=False)
