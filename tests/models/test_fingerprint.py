"""A fingerprint names weights, not files."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from ptsys.models.checkpoint import load_model, save_model
from ptsys.models.fingerprint import fingerprint
from ptsys.models.parameters import flat_parameters, load_flat
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.hugging_face import export_hugging_face, import_hugging_face
from ptsys.models.t5.network import T5, create


def test_it_changes_with_any_one_weight(model: T5, config: T5Config) -> None:
    names = {fingerprint(model)}
    flat = {path: np.array(x) for path, x in flat_parameters(model).items()}
    for path, array in flat.items():
        changed = array.copy()
        changed.flat[-1] = np.nextafter(changed.flat[-1], np.float32(9))
        names.add(fingerprint(load_flat(config, flat | {path: changed})))
    assert len(names) == len(flat) + 1


def test_it_is_sixteen_hex_characters_and_repeatable(config: T5Config) -> None:
    name = fingerprint(create(config, seed=3))
    assert len(name) == 16
    assert int(name, 16) >= 0
    assert name == fingerprint(create(config, seed=3)) != fingerprint(create(config, seed=4))


def test_it_does_not_depend_on_the_form_of_the_files(model: T5, tmp_path: Path) -> None:
    export_hugging_face(model, tmp_path / "hf")
    description = save_model(model, tmp_path / "orbax")
    name = fingerprint(model)
    assert fingerprint(import_hugging_face(tmp_path / "hf")) == name
    assert description.fingerprint == name
    assert fingerprint(load_model(tmp_path / "orbax").model) == name


def test_bfloat16_and_its_float32_copy_have_the_same(model: T5, config: T5Config) -> None:
    short = load_flat(config, flat_parameters(model), dtype=jnp.bfloat16)
    copy = load_flat(config, flat_parameters(short))
    assert fingerprint(short) == fingerprint(copy) != fingerprint(model)
