"""Choosing mesh, rematerialization and rows at a time: the fastest combination that fits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import get_args

from ptsys.errors import InvalidInput
from ptsys.models.execution import Remat
from ptsys.plan import estimate
from ptsys.plan.case import Case, model_axes
from ptsys.plan.chips import GIB
from ptsys.plan.compiling import Compiled
from ptsys.plan.roofline import Roofline, roofline

Compile = Callable[[Case], Compiled]
_HOPELESS = 1.5  # times the chip's memory, by the guess alone
_CHUNKS = tuple(1 << n for n in range(3, 11))


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One combination, with what is expected of it."""

    case: Case
    roof: Roofline
    memory: float

    @property
    def row_seconds(self) -> float:
        """Expected seconds a row."""
        return self.roof.expected / self.case.rows


@dataclasses.dataclass(frozen=True)
class Choice:
    """The chosen case, why, and those that were faster on paper and did not fit."""

    compiled: Compiled
    why: str
    refused: tuple[str, ...]


def best(case: Case, compile_: Compile) -> Choice:
    """The fastest that fits: whatever is expected to be faster was compiled and did not fit, or
    is beyond hope by the guess, which learns from what was refused. Raises InvalidInput if nothing
    fits."""
    ranked = sorted(candidates(case), key=lambda x: (x.row_seconds, x.memory))
    hbm = case.place.chip.hbm_bytes
    refused: list[str] = []
    wrong = dict.fromkeys(get_args(Remat), 1 / _HOPELESS)
    for number, candidate in enumerate(ranked):
        remat = candidate.case.execution.remat
        if candidate.memory * wrong[remat] > hbm:
            continue
        compiled = compile_(candidate.case)
        if compiled.memory.fits:
            return Choice(compiled, _why(candidate, ranked[number + 1 :]), tuple(refused))
        wrong[remat] = max(wrong[remat], compiled.memory.used / candidate.memory)
        refused.append(f"{name(candidate.case)}: {compiled.memory.used / GIB:.1f} GiB a chip")
    raise InvalidInput(
        f"nothing fits on {case.topology}; take fewer rows, shorter inputs or more chips",
        field="topology",
    )


def candidates(case: Case) -> Iterator[Candidate]:
    """Every combination whose rows divide."""
    chips = case.place.chips
    for model in model_axes(case.config, chips):
        data = chips // model
        if case.rows % data or case.users % data:
            continue
        meshed = dataclasses.replace(case, data=data, model=model)
        seen = set()
        for remat in get_args(Remat) if case.learns else (case.execution.remat,):
            for chunk in _CHUNKS:
                execution = dataclasses.replace(
                    case.execution, remat=remat, chunk_positions=chunk * case.positions
                )
                made = dataclasses.replace(meshed, execution=execution)
                if (remat, made.chunk) in seen:
                    continue
                seen.add((remat, made.chunk))
                roof = roofline(made, estimate.sent_bytes(made))
                yield Candidate(made, roof, estimate.memory(made))


def name(case: Case) -> str:
    """A combination in words."""
    mesh = f"data={case.data},model={case.model}"
    return f"{mesh} remat={case.execution.remat} microbatch={case.chunk}" if case.learns else mesh


def _why(chosen: Candidate, slower: Sequence[Candidate]) -> str:
    told = (
        f"the least expected time among those that fit: {1e3 * chosen.row_seconds:.2f} ms a row, "
        f"limited by {chosen.roof.limit}"
    )
    if not slower:
        return told
    return f"{told}; next {name(slower[0].case)}, {1e3 * slower[0].row_seconds:.2f} ms"
