"""A plan as tables and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ptsys.plan.chips import GIB
from ptsys.plan.compiling import Compiled
from ptsys.plan.products import flops
from ptsys.plan.roofline import Roofline, roofline

MIB = 1 << 20
_SHARES = ("weights", "prompts", "optimizer", "rows", "padding", "results", "activations", "code")


@dataclasses.dataclass(frozen=True)
class Plan:
    """A compiled case and how it was come to. `next_too_large` is the smallest size tried that
    does not fit, where a size was searched for."""

    model: str
    compiled: Compiled
    why: str = ""
    refused: tuple[str, ...] = ()
    next_too_large: int | None = None

    @property
    def roof(self) -> Roofline:
        """With the bytes of the compiled collectives."""
        return roofline(self.compiled.case, sum(x.sent_bytes for x in self.compiled.collectives))


def as_json(plan: Plan) -> dict[str, Any]:
    """Everything, sizes in bytes and times in seconds."""
    case, memory, roof = plan.compiled.case, plan.compiled.memory, plan.roof
    chip = case.place.chip
    peak = chip.flops * case.place.chips
    return {
        "model": plan.model,
        "topology": case.topology,
        "chips": case.place.chips,
        "step": case.step,
        "rows": case.rows,
        "users": case.users,
        "lengths": {"input": case.inputs, "prompt": case.prompt, "target": case.targets},
        "mesh": {"data": case.data, "model": case.model},
        "execution": dataclasses.asdict(case.execution),
        "microbatch": case.chunk,
        "dtype": case.dtype,
        "fits": memory.fits,
        "hbm": {
            **dataclasses.asdict(memory),
            "used": memory.used,
            "headroom": memory.headroom,
        },
        "held_at_peak": [dataclasses.asdict(x) for x in plan.compiled.held],
        "held_share": plan.compiled.share,
        "flops_a_row": {"all": roof.flops_a_row, "useful": roof.useful_flops_a_row}
        | {"parts": flops(case)},
        "collectives": [
            dataclasses.asdict(x) | {"sent_bytes": x.sent_bytes} for x in plan.compiled.collectives
        ],
        "roofline": {
            "compute": roof.compute,
            "memory": roof.memory,
            "network": roof.network,
            "limit": roof.limit,
            "least": roof.least,
            "expected": roof.expected,
            "rows_a_second": case.rows / roof.expected,
            "useful_share_of_peak": roof.useful_flops_a_row * case.rows / roof.expected / peak,
        },
        "why": plan.why,
        "refused": list(plan.refused),
        "next_too_large": plan.next_too_large,
        "compile_seconds": plan.compiled.seconds,
    }


def show(plan: Plan, console: Console) -> None:
    """The same, for people."""
    case, memory = plan.compiled.case, plan.compiled.memory
    console.print(_headline(plan), markup=False, soft_wrap=True)
    console.print(_memory_table(plan))
    if not memory.fits:
        console.print(
            f"It does not fit: the compiler needs {memory.used / GIB:.2f} GiB a chip of "
            f"{memory.hbm / GIB:.2f} GiB. Take fewer rows at a time (--microbatch), more "
            "rematerialization (--remat) or more chips.",
            markup=False,
            soft_wrap=True,
        )
        return
    if plan.compiled.held and plan.compiled.share > 0.5:
        console.print(_held_table(plan))
    console.print(_collective_table(plan))
    console.print(_time_table(plan))
    if case.learns:
        useful = plan.roof.useful_flops_a_row / plan.roof.flops_a_row
        console.print(
            f"FLOPs a row: {plan.roof.flops_a_row:.4g}, of which {useful:.0%} are "
            "neither computed again nor for empty room",
            markup=False,
        )
    for line in filter(None, (plan.why and f"Chosen: {plan.why}", *map(_refusal, plan.refused))):
        console.print(line, markup=False, soft_wrap=True)


def _refusal(text: str) -> str:
    return f"Did not fit: {text}"


def _headline(plan: Plan) -> str:
    case = plan.compiled.case
    at_a_time = f", {case.chunk} at a time on each data shard" if case.learns else ""
    remat = f", remat {case.execution.remat}" if case.learns else ""
    return (
        f"{plan.model} {case.step} on {case.topology}: {case.rows} rows of {case.users} users a "
        f"step{at_a_time}; {case.inputs} + {case.prompt} tokens, {case.targets} target tokens; "
        f"mesh data={case.data},model={case.model}{remat}, {case.dtype}"
    )


def _table(*columns: str, rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number == 1 else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _memory_table(plan: Plan) -> Table:
    memory = plan.compiled.memory
    sizes = [(name, getattr(memory, name)) for name in _SHARES]
    rows = [(name, f"{size / GIB:.3f}") for name, size in sizes if size]
    rows += [("used", f"{memory.used / GIB:.3f}"), ("headroom", f"{memory.headroom / GIB:.3f}")]
    return _table("HBM a chip", f"GiB of {memory.hbm / GIB:.2f}", rows=rows)


def _held_table(plan: Plan) -> Table:
    rows = (
        (f"{x.count} x {x.shape}", f"{x.bytes / MIB:.1f}", x.source) for x in plan.compiled.held[:6]
    )
    return _table("activations at the fullest moment", "MiB", "from", rows=rows)


def _collective_table(plan: Plan) -> Table:
    rows = (
        (f"{x.count} {x.kind} of {x.group}", f"{x.bytes / MIB:.1f}", f"{x.sent_bytes / MIB:.1f}")
        for x in plan.compiled.collectives
    )
    return _table("collectives a step", "MiB a chip", "MiB sent a chip", rows=rows)


def _time_table(plan: Plan) -> Table:
    roof, case = plan.roof, plan.compiled.case
    rows = [
        (name, f"{1e3 * getattr(roof, name):.2f}", f"{1e3 * getattr(roof, name) / case.rows:.3f}")
        for name in ("compute", "memory", "network", "least", "expected")
    ]
    return _table("roofline", "ms a step", "ms a row", rows=rows)
