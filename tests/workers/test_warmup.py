"""What is compiled before anyone asks is what those who ask need."""

from collections.abc import Iterator

import pytest

from ptsys.engine.engine import Engine
from ptsys.engine.workbench import load_workbench
from ptsys.sharding.mesh import local_mesh
from ptsys.types.example import Example
from workers.warmup import common_shapes


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Of the model that ships, with its meta-prompt."""
    bench = load_workbench(tmp_path_factory.mktemp("root"), "tiny", local_mesh(2))
    engine = Engine(bench.served).start()
    yield engine
    engine.close()


def compiled(engine: Engine) -> set[object]:
    return set(engine.device.compiled.keys_ready())


def test_a_choice_of_examples_finds_its_encodings_compiled(engine: Engine) -> None:
    before = compiled(engine)
    engine.encodings(["a fine film with music"] * 256).result(120)
    assert (new := compiled(engine) - before)
    assert new <= set(common_shapes(engine.model))


def test_who_shows_sixteen_examples_finds_the_writing_compiled(engine: Engine) -> None:
    before, meta = compiled(engine), engine.model.meta_prompt
    assert meta is not None
    shown = [Example(f"a fine film with music and {n} songs", "good") for n in range(16)]
    engine.written(meta, shown).result(120)
    assert (new := compiled(engine) - before)
    assert new <= set(common_shapes(engine.model))


def test_what_fewer_ask_for_waits_for_the_rest(engine: Engine) -> None:
    """They are compiled one after another, and rows to learn from and to answer come first."""
    operations = [shape.group.operation for shape in common_shapes(engine.model)]
    rare = [operation in ("encode", "emit") for operation in operations]
    assert rare == sorted(rare)
    assert len(set(common_shapes(engine.model))) == len(operations)
