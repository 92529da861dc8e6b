"""How long shapes took to compile is remembered beside the cache, and told to those who wait."""

import threading
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from waiting import until

from ptsys.engine.compilation import CompiledShapes
from ptsys.engine.compile_times import FILE, CompileTimes
from ptsys.engine.groups import Group, Shape
from ptsys.engine.operations import in_words
from ptsys.kinds.trees import Feature, Layout, Leaf


@pytest.fixture(autouse=True)
def cache(tmp_path: Path) -> Iterator[Path]:
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


def shape(rows: int, kind: str = "gradients") -> Shape:
    prompt = Layout("tokens", (Leaf("prompt", (16, 8)),), 16)
    features = (Feature("inputs", (32,)), Feature("targets", (4,)))
    return Shape(Group(kind, prompt, features), slots=1, rows=rows)


def test_a_shape_is_told_its_own_times_or_those_of_its_kind() -> None:
    times = CompileTimes("small")
    for rows, seconds in ((8, 4.0), (16, 12.5), (8, 5.0)):
        times.add("gradients", str(shape(rows)), seconds)
    assert times.before("gradients", str(shape(8))) == (4.0, 5.0)
    assert times.before("gradients", str(shape(64))) == (4.0, 12.5)
    assert times.before("train", str(shape(8))) is None
    assert CompileTimes("large").before("gradients", str(shape(8))) is None


def test_a_torn_line_does_no_harm(cache: Path) -> None:
    times = CompileTimes("small")
    times.add("train", "a", 2.0)
    with (cache / FILE).open("a") as file:
        file.write('{"kind": "small train", "sha\n[]\n{"seconds": "x"}\n')
    times.add("train", "a", 3.0)
    assert times.before("train", "a") == (2.0, 3.0)


def test_what_compiles_now_is_told_in_words(cache: Path) -> None:
    shapes, go = CompiledShapes(model="m", describe=in_words), threading.Event()
    CompileTimes("m").add("gradients", str(shape(16)), 7.0)

    def build() -> object:
        go.wait(20)
        return print

    try:
        future = shapes.ahead(shape(8), build)
        until(shapes.now, 20)
        [told] = shapes.now()
        assert told.what == (
            "gradients for 8 rows and 1 prompt (at most 16 prompt, 32 input and 4 target tokens)"
        )
        assert (told.least, told.most) == (7.0, 7.0)
        assert told.text.endswith("such shapes took 7 s before")
        go.set()
        future.result(20)
        assert shapes.now() == []
        assert CompileTimes("m").before("gradients", str(shape(8))) is not None
    finally:
        go.set()
        shapes.close()


def test_what_jax_read_from_its_cache_is_no_time_of_compiling() -> None:
    def read() -> object:
        jax.monitoring.record_event("/jax/compilation_cache/cache_hits")
        return print

    shapes = CompiledShapes(model="m")
    try:
        shapes.get(shape(8), read)  # type: ignore[arg-type]
        assert CompileTimes("m").before("gradients", str(shape(8))) is None
        shapes.get(shape(16), lambda: print)
        assert CompileTimes("m").before("gradients", str(shape(16))) is not None
    finally:
        shapes.close()
