"""Models as Orbax checkpoints: the form in which imported models are kept.

A folder with `weights/` (Orbax, one array for each dotted path) and the files that
`ptsys.store.model_folders` names. It is written beside its place and renamed, so it is never seen
half done.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx
from jax.typing import DTypeLike

from ptsys.errors import InvalidInput
from ptsys.models.atomic_folder import atomic_folder
from ptsys.models.description import (
    Description,
    read_description,
    write_companions,
    write_description,
)
from ptsys.models.fingerprint import fingerprint
from ptsys.models.loaded import LoadedModel, Placement
from ptsys.models.parameters import (
    Shape,
    check_shapes,
    expected_shapes,
    flat_parameters,
    load_flat,
    parameter_count,
)
from ptsys.models.t5.network import T5
from ptsys.store.checkpoints import checkpointer
from ptsys.store.model_folders import read_initialization, read_meta_prompt, vocabulary_path

WEIGHTS = "weights"


def save_model(
    model: T5,
    path: Path,
    vocabulary: bytes | None = None,
    *,
    initialization: np.ndarray | None = None,
    meta_prompt: Mapping[str, np.ndarray] | None = None,
    source: str = "",
    sentinels: int = 100,
    replace: bool = False,
) -> Description:
    """Write a model folder at `path`, whole or not at all. Raises Conflict if it exists, unless
    it is to be replaced."""
    description = Description(
        config=model.config,
        fingerprint=fingerprint(model),
        parameters=parameter_count(model.config),
        source=source,
        sentinels=sentinels,
    )
    with atomic_folder(path, replace=replace) as folder:
        with checkpointer() as orbax:
            orbax.save(folder / WEIGHTS, args=ocp.args.StandardSave(flat_parameters(model)))
        write_companions(folder, model.config, vocabulary, initialization, meta_prompt)
        write_description(folder, description)
    return description


def load_model(
    path: Path,
    *,
    name: str | None = None,
    dtype: DTypeLike = jnp.float32,
    placement: Placement | None = None,
) -> LoadedModel:
    """Read a model folder, cast to `dtype`, each array restored straight to its sharding.

    `placement` gives the sharding of every parameter for a configuration; without one, all lie
    on the first device. It is always explicit: Orbax fails on another number of devices than
    the one it saved from if shardings are left out. Raises InvalidInput if the folder is
    incomplete, damaged, or holds other tensors than its configuration says.
    """
    path = path.resolve()
    description = read_description(path)
    config = description.config
    expected = expected_shapes(config)
    if placement is None:
        alone = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        shardings: Mapping[str, jax.sharding.Sharding] = dict.fromkeys(expected, alone)
    else:
        shardings = placement(config)
    restored = _restore(path / WEIGHTS, expected, dtype, shardings)
    model = load_flat(config, restored, dtype=dtype, shardings=shardings)
    graphdef, params = nnx.split(model)
    return LoadedModel(
        name=name or path.name,
        config=config,
        graphdef=graphdef,
        params=params,
        fingerprint=description.fingerprint,
        vocabulary_path=vocabulary_path(path),
        initialization=read_initialization(path, config.d_model),
        sentinels=description.sentinels,
        meta_prompt=read_meta_prompt(path),
    )


def _restore(
    folder: Path,
    expected: Mapping[str, Shape],
    dtype: DTypeLike,
    shardings: Mapping[str, jax.sharding.Sharding],
) -> dict[str, jax.Array]:
    if not all((folder / file).is_file() for file in ("_METADATA", "manifest.ocdbt")):
        raise InvalidInput(
            f"{folder.parent} has no Orbax weights; import the model again", field="source"
        )
    try:
        with checkpointer() as orbax:
            stored = orbax.metadata(folder).item_metadata.tree
            check_shapes(expected, {key: tuple(leaf.shape) for key, leaf in stored.items()})
            target = {
                key: jax.ShapeDtypeStruct(shape, jnp.dtype(dtype), sharding=shardings[key])
                for key, shape in expected.items()
            }
            restored: dict[str, jax.Array] = orbax.restore(
                folder, args=ocp.args.StandardRestore(target)
            )
            return restored
    except (ValueError, OSError, KeyError, AttributeError) as error:
        raise InvalidInput(
            f"the weights in {folder} cannot be read ({error}); import the model again",
            field="source",
        ) from error
