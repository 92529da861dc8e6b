"""Collectives of real compiled programs, against what was written into them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from ptsys.plan.collectives import Collective, collectives, group_size
from ptsys.plan.hlo import parse

MESH = Mesh(np.array(jax.devices()[:8]).reshape(2, 4), ("data", "model"))
ALONG = PartitionSpec("data", "model")
FLOATS = 6 * 5  # of one device's part


def found(body: Callable[[jax.Array], jax.Array], trips: tuple[int, ...] = ()) -> list[Collective]:
    spread = jax.shard_map(body, mesh=MESH, in_specs=ALONG, out_specs=ALONG, check_vma=False)
    x = jnp.ones((2 * 6, 4 * 5), jnp.float32)
    return collectives(parse(jax.jit(spread).lower(x).compile().as_text()), 8, trips)


def test_a_sum_over_an_axis_is_an_all_reduce_of_its_bytes() -> None:
    assert found(lambda x: jax.lax.psum(x, "model")) == [Collective("all-reduce", 4, 1, 4 * FLOATS)]
    assert found(lambda x: jax.lax.psum(x, "data")) == [Collective("all-reduce", 2, 1, 4 * FLOATS)]


def test_a_gather_counts_its_result_and_a_scatter_its_own() -> None:
    (gathered,) = found(lambda x: jnp.sum(jax.lax.all_gather(jnp.sin(x), "model"), axis=0))
    assert (gathered.kind, gathered.group, gathered.bytes) == ("all-gather", 4, 4 * 4 * FLOATS)
    assert gathered.sent_bytes == 3 * 4 * FLOATS
    (scattered,) = found(lambda x: jax.lax.psum_scatter(x, "data", scatter_dimension=0, tiled=True))
    assert (scattered.kind, scattered.bytes) == ("reduce-scatter", 4 * FLOATS // 2)
    assert scattered.sent_bytes == 4 * FLOATS // 2


def test_exchanges_between_neighbours_and_all() -> None:
    ring = [(i, (i + 1) % 4) for i in range(4)]
    (moved,) = found(lambda x: jax.lax.ppermute(x, "model", ring))
    assert (moved.kind, moved.bytes) == ("collective-permute", 4 * FLOATS)
    (turned,) = found(lambda x: jax.lax.all_to_all(x, "data", 0, 0, tiled=True))
    assert (turned.kind, turned.group) == ("all-to-all", 2)


def test_loops_of_known_length_count_their_trips_also_in_one_another() -> None:
    def inner(_: int, x: jax.Array) -> jax.Array:
        return jax.lax.psum(x, "model") / 4

    def outer(_: int, x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 3, inner, x) + 1

    (summed,) = found(lambda x: jax.lax.fori_loop(0, 5, outer, x))
    assert (summed.count, summed.bytes) == (15, 15 * 4 * FLOATS)


def test_loops_of_unknown_length_count_what_the_caller_says() -> None:
    def body(x: jax.Array) -> jax.Array:
        steps = jax.lax.pmax(jnp.sum(x > 2).astype(jnp.int32), ("data", "model"))
        return jax.lax.fori_loop(0, steps, lambda _, y: jax.lax.psum(y, "model") / 4, x)

    by_group = {x.group: x.count for x in found(body, (7,))}
    assert by_group == {8: 1, 4: 7}


@pytest.mark.parametrize(
    ("rest", "size"),
    [
        ("replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add", 4),
        ("channel_id=1, replica_groups=[4,2]<=[2,4]T(1,0), dimensions={0}", 2),
        ("replica_groups=mesh['axis_0'=8,'axis_1'=1] {'axis_0'}, use_global_device_ids=true", 8),
        ("replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, to_apply=%add", 4),
        ("replica_groups={}, to_apply=%add", 8),
    ],
)
def test_groups_in_all_notations_of_xla(rest: str, size: int) -> None:
    assert group_size(rest, 8) == size
