"""Tasks that are registered with seqio, with their rows, rates and metrics; without the extra these
tests are left out."""

import sys
from pathlib import Path

import pytest
from small_runs import SMALL, start, stores

pytest.importorskip("seqio", reason="seqio is not installed: pip install 'ptsys[seqio]'")

MODULE = '''
import functools
import seqio
import tensorflow as tf

VOCABULARY = seqio.ByteVocabulary()
FEATURES = {name: seqio.Feature(VOCABULARY) for name in ("inputs", "targets")}


def rows(word, split, shuffle_files, seed=None):
    count = {"train": 12, "validation": 6}[split]
    return tf.data.Dataset.from_tensor_slices({
        "inputs": [f"{word} number {i}" for i in range(count)],
        "targets": ["odd" if i % 2 else "even" for i in range(count)],
    })


def right(targets, predictions):
    """In percent, of answers that postprocessing has made numbers."""
    assert all(isinstance(target, int) for target in targets)
    same = sum(a == b for a, b in zip(targets, predictions))
    return {"right": 100.0 * same / len(targets)}


def number(text, example=None, is_target=False):
    return ["even", "odd"].index(text) if text in ("even", "odd") else -1


for word in ("one", "two"):
    seqio.TaskRegistry.add(
        f"tiny_{word}",
        source=seqio.FunctionDataSource(
            functools.partial(rows, word), splits=("train", "validation")
        ),
        preprocessors=[seqio.preprocessors.tokenize, seqio.preprocessors.append_eos],
        postprocess_fn=number,
        metric_fns=[right],
        output_features=FEATURES,
    )
seqio.MixtureRegistry.add("tiny_both", [("tiny_one", 3.0), ("tiny_two", 1.0)])
'''

SEQIO = ("gin/tasks/seqio.gin",)


@pytest.fixture(scope="module", autouse=True)
def module(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("modules")
    (folder / "tiny_seqio_tasks.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    return "tiny_seqio_tasks"


def test_a_task_trains_and_is_scored_by_its_own_metric(root: Path, module: str) -> None:
    named = {"SEQIO_TASK": "tiny_one", "MODULE": module}
    ended = start(root, "prompt_tune", "--json", files=SEQIO, **SMALL, **named)
    assert ended.code == 0, ended.err
    prompt = stores(root)[1].get("tiny_one", "local")
    assert set(prompt.scores) == {"right", "train_loss"}
    assert ended.json["prompts"][0]["majority"] == 50.0
    datasets = stores(root)[0]
    assert prompt.dataset is not None
    rows = datasets.read(prompt.dataset)
    assert [row.input for row in rows] == [f"one number {i}" for i in range(12)]
    assert {row.target for row in rows} == {"even", "odd"}


def test_a_mixture_keeps_its_rates(root: Path, module: str) -> None:
    named = {"SEQIO_TASK": "tiny_both", "MODULE": module, "NAME": "both"}
    ended = start(root, "multitask", "--dry-run", "--json", files=SEQIO, **SMALL, **named)
    assert ended.code == 0, ended.err
    tasks = ended.json["plan"]["tasks"]
    told = [(line["task"], line["train"], line["share"]) for line in tasks]
    assert told == [("tiny_one", 12, 0.75), ("tiny_two", 12, 0.25)]


def test_what_is_not_registered_is_one_line(root: Path, module: str) -> None:
    for named, words in (
        ({"SEQIO_TASK": "nobody", "MODULE": module}, ["SeqioTask.name", "nobody"]),
        ({"SEQIO_TASK": "tiny_one", "MODULE": "no_module"}, ["SeqioTask.module", "PYTHONPATH"]),
        (
            {"SEQIO_TASK": "tiny_one", "MODULE": module, "SeqioTask.train_split": "x"},
            ["SeqioTask.train_split", "validation"],
        ),
    ):
        ended = start(root, "prompt_tune", files=SEQIO, **SMALL, **named)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        for word in words:
            assert word in ended.err
