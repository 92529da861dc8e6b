"""What a frozen model accepts, told from the files beside its weights: the check at the door.

A worker would refuse the same rows, but only when the job's turn has come. Nothing here reads
weights or needs an accelerator stack; `ptsys.store.model_folders` says what the files are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from ptsys.data.features import encode_targets, longest_target
from ptsys.data.reading import input_notes, refuse_long
from ptsys.data.unsupervised import check_row, is_cut
from ptsys.data.vocabulary import Vocabulary, load_vocabulary
from ptsys.errors import InvalidInput
from ptsys.kinds.encoders import encoder_shapes
from ptsys.store.model_folders import model_folder, model_folders, read_config, vocabulary_path
from ptsys.types.example import Example
from ptsys.types.input_notes import InputNotes
from ptsys.types.requests import Decoding
from ptsys.types.scoring import scoring


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
    parameters: int
    vocab_size: int
    source: str
    encoder_layers: int
    decoder_layers: int
    inner_dim: int
    d_ff: int
    gated: bool
    num_heads: int
    relative_buckets: int

    @property
    def encoder_shapes(self) -> dict[str, tuple[int, ...]]:
        """Of a generator for it, by path."""
        return encoder_shapes(self)


@dataclasses.dataclass(frozen=True)
class ModelLimits(ModelShape):
    """The part of a model that decides whether rows and prompts fit it."""

    vocabulary: Vocabulary

    def target_tokens(self, targets: Sequence[str], *, field: str = "target") -> int:
        """The length of the longest target. Raises InvalidInput, naming the row, if one is longer
        than the model's limit or cannot be written in its vocabulary."""
        most = self.max_target_length
        return max(map(len, encode_targets(self.vocabulary, targets, most, field=field)))

    def scoring(self, targets: Sequence[str], labels: Sequence[str] | None = None) -> Decoding:
        """How to answer rows with these targets to score the answers; see `ptsys.types.scoring`."""
        longest = longest_target(self.vocabulary, targets)
        return scoring(longest, self.max_target_length, labels)

    def reading(self, most: int | None) -> ModelLimits:
        """The same for a job that reads at most so many tokens of an input."""
        if most is None or most >= self.max_input_length:
            return self
        return dataclasses.replace(self, max_input_length=most)

    def check_inputs(
        self, inputs: Sequence[str], *, truncate: bool, field: str, by_place: bool = False
    ) -> None:
        """Unless they are to be cut (`truncate`), raise InvalidInput for inputs that are too long,
        naming the row, or `by_place` the field of the first, such as `inputs.0`."""
        if not truncate:
            refuse_long(
                self.vocabulary, inputs, self.max_input_length, field=field, by_place=by_place
            )

    def notes(self, inputs: Sequence[str]) -> InputNotes:
        """What the model does not read of them, counted."""
        return input_notes(self.vocabulary, inputs, self.max_input_length)

    def training_notes(self, examples: Sequence[Example]) -> InputNotes:
        """As `notes`, of rows some of which may have no target."""
        cut = self.notes(self._read(examples)).cut
        return self.notes([row.input for row in examples]).model_copy(update={"cut": cut})

    def _read(self, examples: Sequence[Example]) -> list[str]:
        """The inputs as they are read; of a row without a target, of which spans are taken out
        first, nothing unless it is too long even then."""
        limits = (self.max_input_length, self.max_target_length)
        return [
            row.input
            if row.target is not None or is_cut(self.vocabulary, row.input, *limits)
            else ""
            for row in examples
        ]

    def check(
        self, examples: Sequence[Example], *, truncate: bool = False, field: str | None = None
    ) -> None:
        """Raise InvalidInput, naming the row, for a target that is missing, beyond the limit or
        not to be written in the model's vocabulary, and unless `truncate` for an input that is
        too long. The error's field is `field`, or else the row's own."""
        for row, example in enumerate(examples, start=1):
            if example.target is None:
                raise InvalidInput(
                    f"row {row}: 'target' is missing; give the answer", field=field or "target"
                )
        self.check_training(examples, truncate=truncate, field=field)

    def check_training(
        self, examples: Sequence[Example], *, truncate: bool = False, field: str | None = None
    ) -> None:
        """As `check`, but a row without a target is fine if spans can be cut out of its input."""
        for row, example in enumerate(examples, start=1):
            if example.target is None:
                try:
                    check_row(self.vocabulary, example.input, row)
                except InvalidInput as error:
                    raise InvalidInput(str(error), field=field or "target") from None
        targets = [example.target or "" for example in examples]
        self.target_tokens(targets, field=field or "target")
        if not truncate:
            self.check_inputs(self._read(examples), truncate=False, field=field or "input")


def model_names(root: Path) -> list[str]:
    """The models there are, built in or imported under `root`, in order."""
    return sorted(set(dict(model_folders(root))))


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
    folder = model_folder(root, model)
    if folder is None:
        known = ", ".join(sorted(name for name, _ in model_folders(root))) or "none"
        raise InvalidInput(
            f"there is no model {model!r}; there are: {known}. `ptsys models import` brings one in",
            field="model",
        )
    try:
        description = read_config(folder)
        config = description["config"]
        kind, size = config["tokenizer"], int(config["vocab_size"])
        sentinels = int(description.get("sentinels", 100))
        path = vocabulary_path(folder)
        shape = ModelShape(
            model=model,
            fingerprint=str(description["fingerprint"]),
            d_model=int(config["d_model"]),
            max_input_length=int(config["max_input_length"]),
            max_target_length=int(config["max_target_length"]),
            has_vocabulary=kind == "byt5" or path is not None,
            parameters=int(description["parameters"]),
            vocab_size=size,
            source=str(description.get("source", "")),
            encoder_layers=int(config["encoder_layers"]),
            decoder_layers=int(config["decoder_layers"]),
            inner_dim=int(config["num_heads"]) * int(config["head_dim"]),
            d_ff=int(config["d_ff"]),
            gated=bool(config["gated"]),
            num_heads=int(config["num_heads"]),
            relative_buckets=int(config["relative_buckets"]),
        )
    except (InvalidInput, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"the files of model {model!r} are damaged ({_kind(error)}); bring it again: "
            f"`ptsys models replace {model} SOURCE`",
            field="model",
        ) from error
    return shape, lambda: load_vocabulary(kind, path, size, sentinels)


def _kind(error: Exception) -> str:
    """What is wrong, without what the file holds."""
    return type(error.__cause__ or error).__name__
