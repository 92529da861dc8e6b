"""Prompts in files that other tools read and write: `.npy`, `.safetensors` and PEFT folders.

The kind of a file is told by its content, since google-research/prompt-tuning names its prompts
`encoder.prompt.prompt.prompt`. The service's own form is Orbax, see `ptsys.prompts.storage`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from etils import epath
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.prompts import npy_format, peft_format, safetensors_format
from ptsys.prompts.check import MAX_LENGTH, check_numbers, check_prompt

__all__ = ["MAX_LENGTH", "Format", "check_prompt", "read_metadata", "read_prompt", "write_prompt"]

Format = Literal["npy", "safetensors", "peft"]

MAX_BYTES = 256 * 2**20  # twice the largest prompt there is: PEFT's 2 x 1024 rows of 16,384
_FORMS = "an .npy file, a .safetensors file with a tensor 'prompt', or a PEFT adapter folder"


def read_prompt(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """The prompt [P, D] in a file or a PEFT adapter folder, local or in a bucket.

    Raises InvalidInput for a path that leads nowhere, files that are damaged, hostile or of
    another kind, and arrays that are no prompt for any model (`check_prompt`). Only bytes that
    are there are ever allocated, whatever a header claims.
    """
    array, _ = _read(path)
    return check_prompt(array, None)


def read_tree(
    path: str | os.PathLike[str], *, task: int | None = None, decoder_layers: int | None = None
) -> dict[str, NDArray[np.float32]]:
    """The arrays by name of a prompt of any kind in a file or a PEFT adapter folder; `task` and
    `decoder_layers` as `ptsys.prompts.peft_format.decode_tree` has them. Raises as `read_prompt`.
    """
    source = epath.Path(path).expanduser()
    if source.name in (peft_format.CONFIG_FILE, peft_format.TENSOR_FILE):
        source = source.parent
    if source.is_dir():
        found = _read_adapter(source, task, decoder_layers).tree
    elif task is not None:
        raise InvalidInput(f"{source} has no tasks to name", field="task")
    elif (data := _bytes(source))[8:9] == b"{" or source.suffix == ".safetensors":
        found, _ = safetensors_format.decode_tree(data)
    else:
        return {"prompt": read_prompt(source)}
    if set(found) == {"prompt"}:
        return {"prompt": check_prompt(found["prompt"], None)}
    return {name: check_numbers(array, name) for name, array in found.items()}


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """What the file tells of its prompt: the safetensors header's metadata, with the base model
    that a PEFT folder names; an `.npy` file tells nothing. Raises as `read_prompt`."""
    _, notes = _read(path)
    return notes


def write_prompt(
    array: NDArray[Any],
    path: str | os.PathLike[str],
    format: Format,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the prompt [P, D]; each file appears whole or not at all and replaces its namesake.

    For "peft" the path is a folder, made if need be. `metadata` is kept where the format has a
    place for it; see `ptsys.prompts.peft_format.encode` for what PEFT reads of it.
    Raises InvalidInput for an array that is no prompt, an unknown format or a path that cannot
    be written.
    """
    write_tree("tokens", {"prompt": check_prompt(array, None)}, path, format, metadata)


def write_tree(
    kind: str,
    tree: Mapping[str, NDArray[Any]],
    path: str | os.PathLike[str],
    format: Format,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a prompt of any kind, its arrays by name, as `write_prompt` does soft tokens. Raises
    InvalidInput as well for a format that has no place for it."""
    target = epath.Path(path).expanduser()
    for name, content in _files(kind, tree, format, metadata).items():
        _write_whole(target / name if name else target, content)


def check_format(kind: str, tree: Mapping[str, NDArray[Any]], format: Format) -> None:
    """Raise InvalidInput as `write_tree` does for a format that has no place for such a prompt."""
    _files(kind, tree, format, None)


def _files(
    kind: str,
    tree: Mapping[str, NDArray[Any]],
    format: Format,
    metadata: Mapping[str, str] | None,
) -> dict[str, bytes]:
    """What is written of a prompt: the files of a folder by name, or one that has none."""
    if format == "npy":
        if set(tree) != {"prompt"}:
            raise InvalidInput(
                f"an .npy file has one array, a prompt of the kind {kind!r} several; write "
                "safetensors",
                field="format",
            )
        return {"": npy_format.encode(np.asarray(tree["prompt"], np.float32))}
    if format == "safetensors":
        return {"": safetensors_format.encode_tree(tree, metadata)}
    if format == "peft":
        return peft_format.encode_tree(kind, tree, metadata)
    raise InvalidInput(
        f"unknown format {format!r}; choose npy, safetensors or peft", field="format"
    )


def _read(path: str | os.PathLike[str]) -> tuple[NDArray[Any], dict[str, str]]:
    source = epath.Path(path).expanduser()
    if source.name in (peft_format.CONFIG_FILE, peft_format.TENSOR_FILE):
        source = source.parent
    if source.is_dir():
        found = _read_adapter(source)
        if set(found.tree) != {"prompt"}:
            raise InvalidInput(
                f"this adapter is a prompt of the kind {found.kind!r}; soft tokens are wanted here",
                field="peft_type",
            )
        return found.tree["prompt"], found.notes
    data = _bytes(source)
    if data.startswith(npy_format.MAGIC):
        return npy_format.decode(data), {}
    if data[8:9] == b"{" or source.suffix == ".safetensors":
        return safetensors_format.decode(data)
    raise InvalidInput(f"{source} is no prompt; give {_FORMS}", field="path")


def _read_adapter(
    folder: epath.Path, task: int | None = None, decoder_layers: int | None = None
) -> peft_format.Adapter:
    if not (folder / peft_format.CONFIG_FILE).exists():
        raise InvalidInput(
            f"the folder {folder} has no {peft_format.CONFIG_FILE}; give {_FORMS}", field="path"
        )
    if not (folder / peft_format.TENSOR_FILE).exists():
        raise InvalidInput(
            f"the folder {folder} has no {peft_format.TENSOR_FILE}; a pickled adapter_model.bin is "
            "not read: save the adapter again with a current PEFT",
            field="path",
        )
    return peft_format.decode_tree(
        _bytes(folder / peft_format.CONFIG_FILE),
        _bytes(folder / peft_format.TENSOR_FILE),
        task=task,
        decoder_layers=decoder_layers,
    )


def _bytes(file: epath.Path) -> bytes:
    try:
        size = file.stat().length
        if size > MAX_BYTES:
            raise InvalidInput(
                f"{file} has {size} bytes; a prompt has at most {MAX_BYTES}", field="path"
            )
        with file.open("rb") as stream:
            data: bytes = stream.read(MAX_BYTES)
    except FileNotFoundError:
        raise InvalidInput(f"there is no file {file}; check the path", field="path") from None
    except OSError as error:
        raise InvalidInput(
            f"{file} cannot be read: {error.strerror or error}", field="path"
        ) from error
    return data


def _write_whole(file: epath.Path, content: bytes) -> None:
    part = file.parent / f".{file.name}.{uuid.uuid4().hex}.part"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(file)
    except OSError as error:
        if part.exists():
            part.unlink()
        raise InvalidInput(
            f"{file} cannot be written: {error.strerror or error}", field="path"
        ) from error
