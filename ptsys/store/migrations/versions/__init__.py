"""One file for each step from an empty database to `ptsys.store.tables`."""
