"""The command line. Commands import what they need when they run, so that `--help` is quick.

It may import every other room; only `workers` stands beside it.
"""
