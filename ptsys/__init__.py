"""ptsys: prompt tuning as a service on frozen T5-style models."""

__version__ = "0.1.0"
