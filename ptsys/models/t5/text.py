"""Rows of a T5 on the host: texts as token ids, and ids as texts again.

See `ptsys.kinds.model_kind.RowCoder`, and `ptsys.models.t5.kind` for what the rows become.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.data.features import (
    LIKELY,
    LIKELY_LOGS,
    LIKELY_TOKENS,
    LIKELY_WEIGHT,
    EncodedExamples,
    encode_examples,
    encode_inputs,
    encode_targets,
    longest_target,
)
from ptsys.data.shown_examples import ARROW, BESIDE, shown_description, shown_example, shown_jointly
from ptsys.data.vocabulary import Vocabulary
from ptsys.errors import InvalidInput
from ptsys.kinds.buckets import fit
from ptsys.kinds.model_kind import Question
from ptsys.kinds.trees import Feature, RowLayout
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.kind import PACKED_INPUTS
from ptsys.types.example import Example
from ptsys.types.requests import Decoding, Prediction
from ptsys.types.scoring import scoring
from ptsys.types.training import JobSpec

INPUT_LENGTHS = (16, 32, 64, 128, 256, 512, 1024)
FINE_INPUT_LENGTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
TARGET_LENGTHS = (4, 8, 16, 32, 64, 128, 256, 512)
WISHES = (
    Feature("limit", ()),
    Feature("temperature", (), "float32"),
    Feature("top_p", (), "float32"),
    Feature("seed", (), "uint32"),
    Feature("length_penalty", (), "float32"),
)
"""What each row to be answered freely says of how: see `ptsys.models.t5.decoding.Choices`."""


@dataclasses.dataclass(frozen=True)
class TextRows:
    """Texts for one T5."""

    config: T5Config
    vocabulary: Vocabulary

    # ---- shapes ---------------------------------------------------------------------------

    def layout(self, longest: Mapping[str, int], *, fine: bool = False) -> RowLayout:
        """The padded lengths for `inputs` and `targets` of so many tokens at most."""
        inputs = fit(longest["inputs"], self.sizes(fine=fine), "inputs")
        targets = fit(longest["targets"], TARGET_LENGTHS, "targets")
        plain = (Feature("inputs", (inputs,)), Feature("targets", (targets,)))
        if LIKELY_TOKENS not in longest:
            return plain
        beside = (targets * LIKELY,)
        return (
            *plain,
            Feature(LIKELY_TOKENS, beside),
            Feature(LIKELY_LOGS, beside, "float32"),
            Feature(LIKELY_WEIGHT, (), "float32"),
        )

    def sizes(self, *, fine: bool = False) -> Sequence[int]:
        """The padded lengths of inputs."""
        return FINE_INPUT_LENGTHS if fine else INPUT_LENGTHS

    def packs(self, layout: RowLayout) -> bool:
        """Whether rows of very different lengths are worth packing."""
        return layout[0].size >= PACKED_INPUTS

    def mean_positions(self, examples: EncodedExamples) -> float:
        """Input tokens of a row."""
        return sum(map(len, examples.inputs)) / len(examples)

    # ---- rows to learn from ---------------------------------------------------------------

    def examples(self, spec: JobSpec, examples: Sequence[Example]) -> EncodedExamples:
        """Tokenize a job's rows, and cut spans out of those without a target; InvalidInput names
        a row whose target is too long."""
        limit = min(spec.max_input_length or self.config.max_input_length, INPUT_LENGTHS[-1])
        most = self.config.max_target_length
        return encode_examples(self.vocabulary, examples, limit, most, seed=spec.seed)

    def taught(self, inputs: Sequence[str], targets: Sequence[str]) -> Question:
        """Rows to differentiate. Raises InvalidInput for what cannot be."""
        if len(inputs) != len(targets):
            raise InvalidInput(f"{len(inputs)} inputs but {len(targets)} targets", field="targets")
        wanted = encode_targets(self.vocabulary, targets, self.config.max_target_length)
        return self.encoded(self._inputs(inputs), wanted)

    def encoded(
        self,
        inputs: Sequence[list[int]],
        targets: Sequence[list[int]],
        longest: Mapping[str, int] | None = None,
    ) -> Question:
        """Rows to differentiate that are token ids already, made for rows as long as `longest`."""
        features = {"inputs": list(inputs), "targets": list(targets)}
        longest = longest or {name: _longest(rows) for name, rows in features.items()}
        return Question("gradients", features, self.layout(longest, fine=True))

    def answered(self, examples: EncodedExamples, longest: Mapping[str, int]) -> Question:
        """Rows of which it is wanted how likely a prompt answers with which tokens, made for
        company as long as `longest`."""
        features = {"inputs": examples.inputs, "targets": examples.targets}
        return Question("likely", features, self.layout(longest))

    # ---- rows to answer -------------------------------------------------------------------

    def question(self, inputs: Sequence[str], decoding: Decoding) -> Question:
        """Rows to answer, freely or, with `decoding.labels`, by the best of these."""
        ids = self._inputs(inputs)
        if not decoding.labels:
            return self._free(ids, decoding)
        labels = decoding.labels
        targets = encode_targets(self.vocabulary, labels, self.config.max_target_length)
        features = {
            "inputs": [row for row in ids for _ in labels],
            "targets": targets * len(ids),
        }
        inputs_size = fit(_longest(ids), INPUT_LENGTHS, "inputs")
        targets_size = fit(_longest(targets), TARGET_LENGTHS, "labels")
        layout = (Feature("inputs", (inputs_size,)), Feature("targets", (targets_size,)))
        return Question("score", features, layout, whole=lambda rows: _best(rows, labels))

    def scored(self, inputs: Sequence[str], targets: Sequence[str]) -> Question:
        """Rows to answer as every score's are: see `ptsys.types.scoring`."""
        longest = longest_target(self.vocabulary, targets)
        return self._free(self._inputs(inputs), scoring(longest, self.config.max_target_length))

    def read(self, inputs: Sequence[str]) -> Question:
        """Rows whose encodings are wanted."""
        ids = self._inputs(inputs)
        size = fit(_longest(ids), INPUT_LENGTHS, "inputs")
        return Question("encode", {"inputs": ids}, (Feature("inputs", (size,)),))

    def emitting(
        self, examples: Sequence[Example], description: str | None = None, *, jointly: bool = False
    ) -> Question:
        """Examples, and a task's description, to write a prompt from: each is read alone, or all
        examples in one row. Raises InvalidInput for an example without its target."""
        ids = self.shown(examples)
        if jointly and ids:
            ids = [self.shown_jointly(ids)]
        if description is not None:
            ids.append(self.shown_description(description))
        size = self.shown_size(_longest(ids))
        return Question("emit", {"inputs": ids}, (Feature("inputs", (size,)),))

    def shown(self, examples: Sequence[Example], most: int | None = None) -> list[list[int]]:
        """Examples as a meta-prompt's encoder reads them, each alone, at most so many tokens of an
        input. Raises InvalidInput for one without its target."""
        encode, longest = self.vocabulary.encode, self.config.max_input_length
        most = longest if most is None else min(most + BESIDE, longest)
        arrow = encode(ARROW)
        ids = []
        for number, example in enumerate(examples):
            label = encode(example.target or "")
            if not label:
                field = f"examples.{number}.target"
                raise InvalidInput("the example has no target; give the answer", field=field)
            ids.append(shown_example(encode(example.input), label, arrow, most))
        return ids

    def shown_jointly(self, shown: Sequence[Sequence[int]]) -> list[int]:
        """Such examples in one row, as many as it holds."""
        return shown_jointly(shown, self.config.max_input_length)

    def shown_description(self, description: str) -> list[int]:
        """A task's description likewise."""
        encode, most = self.vocabulary.encode, self.config.max_input_length
        return shown_description(encode(description), most)

    def shown_size(self, longest: int) -> int:
        """The padded size for what is shown."""
        return fit(longest, INPUT_LENGTHS, "examples")

    def _free(self, ids: list[list[int]], decoding: Decoding) -> Question:
        most = min(decoding.max_tokens, self.config.max_target_length)
        room = fit(most, TARGET_LENGTHS, "max_tokens")
        beams = decoding.beams if decoding.method == "beam" else 1
        inputs = Feature("inputs", (fit(_longest(ids), INPUT_LENGTHS, "inputs"),))
        count = len(ids)
        features: dict[str, Sequence[Any]] = {
            "inputs": ids,
            "limit": [min(decoding.max_tokens, room)] * count,
            "temperature": [decoding.temperature] * count,
            "top_p": [decoding.top_p] * count,
            "seed": _seeds(decoding.seed, count),
            "length_penalty": [decoding.length_penalty] * count,
        }
        options = (("beams", beams), ("max_tokens", room), ("method", decoding.method))
        return Question("generate", features, (inputs, *WISHES), options, beams)

    def _inputs(self, inputs: Sequence[str]) -> list[list[int]]:
        return encode_inputs(self.vocabulary, inputs, self.config.max_input_length)

    # ---- results --------------------------------------------------------------------------

    def answers(self, operation: str, result: Any, rows: NDArray[np.int64]) -> list[Any]:
        """Of `generate` predictions, of `score` log-probabilities, of `encode` arrays [D], of
        `emit` what `ptsys.prompts.meta` writes a prompt of, of `likely` tokens and their
        log-probabilities [T, LIKELY], padding among them."""
        if operation in ("emit", "likely"):
            return [tuple(np.array(part[row]) for part in result) for row in rows]
        if operation == "encode":
            return list(result[rows])
        if operation == "score":
            return [float(x) for x in result.log_probability[rows]]
        texts, scores = self.texts(result.tokens[rows]), result.score[rows]
        return [
            Prediction(prediction=text, score=float(score))
            for text, score in zip(texts, scores, strict=True)
        ]

    def texts(self, tokens: NDArray[Any]) -> list[str]:
        """Rows of token ids as texts."""
        return [self.vocabulary.decode(row.tolist()) for row in tokens]


def _longest(rows: Sequence[list[int]]) -> int:
    return max(map(len, rows), default=1)


def _seeds(seed: int, count: int) -> list[int]:
    """A row's seed depends on its request's seed and its number there, so neither company nor
    splitting changes a sample."""
    numbers = np.arange(count, dtype=np.uint64)
    mixed = np.uint64(seed) * np.uint64(0x9E3779B9) + numbers * np.uint64(0x85EBCA6B)
    seeds: list[int] = (mixed & np.uint64(0xFFFFFFFF)).tolist()
    return seeds


def _best(scores: Sequence[float], labels: Sequence[str]) -> list[Prediction]:
    """The label of the highest summed log-probability, a row."""
    answers = []
    for start in range(0, len(scores), len(labels)):
        own = dict(zip(labels, scores[start : start + len(labels)], strict=True))
        best = max(own, key=lambda label: own[label])
        answers.append(Prediction(prediction=best, score=own[best], label_scores=own))
    return answers
