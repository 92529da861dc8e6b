"""How much each user stores."""

from __future__ import annotations

from sqlalchemy import select

from ptsys.store.database import Database
from ptsys.store.datasets import Datasets
from ptsys.store.quota import refuse_more, used_by
from ptsys.store.tables import DatasetRow
from ptsys.types.storage import Quota, Usage


class Storage:
    """What users store."""

    def __init__(self, database: Database, datasets: Datasets) -> None:
        self._database = database
        self._datasets = datasets

    def usage(self, user: str) -> Usage:
        """What the user stores now, and what their jobs will. Datasets of before, whose sizes
        nobody knows, are measured."""
        unknown = select(DatasetRow.id).where(DatasetRow.owner == user, DatasetRow.bytes.is_(None))
        with self._database.reading() as session:
            ids = list(session.scalars(unknown))
            used = used_by(session, user)
        if not ids:
            return used
        sizes = {identifier: self._datasets.size(identifier) for identifier in ids}
        with self._database.session() as session:
            for identifier, size in sizes.items():
                row = session.get(DatasetRow, identifier)
                if row is not None:
                    row.bytes = size
            session.flush()
            return used_by(session, user)

    def refuse_more(self, user: str, quota: Quota, more: Usage) -> None:
        """Raise TooLarge or StorageUsedUp for what does not fit: before the work of storing it."""
        self.usage(user)
        with self._database.reading() as session:
            refuse_more(session, user, quota, more)
