"""Meta-prompts with a generator of their own: what it reads is what a model with that encoder
reads, on one device and on several, in the company of others, however many there are."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from byte_engine import WIDTH
from meta_prompts import random_meta, with_generator

from ptsys.engine.device import GENERATORS
from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.model import ServedModel
from ptsys.engine.slot_memory import SlotMemory
from ptsys.engine.slots import Slots
from ptsys.engine.trainings import Snapshot
from ptsys.errors import InvalidInput
from ptsys.kinds.registry import GENERATOR, stored_kind
from ptsys.kinds.trees import Tree, shapes_of
from ptsys.models.parameters import expected_shapes
from ptsys.models.quantization import quantize
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.generator import ENCODER, encoder_arrays, generator, parameter
from ptsys.models.t5.network import create
from ptsys.passes.frozen import freeze
from ptsys.prompts.meta import META, generator_of
from ptsys.prompts.meta_kind import written_layout
from ptsys.sharding.mesh import local_mesh
from ptsys.types.example import Example
from ptsys.types.training import Optimizer

EXAMPLES = [Example("red river", "yes"), Example("blue stone", "no")]


def metas(engine: Engine, count: int) -> list[Tree]:
    """The same but for their generators."""
    meta = random_meta(WIDTH)
    return [with_generator(meta, engine.device.config, seed + 1) for seed in range(count)]


def plain(engine: Engine, meta: Tree) -> np.ndarray:
    """What is written where the whole frozen model has that encoder."""
    model = create(engine.device.config)
    for path, array in (generator_of(meta) or {}).items():
        first, *modules, name = path.split(".")
        layers = [(f"layers_{number}", one) for number, one in enumerate(array)]
        for root, one in layers if first == "layers" else [(first, array)]:
            module = getattr(model.encoder, root)
            for below in modules:
                module = getattr(module, below)
            getattr(module, name).set_value(jax.numpy.asarray(one))
    served = engine.model
    other = ServedModel("other", "0" * 16, freeze(model), served.vocabulary, None)
    shared = {name: x for name, x in meta.items() if not name.startswith(GENERATOR)}
    own = Engine(other, EngineOptions(max_residents=1)).start()
    try:
        return own.written(shared, EXAMPLES).result(300)
    finally:
        own.close()


@pytest.mark.parametrize("gated", [True, False])
def test_a_configuration_tells_its_encoders_shapes(gated: bool) -> None:
    config = T5Config(
        **{"vocab_size": 8, "d_model": 4, "num_heads": 2, "head_dim": 3, "d_ff": 5},
        encoder_layers=2,
        decoder_layers=1,
        gated=gated,
    )
    own = encoder_arrays(create(config))
    assert {ENCODER + path: x.shape for path, x in own.items()} == {
        path: shape for path, shape in expected_shapes(config).items() if path.startswith(ENCODER)
    }
    made = generator({path: np.array(x) for path, x in own.items()})
    assert {path: x.shape for path, x in made.items()} == config.encoder_shapes
    for path, x in own.items():
        np.testing.assert_array_equal(parameter(made, path), x, err_msg=path)
    near = encoder_arrays(quantize(create(config)))
    for path, x in own.items():
        np.testing.assert_allclose(near[path], x, atol=0.02, err_msg=path)


def test_everyone_is_read_by_their_own(engine: Engine) -> None:
    """More of them than stay on the device, all at once; those that share the encoder among them,
    and one that starts as a copy of it."""
    own = metas(engine, GENERATORS + 1)
    shared = random_meta(WIDTH)
    copied = shared | {GENERATOR + x: y for x, y in engine.encoder().result(300).items()}
    futures = [engine.written(meta, EXAMPLES) for meta in (*own, shared, copied, *own)]
    found = [future.result(300) for future in futures]
    for meta, first, second in zip(own, found, found[-len(own) :], strict=False):
        np.testing.assert_allclose(first, plain(engine, meta), atol=1e-5)
        np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(found[len(own)], found[len(own) + 1], atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-3
    assert len(engine.device._generators) == GENERATORS


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_a_generator_is_spread_as_the_encoder_is(engine: Engine, weights: str) -> None:
    [meta] = metas(engine, 1)
    model = create(engine.device.config)
    model = quantize(model) if weights == "int8" else model
    served = ServedModel(
        "spread", "0" * 16, freeze(model, local_mesh(2, 2)), engine.model.vocabulary, None
    )
    own = Engine(served, EngineOptions(max_residents=1)).start()
    try:
        found = own.written(meta, EXAMPLES).result(300)
        [kept] = own.device._generators.values()
    finally:
        own.close()
    for mine, theirs in zip(kept.leaves, served.frozen.leaves, strict=True):
        assert (mine.dtype, mine.sharding) == (theirs.dtype, theirs.sharding)
    np.testing.assert_allclose(found, plain(engine, meta), atol=1e-5 if weights != "int8" else 0.1)


def test_slots_of_generators_are_spread_and_come_back_whole(engine: Engine) -> None:
    """What is put into a slot, on a mesh with a `model` axis, lies there in parts."""
    [meta] = metas(engine, 1)
    frozen = freeze(create(engine.device.config), local_mesh(2, 2))
    layout = written_layout(shapes_of(meta), 2, 2, 16, "each", taught=False)
    memory = SlotMemory(64, layout, frozen.mesh, frozen.structure.lies)
    kernel = GENERATOR + "layers.attention.query.kernel"
    values = [memory.state.leaves[kernel].value, memory.state.leaves[kernel].first]
    shape = (memory.per_shard, 1, WIDTH, WIDTH // 2)
    assert {x.sharding.shard_shape(x.shape) for x in values} == {shape}
    assert memory.per_shard == 4  # of 32 that prompts of one reading would have

    slots = Slots(layout, memory)
    taken = [slots.take(Snapshot.start(meta, "meta"), dict.fromkeys(meta, Optimizer()), 1)]
    taken.append(slots.take(Snapshot.start(meta, "meta"), dict.fromkeys(meta, Optimizer()), 1))
    assert {slots.place(slot)[0] for slot in taken} == {0, 1}
    for slot in taken:
        found = slots.read(slot, 0, shapes_of(meta)).read().values
        assert {name: x.tobytes() for name, x in found.items()} == {
            name: x.tobytes() for name, x in meta.items()
        }
    assert memory.state.leaves[kernel].value.sharding.shard_shape(values[0].shape) == shape


def test_a_generator_of_another_model_is_refused(engine: Engine) -> None:
    [meta] = metas(engine, 1)
    assert stored_kind(meta).name == META.name
    name = GENERATOR + "encoder_norm.scale"
    for wrong in (
        {key: x for key, x in meta.items() if key != name},
        meta | {name: np.zeros(WIDTH + 1, np.float32)},
        meta | {GENERATOR + "more": np.zeros(1, np.float32)},
    ):
        with pytest.raises(InvalidInput, match="the generator has not the shapes") as error:
            engine.written(wrong, EXAMPLES)
        assert str(error.value.field).startswith(GENERATOR)
