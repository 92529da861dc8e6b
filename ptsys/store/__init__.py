"""What the service remembers: a database, and files under one root.

It may import types, errors and the configuration; never JAX.
"""
