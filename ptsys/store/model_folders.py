"""The folders of frozen models, built in or imported, as far as every process reads them.

config.json           the model's configuration, fingerprint and origin
vocabulary.model      its SentencePiece file, absent for byT5
initialization.npy    the float32 [length, d_model] start that its prompts share, optional
meta_prompt.safetensors  the meta-prompt that comes with it, `generic`, optional

Nothing here reads weights or needs an accelerator stack.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptsys.errors import InvalidInput
from ptsys.types.names import NAME

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = "ptsys-model-1"
CONFIG, VOCABULARY, INITIALIZATION = "config.json", "vocabulary.model", "initialization.npy"
META_PROMPT = "meta_prompt.safetensors"


def builtin_models() -> Path:
    """Where the models lie that ship in the package."""
    return Path(str(importlib.resources.files("ptsys"))) / "models" / "builtin"


def imported_models(root: Path) -> Path:
    """Where the models lie that were imported into the data folder `root`."""
    return Path(root) / "models"


def model_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """All models by name with their folders; what is built in comes last, so that it wins."""
    for parent in (imported_models(root), builtin_models()):
        for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
            if not folder.name.startswith((".", "_")) and (folder / CONFIG).is_file():
                yield folder.name, folder


def model_folder(root: Path, model: str) -> Path | None:
    """The folder of the model of that name; None if there is none."""
    return dict(model_folders(root)).get(model) if re.fullmatch(NAME, model) else None


def config_path(root: Path, model: str) -> Path:
    """Where an imported model's description lies, whether there is one or not."""
    return imported_models(root) / model / CONFIG


def read_config(folder: Path) -> dict[str, Any]:
    """The JSON object in `config.json`. Raises InvalidInput if there is none to be read."""
    try:
        value = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{folder / CONFIG} cannot be read: {error}", field="source") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{folder / CONFIG} must hold a JSON object", field="source")
    return value


def vocabulary_path(folder: Path) -> Path | None:
    """The folder's SentencePiece file, if it has one."""
    path = folder / VOCABULARY
    return path if path.is_file() else None


def read_initialization(folder: Path, width: int | None = None) -> NDArray[np.float32] | None:
    """The shared initialization [length, width], if there is one. Raises InvalidInput if it is
    damaged or does not fit."""
    path = folder / INITIALIZATION
    if not path.is_file():
        return None
    import numpy as np

    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InvalidInput(f"{path} is damaged: {error}", field="initialization") from error
    return checked_initialization(array, width)


def has_meta_prompt(folder: Path) -> bool:
    """Whether a meta-prompt comes with the model."""
    return (folder / META_PROMPT).is_file()


def read_meta_prompt(folder: Path) -> dict[str, NDArray[np.float32]] | None:
    """The arrays of the meta-prompt that comes with the model, if there is one; where its file has
    no `start`, that is the end of the shared initialization. Raises InvalidInput if it is damaged.
    """
    if not has_meta_prompt(folder):
        return None
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        stored = load_file(folder / META_PROMPT)
        arrays = {name: x.astype(np.float32) for name, x in stored.items()}
        if "start" not in arrays:
            shared = read_initialization(folder)
            if shared is None:
                raise InvalidInput(f"{folder / INITIALIZATION} is absent", field="meta")
            arrays["start"] = shared[-len(arrays["tail"]) :]
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise InvalidInput(f"{folder / META_PROMPT} is damaged: {error}", field="meta") from error
    return arrays


def checked_initialization(array: NDArray[Any], width: int | None) -> NDArray[np.float32]:
    """The array as a shared initialization. Raises InvalidInput if it is none."""
    import numpy as np

    checked = np.ascontiguousarray(array, np.float32)
    fits = checked.ndim == 2 and (width is None or checked.shape[1] == width)
    if not fits or not np.isfinite(checked).all():
        raise InvalidInput(
            f"the shared initialization must be finite and [length, {width or 'd_model'}], not "
            f"{list(checked.shape)}",
            field="initialization",
        )
    return checked
