"""A listener that keeps all it hears."""

from collections.abc import Mapping

from ptsys.errors import LeaseLost
from ptsys.training.course import Checkpoint


class Notes:
    """Told to `refuse`, it hears no more progress."""

    def __init__(self) -> None:
        self.reached: list[int] = []
        self.metrics: dict[str, float] = {}
        self.scores: list[tuple[int, dict[str, float]]] = []
        self.kept: list[Checkpoint] = []
        self.refuse = False

    def progress(self, step: int, metrics: Mapping[str, float]) -> None:
        if self.refuse:
            raise LeaseLost("another has it")
        self.reached.append(step)
        self.metrics = dict(metrics)

    def evaluation(self, step: int, scores: Mapping[str, float], **about: object) -> None:
        self.scores.append((step, dict(scores)))

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self.kept.append(checkpoint)

    def note(self, message: str, **about: object) -> None:
        raise AssertionError(message)
