"""The gradient of a soft prompt: PEFT's prompt tuning on torch and ptsys, side by side.

Both run the same random T5 1.1 weights on the same rows with the same prompt, in turn in one
process, each on all cores, or on the GPU where both find one; the table has medians, and the ratio
is PEFT's time over ours. The losses and gradients of both are compared first: a benchmark of two
things that differ says nothing.

    pip install 'ptsys[interop]'
    python benchmarks/vs_peft.py                      # all cases
    python benchmarks/vs_peft.py --tasks FOLDER       # ragged lengths of a real task too
    python benchmarks/vs_peft.py --layers 2 --turns 3 # a quick look
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import peft
import torch
import transformers

from ptsys.data.examples import read_examples
from ptsys.data.vocabulary import ByteVocabulary, load_vocabulary
from ptsys.engine.calls import Call, Placement, lay_apart, readings_of, rows_of
from ptsys.engine.device import Device
from ptsys.engine.groups import Group, Shape
from ptsys.engine.parts import Cutting, cut
from ptsys.engine.serving import Serving
from ptsys.kinds.batch import Readings, Rows
from ptsys.kinds.buckets import ROWS, SLOTS, fit
from ptsys.models.registry import load_builtin
from ptsys.models.t5.hugging_face import import_hugging_face
from ptsys.models.t5.text import FINE_INPUT_LENGTHS, TextRows
from ptsys.passes.frozen import freeze
from ptsys.passes.gradients import gradients
from ptsys.prompts.tokens import NAME, TOKENS
from ptsys.sharding.host_memory import keep_freed_memory
from ptsys.sharding.mesh import local_mesh, shards_of, use_every_core

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclasses.dataclass(frozen=True)
class Case:
    """Rows of token ids without padding, for `users` who bring as many each."""

    name: str
    inputs: list[list[int]]
    targets: list[list[int]]
    prompt: int
    users: int = 1


def rows(count: int, length: int, target: int, seed: int) -> tuple[list, list]:
    random = np.random.default_rng(seed)
    inputs = [[*random.integers(2, 32000, length - 1), 1] for _ in range(count)]
    return inputs, [[*random.integers(2, 32000, target - 1), 1] for _ in range(count)]


def cases(tasks: Path | None) -> list[Case]:
    found = []
    for length, prompt, target in ((16, 20, 4), (64, 100, 8)):
        for batch in (1, 8, 32):
            name = f"{length} + {prompt}, batch {batch}"
            found.append(Case(name, *rows(batch, length, target, batch), prompt))
        name = f"{length} + {prompt}, 32 users x 1"
        found.append(Case(name, *rows(32, length, target, 99), prompt, users=32))
    if tasks is not None:
        for task in ("fv_ag_news", "movie_review"):
            for prompt in (20, 100):
                found.append(Case(f"{task} + {prompt}, batch 32", *real(tasks / task), prompt))
    return found


def real(folder: Path) -> tuple[list, list]:
    """32 rows of a task, drawn; lengths as the built-in vocabulary cuts them."""
    model = load_builtin("tiny")
    vocabulary = load_vocabulary(
        model.config.tokenizer, model.vocabulary_path, model.config.vocab_size, model.sentinels
    )
    examples = read_examples(folder / "train.jsonl")
    chosen = np.random.default_rng(0).choice(len(examples), 32, replace=False)
    inputs = [[*vocabulary.encode(examples[i].input), 1] for i in chosen]
    return inputs, [[*vocabulary.encode(examples[i].target or ""), 1] for i in chosen]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows of one padded length, and where each call's lie."""

    placements: list[Placement]
    prompts: Readings
    rows: Rows


class Theirs:
    """PEFT: one prompt at a time, rows padded to the longest of the batch."""

    def __init__(self, folder: Path, prompt: np.ndarray) -> None:
        base = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
        config = peft.PromptTuningConfig(
            task_type="SEQ_2_SEQ_LM", num_virtual_tokens=len(prompt), prompt_tuning_init="RANDOM"
        )
        self.model = peft.get_peft_model(base, config).eval().to(DEVICE)
        [weight] = [p for p in self.model.parameters() if p.requires_grad]
        weight.data[: len(prompt)] = torch.tensor(
            prompt, device=DEVICE
        )  # the encoder's half of them

    def __call__(self, inputs: list, targets: list) -> tuple[float, np.ndarray]:
        """Loss (mean over target tokens, nats) and gradient of the prompt."""
        ids, wanted = (torch.tensor(padded(x), device=DEVICE) for x in (inputs, targets))
        self.model.zero_grad()
        loss = self.model(
            input_ids=ids,
            attention_mask=(ids > 0).long(),
            labels=wanted.masked_fill(wanted == 0, -100),
        ).loss
        loss.backward()
        [weight] = [p for p in self.model.parameters() if p.requires_grad]
        return float(loss), weight.grad.cpu().numpy()


def padded(rows: list[list[int]]) -> np.ndarray:
    width = max(map(len, rows))
    return np.array([[*row, *[0] * (width - len(row))] for row in rows], np.int64)


