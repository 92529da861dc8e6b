"""Datasets: a record in the database and a JSONL file under the root."""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Iterable, Iterator, Sequence

from etils import epath
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ptsys.errors import Conflict, Damaged, InvalidInput, NotFound, StorageUsedUp
from ptsys.store.clock import Clock, utc_now
from ptsys.store.database import Database
from ptsys.store.durable import make_folder, put_in_place
from ptsys.store.ending import end_others_uses, end_unseen_uses
from ptsys.store.faults import unreadable, unwritable
from ptsys.store.identifiers import new_id
from ptsys.store.quota import refuse_more
from ptsys.store.tables import DatasetRow, PromptRow
from ptsys.store.visibility import (
    change_shares,
    check_name,
    find_owned,
    find_visible,
    set_shares,
    shared_with,
    visible_page,
    visible_to,
)
from ptsys.types.example import Example, digest
from ptsys.types.records import Dataset, Visibility
from ptsys.types.storage import Quota, Usage


class Datasets:
    """The stored datasets. Names are unique for each owner; ids everywhere."""

    def __init__(self, database: Database, root: epath.PathLike, clock: Clock = utc_now) -> None:
        """Keep files in `<root>/datasets`; `root` may be a bucket's URL."""
        self._database = database
        self._folder = epath.Path(root) / "datasets"
        self._clock = clock

    def add(
        self,
        name: str,
        owner: str,
        examples: Sequence[Example],
        *,
        description: str | None = None,
        visibility: Visibility = "private",
        shared_with: Iterable[str] = (),
        generated_by: str | None = None,
        quota: Quota | None = None,
    ) -> Dataset:
        """Store the rows under a name. A dataset never changes afterwards. `generated_by` is the
        id of the prompt whose answers the targets are.

        Raises InvalidInput for a bad name or no rows, Conflict if the owner's name is taken,
        StorageUsedUp or TooLarge for more than the owner's `quota`.
        """
        check_name(name)
        if not examples:
            raise InvalidInput("a dataset needs at least one row", field="examples")
        self.refuse_taken(name, owner)  # before the work; the unique constraint decides below
        identifier = new_id("ds")
        users = set(shared_with)
        self._write(identifier, examples)
        try:
            size = self.size(identifier)
            with self._database.session() as session:
                if quota is not None:
                    refuse_more(session, owner, quota, Usage(bytes=size, objects=1))
                row = DatasetRow(
                    id=identifier,
                    name=name,
                    owner=owner,
                    rows=len(examples),
                    bytes=size,
                    digest=digest(examples),
                    description=description,
                    generated_by=generated_by,
                    created=self._clock(),
                )
                set_shares(session, row, visibility, users)
                session.add(row)
                session.flush()
                return dataset_value(session, row, owner)
        except (
            IntegrityError,
            InvalidInput,
            StorageUsedUp,
        ) as error:  # surely no record: of others, who knows
            self.path(identifier).unlink(missing_ok=True)
            if isinstance(error, IntegrityError):
                raise _taken(name) from None
            raise

    def get(self, reference: str, user: str) -> Dataset:
        """The dataset of that id, own name or `owner/name`. Raises NotFound."""
        with self._database.reading() as session:
            return dataset_value(session, find_visible(session, DatasetRow, reference, user), user)

    def read(self, identifier: str) -> list[Example]:
        """The rows of a dataset, by its id. Only for those who checked with `get` before.

        Raises NotFound if it was deleted, Damaged if its file is damaged or gone, Unavailable if
        it cannot be read at present.
        """
        with self._database.reading() as session:
            row = session.get(DatasetRow, identifier)
        if row is None:
            raise NotFound(f"dataset {identifier} was deleted")
        try:
            with self.path(identifier).open("r") as file:
                examples = [Example(**json.loads(line)) for line in file]
        except (OSError, ValueError, TypeError) as error:
            if isinstance(error, FileNotFoundError) and not self._folder.exists():
                error = OSError(errno.ENOTCONN, "the folder of all datasets is away")
            what = f"the file of dataset {identifier}"
            raise unreadable(what, self.path(identifier), error, "upload it again") from error
        if digest(examples) != row.digest:
            raise Damaged(f"the file of dataset {identifier} was changed; upload it again")
        return examples

    def list(
        self,
        user: str,
        *,
        owner: str | None = None,
        name: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Dataset]:
        """What the user may see, newest first; `before` is the last id of the page before."""
        query = visible_page(DatasetRow, user, owner=owner, name=name, limit=limit, before=before)
        with self._database.reading() as session:
            return [dataset_value(session, row, user) for row in session.scalars(query)]

    def share(
        self,
        reference: str,
        owner: str,
        *,
        visibility: Visibility | None = None,
        shared_with: Iterable[str] | None = None,
    ) -> Dataset:
        """Change who may see the owner's dataset; what is not given stays. Jobs of users who no
        longer may are asked to end.

        Raises NotFound unless it is the owner's, InvalidInput for users beside another visibility
        than `shared`.
        """
        with self._database.session() as session:
            row = find_owned(session, DatasetRow, reference, owner)
            change_shares(session, row, visibility, shared_with)
            session.flush()
            end_unseen_uses(session, row)
            return dataset_value(session, row, owner)

    def delete(self, reference: str, owner: str) -> Dataset:
        """Delete the owner's dataset; other users' jobs that need it are asked to end. Raises
        NotFound, or Conflict while a job of the owner needs it."""
        with self._database.session() as session:
            row = find_owned(session, DatasetRow, reference, owner)
            end_others_uses(session, row, "was deleted by its owner")
            dataset = dataset_value(session, row, owner)
            set_shares(session, row, "private", set())
            session.delete(row)
        self.path(dataset.id).unlink(missing_ok=True)
        return dataset

    def size(self, identifier: str) -> int:
        """Bytes of the file; 0 if it is gone."""
        try:
            return int(self.path(identifier).stat().length)
        except OSError:
            return 0

    def path(self, identifier: str) -> epath.Path:
        """Where the rows of that dataset lie."""
        return self._folder / f"{identifier}.jsonl"

    def _write(self, identifier: str, examples: Sequence[Example]) -> None:
        """Write the whole file beside its place, then move it there: no one sees half of it, and
        it is on the disk when this returns."""
        path = self.path(identifier)
        draft = self._folder / f".{identifier}.draft"
        try:
            make_folder(self._folder)
            with draft.open("w") as file:
                file.writelines(_rows(examples))
            put_in_place(draft, path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise unwritable("the dataset", path, error) from error
            raise

    def refuse_taken(self, name: str, owner: str) -> None:
        """Raise Conflict if the owner has a dataset of that name: before work that ends in one."""
        query = select(DatasetRow.id).where(DatasetRow.owner == owner, DatasetRow.name == name)
        with self._database.reading() as session:
            if session.scalar(query) is not None:
                raise _taken(name)


def _rows(examples: Iterable[Example]) -> Iterator[str]:
    return (example.to_json() + "\n" for example in examples)


def _taken(name: str) -> Conflict:
    return Conflict(f"you already have a dataset {name!r}; choose another name or delete that one")


def dataset_value(session: Session, row: DatasetRow, viewer: str | None) -> Dataset:
    """The row as `viewer` may see it, or the service itself (None): the prompt that made it is told
    to those who may see that prompt."""
    maker = _maker(session, row, viewer)
    description = row.description
    if maker is not None:
        told = f"Made with prompt {maker.owner}/{maker.name}."
        description = told if not description else f"{description} {told}"
    return Dataset(
        id=row.id,
        name=row.name,
        owner=row.owner,
        visibility=row.visibility,  # type: ignore[arg-type]  # checked by pydantic
        shared_with=shared_with(session, row, viewer),
        rows=row.rows,
        bytes=row.bytes,
        digest=row.digest,
        description=description,
        generated_by=None if maker is None else maker.id,
        created=row.created,
    )


def _maker(session: Session, row: DatasetRow, viewer: str | None) -> PromptRow | None:
    if row.generated_by is None:
        return None
    query = select(PromptRow).where(PromptRow.id == row.generated_by)
    if viewer is not None:
        query = query.where(visible_to(PromptRow, viewer))
    return session.scalar(query)
