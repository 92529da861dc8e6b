"""Prompt records. The tensors are Orbax checkpoints (`ptsys.store.checkpoints`)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etils import epath
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ptsys.errors import Conflict, InvalidInput, NotFound, StorageUsedUp
from ptsys.store.clock import utc_now
from ptsys.store.database import Database
from ptsys.store.ending import end_others_uses, end_unseen_uses
from ptsys.store.identifiers import new_id
from ptsys.store.quota import refuse_more
from ptsys.store.tables import DatasetRow, JobRow, PromptParentRow, PromptRow, ShareRow
from ptsys.store.visibility import (
    change_shares,
    check_name,
    find_owned,
    find_visible,
    set_shares,
    visible_page,
    visible_to,
)
from ptsys.types.records import Parent, Prompt, Visibility
from ptsys.types.storage import Quota, Usage

REMEDY = "train it again, or bring it in again under another name"
"""What to do about a damaged tensor."""

_SHOWN = 5
_NAMES_AT_ONCE = 500


class Prompts:
    """The prompt library's records. Names are unique for each owner; ids everywhere."""

    def __init__(self, database: Database, root: epath.PathLike) -> None:
        """Point at tensors in `<root>/prompts`; `root` may be a bucket's URL."""
        self._database = database
        self._folder = epath.Path(root) / "prompts"

    def new_id(self) -> str:
        """An id for a prompt to be: write its tensor to `tensor_path(id)` first, then `add` it."""
        return new_id("pr")

    def tensor_path(self, identifier: str) -> epath.Path:
        """Where the tensor of that prompt lies."""
        return self._folder / identifier

    def add(self, prompt: Prompt, *, quota: Quota | None = None) -> Prompt:
        """Record a prompt whose tensor is written. A tensor that surely got no record is removed.

        Raises InvalidInput for a bad name, Conflict if the owner's name is taken, also by a job
        that has not ended, StorageUsedUp or TooLarge for more than the owner's `quota`. A job's own
        prompt goes through `ptsys.jobs.leases.Leases.succeed`.
        """
        self.add_all([prompt], quota=quota)
        return prompt

    def add_all(self, prompts: Sequence[Prompt], *, quota: Quota | None = None) -> None:
        """As `add`, several of one owner's in one transaction."""
        try:
            with self._database.session() as session:
                for owner in {prompt.owner for prompt in prompts}:
                    names = [prompt.name for prompt in prompts if prompt.owner == owner]
                    refuse_taken_names(session, owner, names)
                    if quota is not None:
                        sizes = [prompt.bytes or 0 for prompt in prompts if prompt.owner == owner]
                        more = Usage(bytes=sum(sizes), objects=len(sizes))
                        refuse_more(session, owner, quota, more)
                for prompt in prompts:
                    insert_prompt(session, prompt)
        except (
            InvalidInput,
            Conflict,
            StorageUsedUp,
        ):  # of other errors nobody knows what was committed
            for prompt in prompts:
                with contextlib.suppress(OSError):
                    self.tensor_path(prompt.id).rmtree(missing_ok=True)
            raise

    def get(self, reference: str, user: str) -> Prompt:
        """The prompt of that id, own name or `owner/name`. Raises NotFound, also if not visible."""
        with self._database.reading() as session:
            return _prompt(session, find_visible(session, PromptRow, reference, user), user)

    def general_of(self, prompt: Prompt, user: str, other: str | None = None) -> Prompt:
        """The general prompt that a task-specific one is used with: its own, or the `other` that
        is named.

        Raises InvalidInput if `prompt` is not task-specific, or the other is or fits another
        model; NotFound if the user may not see the general one, or there is none.
        """
        if prompt.general is None:
            raise InvalidInput(
                f"prompt {prompt.name!r} is not task-specific, so no general prompt goes with it",
                field="general",
            )
        try:
            general = self.get(other or prompt.general, user)
        except NotFound:
            if other is not None:
                raise
            raise NotFound(
                f"prompt {prompt.name!r} is used with the general prompt {prompt.general}, which "
                "is not yours to see; ask its owner to share that one too, or name another one "
                "(`general`)"
            ) from None
        if general.general is not None:
            raise InvalidInput(
                f"prompt {general.name!r} is itself task-specific; name a general one",
                field="general",
            )
        if general.model_fingerprint != prompt.model_fingerprint:
            raise InvalidInput(
                f"prompt {general.name!r} was trained on model {general.model!r} with fingerprint "
                f"{general.model_fingerprint}, {prompt.name!r} with {prompt.model_fingerprint}; "
                "both must be of the same weights",
                field="general",
            )
        return general

    def linked(self, general: Prompt, user: str) -> list[Prompt]:
        """The task-specific prompts of a general one that the user may see, oldest first."""
        query = select(PromptRow).where(
            PromptRow.general == general.id, visible_to(PromptRow, user)
        )
        with self._database.reading() as session:
            rows = session.scalars(query.order_by(PromptRow.created, PromptRow.name))
            return prompt_values(session, list(rows), user)

    def trained_on(self, dataset: str) -> list[str]:
        """The ids of all prompts that a dataset made, whoever owns them: for the service itself."""
        with self._database.reading() as session:
            return list(session.scalars(select(PromptRow.id).where(PromptRow.dataset == dataset)))

    def of_weights(self, model: str, fingerprint: str) -> int:
        """How many prompts, whoever owns them, were made for these weights of that model."""
        query = select(func.count()).where(
            PromptRow.model == model, PromptRow.model_fingerprint == fingerprint
        )
        with self._database.reading() as session:
            return session.scalar(query) or 0

    def initializations(self, owner: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Where the owner's prompts of these names began, by name; those that there are."""
        found: dict[str, dict[str, Any]] = {}
        with self._database.reading() as session:
            for start in range(0, len(names), _NAMES_AT_ONCE):
                query = select(PromptRow.name, PromptRow.initialization).where(
                    PromptRow.owner == owner,
                    PromptRow.name.in_(names[start : start + _NAMES_AT_ONCE]),
                )
                found |= {row.name: row.initialization for row in session.execute(query)}
        return found

    def read(self, identifier: str) -> Prompt:
        """The prompt of that id, whoever owns it: for the service itself. Raises NotFound."""
        with self._database.reading() as session:
            row = session.get(PromptRow, identifier)
            if row is None:
                raise NotFound(f"prompt {identifier} was deleted")
            return _prompt(session, row, None)

    def list(
        self,
        user: str,
        *,
        model: str | None = None,
        owner: str | None = None,
        name: str | None = None,
        general: str | None = None,
        kind: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Prompt]:
        """What the user may see, newest first; `before` is the last id of the page before,
        `general` the id of the prompt that they stand on, and `kind` what they are made of."""
        query = visible_page(PromptRow, user, owner=owner, name=name, limit=limit, before=before)
        if model is not None:
            query = query.where(PromptRow.model == model)
        if general is not None:
            query = query.where(PromptRow.general == general)
        if kind is not None:
            query = query.where(PromptRow.kind == kind)
        with self._database.reading() as session:
            return prompt_values(session, list(session.scalars(query)), user)

    def update(
        self,
        reference: str,
        owner: str,
        *,
        name: str | None = None,
        visibility: Visibility | None = None,
        shared_with: Iterable[str] | None = None,
        tags: Iterable[str] | None = None,
        description: str | None = None,
        licence: str | None = None,
        contact: str | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> Prompt:
        """Change what is given, leave the rest; jobs of users who may no longer see the prompt that
        they need are asked to end; `scores` are added to those already there, and an
        empty text takes back what was told.

        Raises NotFound unless the prompt is the owner's, Conflict if the new name is taken,
        InvalidInput for a bad name or users beside another visibility than `shared`.
        """
        with self._database.session() as session:
            row = find_owned(session, PromptRow, reference, owner)
            if name is not None and name != row.name:
                check_name(name)
                refuse_taken_name(session, owner, name)
                row.name = name
            if visibility is not None or shared_with is not None:
                change_shares(session, row, visibility, shared_with)
                row.changed = utc_now()
                session.flush()
                end_unseen_uses(session, row)
            texts = {"description": description, "licence": licence, "contact": contact}
            for field, text in texts.items():
                if text is not None:
                    setattr(row, field, text or None)
            if tags is not None:
                row.tags = sorted(set(tags))
                row.changed = utc_now()
            if scores is not None:
                row.scores = {**row.scores, **scores}
            session.flush()
            return _prompt(session, row, owner)

    def count_uses(self, uses: Mapping[str, int]) -> None:
        """Add to how many requests the prompts of these ids answered; ids that are gone are left
        out."""
        if not uses:
            return
        with self._database.session() as session:
            for identifier, count in sorted(uses.items()):  # one order: no two wait for each other
                counted = PromptRow.uses + count
                query = update(PromptRow).where(PromptRow.id == identifier)
                session.execute(query.values(uses=counted))

    def delete(self, reference: str, owner: str) -> Prompt:
        """Delete the owner's prompt, record first, then tensor; other users' jobs that need it are
        asked to end. Raises NotFound, or Conflict while a job of the owner needs it, or
        task-specific prompts are of no use without it."""
        with self._database.session() as session:
            row = find_owned(session, PromptRow, reference, owner)
            _refuse_needed(session, row)
            end_others_uses(session, row, "was deleted by its owner")
            prompt = _prompt(session, row, owner)
            set_shares(session, row, "private", set())
            session.delete(row)
        if self.tensor_path(prompt.id).exists():
            self.tensor_path(prompt.id).rmtree()
        return prompt


def insert_prompt(session: Session, prompt: Prompt) -> None:
    """Write the record within an open transaction.

    Raises InvalidInput for a bad name, Conflict if the owner's name is taken by a prompt.
    """
    check_name(prompt.name)
    values = prompt.model_dump(exclude={"visibility", "shared_with", "tags", "parents"})
    row = PromptRow(**values, tags=sorted(set(prompt.tags)), changed=utc_now())
    set_shares(session, row, prompt.visibility, set(prompt.shared_with))
    session.add(row)
    try:
        session.flush()
    except IntegrityError:
        raise _taken(prompt.name) from None
    for place, parent in enumerate(prompt.parents):
        values = parent.model_dump(exclude={"prompt"})
        session.add(PromptParentRow(prompt=prompt.id, place=place, parent=parent.prompt, **values))


def refuse_taken_name(session: Session, owner: str, name: str) -> None:
    """Raise Conflict if a prompt, or a job that has not ended, of this owner has the name."""
    refuse_taken_names(session, owner, [name])


def refuse_taken_names(session: Session, owner: str, names: Sequence[str]) -> None:
    """Raise Conflict if a prompt of this owner has one of the names, or will have it: one that a
    job makes which has not ended."""
    prompts = select(PromptRow.name).where(PromptRow.owner == owner, PromptRow.name.in_(names))
    taken = session.scalar(prompts.limit(1))
    if taken is not None:
        raise _taken(taken)
    # A job's prompts have its own name, or begin with it and a dot.
    stems = {name[:end] for name in names for end in _ends(name)}
    jobs = select(JobRow).where(JobRow.owner == owner, JobRow.active_name.in_(stems))
    for job in session.scalars(jobs):
        coming = {job.name, *(f"{job.name}.{task['name']}" for task in job.spec.get("tasks", ()))}
        for name in names:
            if name in coming:
                raise Conflict(
                    f"job {job.id} is already making a prompt {name!r}; wait for it, cancel it "
                    f"(`ptsys jobs cancel {job.id}`) or choose another name"
                )


def _ends(name: str) -> list[int]:
    """Where a job's name may end within a prompt's."""
    return [place for place, letter in enumerate(name) if letter == "."] + [len(name)]


def _refuse_needed(session: Session, row: PromptRow) -> None:
    """Raise Conflict if task-specific prompts are combined with this one."""
    query = select(PromptRow.name).where(PromptRow.general == row.id).order_by(PromptRow.name)
    names = list(session.scalars(query))
    if names:
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        raise Conflict(
            f"prompt {row.name!r} is the general part of {shown}; delete "
            f"{'that one' if len(names) == 1 else f'those {len(names)}'} first"
        )


def _taken(name: str) -> Conflict:
    return Conflict(
        f"you already have a prompt {name!r}; choose another name or delete that one "
        f"(`ptsys prompts delete {name}`)"
    )


def _prompt(session: Session, row: PromptRow, viewer: str | None) -> Prompt:
    return prompt_values(session, [row], viewer)[0]


def prompt_values(session: Session, rows: Sequence[PromptRow], viewer: str | None) -> list[Prompt]:
    """The rows as `viewer` may see them, or the service itself (None): of what is not theirs to
    see, a dataset, a parent or a prompt made from this one, nothing is told, not even that it is
    there."""
    seen = _seen_datasets(session, rows, viewer)
    parents = _parents(session, [row.id for row in rows], viewer)
    made = _made_from(session, [row.id for row in rows], viewer)
    shares = _shares(session, [row.id for row in rows if viewer in (None, row.owner)])
    prompts = []
    for row in rows:
        values = {key: getattr(row, key) for key in _COLUMNS}
        values["dataset"] = row.dataset if row.dataset in seen else None
        values["uses"] = row.uses + made.get(row.id, 0)
        prompts.append(
            Prompt(
                **values,
                parents=tuple(parents.get(row.id, ())),
                shared_with=tuple(shares.get(row.id, ())),
            )
        )
    return prompts


_COLUMNS = [
    column.key for column in PromptRow.__mapper__.column_attrs if column.key in Prompt.model_fields
]


def _seen_datasets(
    session: Session, rows: Sequence[PromptRow], viewer: str | None
) -> set[str | None]:
    named = {row.dataset for row in rows if row.dataset is not None}
    if viewer is None or not named:
        return {*named}
    query = select(DatasetRow.id).where(DatasetRow.id.in_(named), visible_to(DatasetRow, viewer))
    own = {row.dataset for row in rows if row.owner == viewer}  # also one that was deleted
    return {*session.scalars(query), *own}


def _parents(
    session: Session, prompts: Sequence[str], viewer: str | None
) -> dict[str, list[Parent]]:
    query = select(PromptParentRow).where(PromptParentRow.prompt.in_(prompts))
    if viewer is not None:
        seen = select(PromptRow.id).where(visible_to(PromptRow, viewer))
        query = query.where(PromptParentRow.parent.in_(seen))
    parents: dict[str, list[Parent]] = {}
    for row in session.scalars(query.order_by(PromptParentRow.prompt, PromptParentRow.place)):
        parent = Parent(
            prompt=row.parent,
            role=row.role,  # type: ignore[arg-type]  # checked by pydantic
            similarity=row.similarity,
            weight=row.weight,
        )
        parents.setdefault(row.prompt, []).append(parent)
    return parents


def _made_from(session: Session, prompts: Sequence[str], viewer: str | None) -> dict[str, int]:
    """How many prompts that the viewer may see were made from each of these."""
    made = func.count(PromptParentRow.prompt.distinct())
    query = (
        select(PromptParentRow.parent, made)
        .where(PromptParentRow.parent.in_(prompts), PromptParentRow.role != "query")
        .group_by(PromptParentRow.parent)
    )
    if viewer is not None:
        seen = select(PromptRow.id).where(visible_to(PromptRow, viewer))
        query = query.where(PromptParentRow.prompt.in_(seen))
    return {row[0]: row[1] for row in session.execute(query)}


def _shares(session: Session, prompts: Sequence[str]) -> dict[str, list[str]]:
    query = select(ShareRow).where(ShareRow.resource.in_(prompts)).order_by(ShareRow.user)
    users: dict[str, list[str]] = {}
    for row in session.scalars(query):
        users.setdefault(row.resource, []).append(row.user)
    return users
