import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from ptsys.errors import InvalidInput
from ptsys.prompts.formats import read_metadata, read_prompt, write_prompt
from ptsys.prompts.peft_format import CONFIG_FILE, TENSOR_FILE, decode, encode

PROMPT = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
MODELS = ["hf_t5_v1_1_tiny", "hf_t5_v1_0_tiny"]


def changed(**changes) -> bytes:
    config = json.loads(encode(PROMPT)[CONFIG_FILE]) | changes
    return json.dumps(config).encode()


def tensors(rows: np.ndarray) -> bytes:
    return safetensors.numpy.save({"prompt_embeddings": rows})


@pytest.mark.parametrize("model", MODELS)
def test_an_adapter_that_peft_saved_gives_the_rows_that_peft_uses(shared_data: Path, model):
    folder = shared_data / "golden" / model
    golden = np.load(folder / "golden.npz")["prompt"][:7]
    for path in (folder / "peft_adapter", folder / "peft_adapter" / TENSOR_FILE):
        np.testing.assert_array_equal(read_prompt(path), golden)


@pytest.mark.parametrize("model", MODELS)
def test_an_exported_adapter_has_the_form_that_peft_saves(shared_data: Path, tmp_path, model):
    """Read by PEFT 0.21.2 itself, this export gave the golden loss (2026-11); here its form."""
    saved = shared_data / "golden" / model / "peft_adapter"
    write_prompt(
        read_prompt(saved), tmp_path, "peft", {"num_layers": "3", "num_attention_heads": "4"}
    )
    config = json.loads((saved / CONFIG_FILE).read_text())
    del config["peft_version"]  # ours is none
    assert json.loads((tmp_path / CONFIG_FILE).read_text()) == config
    rows = safetensors.numpy.load_file(tmp_path / TENSOR_FILE)
    assert list(rows) == ["prompt_embeddings"]
    assert rows["prompt_embeddings"].shape == (14, 64)
    np.testing.assert_array_equal(rows["prompt_embeddings"][7:], rows["prompt_embeddings"][:7])


def test_metadata_fills_the_configuration(tmp_path: Path):
    notes = {"base_model_name_or_path": "google/t5-v1_1-xl", "num_layers": "24"}
    write_prompt(PROMPT, tmp_path, "peft", notes)
    config = json.loads((tmp_path / CONFIG_FILE).read_text())
    assert config["base_model_name_or_path"] == "google/t5-v1_1-xl"
    assert config["num_layers"] == 24
    assert notes.items() <= read_metadata(tmp_path).items()
    with pytest.raises(InvalidInput, match="num_layers is 'many'"):
        encode(PROMPT, {"num_layers": "many"})


@pytest.mark.parametrize("submodules", [1, 2, 3])
def test_the_first_rows_are_taken_of_however_many_submodules(submodules):
    rows = np.concatenate([PROMPT, *[-PROMPT] * (submodules - 1)])
    np.testing.assert_array_equal(decode(changed(), tensors(rows))[0], PROMPT)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (changed(peft_type="LORA"), "peft_type"),
        (changed(peft_type=None), "peft_type"),
        (changed(task_type="CAUSAL_LM"), "task_type"),
        (changed(num_virtual_tokens=0), "num_virtual_tokens"),
        (changed(num_virtual_tokens="7"), "num_virtual_tokens"),
        (changed(num_virtual_tokens=True), "num_virtual_tokens"),
        (changed(num_virtual_tokens=1 << 60), "num_virtual_tokens"),
        (changed(num_virtual_tokens=5), "num_virtual_tokens"),
        (changed(token_dim=64), "token_dim"),
        (b"{", CONFIG_FILE),
        (b"[1]", CONFIG_FILE),
        (b"[" * 100_000, CONFIG_FILE),
        (b"\xff", CONFIG_FILE),
    ],
)
def test_a_configuration_of_another_kind_is_refused_by_field(config, field):
    with pytest.raises(InvalidInput) as caught:
        decode(config, tensors(np.tile(PROMPT, (2, 1))))
    assert caught.value.field == field


def test_a_tensor_of_another_rank_is_refused():
    with pytest.raises(InvalidInput, match="not two axes"):
        decode(changed(), tensors(PROMPT[None]))


def test_a_pickled_adapter_is_refused_with_the_way_out(tmp_path: Path):
    write_prompt(PROMPT, tmp_path, "peft")
    (tmp_path / TENSOR_FILE).rename(tmp_path / "adapter_model.bin")
    with pytest.raises(InvalidInput, match="save the adapter again"):
        read_prompt(tmp_path)
