"""A map of prompts as one HTML page to move about in, which needs nothing from the network."""

from __future__ import annotations

import html
import textwrap

from ptsys.library.map_colors import area, groups, headline
from ptsys.types.map import ColorBy, MapPoint, PromptMap

_LONGEST = 300  # letters of a description
_WIDTH = 60


def page(drawn: PromptMap, color_by: ColorBy = "tag") -> str:
    """The map as a page of some 5 MB: plotly's script is in it. Whatever users wrote is escaped."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for group in groups(drawn.points, color_by):
        figure.add_trace(
            go.Scattergl(
                x=[point.x for point in group.points],
                y=[point.y for point in group.points],
                mode="markers",
                name=f"{html.escape(group.label)} ({len(group.points)})",
                marker={
                    "color": group.color,
                    "size": [1.6 * area(point) ** 0.5 for point in group.points],
                    "opacity": 0.85,
                    "line": {"color": "white", "width": 1},
                },
                text=[_told(point) for point in group.points],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    figure.update_layout(
        title={
            "text": f"<b>Prompt library</b><br><sub>{html.escape(headline(drawn, color_by))}</sub>"
        },
        template="plotly_white",
        legend={"itemsizing": "constant"},
        hoverlabel={"align": "left"},
        margin={"l": 20, "r": 20, "t": 80, "b": 20},
    )
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False, "title": None}
    figure.update_xaxes(**hidden, range=[-1.1, 1.1])
    figure.update_yaxes(**hidden, range=[-1.1, 1.1])
    made: str = figure.to_html(
        full_html=True,
        include_plotlyjs=True,
        config={"displaylogo": False, "scrollZoom": True, "responsive": True},
        default_height="96vh",
    )
    return made


def _told(point: MapPoint) -> str:
    """What stands beside the pointer."""
    lines = [f"<b>{html.escape(point.name)}</b> of {html.escape(point.owner)}"]
    if point.accuracy is not None:
        lines.append(f"accuracy {100 * point.accuracy:.1f}%")
    if point.dataset is not None:
        lines.append(f"dataset {html.escape(point.dataset)}")
    if point.tags:
        lines.append(f"tags {html.escape(', '.join(point.tags))}")
    lines.append(f"uses {point.uses}")
    if point.description:
        short = textwrap.shorten(point.description, _LONGEST, placeholder=" …")
        lines += [f"<i>{html.escape(line)}</i>" for line in textwrap.wrap(short, _WIDTH)]
    return "<br>".join(lines)
