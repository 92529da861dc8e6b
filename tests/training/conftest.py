"""A running engine on a tiny random model with a byte vocabulary."""

from byte_engine import engine, served

__all__ = ["engine", "served"]
