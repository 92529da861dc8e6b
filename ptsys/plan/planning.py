"""From a question to a plan: one case compiled, a size searched for, or the best combination."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from ptsys.errors import InvalidInput
from ptsys.models.t5.kind import LEAST_ROWS
from ptsys.plan import best
from ptsys.plan.cache import Cache
from ptsys.plan.case import Case, check
from ptsys.plan.compiling import Compiled, compile_case, require_libtpu
from ptsys.plan.report import Plan
from ptsys.plan.search import Most, largest, largest_power, more_rows

Say = Callable[[str], None]
_MOST_ROWS, _MOST_AT_A_TIME = 4096, 1024  # on one data shard


class Planner:
    """Compiles cases, remembers them under `folder`, and says what it is at."""

    def __init__(self, model: str, folder: Path, timeout: float | None, say: Say) -> None:
        require_libtpu()
        self._model = model
        self._cache = Cache(folder)
        self._timeout = timeout
        self._say = say

    def one(self, case: Case) -> Plan:
        """The case as it is."""
        return Plan(self._model, self._compile(check(case)))

    def best(self, case: Case) -> Plan:
        """The fastest mesh, rematerialization and rows at a time for the case's rows."""
        choice = best.best(case, self._compile)
        return Plan(self._model, choice.compiled, choice.why, choice.refused)

    def most_rows(self, case: Case, *, users_follow: bool) -> Plan:
        """The most rows a step that fit."""
        check(dataclasses.replace(case, rows=case.data))
        at = more_rows(case, users_follow=users_follow)
        first = max(case.chunk, 1) if case.learns else LEAST_ROWS
        return self._largest(largest(at, self._compile, first=first, most=_MOST_ROWS), "rows")

    def most_at_a_time(self, case: Case, *, users_follow: bool) -> Plan:
        """The most rows at a time that fit, of a step with no more rows than that."""

        def at(chunk: int) -> Case:
            execution = dataclasses.replace(case.execution, chunk_positions=chunk * case.positions)
            grown = more_rows(case, users_follow=users_follow)(chunk)
            return dataclasses.replace(grown, execution=execution)

        check(at(LEAST_ROWS))
        best = largest_power(at, self._compile, first=4 * LEAST_ROWS, most=_MOST_AT_A_TIME)
        return self._largest(best, "microbatch")

    def _largest(self, most: Most, field: str) -> Plan:
        if most.fits is None:
            raise InvalidInput(
                f"not even the smallest size fits{_needed(most.too_large)}; take more chips, a "
                "larger model axis or more rematerialization",
                field=field,
            )
        limit = most.too_large.case.rows if most.too_large else None
        return Plan(self._model, most.fits, next_too_large=limit)

    def _compile(self, case: Case) -> Compiled:
        self._say(f"compiling {case.rows} rows, {best.name(case)}")
        compiled = self._cache.through(lambda case: compile_case(case, self._timeout), case)
        memory = compiled.memory
        self._say(
            f"  {'fits' if memory.fits else 'does not fit'}: {memory.used / (1 << 30):.2f} GiB a "
            f"chip ({compiled.seconds:.0f} s)"
        )
        return compiled


def _needed(compiled: Compiled | None) -> str:
    return "" if compiled is None else f" ({compiled.memory.used / (1 << 30):.1f} GiB a chip)"
