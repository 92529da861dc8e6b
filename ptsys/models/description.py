"""What lies beside the weights in a model folder: description, vocabulary, initialization.

config.json           the model's configuration, fingerprint and origin
vocabulary.model      its SentencePiece file, absent for byT5
initialization.npy    the float32 [length, d_model] start that its prompts share, optional
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from ptsys.errors import InvalidInput
from ptsys.models.config import T5Config

FORMAT = "ptsys-model-1"
CONFIG, VOCABULARY, INITIALIZATION = "config.json", "vocabulary.model", "initialization.npy"


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
        return bool(_read(folder).get("format") == FORMAT)
    except InvalidInput:
        return False


def write_description(folder: Path, description: Description) -> None:
    """Write `config.json`."""
    value = {"format": FORMAT} | dataclasses.asdict(description)
    text = json.dumps(value, indent=2, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def read_description(folder: Path) -> Description:
    """Read `config.json`. Raises InvalidInput if it is absent, damaged or of another format."""
    value = _read(folder)
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
    folder: Path, config: T5Config, vocabulary: bytes | None, initialization: np.ndarray | None
) -> None:
    """Write the vocabulary and the shared initialization, those there are."""
    if vocabulary is not None:
        (folder / VOCABULARY).write_bytes(vocabulary)
    if initialization is not None:
        checked = _check_initialization(config, initialization)
        np.save(folder / INITIALIZATION, checked, allow_pickle=False)


def vocabulary_path(folder: Path) -> Path | None:
    """The folder's SentencePiece file, if it has one."""
    path = folder / VOCABULARY
    return path if path.is_file() else None


def read_initialization(folder: Path, config: T5Config) -> np.ndarray | None:
    """The shared initialization, if there is one. Raises InvalidInput if it does not fit."""
    path = folder / INITIALIZATION
    if not path.is_file():
        return None
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InvalidInput(f"{path} is damaged: {error}", field="initialization") from error
    return _check_initialization(config, array)


def _check_initialization(config: T5Config, array: np.ndarray) -> np.ndarray:
    checked = np.ascontiguousarray(array, np.float32)
    if checked.ndim != 2 or checked.shape[1] != config.d_model or not np.isfinite(checked).all():
        raise InvalidInput(
            f"the shared initialization must be finite and [length, {config.d_model}], not "
            f"{list(checked.shape)}",
            field="initialization",
        )
    return checked


def _read(folder: Path) -> dict[str, Any]:
    try:
        value = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{folder / CONFIG} cannot be read: {error}", field="source") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{folder / CONFIG} must hold a JSON object", field="source")
    return value
