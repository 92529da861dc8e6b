"""Folders on the wire, as zip files: PEFT adapters in and out, Orbax checkpoints out."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.prompts import peft_format
from ptsys.prompts.decoding import decoding
from ptsys.prompts.formats import MAX_BYTES
from ptsys.prompts.orbax_form import write_orbax


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip file of these; tensors do not shrink, so nothing is compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def zipped_orbax(array: NDArray[np.float32]) -> bytes:
    """A prompt's Orbax checkpoint: the service's own form, as a folder that Orbax restores."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "prompt"
        write_orbax(root, array)
        files = {str(x.relative_to(root)): x.read_bytes() for x in root.rglob("*") if x.is_file()}
    return zipped(files)


def unzipped_adapter(data: bytes) -> NDArray[np.generic]:
    """The prompt in a zipped PEFT adapter folder, whose files stand at the top or in one folder.

    Only the two files that make an adapter are read, and no more of them than a prompt can have.
    Raises InvalidInput for anything else.
    """
    found: dict[str, bytes] = {}
    with decoding("zip file", "prompt"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            name = info.filename.rpartition("/")[2]
            if name not in (peft_format.CONFIG_FILE, peft_format.TENSOR_FILE):
                continue
            if name in found:
                raise InvalidInput(f"the zip file holds {name} twice", field=name)
            with archive.open(info) as stream:
                found[name] = stream.read(MAX_BYTES + 1)
            if len(found[name]) > MAX_BYTES:
                raise InvalidInput(
                    f"{name} is larger than the {MAX_BYTES} bytes of any prompt", field=name
                )
    for name in (peft_format.CONFIG_FILE, peft_format.TENSOR_FILE):
        if name not in found:
            raise InvalidInput(
                f"the zip file has no {name}; zip the adapter's folder as PEFT saved it (not a "
                "pickled adapter_model.bin)",
                field=name,
            )
    array, _ = peft_format.decode(found[peft_format.CONFIG_FILE], found[peft_format.TENSOR_FILE])
    return array
