"""Rows, vocabularies, batches and metrics. Never imports JAX."""
