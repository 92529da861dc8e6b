"""Pretraining from gin files, without the command line's packages: FILE… [-- BINDING…].

python scripts/pretrain.py gin/runs/pretrain_gpu.gin gin/models/mini.gin -- PretrainRun.steps=9
"""

from __future__ import annotations

import sys

import gin

from ptsys.config import Settings
from ptsys.pretraining.bindings import chosen


def main() -> None:
    """Parse the files, and run."""
    arguments = sys.argv[1:]
    at = arguments.index("--") if "--" in arguments else len(arguments)
    gin.parse_config_files_and_bindings(arguments[:at], arguments[at + 1 :])
    print(chosen()(Settings()))


if __name__ == "__main__":  # the processes that make rows import this file too
    main()
