"""Rows, vocabularies, batches and metrics.

It may import types and errors; never JAX.
"""
