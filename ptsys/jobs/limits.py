"""What a frozen model accepts, told from the files beside its weights: the check at the door.

A worker would refuse the same rows, but only when the job's turn has come. Nothing here reads
weights or needs an accelerator stack; `ptsys.models.description` says what the files are.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ptsys.data.features import encode_targets, longest_target
from ptsys.data.unsupervised import check_row
from ptsys.data.vocabulary import Vocabulary, load_vocabulary
from ptsys.errors import InvalidInput
from ptsys.types.example import Example
from ptsys.types.names import NAME
from ptsys.types.requests import Decoding
from ptsys.types.scoring import scoring

_CONFIG, _VOCABULARY = "config.json", "vocabulary.model"


@dataclasses.dataclass(frozen=True)
class ModelShape:
    """What is known of a model beside its vocabulary, which one may have been imported without:
    whether prompts fit it. Lengths count tokens, the end of row included."""

    model: str
    fingerprint: str
    d_model: int
    max_input_length: int
    max_target_length: int
    has_vocabulary: bool


@dataclasses.dataclass(frozen=True)
class ModelLimits(ModelShape):
    """The part of a model that decides whether rows and prompts fit it."""

    vocabulary: Vocabulary

    def target_tokens(self, targets: Sequence[str], *, field: str = "target") -> int:
        """The length of the longest target. Raises InvalidInput, naming the row, if one is longer
        than the model's limit."""
        most = self.max_target_length
        return max(map(len, encode_targets(self.vocabulary, targets, most, field=field)))

    def scoring(self, targets: Sequence[str], labels: Sequence[str] | None = None) -> Decoding:
        """How to answer rows with these targets to score the answers; see `ptsys.types.scoring`."""
        longest = longest_target(self.vocabulary, targets)
        return scoring(longest, self.max_target_length, labels)

    def cut_inputs(self, inputs: Sequence[str]) -> int:
        """How many inputs are longer than the limit, and so are cut."""
        return sum(len(self.vocabulary.encode(text)) >= self.max_input_length for text in inputs)

    def check(self, examples: Sequence[Example], *, field: str = "target") -> int:
        """Raise InvalidInput, naming the row, for a target that is missing or beyond the limit;
        says how many inputs will be cut."""
        for row, example in enumerate(examples, start=1):
            if example.target is None:
                raise InvalidInput(f"row {row}: 'target' is missing; give the answer", field=field)
        return self.check_training(examples, field=field)

    def check_training(self, examples: Sequence[Example], *, field: str = "target") -> int:
        """As `check`, but a row without a target is fine if spans can be cut out of its input."""
        for row, example in enumerate(examples, start=1):
            if example.target is None:
                try:
                    check_row(self.vocabulary, example.input, row)
                except InvalidInput as error:
                    raise InvalidInput(str(error), field=field) from None
        self.target_tokens([example.target or "" for example in examples], field=field)
        return self.cut_inputs([example.input for example in examples])


def model_names(root: Path) -> list[str]:
    """The models there are, built in or imported under `root`, in order."""
    return sorted(set(dict(_folders(root))))


def read_shape(root: Path, model: str) -> ModelShape:
    """What a model's prompts look like, built in or imported under `root`, with its vocabulary or
    without. Raises InvalidInput as `read_limits` does."""
    shape, _ = _read(root, model)
    return shape


def read_limits(root: Path, model: str) -> ModelLimits:
    """The limits of a model, built in or imported under `root`.

    Raises InvalidInput, naming those there are, for an unknown model, for one that was imported
    without its vocabulary, and for damaged files.
    """
    shape, vocabulary = _read(root, model)
    if not shape.has_vocabulary:
        raise InvalidInput(
            f"model {model!r} was imported without its vocabulary, so it can neither train nor "
            f"answer; bring it: `ptsys models replace {model} SOURCE --vocabulary FILE`",
            field="model",
        )
    try:
        found = vocabulary()
    except InvalidInput as error:
        raise InvalidInput(
            f"the vocabulary of model {model!r} is damaged: {error}; bring it again: `ptsys models "
            f"replace {model} SOURCE --vocabulary FILE`",
            field="model",
        ) from None
    return ModelLimits(**dataclasses.asdict(shape), vocabulary=found)


def _read(root: Path, model: str) -> tuple[ModelShape, Callable[[], Vocabulary]]:
    folder = dict(_folders(root)).get(model) if re.fullmatch(NAME, model) else None
    if folder is None:
        known = ", ".join(sorted(name for name, _ in _folders(root))) or "none"
        raise InvalidInput(
            f"there is no model {model!r}; there are: {known}. `ptsys models import` brings one in",
            field="model",
        )
    try:
        description = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        config = description["config"]
        kind, size = config["tokenizer"], int(config["vocab_size"])
        sentinels = int(description.get("sentinels", 100))
        path = _vocabulary_path(folder)
        shape = ModelShape(
            model=model,
            fingerprint=str(description["fingerprint"]),
            d_model=int(config["d_model"]),
            max_input_length=int(config["max_input_length"]),
            max_target_length=int(config["max_target_length"]),
            has_vocabulary=kind == "byt5" or path is not None,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"the files of model {model!r} are damaged ({type(error).__name__}); bring it again: "
            f"`ptsys models replace {model} SOURCE`",
            field="model",
        ) from error
    return shape, lambda: load_vocabulary(kind, path, size, sentinels)


def _vocabulary_path(folder: Path) -> Path | None:
    path = folder / _VOCABULARY
    return path if path.is_file() else None


def _folders(root: Path) -> Iterator[tuple[str, Path]]:
    """Models by name; what is built in comes last, so that it wins."""
    builtin = Path(str(importlib.resources.files("ptsys"))) / "models" / "builtin"
    for parent in (Path(root) / "models", builtin):
        for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
            if not folder.name.startswith((".", "_")) and (folder / _CONFIG).is_file():
                yield folder.name, folder
