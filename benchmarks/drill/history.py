"""What the users asked for and what they were told: the checker holds the service to it."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass
class Submission:
    """One job that was asked for. `id` is None until an answer said which; `finals` are the final
    states anybody was told."""

    user: str
    key: str
    name: str
    variant: str
    id: str | None = None
    refused: bool = False
    cancel_told: bool = False
    finals: set[str] = dataclasses.field(default_factory=set)
    prompt_deleted: bool = False


@dataclasses.dataclass
class Upload:
    """A dataset (rows) or a prompt (array) that was sent. `deleted` is None until it was asked
    for, then whether an answer said that it is gone."""

    user: str
    kind: str
    name: str
    content: Any
    id: str | None = None
    refused: bool = False
    deleted: bool | None = None


class History:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self.uploads: list[Upload] = []
        self.answers = 0
        self.wrong_answers: list[str] = []
        self.strange: list[str] = []
        self.leaked: list[str] = []
        self.errors: dict[str, int] = {}
        self._lock = threading.Lock()

    def submission(self, **given: Any) -> Submission:
        """A job is about to be asked for."""
        made = Submission(**given)
        with self._lock:
            self.submissions.append(made)
        return made

    def upload(self, **given: Any) -> Upload:
        """Something is about to be sent."""
        made = Upload(**given)
        with self._lock:
            self.uploads.append(made)
        return made

    def answered(self, right: bool, told: str = "") -> None:
        """A prediction came back."""
        with self._lock:
            self.answers += 1
            if not right:
                self.wrong_answers.append(told)

    def failed(self, what: str) -> None:
        """A request ended without success: how, in a word."""
        with self._lock:
            self.errors[what] = self.errors.get(what, 0) + 1

    def leaks(self, told: str) -> None:
        """An answer that shows a path or a traceback of the server."""
        with self._lock:
            self.leaked.append(told)

    def strangely(self, told: str) -> None:
        """An answer that the service must not give, whatever happens to it."""
        with self._lock:
            self.strange.append(told)


Tensors = dict[str, NDArray[np.float32]]
"""The prompts that a job makes, by the end of their name: "" is its own."""
