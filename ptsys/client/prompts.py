"""`client.prompts`: stored prompts, their metadata and their tensors."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from ptsys.client import library, searching
from ptsys.client.connection import Connection, decoded, value
from ptsys.client.idempotency import new_key
from ptsys.client.references import address, reference
from ptsys.client.rows import Row
from ptsys.errors import NotFound
from ptsys.types.library import DEFAULT_KIND, QUERY_STEPS, Found, VectorKind
from ptsys.types.map import ColorBy, PromptMap
from ptsys.types.metric import Metric
from ptsys.types.ranking import Difficulty, RankedPrompt, RankedSubmitter, RankedThing
from ptsys.types.records import Dataset, Prompt, Visibility

if TYPE_CHECKING:  # who asks for no arrays does not wait for numpy
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from ptsys.client.jobs import JobHandle

SAFETENSORS = "application/x-safetensors"


class Prompts:
    """Stored prompts. A prompt is named by its record, its id, a name of your own, or
    "owner/name"."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        name: str,
        tensor: ArrayLike | Mapping[str, ArrayLike],
        *,
        model: str | None = None,
        visibility: Visibility = "private",
        shared_with: Sequence[str] = (),
        tags: Sequence[str] = (),
        description: str | None = None,
        licence: str | None = None,
        contact: str | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> Prompt:
        """Store a prompt [length, d_model] under a name, or one of another kind than soft tokens
        as its arrays by name; kept as float32. `notes` is what a file told of it in its header; of
        a meta-prompt that is kept (`ptsys.prompts.meta_about`).

        Raises InvalidInput for an array that is no prompt of the model, Conflict if the name is
        taken.
        """
        from ptsys.prompts.safetensors_format import encode_tree

        tree = prompt_tree(tensor)
        query = {
            "name": name,
            "model": model,
            "visibility": visibility,
            "shared_with": list(shared_with),
            "tags": list(tags),
            "description": description,
            "licence": licence,
            "contact": contact,
        }
        return self._connection.create(
            "/v1/prompts",
            lambda: self._same(name, tree),
            Prompt,
            query=query,
            headers={"Content-Type": SAFETENSORS, "Idempotency-Key": new_key()},
            content=encode_tree(tree, notes),
        )

    def get(self, prompt: str | Prompt) -> Prompt:
        """Its record as it is now. Raises NotFound."""
        return value(Prompt, decoded(self._connection.ask("GET", self._address(prompt))))

    def tensor(
        self,
        prompt: str | Prompt,
        *,
        combined: bool = False,
        general: str | Prompt | None = None,
    ) -> NDArray[np.float32]:
        """The prompt of soft tokens itself, float32 [length, d_model]; of a task-specific one its
        own tokens alone, or with `combined` what the model reads, with its general prompt or the
        `general` that is named. Raises NotFound."""
        import numpy as np

        from ptsys.prompts.safetensors_format import decode

        query = {
            "combined": combined or None,
            "general": None if general is None else reference(general),
        }
        response = self._connection.ask(
            "GET", self._address(prompt, "tensor"), query=query, headers={"Accept": SAFETENSORS}
        )
        array, _ = decode(response.content)
        return array.astype(np.float32)

    def arrays(self, prompt: str | Prompt) -> dict[str, NDArray[np.float32]]:
        """All arrays of a prompt of any kind, float32, by name; of soft tokens `prompt`. Raises
        NotFound."""
        import numpy as np

        from ptsys.prompts.safetensors_format import decode_tree

        response = self._connection.ask(
            "GET", self._address(prompt, "tensor"), headers={"Accept": SAFETENSORS}
        )
        tree, _ = decode_tree(response.content)
        return {name: array.astype(np.float32) for name, array in tree.items()}

    def list(
        self, *, model: str | None = None, owner: str | None = None, name: str | None = None
    ) -> Iterator[Prompt]:
        """The prompts you may see, newest first."""
        return self._connection.pages(Prompt, "/v1/prompts", model=model, owner=owner, name=name)

    def search(
        self,
        prompt: str | Prompt | None = None,
        *,
        examples: Iterable[Row] | None = None,
        data: Dataset | str | os.PathLike[str] | None = None,
        text: str = "",
        metric: Metric = "cosine",
        kind: VectorKind = DEFAULT_KIND,
        count: int = 10,
        steps: int = QUERY_STEPS,
        truncate: bool = False,
        written: bool = False,
        timeout: float | None = None,
        wait: Callable[[JobHandle], object] | None = None,
        **filters: Any,
    ) -> Sequence[Found]:
        """The prompts that are near, best first, among those that you may see: near a stored
        prompt (record, id, name, owner/name), or near the task of rows, given as `examples` or as
        `data`, a stored dataset or a `.jsonl` file of yours. Or, with `text` alone, those that
        these words fit; beside another query all the words must stand somewhere.

            for found in client.prompts.search("reviews", count=3, min_accuracy=0.8):
                print(found.score, found.prompt.owner, found.prompt.name)

        For rows a prompt is trained first, by a job of `steps` updates, and kept for the next
        time; `timeout` is how many seconds to wait for it, `wait` what to do in place of waiting
        with a progress bar, and `truncate` cuts inputs that are too long where they would be
        refused. With `written` nothing is trained: the model's own meta-prompt writes the
        prompt to search with in one pass. `filters` are the fields of
        `ptsys.types.library.Filters`: model, owner, tags, licence, visibility, min_accuracy,
        created_after, prompt_kind.

        Raises InvalidInput naming the field, NotFound, JobFailed, Unavailable when the time is
        over.
        """
        body = {
            "prompt": None if prompt is None else reference(prompt),
            **searching.rows_of(examples, data),
            **{"text": text, "metric": metric, "kind": kind, "count": count, "steps": steps},
            **({"truncate": True} if truncate else {}),
            **({"written": True} if written else {}),
            **searching.checked(filters),
        }
        return searching.search(self._connection, body, timeout, wait)

    @overload
    def ranking(
        self, by: Literal["prompt"] = "prompt", *, count: int = 10, model: str | None = None
    ) -> Sequence[RankedPrompt]: ...

    @overload
    def ranking(
        self, by: Literal["submitter"], *, count: int = 10, model: str | None = None
    ) -> Sequence[RankedSubmitter]: ...

    def ranking(
        self, by: RankedThing = "prompt", *, count: int = 10, model: str | None = None
    ) -> Sequence[RankedPrompt] | Sequence[RankedSubmitter]:
        """The most useful prompts, or those who share them, best first: by how much they are used,
        and by what those who built on them gained. Only what you may see counts.

        Raises InvalidInput naming the field.
        """
        query = {"by": by, "count": count, "model": model}
        if by == "submitter":
            return library.ranking(self._connection, RankedSubmitter, query)
        return library.ranking(self._connection, RankedPrompt, query)

    def difficulty(self, prompt: str | Prompt) -> Difficulty:
        """How difficult its task is, from 0 to 1: by its score, the rows and updates it took, and
        by how prompts nearby do. Raises NotFound."""
        answer = self._connection.ask("GET", self._address(prompt, "difficulty"))
        return value(Difficulty, decoded(answer))

    def map(
        self,
        file: str | os.PathLike[str],
        *,
        model: str | None = None,
        kind: VectorKind = DEFAULT_KIND,
        color_by: ColorBy = "tag",
    ) -> Path:
        """Write a map of a model's prompts that you may see, those alike near each other: a
        picture (`.png`), or a page to move about in (`.html`); says where it is. Raises
        InvalidInput."""
        return library.draw(self._connection, file, model, kind, color_by)

    def coordinates(
        self, *, model: str | None = None, kind: VectorKind = DEFAULT_KIND
    ) -> PromptMap:
        """The same map as numbers. Raises InvalidInput."""
        return library.coordinates(self._connection, model, kind)

    def update(
        self,
        prompt: str | Prompt,
        *,
        name: str | None = None,
        visibility: Visibility | None = None,
        shared_with: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
        description: str | None = None,
        licence: str | None = None,
        contact: str | None = None,
    ) -> Prompt:
        """Rename it, or change who may see it or what is told of it; an empty text takes back
        what was told. `contact` is shown to all who may see the prompt. Raises NotFound,
        Conflict."""
        changes: dict[str, Any] = {
            "name": name,
            "visibility": visibility,
            "shared_with": None if shared_with is None else list(shared_with),
            "tags": None if tags is None else list(tags),
            "description": description,
            "licence": licence,
            "contact": contact,
        }
        given = {field: change for field, change in changes.items() if change is not None}
        with _yours(prompt):
            answer = self._connection.ask("PATCH", self._address(prompt), json=given)
        return value(Prompt, decoded(answer))

    def delete(self, prompt: str | Prompt) -> None:
        """Delete it. Raises NotFound."""
        with _yours(prompt):
            self._connection.delete(self._address(prompt))

    def linked(self, prompt: str | Prompt) -> Sequence[Prompt]:
        """The task-specific prompts of a general one that you may see, oldest first."""
        general = prompt if isinstance(prompt, Prompt) else self.get(prompt)
        found = self._connection.pages(Prompt, "/v1/prompts", general=general.id)
        return sorted(found, key=lambda one: (one.created, one.name))

    def _address(self, prompt: str | Prompt, *rest: str) -> str:
        return address(self._connection, Prompt, prompt, *rest)

    def _same(self, name: str, tree: Mapping[str, NDArray[np.float32]]) -> Prompt | None:
        """The user's prompt of that name, if it is this very one."""
        import numpy as np

        try:
            known = self.get(name)
            kept = self.arrays(known)
            same = kept.keys() == tree.keys() and all(
                np.array_equal(kept[name], array) for name, array in tree.items()
            )
            return known if same else None
        except NotFound:
            return None


@contextlib.contextmanager
def _yours(prompt: str | Prompt) -> Iterator[None]:
    """Name what was asked for as it was named, where it is none of the user's own."""
    try:
        yield
    except NotFound:
        raise NotFound(
            f"no prompt of yours is called {reference(prompt)!r}; `ptsys prompts list` shows yours"
        ) from None


def prompt_array(tensor: ArrayLike) -> NDArray[np.float32]:
    """The prompt as float32 [P, D]: from numpy, jax, a torch tensor on the CPU without a graph, or
    nested lists. Raises InvalidInput for what is none (`ptsys.prompts.check`)."""
    import numpy as np

    from ptsys.prompts.check import check_prompt

    return check_prompt(np.asarray(tensor), None)


def prompt_tree(tensor: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float32]]:
    """A prompt's arrays by name; an array alone is one of soft tokens. Raises InvalidInput as
    `prompt_array`."""
    import numpy as np

    from ptsys.prompts.check import check_numbers

    if isinstance(tensor, Mapping):
        return {name: check_numbers(np.asarray(x), name) for name, x in tensor.items()}
    return {"prompt": prompt_array(tensor)}
