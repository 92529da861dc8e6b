"""The HTTP API: one router a file, no accelerator stack, nothing of a request stored or logged.

It may import jobs, the store, types and what lies below; never JAX, the engine or the models.
"""
