"""Folders on the wire, as zip files: PEFT adapters in and out, Orbax checkpoints out."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ptsys.errors import InvalidInput
from ptsys.kinds.trees import Tree
from ptsys.prompts import peft_format
from ptsys.prompts.adapter import Adapter
from ptsys.prompts.decoding import decoding
from ptsys.prompts.formats import MAX_BYTES
from ptsys.prompts.orbax_form import write_tree


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip file of these; tensors do not shrink, so nothing is compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def zipped_orbax(tree: Tree) -> bytes:
    """A prompt's Orbax checkpoint: the service's own form, as a folder that Orbax restores."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "prompt"
        write_tree(root, tree)
        files = {str(x.relative_to(root)): x.read_bytes() for x in root.rglob("*") if x.is_file()}
    return zipped(files)


def unzipped_adapter(
    data: bytes, *, task: int | None = None, decoder_layers: int | None = None
) -> Adapter:
    """The prompt in a zipped PEFT adapter folder, whose files stand at the top or in one folder;
    `task` and `decoder_layers` as `ptsys.prompts.peft_format.decode_tree` has them.

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
    config, tensors = found[peft_format.CONFIG_FILE], found[peft_format.TENSOR_FILE]
    return peft_format.decode_tree(config, tensors, task=task, decoder_layers=decoder_layers)
