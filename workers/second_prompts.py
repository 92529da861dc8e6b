"""What an augmentation may see of the library: prompts and datasets, as its user may."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput, NotFound
from ptsys.jobs.service import Service
from ptsys.library.neighbours import Neighbour
from ptsys.prompts.storage import load_part
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example
from ptsys.types.records import Prompt


class SecondPrompts:
    """The `Sources` of a job. Whatever it gives is the user's to see at that moment."""

    def __init__(self, service: Service, bench: Workbench, spec: AugmentSpec, user: str) -> None:
        self._service = service
        self._bench = bench
        self._spec = spec
        self._user = user

    def find(self, query: NDArray[np.float32]) -> Sequence[Neighbour]:
        """The candidates for second prompts of a query [P, D], best first. Prompts trained on the
        user's very rows are left out: they bring nothing."""
        spec = self._spec
        exclude = set(self._service.prompts.trained_on(spec.dataset))
        if spec.query is not None:
            exclude.add(spec.query)
        found = self._service.library.search(
            query,
            self._user,
            fingerprint=self._bench.served.fingerprint,
            metric=spec.metric,
            count=max(spec.candidates, spec.neighbours),
            exclude=exclude,
        )
        return [
            Neighbour(one.prompt, one.score, None if one.dataset is None else one.dataset.id)
            for one in found
        ]

    def tensor(self, prompt: str) -> NDArray[np.float32] | None:
        """A second prompt as the model reads it, [Q, D]; None if it is not there any more."""
        try:
            return self._read(self._service.prompts.get(prompt, self._user))
        except (NotFound, InvalidInput):
            return None

    def rows(self, dataset: str) -> Sequence[Example] | None:
        """A dataset's rows; None if it is not there any more."""
        datasets = self._service.datasets
        try:
            return datasets.read(datasets.get(dataset, self._user).id)
        except NotFound:
            return None

    def _read(self, prompt: Prompt) -> NDArray[np.float32] | None:
        """A task-specific prompt is read with its general one. Raises NotFound, InvalidInput."""
        prompts = self._service.prompts
        part = load_part(prompts.tensor_path(prompt.id))
        if prompt.general is None or prompt.combination is None:
            return part.rows
        general = load_part(prompts.tensor_path(prompts.general_of(prompt, self._user).id)).rows
        assert general is not None
        return part.with_general(general, prompt.combination)
