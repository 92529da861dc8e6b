"""The frame and legend of a drawn map, and names beside its dots that cover nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

DPI = 150
INK = "#333333"
_LONGEST = 24  # letters of a name
_GAP = 2.5  # points between a dot and its name


class Dot(NamedTuple):
    """Where a dot is, in coordinates from -1 to 1, and how large, in square points."""

    x: float
    y: float
    area: float


def frame(axes: Axes) -> None:
    """Coordinates from -1 to 1, and no axes, as they mean nothing."""
    axes.set_xlim(-1.12, 1.12)
    axes.set_ylim(-1.08, 1.08)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#fafafa")
    for side in axes.spines.values():
        side.set_color("#dddddd")


def legend(axes: Axes, entries: Sequence[tuple[str, str]]) -> None:
    """Beside the map, what each color means: colors with their words."""
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], marker="o", linestyle="", color=color, markersize=7) for color, _ in entries
    ]
    words = [said for _, said in entries]
    drawn = axes.legend(
        marks, words, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=9
    )
    for text in drawn.get_texts():
        text.set_parse_math(False)  # a tag or a target may hold a $
        text.set_color(INK)


def write_names(
    axes: Axes,
    renderer: RendererBase,
    dots: Sequence[Dot],
    names: Iterable[tuple[int, str]],
) -> None:
    """Write the names that fit, each of the dot of that number: right of it, left, above or
    below. The first have the first choice."""
    from matplotlib.transforms import Bbox

    scale = DPI / 72
    inside = axes.get_window_extent(renderer)
    taken: list[Bbox] = []
    centres = axes.transData.transform([(dot.x, dot.y) for dot in dots] or [(0, 0)])
    radii = [scale * dot.area**0.5 / 2 for dot in dots]
    for (x, y), radius in zip(centres, radii, strict=False):
        taken.append(Bbox.from_extents(x - radius, y - radius, x + radius, y + radius))
    for i, name in names:
        text = axes.text(
            0, 0, short(name), fontsize=7, color=INK, transform=None, parse_math=False, zorder=5
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


def short(text: str) -> str:
    """The text, or its beginning."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


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
