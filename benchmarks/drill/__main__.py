"""`python -m benchmarks.drill`: rounds until so many processes were killed; the figures at the end.

Each round is a deployment of its own, on SQLite or PostgreSQL in turn. Finished rounds are lines
of `rounds.jsonl` in the folder: started again, the drill goes on after them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from pathlib import Path
from typing import Any

import tiny_model
from postgres_server import NoPostgres, binaries

from benchmarks.drill.nemesis import SECONDS
from benchmarks.drill.nursery import Nursery
from benchmarks.drill.reference import make_reference
from benchmarks.drill.report import markdown
from benchmarks.drill.rounds import Round, run_round


def main() -> int:
    """0 if nothing was lost, doubled or wrong."""
    arguments = _parser().parse_args()
    folder: Path = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "rounds.jsonl"
    done = _read(results)
    databases = _databases(arguments.database)
    template = _template(folder)
    nursery = Nursery(folder / "nursery.log")
    began = time.monotonic()
    try:
        reference = make_reference(folder, template, nursery)
        while _killed(done) < arguments.kills and time.monotonic() - began < arguments.seconds:
            number = len(done)
            chosen = Round(
                seed=arguments.seed + number,
                kills=min(arguments.kills_a_round, arguments.kills - _killed(done)),
                database=databases[number % len(databases)],
                residents=(1, 1, 4, 4)[number % 4],
                pause=arguments.pause,
            )
            _say(f"round {number}: {chosen}")
            found = run_round(
                chosen, folder / f"round-{number}", template, nursery, reference, _say
            )
            done.append(found)
            with results.open("a") as file:
                file.write(json.dumps(found) + "\n")
            _say(f"round {number}: {json.dumps(found['faults']) if found['faults'] else 'sound'}")
    finally:
        nursery.close()
    print(markdown(done))
    return 1 if any(found["faults"] for found in done) else 0


def _databases(named: str) -> list[str]:
    if named != "both":
        return [named]
    try:
        binaries()
    except NoPostgres as error:
        _say(f"SQLite alone: {error}")
        return ["sqlite"]
    return ["sqlite", "postgres"]


def _template(folder: Path) -> Path:
    template = folder / "template"
    if not (template / "compilations").exists():
        template.mkdir(exist_ok=True)
        tiny_model.write_tiny_model(template)
        (template / "compilations").mkdir()
    return template


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def _killed(done: list[dict[str, Any]]) -> int:
    return sum(sum(found["killed"].values()) for found in done)


def _say(text: str) -> None:
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drill", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=100, help="processes to kill in all")
    parser.add_argument("--kills-a-round", type=int, default=50)
    parser.add_argument("--pause", type=float, default=SECONDS, help="mean, between two faults (s)")
    parser.add_argument("--database", choices=("both", "sqlite", "postgres"), default="both")
    parser.add_argument("--folder", type=Path, required=True, help="what is kept between runs")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="begin no round after so long"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
