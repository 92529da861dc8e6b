"""The compact form of the models that ship in the package: one `weights.safetensors`.

A tensor `X` is stored as float32, as float16, or as int8 beside a float32 tensor `X.scale` with
one factor for each position of its last axis (the output columns of a kernel). The fingerprint
is of the weights as they are read back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from flax import nnx
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ptsys.errors import InvalidInput
from ptsys.models.atomic_folder import atomic_folder
from ptsys.models.description import (
    Description,
    read_description,
    write_companions,
    write_description,
)
from ptsys.models.fingerprint import fingerprint
from ptsys.models.loaded import LoadedModel
from ptsys.models.parameters import flat_parameters, load_flat, parameter_count
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5
from ptsys.store.model_folders import read_initialization, read_meta_prompt, vocabulary_path

WEIGHTS = "weights.safetensors"
SCALE = ".scale"
INT8_MAX = 127
Storage = Literal["float32", "float16", "int8"]


def write_builtin(
    model: T5,
    folder: Path,
    *,
    vocabulary: bytes | None,
    sentinels: int = 100,
    initialization: np.ndarray | None = None,
    storage: Storage = "float16",
    source: str = "built in",
) -> Description:
    """Write a model in the compact form, replacing what was there.

    `int8` applies to matrices; vectors stay float16, and relative biases too, being small.
    Raises InvalidInput if a value does not fit float16.
    """
    config = model.config
    with atomic_folder(folder, replace=True) as new:
        tensors: dict[str, np.ndarray] = {}
        for path, array in flat_parameters(model).items():
            tensors |= _stored(path, np.asarray(array).astype(np.float32), storage)
        save_file(tensors, new / WEIGHTS)
        description = Description(
            config=config,
            fingerprint=fingerprint(_read_weights(new, config)),
            parameters=parameter_count(config),
            source=source,
            sentinels=sentinels,
        )
        write_companions(new, config, vocabulary, initialization)
        write_description(new, description)
    return description


def read_builtin(folder: Path, name: str) -> LoadedModel:
    """Read a model in the compact form, in float32.

    Raises InvalidInput if a file is absent or damaged, or the weights are not those that the
    recorded fingerprint is of.
    """
    description = read_description(folder)
    model = _read_weights(folder, description.config)
    if fingerprint(model) != description.fingerprint:
        raise InvalidInput(
            f"the weights in {folder} are not those that were written; install or import the "
            "model again",
            field="fingerprint",
        )
    graphdef, params = nnx.split(model)
    return LoadedModel(
        name=name,
        config=description.config,
        graphdef=graphdef,
        params=params,
        fingerprint=description.fingerprint,
        vocabulary_path=vocabulary_path(folder),
        initialization=read_initialization(folder, description.config.d_model),
        sentinels=description.sentinels,
        meta_prompt=read_meta_prompt(folder),
    )


def is_builtin_form(folder: Path) -> bool:
    """Whether the folder's weights are in the compact form."""
    return (folder / WEIGHTS).is_file()


def _stored(path: str, values: np.ndarray, storage: Storage) -> dict[str, np.ndarray]:
    if storage == "float32":
        return {path: values}
    if storage == "int8" and values.ndim == 2 and not path.endswith("rel_embedding"):
        scale = np.abs(values).max(axis=0) / INT8_MAX
        scale = np.where(scale > 0, scale, 1).astype(np.float32)
        return {path: np.rint(values / scale[None, :]).astype(np.int8), path + SCALE: scale}
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():
        raise InvalidInput(f"{path} holds values beyond float16; store float32", field="storage")
    return {path: half}


def _read_weights(folder: Path, config: T5Config) -> T5:
    file = folder / WEIGHTS
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise InvalidInput(
            f"{file} is absent or damaged ({error}); install or import the model again",
            field="source",
        ) from error
    return load_flat(config, dequantized(tensors))


def dequantized(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Float32 tensors out of stored ones; int8 tensors swallow their scales."""
    flat = {path: x.astype(np.float32) for path, x in tensors.items() if x.dtype != np.int8}
    for path, values in tensors.items():
        if values.dtype == np.int8:
            scale = flat.pop(path + SCALE, None)
            if scale is None or scale.shape != values.shape[-1:]:
                raise InvalidInput(
                    f"the int8 tensor {path} has no fitting {path + SCALE}", field=path
                )
            flat[path] = values.astype(np.float32) * scale.reshape(
                (1,) * (values.ndim - 1) + scale.shape
            )
    return flat
