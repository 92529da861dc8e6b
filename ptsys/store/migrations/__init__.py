"""Alembic migrations, run by `ptsys.store.database.Database.migrate`.

A new one is a file in `versions/` named after its number; set `HEAD` to it (a test checks).
"""

HEAD = "0013"
