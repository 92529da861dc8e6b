"""What an augmentation is given of the library, at the moment it asks."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_model

from ptsys.config import Settings
from ptsys.jobs.service import Service
from ptsys.library.starts import write_start
from ptsys.prompts.storage import save_tree
from ptsys.store.clock import utc_now
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example
from ptsys.types.records import Prompt
from workers.second_prompts import SecondPrompts

ROWS = [Example("red river", "red")]
START = np.zeros((8, 4), np.float32)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(Settings(data_dir=tmp_path, redis_url=None, database_url=None))
    for fingerprint in ("f", "g"):
        write_start(tmp_path, fingerprint, START)
    yield service
    service.close()


def keep(service: Service, name: str, rows: np.ndarray, owner: str = "bob", **fields: Any) -> str:
    prompt = Prompt(
        id=service.prompts.new_id(),
        name=name,
        owner=owner,
        model=tiny_model.NAME,
        model_fingerprint=fields.pop("fingerprint", "f"),
        length=len(rows),
        d_model=4,
        created=utc_now(),
        **{"visibility": "public", **fields},
    )
    save_tree(service.prompts.tensor_path(prompt.id), {"prompt": rows})
    return service.prompts.add(prompt).id


def sources(service: Service, **fields: Any) -> SecondPrompts:
    """Those of ann, on a model whose prompts all start at zero (`START`)."""
    bench: Any = SimpleNamespace(served=SimpleNamespace(fingerprint="f"))
    spec = AugmentSpec(
        name="n", **{"dataset": "ds-own", "neighbours": 2, "candidates": 1, **fields}
    )
    return SecondPrompts(service, bench, spec, "ann")


def towards(*direction: float, length: int = 3) -> np.ndarray:
    return np.tile(np.array(direction, np.float32), (length, 1))


def test_the_nearest_come_first_whatever_their_length(service: Service) -> None:
    far = keep(service, "far", towards(-1, 0, 0, 0))
    near = keep(service, "near", towards(2, 0.1, 0, 0, length=5))
    mid = keep(service, "mid", towards(1, 1, 0, 0, length=2))
    found = sources(service).find(towards(1, 0, 0, 0))
    assert [one.prompt.id for one in found] == [near, mid]
    assert found[1].similarity == pytest.approx(2**-0.5, abs=1e-4)
    by_distance = sources(service, metric="l2", neighbours=3).find(towards(1, 0, 0, 0))
    assert [one.prompt.id for one in by_distance] == [near, mid, far]
    assert by_distance[2].similarity == pytest.approx(-4)  # squared


def test_what_is_not_anns_to_see_or_of_no_use_is_not_found(service: Service) -> None:
    query = towards(1, 0, 0, 0)
    keep(service, "private", query, visibility="private")
    keep(service, "lent", query, visibility="shared", shared_with=("eve",))
    keep(service, "searched", query, tags=("query",))
    keep(service, "other-weights", query, fingerprint="g")
    keep(service, "same-rows", query, dataset="ds-own")
    named = keep(service, "named", query, owner="ann", visibility="private")
    torn = keep(service, "torn", query)
    service.prompts.tensor_path(torn).rmtree()
    theirs = keep(service, "theirs", query, visibility="shared", shared_with=("ann",))
    assert [x.prompt.id for x in sources(service, query=named).find(query)] == [theirs]


def test_a_dataset_is_told_and_read_only_while_ann_may_see_it(service: Service) -> None:
    datasets = service.datasets
    shown = datasets.add("shown", "bob", ROWS, visibility="public").id
    hidden = datasets.add("hidden", "bob", ROWS).id
    keep(service, "one", towards(1, 0, 0, 0), dataset=shown)
    keep(service, "two", towards(1, 1, 0, 0), dataset=hidden)
    found = sources(service).find(towards(1, 0, 0, 0))
    assert [one.dataset for one in found] == [shown, None]
    assert sources(service).rows(shown) == ROWS
    assert sources(service).rows(hidden) is None
    datasets.share("shown", "bob", visibility="private")
    assert sources(service).rows(shown) is None
    datasets.share("shown", "bob", visibility="public")
    datasets.delete("shown", "bob")
    assert sources(service).rows(shown) is None


def test_a_tensor_is_given_only_while_ann_may_see_its_prompt(service: Service) -> None:
    rows = towards(1, 2, 3, 4)
    one = keep(service, "one", rows)
    np.testing.assert_array_equal(sources(service).tensor(one), rows)
    service.prompts.update("one", "bob", visibility="private")
    assert sources(service).tensor(one) is None
    service.prompts.delete("one", "bob")
    assert sources(service).tensor(one) is None


def test_a_task_specific_prompt_is_read_with_its_general_one(service: Service) -> None:
    general = keep(service, "g", towards(0, 1, 0, 0), visibility="private")
    task = keep(
        service, "g.t", towards(1, 0, 0, 0), general=general, combination="concat", task="t"
    )
    assert sources(service).tensor(task) is None  # the general one is not ann's to see
    service.prompts.update("g", "bob", visibility="public")
    expected = np.concatenate([towards(0, 1, 0, 0), towards(1, 0, 0, 0)])
    np.testing.assert_array_equal(sources(service).tensor(task), expected)
