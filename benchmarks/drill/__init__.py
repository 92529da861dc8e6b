"""The drill: real processes, killed and hindered at random, and a checker that counts what is lost.

`python -m benchmarks.drill --seed 7 --kills 1000` runs it; `docs/reliability.md` tells what it
found. Test deployments and their tiny model come from `tests/`, so they are on the path here.
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
if str(REPOSITORY / "tests") not in sys.path:
    sys.path.append(str(REPOSITORY / "tests"))
