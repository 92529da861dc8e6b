"""PEFT's `MULTITASK_PROMPT_TUNING` adapters on a T5 (Wang et al. 2023): one prompt a task.

The prompt of task k is the shared one times, entry by entry, a matrix of low rank of its own:
`prompt_embeddings * (prefix_task_cols[k] @ prefix_task_rows[k])` (`peft/tuners/
multitask_prompt_tuning/model.py`). With `num_transformer_submodules` 2, PEFT's default, its first
rows stand before the encoder's input and as many others before the decoder's; with 1 there are
the first alone. (PEFT's own `generate` leaves the decoder's out: its forward pass does not.)

Written, prompts of one length are exactly those of a shared one of ones, with the identity as
every task's columns and the prompt itself as its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.prompts import safetensors_format
from ptsys.prompts.adapter import (
    CONFIG_FILE,
    PROMPT_TENSOR,
    SUBMODULES,
    TENSOR_FILE,
    Adapter,
    check_rows,
    positive,
    told,
    written_settings,
)

PEFT_TYPE = "MULTITASK_PROMPT_TUNING"
PROMPT, DECODER = "prompt", "decoder_prompt"
_COLUMNS, _ROWS = "prefix_task_cols", "prefix_task_rows"
_MOST_TASKS = 4096


def encode(
    tasks: Sequence[Mapping[str, NDArray[Any]]], metadata: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """The folder's files by name, of each task's tokens before the encoder's input and, if there
    are any, before the decoder's. Raises InvalidInput for lengths that PEFT has no place for."""
    stacked = [_stacked(tree) for tree in tasks]
    if not stacked or len({rows.shape for rows in stacked}) > 1:
        raise InvalidInput(
            "PEFT keeps prompts of several tasks only where all have the same shape", field="format"
        )
    prompts = np.stack(stacked)
    count, total, width = prompts.shape
    submodules = 2 if DECODER in tasks[0] else 1
    notes = dict(metadata or {})
    settings = written_settings(
        PEFT_TYPE,
        total // submodules,
        width,
        notes,
        num_ranks=total,
        num_tasks=count,
        num_transformer_submodules=submodules,
        prompt_tuning_init="RANDOM",
        prompt_tuning_init_state_dict_path=None,
        prompt_tuning_init_task=0,
        prompt_tuning_init_text=None,
        tokenizer_kwargs=None,
    )
    identity = np.eye(total, dtype=np.float32)
    tensors = {
        PROMPT_TENSOR: np.ones((total, width), np.float32),
        _COLUMNS: np.tile(identity, (count, 1, 1)),
        _ROWS: prompts,
    }
    data = safetensors_format.encode_tree(tensors, {**notes, "format": "pt"})
    return {CONFIG_FILE: settings, TENSOR_FILE: data}


def decode(settings: Mapping[str, Any], tensors: bytes, task: int | None = None) -> Adapter:
    """The tokens of one task, which need not be named where there is only one. Raises InvalidInput
    for a task that is not there, and for a configuration and tensors that do not fit each other."""
    length = positive(settings, "num_virtual_tokens")
    submodules = positive(settings, "num_transformer_submodules", SUBMODULES)
    tree, notes = safetensors_format.decode_tree(tensors, (PROMPT_TENSOR, _COLUMNS, _ROWS))
    shared, columns, rows = (tree[name] for name in (PROMPT_TENSOR, _COLUMNS, _ROWS))
    check_rows(shared, length, settings)
    if submodules > SUBMODULES or len(shared) != length * submodules:
        raise InvalidInput(
            f"{PROMPT_TENSOR!r} has {len(shared)} rows; {length} virtual tokens and "
            f"{submodules} submodules make {length * submodules}, and a T5 has 2 submodules",
            field="num_transformer_submodules",
        )
    count, ranks = positive(settings, "num_tasks", 1), positive(settings, "num_ranks", 1)
    wanted = ((count, len(shared), ranks), (count, ranks, shared.shape[1]))
    if (columns.shape, rows.shape) != wanted or count > _MOST_TASKS:
        raise InvalidInput(
            f"{_COLUMNS!r} and {_ROWS!r} have shapes {list(columns.shape)} and {list(rows.shape)}; "
            f"num_tasks and num_ranks make them {list(wanted[0])} and {list(wanted[1])}",
            field="num_ranks",
        )
    chosen = _chosen(task, count)
    with np.errstate(all="ignore"):  # what is not finite is told of by the check of any prompt
        whole = np.asarray(shared * (columns[chosen] @ rows[chosen]), np.float32)
    found = {PROMPT: whole[:length]}
    if submodules == SUBMODULES:
        found[DECODER] = whole[length:]
    return Adapter("tokens" if submodules == 1 else "encoder_decoder", found, told(settings, notes))


def _chosen(task: int | None, count: int) -> int:
    if task is None and count > 1:
        raise InvalidInput(
            f"this adapter has prompts of {count} tasks; name one, from 0 to {count - 1}",
            field="task",
        )
    chosen = task or 0
    if not 0 <= chosen < count:
        raise InvalidInput(f"there is no task {task}, only 0 to {count - 1}", field="task")
    return chosen


def _stacked(tree: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    if PROMPT not in tree:
        raise InvalidInput(
            "PEFT has no prompts for the decoder alone; export it as safetensors", field="format"
        )
    encoder = np.asarray(tree[PROMPT], np.float32)
    if DECODER not in tree:
        return encoder
    decoder = np.asarray(tree[DECODER], np.float32)
    if len(decoder) != len(encoder):
        raise InvalidInput(
            f"PEFT has as many tokens before the decoder's input as before the encoder's; this "
            f"prompt has {len(decoder)} and {len(encoder)}: export it as safetensors",
            field="format",
        )
    return np.concatenate([encoder, decoder])
