"""Where a prompt starts that is to start from another one, of its own kind or of another."""

import numpy as np
import pytest

from ptsys.engine.workbench import Workbench, load_workbench
from ptsys.errors import InvalidInput
from ptsys.kinds.trees import Tree
from ptsys.sharding.mesh import local_mesh
from ptsys.training.start import first_prompt
from ptsys.types.training import Initialization, TrainingOptions


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return load_workbench(tmp_path_factory.mktemp("root"), "tiny", local_mesh(1))


def begun(bench: Workbench, kind: str, other: Tree) -> Tree:
    start = Initialization(kind="prompt", prompt="other")
    spec = TrainingOptions(name="p", length=5, prompt_kind=kind, initialization=start)
    return first_prompt(bench, spec, (), other).values


def rows(bench: Workbench, length: int) -> np.ndarray:
    return np.full((length, bench.config.d_model), 0.25, np.float32)


def test_what_the_other_prompt_lacks_starts_as_all_do(bench: Workbench) -> None:
    soft, shared = rows(bench, 3), bench.start(5)
    tree = begun(bench, "encoder_decoder", {"prompt": soft})
    np.testing.assert_array_equal(tree["prompt"], np.concatenate([shared[:2], soft]))
    np.testing.assert_array_equal(tree["decoder_prompt"], shared)


@pytest.mark.parametrize(
    ("kind", "arrays"),
    [
        ("tokens", ["decoder_prompt"]),
        ("decoder", ["prompt"]),
        ("decoder", ["prompt", "decoder_prompt"]),
        ("deep", ["prompt"]),
    ],
)
def test_a_prompt_that_lends_it_nothing_is_refused(
    bench: Workbench, kind: str, arrays: list[str]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        begun(bench, kind, {name: rows(bench, 3) for name in arrays})
    assert caught.value.field == "initialization.prompt"
