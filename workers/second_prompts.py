"""What an augmentation may see of the library: prompts and datasets, as its user may."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.workbench import Workbench
from ptsys.errors import Damaged, InvalidInput, NotFound
from ptsys.jobs.service import Service
from ptsys.library.neighbours import Neighbour
from ptsys.prompts.storage import load_whole
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example


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
        neighbours = self._service.library.search(
            query,
            self._user,
            fingerprint=self._bench.served.fingerprint,
            metric=spec.metric,
            count=max(spec.candidates, spec.neighbours),
            exclude=exclude,
        )
        return [
            Neighbour(one.prompt, one.score, None if one.dataset is None else one.dataset.id)
            for one in neighbours
        ]

    def tensor(self, prompt: str) -> NDArray[np.float32] | None:
        """A second prompt as the model reads it, [Q, D]; None if it is not there any more."""
        prompts = self._service.prompts
        try:
            record = prompts.get(prompt, self._user)
            if record.general is not None:
                prompts.general_of(record, self._user)  # which has to be theirs to see too
            return load_whole(prompts, record)
        except (NotFound, InvalidInput, Damaged):
            return None

    def rows(self, dataset: str) -> Sequence[Example] | None:
        """A dataset's rows; None if it is not there any more."""
        datasets = self._service.datasets
        try:
            return datasets.read(datasets.get(dataset, self._user).id)
        except (NotFound, Damaged):
            return None
