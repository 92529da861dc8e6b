"""Rows, vocabularies, batches, metrics and generated tasks. Never imports JAX."""
