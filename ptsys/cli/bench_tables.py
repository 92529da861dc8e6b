"""What `ptsys bench gradients` and `ptsys bench search` print."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from ptsys.benches import gradients as gradients_bench
from ptsys.benches import search as search_bench
from ptsys.benches.gradients import Measurement
from ptsys.benches.search import SearchResult
from ptsys.cli.output import note, percent, print_json, print_table, working
from ptsys.types.metric import Metric


def gradients(
    model: gradients_bench.Which,
    clients: Sequence[int],
    length: int,
    seconds: float,
    as_json: bool,
) -> None:
    """Measure and print a table, or one JSON list."""
    with (
        tempfile.TemporaryDirectory(prefix="ptsys-bench-") as folder,
        working("starting") as progress,
    ):
        results = gradients_bench.measure(Path(folder), model, clients, length, seconds, progress)
    if as_json:
        print_json([{**dataclasses.asdict(one), "ratio": one.ratio} for one in results])
        return
    _show_gradients(results, model, length)


def search(sizes: Sequence[int], dimension: int, metrics: Sequence[str], as_json: bool) -> None:
    """Measure and print tables, or one JSON list."""
    chosen: list[Metric] = [one for one in get_args(Metric) if one in metrics or "all" in metrics]
    with working("starting") as progress:
        results = list(search_bench.measure(sizes, dimension, chosen, progress))
    if as_json:
        print_json(
            [
                {**dataclasses.asdict(one), "ratio": one.ratio, "alone_ratio": one.alone_ratio}
                for one in results
            ]
        )
        return
    show_search(results)


def _show_gradients(results: Sequence[Measurement], model: str, length: int) -> None:
    note(f"gradients of one row a request: model {model}, prompt length {length}")
    print_table(
        ("clients", "requests/s", "p50 ms", "p99 ms", "rows a batch", "straight rows/s", "ratio"),
        (
            (
                one.clients,
                f"{one.requests_per_second:.0f}",
                f"{one.p50_ms:.1f}",
                f"{one.p99_ms:.1f}",
                f"{one.rows_per_batch:.1f}",
                f"{one.straight_rows_per_second:.0f}",
                f"{one.ratio:.2f}",
            )
            for one in results
        ),
        empty="nothing was measured",
    )
    first = results[0]
    if first.clients == 1:
        note(f"the path of one client adds {first.p50_ms - first.straight_ms:.1f} ms (p50)")


def show_search(results: Sequence[SearchResult]) -> None:
    """Two tables: speed and recall; and building, changing, and who sees little."""
    note(
        f"clustered vectors of length {results[0].dimension}; queries a second, together and alone"
    )
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
            for one in results
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
            for one in results
        ),
        empty="nothing was measured",
    )
