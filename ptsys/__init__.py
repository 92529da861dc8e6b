"""ptsys: prompt tuning as a service on frozen T5-style models."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptsys.client import Client

__all__ = ["Client", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`ptsys.Client`, loaded when it is first used: importing ptsys alone stays instant."""
    if name == "Client":
        import importlib

        return importlib.import_module("ptsys.client").Client
    raise AttributeError(f"module 'ptsys' has no attribute {name!r}")
