"""The values that travel between client, jobs and workers: pydantic, unknown keys refused.

It may import errors alone.
"""
