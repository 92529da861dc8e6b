"""The start that all prompts of a model share, where every process can read it.

It takes a model's embeddings, which only a process that serves the model holds: that one writes it
once, to `<root>/library/<fingerprint>/start.npy`.
"""

from __future__ import annotations

import logging
import uuid
from pathlib import Path

import numpy as np
from etils import epath
from numpy.typing import NDArray

from ptsys.errors import InvalidInput, Unavailable
from ptsys.prompts import npy_format
from ptsys.prompts.check import MAX_LENGTH, check_prompt
from ptsys.prompts.initialization import shared_start
from ptsys.store.model_folders import model_folders, read_config, read_initialization

logger = logging.getLogger(__name__)


def library_folder(root: epath.PathLike, fingerprint: str) -> epath.Path:
    """Where the library keeps what belongs to the model of that fingerprint. What lies there can
    be made again."""
    return epath.Path(root) / "library" / fingerprint


def write_start(root: epath.PathLike, fingerprint: str, start: NDArray[np.float32]) -> None:
    """Keep the start [S, D] of the longest prompt; it appears whole or not at all.

    Raises Unavailable if the place cannot be written.
    """
    folder = library_folder(root, fingerprint)
    draft = folder / f".start-{uuid.uuid4().hex}.draft"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(npy_format.encode(check_prompt(start, None)))
        draft.replace(folder / _FILE)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise Unavailable(
            f"{folder / _FILE} cannot be written ({error.strerror or error})"
        ) from error


def read_start(root: epath.PathLike, fingerprint: str) -> NDArray[np.float32]:
    """The start of the longest prompt, [S, D].

    A model whose files bring an initialization does without a worker that wrote it. Raises
    Unavailable if neither is there.
    """
    kept = kept_start(root, fingerprint)
    if kept is not None:
        return kept
    for _, folder in model_folders(Path(root)):
        own = _initialization(folder, fingerprint)
        if own is not None:
            return shared_start(MAX_LENGTH, embeddings=own, shared=own, common_pieces=())
    raise Unavailable(
        f"the library does not know yet where prompts of the model with fingerprint {fingerprint} "
        "start; start a worker of that model once (`ptsys up`)"
    )


def kept_start(root: epath.PathLike, fingerprint: str) -> NDArray[np.float32] | None:
    """What `write_start` kept; None if there is none, or it is damaged."""
    path = library_folder(root, fingerprint) / _FILE
    try:
        return check_prompt(npy_format.decode(path.read_bytes()), None)
    except FileNotFoundError:
        return None
    except (OSError, InvalidInput) as error:
        logger.warning("%s is damaged: %s", path, error)
        return None


_FILE = "start.npy"


def _initialization(folder: Path, fingerprint: str) -> NDArray[np.float32] | None:
    try:
        if read_config(folder).get("fingerprint") != fingerprint:
            return None
        own = read_initialization(folder)
        return None if own is None else check_prompt(own, None)
    except InvalidInput:
        return None
