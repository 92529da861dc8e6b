"""Where a prompt starts (Lester et al. 2021, section 3.2; google-research/prompt-tuning).

Draws use the raw stream of numpy's Philox, which never changes between versions of numpy, so the
same seed starts the same prompt for ever. Rows are counted from a prompt's end, the side next to
the input: a shorter start is the end of a longer one, as padding lies on a prompt's left.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.prompts.check import MAX_LENGTH, check_prompt
from ptsys.types.training import Initialization

COMMON = 5000  # how many of the most common pieces are drawn from (section 3.2)
_SHARED_SEED = 0

_Encode = Callable[[str], list[int]]


def initialize(
    spec: Initialization,
    length: int,
    seed: int,
    *,
    embeddings: NDArray[Any],
    shared: NDArray[Any] | None,
    encode: _Encode,
    common_pieces: Sequence[int],
    labels: Sequence[str],
    other: NDArray[Any] | None,
) -> NDArray[np.float32]:
    """The first value of a prompt, float32 [length, D].

    Of the model come its token `embeddings` [V, D], its `shared` initialization [S, D] if it has
    one, its vocabulary's `encode` (without the end of row) and `common_pieces` (ids, most common
    first); `labels` are the dataset's distinct targets, most common first; `other` [Q, D] is the
    tensor of the prompt that `spec.prompt` names.

    - shared: see `shared_start`. The seed plays no part.
    - vocabulary: distinct rows of the most common pieces.
    - labels: one row a label, its pieces averaged; then rows of common pieces.
    - text: the text's pieces, cut or repeated to the length, as PEFT does (without its `</s>`).
    - prompt: the last rows of the other prompt; a longer one begins as the shared start does.
    - meta: likewise those of the prompt that was written, the `other`.

    Raises InvalidInput naming the field that makes the start impossible.
    """
    model = _Model(embeddings, common_pieces)
    _check_length(length)
    if spec.kind == "vocabulary":
        return model.rows(model.draw(length, seed))
    if spec.kind == "labels":
        names = labels if spec.labels is None else spec.labels
        return _from_labels(model, encode, names, length, seed)
    if spec.kind == "text":
        return _from_text(model, encode, spec.text or "", length)
    start = shared_start(length, embeddings=embeddings, shared=shared, common_pieces=common_pieces)
    if spec.kind in ("prompt", "meta"):
        return _from_prompt(model, other, start)
    return start


def label_pieces(encode: _Encode, labels: Sequence[str], length: int) -> list[list[int]]:
    """The pieces of each distinct label, of so many as a prompt of `length` tokens has room for.
    Raises InvalidInput where there are none, and for a label without any."""
    names = list(dict.fromkeys(labels))[:length]
    if not names:
        raise InvalidInput(
            "there are no labels to start from; name some or choose another initialization",
            field="initialization.labels",
        )
    found = [encode(name) for name in names]
    for name, pieces in zip(names, found, strict=True):
        if not pieces:
            raise InvalidInput(
                f"the label {name!r} has no tokens to start from", field="initialization.labels"
            )
    return found


def text_pieces(encode: _Encode, text: str) -> list[int]:
    """The text's pieces. Raises InvalidInput where there are none."""
    pieces = encode(text)
    if not pieces:
        raise InvalidInput(
            "the text to start from has no tokens; write some words", field="initialization.text"
        )
    return pieces


def shared_start(
    length: int,
    *,
    embeddings: NDArray[Any],
    shared: NDArray[Any] | None,
    common_pieces: Sequence[int],
) -> NDArray[np.float32]:
    """The one start that all prompts of a model share, float32 [length, D].

    The last rows of `shared` [S, D]; beyond S it is repeated to the left. A model without one
    gets rows of its common pieces, drawn once and for all. Either way every user has the same,
    and a shorter start is the end of a longer one, so prompts compare row by row from the end.
    """
    _check_length(length)
    model = _Model(embeddings, common_pieces)
    if shared is not None:
        rows = check_prompt(shared, model.width, field="shared")
        return rows[_from_the_end(length, len(rows))]
    pieces = model.draw(len(model.common), _SHARED_SEED)
    return model.rows(pieces[_from_the_end(length, len(pieces))])


@dataclasses.dataclass(frozen=True)
class _Model:
    """What a start takes from the model."""

    embeddings: NDArray[Any]
    common_pieces: Sequence[int]

    @property
    def width(self) -> int:
        return int(self.embeddings.shape[1])

    @property
    def common(self) -> NDArray[np.int64]:
        """Ids of the most common pieces."""
        pieces = np.asarray(self.common_pieces[:COMMON], np.int64)
        if not len(pieces):
            raise InvalidInput("the model's vocabulary lists no common pieces", field="vocabulary")
        return pieces

    def draw(self, count: int, seed: int) -> NDArray[np.int64]:
        """Ids of distinct common pieces; with replacement if there are fewer than `count`."""
        pieces = self.common
        bits = np.random.Philox(np.random.SeedSequence(seed))
        if count > len(pieces):
            return pieces[(bits.random_raw(count) % len(pieces)).astype(np.int64)]
        return pieces[np.argsort(bits.random_raw(len(pieces)), kind="stable")[:count]]

    def rows(self, ids: NDArray[np.int64] | Sequence[int]) -> NDArray[np.float32]:
        """The embeddings of ids, as float32."""
        index = np.asarray(ids, np.int64)
        if index.max() >= len(self.embeddings) or index.min() < 0:
            raise InvalidInput(
                f"the vocabulary gives the id {index.max()}, the model has {len(self.embeddings)} "
                "embeddings: they do not belong together",
                field="vocabulary",
            )
        return np.asarray(self.embeddings[index]).astype(np.float32)


def _from_labels(
    model: _Model, encode: _Encode, labels: Sequence[str], length: int, seed: int
) -> NDArray[np.float32]:
    averages = [model.rows(pieces).mean(axis=0) for pieces in label_pieces(encode, labels, length)]
    if len(averages) < length:
        averages.extend(model.rows(model.draw(length - len(averages), seed)))
    return np.stack(averages).astype(np.float32)


def _from_text(model: _Model, encode: _Encode, text: str, length: int) -> NDArray[np.float32]:
    return model.rows(np.resize(np.asarray(text_pieces(encode, text), np.int64), length))


def _from_prompt(
    model: _Model, other: NDArray[Any] | None, start: NDArray[np.float32]
) -> NDArray[np.float32]:
    if other is None:
        raise InvalidInput("the prompt to start from has no tensor", field="initialization.prompt")
    rows = check_prompt(other, model.width, field="initialization.prompt")[-len(start) :]
    return np.concatenate([start[: len(start) - len(rows)], rows])


def _from_the_end(length: int, period: int) -> NDArray[np.int64]:
    """Row numbers that end at period - 1 and run backwards, round and round."""
    return np.arange(-length, 0) % period


def _check_length(length: int) -> None:
    if not 1 <= length <= MAX_LENGTH:
        raise InvalidInput(
            f"a prompt's length lies between 1 and {MAX_LENGTH}, not {length}", field="length"
        )
