"""The table of docs/plan.md: T5 1.1 base to XXL on TPU topologies, compiled without a TPU.

python benchmarks/plan_table.py                         # all sizes on v5e:2x4
python benchmarks/plan_table.py --topology v6e:2x4 xl   # one size elsewhere

Each row is one `ptsys plan`, whose answers are remembered, so it can be made in parts; on two
cores XXL takes about ten minutes the first time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

GIB = 1 << 30
SIZES = ("base", "large", "xl", "xxl")
MESHES = {"base": "data=2,model=4", "large": "data=1,model=8"}
COLUMNS = (
    "model", "rows", "mesh", "remat", "at a time", "weights", "prompts and results",
    "activations", "headroom", "TFLOPs a row", "GiB sent", "compute ms", "memory ms",
    "network ms", "rows/s at most",
)  # fmt: skip


def planned(model: str, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [
        *(sys.executable, "-m", "ptsys.cli.main", "plan", "--json", "--model", model),
        *("--topology", arguments.topology, "--step", arguments.step, "--rows", arguments.rows),
        *("--remat", arguments.remat, "--microbatch", arguments.microbatch),
        *("--mesh", arguments.mesh or MESHES.get(model, "data=1,model=8")),
    ]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def cells(plan: dict[str, Any]) -> list[str]:
    hbm, roof, mesh = plan["hbm"], plan["roofline"], plan["mesh"]
    held = hbm["prompts"] + hbm["optimizer"] + hbm["results"] + hbm["padding"]
    sent = sum(x["sent_bytes"] for x in plan["collectives"])
    return [
        plan["model"],
        f"{plan['rows']}",
        f"{mesh['data']} x {mesh['model']}",
        plan["execution"]["remat"],
        f"{plan['microbatch']}",
        *(f"{size / GIB:.2f}" for size in (hbm["weights"], held, hbm["activations"])),
        f"{hbm['headroom'] / GIB:.2f}",
        f"{plan['flops_a_row']['all'] / 1e12:.3g}",
        f"{sent / GIB:.2f}",
        *(f"{1e3 * roof[name]:.0f}" for name in ("compute", "memory", "network")),
        f"{plan['rows'] / roof['least']:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", default=SIZES)
    parser.add_argument("--topology", default="v5e:2x4")
    parser.add_argument("--step", default="gradients")
    parser.add_argument("--rows", default="128")
    parser.add_argument("--remat", default="layer")
    parser.add_argument("--microbatch", default="32")
    parser.add_argument("--mesh")
    arguments = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for model in arguments.sizes:
        print(f"| {' | '.join(cells(planned(model, arguments)))} |", flush=True)


if __name__ == "__main__":
    main()