class Ours:
    """The gradient pass as the engine calls it: rows cut by length, parts laid on the data shards,
    in the engine's compiled lengths. What the engine does besides (queue, threads) is left out."""

    def __init__(self, folder: Path) -> None:
        self.frozen = freeze(
            import_hugging_face(folder), local_mesh(), execution=Serving().execution(local_mesh())
        )
        self.shards = shards_of(self.frozen.mesh)
        self.costs = Device(self.frozen, 1).costs

    def batches(self, case: Case, prompt: np.ndarray) -> list[Batch]:
        """A batch for each padded length."""
        each = len(case.inputs) // case.users
        calls: dict[Group, list[Call]] = {}
        for user in range(case.users):
            rows = range(user * each, (user + 1) * each)
            for call in self.calls(
                [case.inputs[i] for i in rows], [case.targets[i] for i in rows], prompt
            ):
                calls.setdefault(call.group, []).append(call)
        found = []
        for group, own in self.steps(calls):
            layout = lay_apart(own, self.shards)
            shape = Shape(group, fit(layout.slots, SLOTS, "users"), fit(layout.rows, ROWS, "rows"))
            placements = layout.placed(shape)
            prompts = readings_of(placements, layout, shape)
            found.append(Batch(placements, prompts, rows_of(placements, shape, self.shards)))
        return found

    def steps(self, calls: dict[Group, list[Call]]) -> Iterator[tuple[Group, list[Call]]]:
        """Calls that share a program, as the engine lets them: no more rows than a shard takes at a
        time."""
        for group, waiting in calls.items():
            while waiting:
                rows = -(-sum(call.rows for call in waiting) // self.shards)
                room = self.costs.at_once(rows, group.positions) * self.shards
                own: list[Call] = []
                while waiting and sum(call.rows for call in own) + waiting[0].rows <= room:
                    own.append(waiting.pop(0))
                yield group, own

    def calls(self, inputs: list, targets: list, prompt: np.ndarray) -> list[Call]:
        """One user's rows, cut as the engine cuts them."""
        tree = {NAME: prompt}
        layout = TOKENS.layout({NAME: prompt.shape})
        longest = {"inputs": max(map(len, inputs)), "targets": max(map(len, targets))}
        by = Cutting(FINE_INPUT_LENGTHS, layout.positions, self.costs, 512, self.shards)
        features = TextRows(self.frozen.config, ByteVocabulary()).layout(longest, fine=True)
        group = Group("gradients", layout, features)
        return [
            Call(
                0, "user", group.resized(part.inputs), tree, object(),
                {
                    "inputs": [inputs[i] for i in part.rows],
                    "targets": [targets[i] for i in part.rows],
                },
                part.rows, concurrent.futures.Future(),
            )
            for part in cut([len(x) for x in inputs], by)
        ]  # fmt: skip

    def __call__(self, batches: list[Batch]) -> tuple[float, np.ndarray]:
        """Loss and gradient, averaged over all users by their target tokens."""
        results = [gradients(self.frozen, batch.prompts, batch.rows) for batch in batches]
        parts = []
        for batch, result in zip(batches, results, strict=True):
            loss, tokens, values = (
                np.asarray(x) for x in (result.loss, result.tokens, result.values[NAME])
            )
            for placement in batch.placements:
                at, length = placement.prompt, len(placement.tree[NAME])
                parts.append((tokens[at], loss[at], values[at][-length:]))
        total = sum(tokens for tokens, *_ in parts)
        return (
            float(sum(tokens * loss for tokens, loss, _ in parts) / total),
            sum(gradient * (tokens / total) for tokens, _, gradient in parts),
        )


def compare(case: Case, folder: Path, ours: Ours, turns: int) -> dict[str, float | str]:
    random = np.random.default_rng(7)
    prompt = random.normal(size=(case.prompt, ours.frozen.config.d_model)).astype(np.float32)
    theirs = Theirs(folder, prompt)
    batches = ours.batches(case, prompt)
    each = [(case.inputs, case.targets)]
    if case.users > 1:
        each = [([x], [y]) for x, y in zip(case.inputs, case.targets, strict=True)]

    def run_theirs() -> list[tuple[float, np.ndarray]]:
        return [theirs(*rows) for rows in each]

    def run_ours() -> tuple[float, np.ndarray]:
        return ours(batches)

    check(run_theirs(), run_ours(), case)
    times: dict[str, list[float]] = {"peft": [], "ptsys": []}
    for _ in range(turns):
        times["peft"].append(timed(run_theirs))
        times["ptsys"].append(timed(run_ours))
    a, b = (statistics.median(x) * 1000 for x in times.values())
    lengths = [len(x) for x in case.inputs]
    return {
        "case": case.name,
        "longest": max(lengths),
        "mean": round(statistics.mean(lengths), 1),
        "peft_ms": round(a, 1),
        "ptsys_ms": round(b, 1),
        "ratio": round(statistics.median(x / y for x, y in zip(*times.values(), strict=True)), 2),
    }


def check(
    theirs: list[tuple[float, np.ndarray]], ours: tuple[float, np.ndarray], case: Case
) -> None:
    """Both mean the same loss and gradient, where users have equally many target tokens."""
    loss = statistics.mean(x for x, _ in theirs)
    gradient = np.mean([g[: case.prompt] for _, g in theirs], axis=0)
    np.testing.assert_allclose(ours[0], loss, rtol=1e-3)
    np.testing.assert_allclose(ours[1], gradient, atol=1e-3 * np.abs(gradient).max())


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=Path, help="folder of tasks, for ragged lengths")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--layers", type=int, default=8, help="of encoder and decoder")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    use_every_core()
    keep_freed_memory()  # as workers do
    config = transformers.T5Config(
        vocab_size=32128, d_model=512, d_kv=64, d_ff=1024, num_heads=6, num_layers=options.layers,
        num_decoder_layers=options.layers, feed_forward_proj="gated-gelu",
        tie_word_embeddings=False, dropout_rate=0.0, decoder_start_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
        ours = Ours(Path(folder))
        print(
            f"torch {torch.__version__} with {torch.get_num_threads()} threads, PEFT "
            f"{peft.__version__}, jax {jax.__version__} on {len(jax.devices())} devices"
        )
        for case in cases(options.tasks):
            if options.only in case.name:
                found.append(compare(case, Path(folder), ours, options.turns))
                print(json.dumps(found[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
