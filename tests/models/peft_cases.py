"""Adapters of PEFT drawn from a seed, and what PEFT makes of them on the golden weights.

`python tests/models/peft_cases.py ../shared/data/golden tests/models/peft_golden.npz` wrote the
file beside this one, with PEFT 0.21.2, transformers 5.24.0 and torch 2.14.1 (2026-11-28): the
logits of the first tokens of the vocabulary, at every target position.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

MODELS = ("hf_t5_v1_1_tiny", "hf_t5_v1_0_tiny")
LENGTH, TASKS, RANKS, TOKENS = 5, 2, 3, 16
Files = dict[str, bytes]


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def files(config: dict[str, Any], tensors: dict[str, np.ndarray]) -> Files:
    common = {"task_type": "SEQ_2_SEQ_LM", "num_virtual_tokens": LENGTH, "inference_mode": True}
    settings = json.dumps(common | config).encode()
    data = safetensors.numpy.save(tensors, {"format": "pt"})
    return {"adapter_config.json": settings, "adapter_model.safetensors": data}


def prefix(folder: Path) -> Files:
    """A PREFIX_TUNING adapter with all the pairs that PEFT trains."""
    config = json.loads((folder / "config.json").read_text())
    layers, heads = config["num_layers"], config["num_heads"]
    width = heads * config["d_kv"]
    counts = {"num_layers": layers, "num_attention_heads": heads, "token_dim": width}
    settings = {
        "peft_type": "PREFIX_TUNING",
        "encoder_hidden_size": width,
        "num_transformer_submodules": 2,
        "prefix_projection": False,
        **counts,
    }
    return files(settings, {"prompt_embeddings": drawn(1, LENGTH, layers * 2 * width)})


def tasks(folder: Path, submodules: int) -> Files:
    """A MULTITASK_PROMPT_TUNING adapter."""
    config = json.loads((folder / "config.json").read_text())
    width, rows = config["d_model"], LENGTH * submodules
    settings = {
        "peft_type": "MULTITASK_PROMPT_TUNING",
        "num_transformer_submodules": submodules,
        "num_tasks": TASKS,
        "num_ranks": RANKS,
        "prompt_tuning_init": "RANDOM",
        "num_layers": config["num_layers"],
        "num_attention_heads": config["num_heads"],
        "token_dim": width,
    }
    tensors = {
        "prompt_embeddings": drawn(2, rows, width),
        "prefix_task_cols": drawn(3, TASKS, rows, RANKS),
        "prefix_task_rows": drawn(4, TASKS, RANKS, width),
    }
    return files(settings, tensors)


def rows(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(folder / "golden.npz") as file:
        return file["input_ids"], file["target_ids"]


def logits_by_peft(folder: Path, adapter: Files, task: int | None = None) -> np.ndarray:
    """What PEFT's own forward pass gives for the golden rows."""
    import peft
    import torch
    import transformers

    inputs, targets = rows(folder)
    base = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    with tempfile.TemporaryDirectory() as saved:
        for name, data in adapter.items():
            (Path(saved) / name).write_bytes(data)
        model = peft.PeftModel.from_pretrained(base, saved).eval()
    read = {
        "input_ids": torch.tensor(inputs.astype(np.int64)),
        "attention_mask": torch.tensor((inputs > 0).astype(np.int64)),
    }
    if task is None:
        shifted = np.pad(targets[:, :-1], ((0, 0), (1, 0))).astype(np.int64)
        read["decoder_input_ids"] = torch.tensor(shifted)
    else:  # PEFT embeds the decoder's input itself, and only what it makes of labels
        read["labels"] = torch.tensor(np.where(targets > 0, targets, -100).astype(np.int64))
        read["task_ids"] = torch.full((len(inputs),), task)
    with torch.no_grad():
        found: np.ndarray = model(**read).logits.numpy()
    return found[:, -targets.shape[1] :]


def main(golden: Path, output: Path) -> None:
    found = {}
    for name in MODELS:
        folder = golden / name
        found[f"{name}/prefix"] = logits_by_peft(folder, prefix(folder))
        for submodules in (1, 2):
            for task in range(TASKS):
                logits = logits_by_peft(folder, tasks(folder, submodules), task)
                found[f"{name}/tasks{submodules}/{task}"] = logits
    np.savez_compressed(output, **{name: x[..., :TOKENS] for name, x in found.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
