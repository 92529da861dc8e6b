"""The description of a model in its folder: what is known of it without reading its weights.

`ptsys.store.model_folders` says which files a folder has.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from ptsys.errors import InvalidInput
from ptsys.models.t5.config import T5Config
from ptsys.store.model_folders import (
    CONFIG,
    FORMAT,
    INITIALIZATION,
    META_PROMPT,
    VOCABULARY,
    checked_initialization,
    read_config,
)


@dataclasses.dataclass(frozen=True)
class Description:
    """All that is known of a stored model without reading its weights.

    `sentinels` counts the ids for corrupted spans that follow the vocabulary's pieces; `source`
    says where the weights came from.
    """

    config: T5Config
    fingerprint: str
    parameters: int
    source: str = ""
    sentinels: int = 100


def is_model_folder(folder: Path) -> bool:
    """Whether a folder was written by ptsys."""
    try:
        return bool(read_config(folder).get("format") == FORMAT)
    except InvalidInput:
        return False


def write_description(folder: Path, description: Description) -> None:
    """Write `config.json`."""
    value = {"format": FORMAT} | dataclasses.asdict(description)
    text = json.dumps(value, indent=2, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def read_description(folder: Path) -> Description:
    """Read `config.json`. Raises InvalidInput if it is absent, damaged or of another format."""
    value = read_config(folder)
    if value.pop("format", None) != FORMAT:
        raise InvalidInput(f"{folder} is not a model folder of this version", field="source")
    try:
        config = T5Config(**value.pop("config"))
        return Description(config=config, **value)
    except (TypeError, KeyError) as error:
        raise InvalidInput(
            f"{folder / CONFIG} is damaged: {error}; import the model again", field="source"
        ) from error


def write_companions(
    folder: Path,
    config: T5Config,
    vocabulary: bytes | None,
    initialization: np.ndarray | None,
    meta_prompt: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write the vocabulary, the shared initialization and the meta-prompt, those there are."""
    if vocabulary is not None:
        (folder / VOCABULARY).write_bytes(vocabulary)
    if initialization is not None:
        checked = checked_initialization(initialization, config.d_model)
        np.save(folder / INITIALIZATION, checked, allow_pickle=False)
    if meta_prompt is not None:
        arrays = {name: np.ascontiguousarray(x, np.float32) for name, x in meta_prompt.items()}
        save_file(arrays, folder / META_PROMPT)
