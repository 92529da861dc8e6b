"""A meta-prompt as one folder: its arrays, and what is told of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptsys.client.library import write_whole
from ptsys.errors import InvalidInput
from ptsys.prompts.meta_about import NOTE, AboutMetaPrompt

if TYPE_CHECKING:  # who asks for no arrays does not wait for numpy
    from numpy.typing import NDArray

ARRAYS = "meta_prompt.safetensors"
ABOUT = "meta_prompt.json"


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there is one."""
    return (Path(path).expanduser() / ABOUT).is_file()


def write(
    path: str | os.PathLike[str], tree: Mapping[str, NDArray[Any]], about: AboutMetaPrompt
) -> Path:
    """Write the folder, made if need be; each file appears whole or not at all. Raises InvalidInput
    if it cannot be written."""
    from ptsys.prompts.safetensors_format import encode_tree

    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"{folder} cannot be made ({error.strerror or error}); choose another place",
            field="path",
        ) from None
    write_whole(folder / ARRAYS, encode_tree(tree, {NOTE: about.text}))
    write_whole(folder / ABOUT, about.text.encode())
    return folder


def read(
    path: str | os.PathLike[str],
) -> tuple[dict[str, NDArray[Any]], AboutMetaPrompt]:
    """The arrays of such a folder, and what is told. Raises InvalidInput unless it is whole."""
    from ptsys.prompts.safetensors_format import decode_tree

    folder = Path(path).expanduser()
    tree, _ = decode_tree(_bytes(folder / ARRAYS))
    try:
        text = _bytes(folder / ABOUT).decode()
    except UnicodeDecodeError:
        raise InvalidInput(
            f"{folder / ABOUT} is not UTF-8; export it again", field="path"
        ) from None
    return tree, AboutMetaPrompt.read(text)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{file} cannot be read ({error.strerror or error}); a meta-prompt's folder has "
            f"{ARRAYS} and {ABOUT}",
            field="path",
        ) from None
