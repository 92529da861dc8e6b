"""`client.meta_prompts`: what makes a frozen model write prompts, and the prompts it writes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ptsys.client import meta_folder
from ptsys.client.connection import Connection
from ptsys.client.idempotency import new_key
from ptsys.client.models import Models
from ptsys.client.prompts import SAFETENSORS, Prompts
from ptsys.client.references import address, path
from ptsys.client.rows import Row, examples
from ptsys.errors import InvalidInput, NotFound
from ptsys.prompts.meta_about import NOTE, AboutMetaPrompt
from ptsys.types.library import Found
from ptsys.types.meta_training import META
from ptsys.types.model import Value
from ptsys.types.records import Prompt, Visibility
from ptsys.types.requests import GENERIC, Aggregate

if TYPE_CHECKING:  # who asks for no arrays does not wait for numpy
    import numpy as np
    from numpy.typing import NDArray


class MetaPrompt(Value):
    """A meta-prompt as a user sees it; `owner` is None for one that ships with its model, which is
    called `generic`. What is stored is a prompt of the kind `meta` too: `client.prompts` has it.
    """

    id: str
    name: str
    model: str
    model_fingerprint: str
    owner: str | None = None
    visibility: Visibility = "private"


class MetaPrompts:
    """Meta-prompts: learned numbers that make a frozen model's encoder write a prompt from a few
    examples, or a description, in one pass."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, model: str | None = None) -> Iterator[MetaPrompt]:
        """Those that ship with models, then the stored ones you may see."""
        return self._connection.pages(MetaPrompt, "/v1/meta-prompts", model=model)

    def search(
        self,
        prompt: str | Prompt | None = None,
        *,
        examples: Iterable[Row] | None = None,
        **options: Any,
    ) -> Sequence[Found]:
        """Those for tasks like yours, nearest first, among those that you may see: a meta-prompt
        lies where the prompts of the tasks lie that it was trained on.

            for found in client.meta_prompts.search("reviews"):
                print(found.score, found.prompt.name, found.prompt.hyperparameters["tasks"])

        `prompt` is a stored prompt of soft tokens; of `examples` the model's own meta-prompt writes
        one first. `options` are those of `client.prompts.search`: text, count, model and so on.
        Raises as that does.
        """
        prompts = Prompts(self._connection)
        return prompts.search(prompt, examples=examples, prompt_kind=META, **options)

    def export(self, meta: str | Prompt | MetaPrompt, path: str | os.PathLike[str]) -> Path:
        """Write a stored one as a folder, to bring it elsewhere with `add`: its arrays in
        `meta_prompt.safetensors`, and in `meta_prompt.json` its model's name and fingerprint, how
        it was trained, its tasks and its scores on those held out. Raises NotFound, InvalidInput.
        """
        prompts = Prompts(self._connection)
        found = prompts.get(meta.id if isinstance(meta, MetaPrompt) else meta)
        if found.kind != META:
            raise InvalidInput(
                f"{found.name!r} is a prompt, not a meta-prompt; `client.prompts` has its arrays",
                field="meta",
            )
        return meta_folder.write(path, prompts.arrays(found), AboutMetaPrompt.of(found))

    def add(
        self,
        name: str,
        path: str | os.PathLike[str],
        *,
        model: str | None = None,
        visibility: Visibility = "private",
    ) -> Prompt:
        """Store what `export` wrote, under a name. It writes what it wrote where it came from, for
        the same model: unless `model` names it, the one here with the same fingerprint.

        Raises InvalidInput for another model and for a folder that is not whole, Conflict if the
        name is taken.
        """
        tree, about = meta_folder.read(path)
        if model is None:
            fitting = (
                one.name
                for one in Models(self._connection).list()
                if one.fingerprint == about.model_fingerprint
            )
            model = next(fitting, None)
        return Prompts(self._connection).add(
            name,
            tree,
            model=model,
            visibility=visibility,
            description=about.description,
            licence=about.licence,
            notes={NOTE: about.text},
        )

    @overload
    def generate(
        self,
        rows: Iterable[Row] = (),
        *,
        description: str | None = None,
        meta: str | Prompt | MetaPrompt = GENERIC,
        model: str | None = None,
        aggregate: Aggregate = "each",
        truncate: bool = False,
        name: None = None,
        visibility: Visibility = "private",
    ) -> NDArray[np.float32]: ...

    @overload
    def generate(
        self,
        rows: Iterable[Row] = (),
        *,
        description: str | None = None,
        meta: str | Prompt | MetaPrompt = GENERIC,
        model: str | None = None,
        aggregate: Aggregate = "each",
        truncate: bool = False,
        name: str,
        visibility: Visibility = "private",
    ) -> Prompt: ...

    def generate(
        self,
        rows: Iterable[Row] = (),
        *,
        description: str | None = None,
        meta: str | Prompt | MetaPrompt = GENERIC,
        model: str | None = None,
        aggregate: Aggregate = "each",
        truncate: bool = False,
        name: str | None = None,
        visibility: Visibility = "private",
    ) -> NDArray[np.float32] | Prompt:
        """Write a prompt for a task from examples of it, its description, or both.

            prompt = client.meta_prompts.generate([("cat", "cats"), ("box", "boxes")])
            client.predict(prompt, ["river"])

        It comes back as an array [length, d_model], or with a `name` is kept under it and its
        record comes back. `each` lets the examples stand side by side in it, `mean` has their mean
        alone, `joint` reads them all in one row.

        Raises InvalidInput naming the field, NotFound for a meta-prompt that is not there, Conflict
        if the name is taken.
        """
        given = list(rows)
        shown = examples(given) if given else []
        body: dict[str, Any] = {
            "examples": [{"input": row.input, "target": row.target} for row in shown],
            "description": description,
            "aggregate": aggregate,
            "truncate": truncate,
        }
        if isinstance(meta, MetaPrompt):
            model, meta = (meta.model if model is None else model), meta.id
        body |= {} if model is None else {"model": model}
        if meta == GENERIC:
            place = path("meta-prompts", GENERIC, "generate")
        else:
            stored = address(self._connection, Prompt, meta).rpartition("/")[2]
            place = f"/v1/meta-prompts/{stored}/generate"
        if name is None:
            return self._written(place, body)
        return self._connection.create(
            place,
            lambda: self._same(name, place, body),
            Prompt,
            json=body | {"name": name, "visibility": visibility},
            headers={"Idempotency-Key": new_key()},
        )

    def _written(self, place: str, body: dict[str, Any]) -> NDArray[np.float32]:
        import numpy as np

        from ptsys.prompts.safetensors_format import decode

        answer = self._connection.ask("POST", place, json=body, headers={"Accept": SAFETENSORS})
        array, _ = decode(answer.content)
        return array.astype(np.float32)

    def _same(self, name: str, place: str, body: dict[str, Any]) -> Prompt | None:
        """The prompt of that name, if it is what is written of the same task."""
        import numpy as np

        prompts = Prompts(self._connection)
        try:
            found = prompts.get(name)
            if found.initialization.get("kind") != "meta":
                return None
            kept, written = prompts.tensor(found), self._written(place, body)
        except NotFound:
            return None
        same = kept.shape == written.shape and np.allclose(kept, written, atol=1e-3)
        return found if same else None
