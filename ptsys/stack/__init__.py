"""Redis, workers and the API of one data directory, as child processes that end with their parent.

It starts them by their command lines and imports none of them; it may import `ptsys.jobs` and what
lies below.
"""
