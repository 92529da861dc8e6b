"""What `ptsys bench search` prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import get_args

from ptsys.cli.output import note, percent, print_json, print_table, working
from ptsys.library.benchmark import SearchResult, measure
from ptsys.types.metric import Metric


def main(sizes: Sequence[int], dimension: int, metrics: Sequence[str], as_json: bool) -> None:
    """Measure and print tables, or one JSON list."""
    chosen: list[Metric] = [one for one in get_args(Metric) if one in metrics or "all" in metrics]
    with working("starting") as status:
        found = list(measure(sizes, dimension, chosen, status))
    if as_json:
        print_json(
            [
                {**dataclasses.asdict(one), "ratio": one.ratio, "alone_ratio": one.alone_ratio}
                for one in found
            ]
        )
        return
    _show(found)


def _show(found: Sequence[SearchResult]) -> None:
    note(f"clustered vectors of length {found[0].dimension}; queries a second, together and alone")
    print_table(
        ("vectors", "metric", "exact", "ScaNN", "ratio", "exact 1", "ScaNN 1", "ratio 1", "recall"),
        (
            (
                f"{one.vectors:,}",
                one.metric,
                f"{one.exact_qps:.0f}",
                f"{one.approximate_qps:.0f}",
                f"{one.ratio:.1f}",
                f"{one.exact_alone_qps:.0f}",
                f"{one.approximate_alone_qps:.0f}",
                f"{one.alone_ratio:.1f}",
                percent(one.recall),
            )
            for one in found
        ),
        empty="nothing was measured",
    )
    note("building and changing; and a user who may see 1 %")
    print_table(
        (
            *("vectors", "metric", "build s", "MB", "upserts/s", "recall then"),
            *("1 %: queries/s", "alone", "hits", "recall"),
        ),
        (
            (
                f"{one.vectors:,}",
                one.metric,
                f"{one.build_seconds:.1f}",
                "–" if one.memory_mb is None else f"{one.memory_mb:.0f}",
                f"{one.upserts_per_second:.0f}",
                percent(one.changed_recall),
                f"{one.restricted_qps:.0f}",
                f"{one.restricted_alone_qps:.0f}",
                str(one.restricted_hits),
                percent(one.restricted_recall),
            )
            for one in found
        ),
        empty="nothing was measured",
    )
