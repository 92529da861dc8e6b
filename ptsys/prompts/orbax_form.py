"""A stored prompt's Orbax checkpoint, read and written without Orbax.

`ptsys.prompts.storage` is how the accelerator side does the same; a test reads each with the other.
Orbax keeps arrays as zarr in an OCDBT database of TensorStore, and beside it two JSON files. So
the web process needs TensorStore alone, and no accelerator stack.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from etils import epath
from numpy.typing import NDArray

from ptsys.errors import Conflict, InvalidInput, NotFound
from ptsys.prompts.check import check_numbers, check_prompt
from ptsys.prompts.multitask import Affine, Method, TaskPart
from ptsys.store.durable import make_folder, put_in_place
from ptsys.store.faults import unreadable, unwritable
from ptsys.store.prompts import REMEDY

_KEY = "prompt"
_HANDLER = "orbax.checkpoint._src.handlers.standard_checkpoint_handler.StandardCheckpointHandler"
_MOST_ARRAYS = 1024
_TREE = {
    "use_ocdbt": True,
    "use_zarr3": False,
    "store_array_data_equal_to_fill_value": True,
    "custom_metadata": None,
}


def write_orbax(path: epath.PathLike, array: NDArray[Any]) -> None:
    """Write a prompt [P, D] as `save_tree` does: it appears whole or not at all, and is on the
    disk when this returns.

    Raises Conflict if something is there already, InvalidInput if the array is no prompt,
    Unavailable if the place cannot be written.
    """
    write_tree(path, {_KEY: check_prompt(array, None)})


def write_tree(path: epath.PathLike, tree: Mapping[str, NDArray[Any]]) -> None:
    """Write all arrays of a prompt of any kind by their names, as `write_orbax` does one."""
    arrays = {name: check_numbers(array, name) for name, array in tree.items()}
    target = epath.Path(path)
    if target.exists():
        raise Conflict(f"a tensor is already stored at {target.name}")
    draft = target.parent / f"{target.name}.orbax-checkpoint-tmp-{uuid.uuid4().hex[:8]}"
    try:
        make_folder(draft)
        _write(draft, arrays)
        put_in_place(draft, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            draft.rmtree()
        if isinstance(error, OSError | ValueError):
            raise unwritable("the prompt's tensor", target, error) from error
        raise


def read_orbax(path: epath.PathLike) -> NDArray[np.float32]:
    """The prompt [P, D] stored at `path`, in host memory.

    Raises NotFound if there is none, Damaged if what is there is, Unavailable if it cannot be read
    at present.
    """
    source = _existing(path)
    with _reading(source):
        return check_prompt(_read(source, _KEY), None)


def read_tree(path: epath.PathLike) -> dict[str, NDArray[np.float32]]:
    """All arrays of the prompt stored at `path`, by name. Raises as `read_orbax`."""
    source = _existing(path)
    with _reading(source):
        return {name: check_numbers(_read(source, name), name) for name in _names(source)}


def read_array(path: epath.PathLike, name: str) -> NDArray[np.float32] | None:
    """One array of the prompt stored at `path`, and nothing else of it; None if it has none of
    that name. Raises as `read_orbax`."""
    source = _existing(path)
    with _reading(source):
        return check_numbers(_read(source, name), name) if name in _names(source) else None


def read_part(path: epath.PathLike, method: Method, length: int) -> TaskPart:
    """What is specific to a task, as `ptsys.prompts.storage.save_tree` wrote it; `length` counts
    its own tokens. Raises as `read_orbax`."""
    source = _existing(path)
    with _reading(source):
        rows = check_prompt(_read(source, _KEY), None) if length else None
        if method != "affine":
            return TaskPart(rows)
        return TaskPart(rows, Affine(_read(source, "matrix"), _read(source, "bias")))


def _existing(path: epath.PathLike) -> epath.Path:
    source = epath.Path(path)
    if not source.exists():
        raise NotFound(f"no tensor is stored for {source.name}")
    return source


def _names(folder: epath.Path) -> list[str]:
    told = json.loads((folder / "_METADATA").read_text())["tree_metadata"].values()
    return [str(one["key_metadata"][0]["key"]) for one in told][:_MOST_ARRAYS]


def _read(folder: epath.Path, key: str) -> NDArray[np.float32]:
    import tensorstore

    stored = tensorstore.open(_spec(folder, key), open=True).result()
    return np.asarray(stored.read().result())


@contextlib.contextmanager
def _reading(source: epath.Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError, LookupError, TypeError, InvalidInput) as error:
        raise unreadable(f"the tensor of {source.name}", source, error, REMEDY) from error


def _write(folder: epath.Path, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    import tensorstore

    began = time.time_ns()
    for name, array in arrays.items():
        stored = tensorstore.open(
            _spec(folder, name)
            | {
                "metadata": {
                    "shape": array.shape,
                    "chunks": array.shape,
                    "dtype": "<f4",
                    "compressor": {"id": "zstd", "level": 1},
                }
            },
            create=True,
        ).result()
        stored.write(array).result()
    keys = {
        f"('{name}',)": {
            "key_metadata": [{"key": name, "key_type": 2}],
            "value_metadata": {"value_type": "np.ndarray", "skip_deserialize": False},
        }
        for name in arrays
    }
    (folder / "_METADATA").write_text(json.dumps({"tree_metadata": keys, **_TREE}))
    times = {"init_timestamp_nsecs": began, "commit_timestamp_nsecs": time.time_ns()}
    notes = {"item_handlers": _HANDLER, "metrics": {}, "performance_metrics": {}, **times}
    (folder / "_CHECKPOINT_METADATA").write_text(json.dumps(notes | {"custom_metadata": {}}))
    # Where folders cannot be renamed at once, as in a bucket, this file says that all is there.
    (folder / "commit_success.txt").write_text(f"Checkpoint commit was successful to {folder}")


def _spec(folder: epath.Path, key: str) -> dict[str, Any]:
    where = str(folder)
    base = where if "://" in where else f"file://{where}"
    return {
        "driver": "zarr",
        "kvstore": {"driver": "ocdbt", "base": f"{base.rstrip('/')}/", "path": f"{key}/"},
    }
