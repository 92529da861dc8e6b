"""The compiling process: one case in as JSON, what the compiler told of it out as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from ptsys.plan.buffers import held_at_peak
from ptsys.plan.case import Case
from ptsys.plan.collectives import collectives
from ptsys.plan.compiling import Compiled, follow_parent
from ptsys.plan.hlo import parse
from ptsys.plan.memory import Memory, needed_bytes
from ptsys.plan.step import LoweredStep, lower

_SHOWN = 12  # kinds of arrays that a report can name


def compile_here(case: Case, devices: list[Any]) -> Compiled:
    """Compile the case for these devices, in this process."""
    from ptsys.sharding.mesh import make_mesh

    started = time.monotonic()
    step = lower(case, make_mesh(devices, data=case.data, model=case.model))
    try:
        executable = step.lowered.compile()
    except Exception as error:  # jaxlib's own kind, which is not public
        needed = needed_bytes(str(error), step.arguments.total)
        if needed is None:
            raise
        return Compiled(case, _memory(case, step, needed=needed), seconds=_since(started))
    sizes: Any = executable.memory_analysis()
    program = parse(executable.as_text() or "")
    bytes_, held = held_at_peak(program)
    memory = _memory(
        case,
        step,
        padding=max(sizes.argument_size_in_bytes - step.arguments.total, 0),
        results=sizes.output_size_in_bytes - sizes.alias_size_in_bytes,
        activations=sizes.temp_size_in_bytes,
        code=sizes.generated_code_size_in_bytes,
    )
    return Compiled(
        case,
        memory,
        collectives=tuple(collectives(program, len(devices), step.trips)),
        held=tuple(held[:_SHOWN]),
        share=bytes_ / max(sizes.temp_size_in_bytes, 1),
        seconds=_since(started),
    )


def _memory(case: Case, step: LoweredStep, **parts: int) -> Memory:
    given = step.arguments
    return Memory(
        hbm=case.place.chip.hbm_bytes,
        weights=given.weights,
        prompts=given.prompts,
        optimizer=given.optimizer,
        rows=given.rows,
        **parts,
    )


def _since(started: float) -> float:
    return round(time.monotonic() - started, 2)


def _tpu_devices(case: Case) -> list[Any]:
    from jax.experimental import topologies

    place = case.place
    described = topologies.get_topology_desc(
        platform="tpu", topology_name=place.name, **place.options()
    )
    return list(described.devices)


def main() -> None:
    """Read, compile, answer. Whatever libraries print goes to stderr."""
    follow_parent()
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    case = Case.of(json.load(sys.stdin))
    found = compile_here(case, _tpu_devices(case))
    json.dump(found.to_dict(), answer)
    answer.close()


if __name__ == "__main__":
    main()
