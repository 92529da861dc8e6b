"""Records of the frozen models; their weights lie under the root."""

from __future__ import annotations

from etils import epath
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from ptsys.errors import Conflict, NotFound
from ptsys.store.clock import Clock, utc_now
from ptsys.store.database import Database
from ptsys.store.identifiers import new_id
from ptsys.store.tables import ModelRow
from ptsys.store.visibility import check_name
from ptsys.types.records import Model

BUILTIN = "tiny"
"""The model that is shipped in the package, so is there before any record of it."""


class Models:
    """The frozen models that can be served. All users see all of them."""

    def __init__(self, database: Database, root: epath.PathLike, clock: Clock = utc_now) -> None:
        """Point at weights in `<root>/models`; `root` may be a bucket's URL."""
        self._database = database
        self._folder = epath.Path(root) / "models"
        self._clock = clock

    def path(self, name: str) -> epath.Path:
        """Where the weights of that model lie. Raises InvalidInput for a bad name."""
        check_name(name)
        return self._folder / name

    def add(self, model: Model) -> Model:
        """Record a model whose weights are written; recording the same one again does nothing.

        Raises InvalidInput for a bad name, Conflict if another model has the name.
        """
        check_name(model.name)
        try:
            with self._database.session() as session:
                row = session.get(ModelRow, model.name)
                if row is None:
                    session.add(ModelRow(**model.model_dump(), created=self._clock()))
        except IntegrityError:  # another process was faster
            row = self._row(model.name)
        if row is not None and _model(row) != model:
            raise Conflict(
                f"there is another model {model.name!r} ({row.source}); choose another name or "
                "delete that one"
            )
        return model

    def get(self, name: str) -> Model:
        """The model of that name. Raises NotFound."""
        row = self._row(name)
        if row is None:
            raise NotFound(
                f"there is no model {name!r}; `ptsys models list` shows those there are, "
                "`ptsys models import` brings one in"
            )
        return _model(row)

    def list(self) -> list[Model]:
        """All models, by name."""
        with self._database.reading() as session:
            return [_model(row) for row in session.scalars(select(ModelRow).order_by("name"))]

    def replace(self, model: Model) -> Model:
        """Record a model in place of what its name meant before, if anything."""
        check_name(model.name)
        with self._database.session() as session:
            values = model.model_dump()
            session.merge(ModelRow(**values, created=self._clock()))
        return model

    def delete(self, name: str) -> None:
        """Forget a model, record first, then weights. Raises Conflict if it is built in, NotFound
        if there is nothing of it."""
        folder = self.path(name)
        with self._database.session() as session:
            row = session.get(ModelRow, name)
            if name == BUILTIN or (row is not None and row.builtin):
                raise Conflict(f"the model {name!r} is built in and cannot be deleted")
            if row is None and not folder.exists():
                raise NotFound(
                    f"there is no model {name!r}; `ptsys models list` shows those there are"
                )
            if row is not None:
                session.delete(row)
        if folder.exists():  # under another name first: nobody reads half a model
            folder.rename(going := self._folder / f".{name}.{new_id('gone')}")
            going.rmtree()

    def _row(self, name: str) -> ModelRow | None:
        with self._database.reading() as session:
            return session.get(ModelRow, name)


def _model(row: ModelRow) -> Model:
    return Model(**{field: getattr(row, field) for field in Model.model_fields})
