"""`python -m ptsys.api`: the API as a process of `ptsys up`."""

from __future__ import annotations

import argparse

from ptsys.api.server import serve
from ptsys.config import Settings
from ptsys.store.private_files import keep_private


def main() -> None:
    """Read the command line; settings come from `PTSYS_*`."""
    keep_private()
    settings = Settings()
    parser = argparse.ArgumentParser(prog="ptsys.api", description=__doc__)
    parser.add_argument("--host", default=settings.api_host)
    parser.add_argument("--port", type=int, default=settings.api_port)
    parser.add_argument(
        "--with-parent", action="store_true", help="end when the starting process has ended"
    )
    arguments = parser.parse_args()
    serve(settings, arguments.host, arguments.port, with_parent=arguments.with_parent)


if __name__ == "__main__":
    main()
