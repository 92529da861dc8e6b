import contextlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ptsys.errors import InvalidInput
from ptsys.prompts.formats import check_prompt, read_metadata, read_prompt, write_prompt

PATHS = {"npy": "p.npy", "safetensors": "p.safetensors", "peft": "adapter"}
PROMPT = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
PROMPTS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9), elements=FINITE
)


@pytest.mark.parametrize("format", PATHS)
@settings(max_examples=25, deadline=None)
@given(prompt=PROMPTS)
def test_what_is_written_reads_back_bit_for_bit(tmp_path_factory, format, prompt):
    path = tmp_path_factory.mktemp("prompt") / PATHS[format]
    write_prompt(prompt, path, format)
    again = read_prompt(path)
    assert again.dtype == np.float32
    assert again.tobytes() == prompt.tobytes()
    assert again.shape == prompt.shape


@pytest.mark.parametrize("format", PATHS)
def test_writing_replaces_and_leaves_nothing_else(tmp_path: Path, format):
    path = tmp_path / "new" / PATHS[format]
    write_prompt(PROMPT, path, format)
    write_prompt(2 * PROMPT, path, format)
    np.testing.assert_array_equal(read_prompt(path), 2 * PROMPT)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("format", ["safetensors", "peft"])
def test_metadata_survives_where_the_format_has_a_place_for_it(tmp_path: Path, format):
    path = tmp_path / PATHS[format]
    notes = {"model_fingerprint": "abc", "base_model_name_or_path": "google/t5-v1_1-base"}
    write_prompt(PROMPT, path, format, notes)
    assert notes.items() <= read_metadata(path).items()


def test_an_npy_file_tells_nothing_but_its_prompt(tmp_path: Path):
    write_prompt(PROMPT, tmp_path / "p.npy", "npy", {"model": "tiny"})
    assert read_metadata(tmp_path / "p.npy") == {}
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy", allow_pickle=False), PROMPT)


def test_a_prompt_is_known_by_its_content_not_its_name(tmp_path: Path):
    write_prompt(PROMPT, tmp_path / "encoder.prompt.prompt.prompt", "npy")
    write_prompt(PROMPT, tmp_path / "prompt.bin", "safetensors")
    for file in tmp_path.iterdir():
        np.testing.assert_array_equal(read_prompt(file), PROMPT)


def test_a_published_prompt_fits_the_width_it_was_made_for(shared_data: Path):
    path = shared_data / "prompt_tuning/pretrained_prompts/sst2.npy"
    prompt = check_prompt(read_prompt(path), 768)
    np.testing.assert_array_equal(prompt, np.load(path, allow_pickle=False))
    with pytest.raises(InvalidInput, match=r"width 768, model 'tiny' has 192: .* another model"):
        check_prompt(prompt, 192, model="tiny")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00", b"hello, this is no prompt", b"PK\x03\x04" + bytes(60), b"\x80\x04K\x01."],
)
def test_files_of_no_known_kind_are_refused(tmp_path: Path, content: bytes):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InvalidInput, match="is no prompt") as caught:
        read_prompt(tmp_path / "file")
    assert caught.value.field == "path"


def test_paths_that_lead_nowhere_are_refused(tmp_path: Path):
    with pytest.raises(InvalidInput, match="there is no file"):
        read_prompt(tmp_path / "absent.npy")
    with pytest.raises(InvalidInput, match="has no adapter_config"):
        read_prompt(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_prompt(PROMPT, tmp_path / "file" / "p.npy", "npy")


def test_a_huge_file_is_refused_unread(tmp_path: Path):
    with (tmp_path / "huge.npy").open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(InvalidInput, match="at most"):
        read_prompt(tmp_path / "huge.npy")


def test_an_unknown_format_and_an_array_that_is_no_prompt_are_not_written(tmp_path: Path):
    with pytest.raises(InvalidInput, match="unknown format") as caught:
        write_prompt(PROMPT, tmp_path / "p", "pickle")
    assert caught.value.field == "format"
    with pytest.raises(InvalidInput, match="two axes"):
        write_prompt(PROMPT[0], tmp_path / "p", "npy")
    assert not list(tmp_path.iterdir())


def test_a_prompt_with_nan_is_not_read(tmp_path: Path):
    wrong = PROMPT.copy()
    wrong[2, 3] = np.nan
    np.save(tmp_path / "p.npy", wrong)
    with pytest.raises(InvalidInput, match="row 2, column 3"):
        read_prompt(tmp_path / "p.npy")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_anywhere_gives_a_prompt_or_a_clear_refusal(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    format = data.draw(st.sampled_from(list(PATHS)))
    write_prompt(PROMPT, folder / PATHS[format], format)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] = data.draw(st.integers(0, 255))
    else:
        del content[at:]
    file.write_bytes(content)
    with contextlib.suppress(InvalidInput):
        assert read_prompt(folder / PATHS[format]).ndim == 2


def test_json_shaped_metadata_is_read_without_harm(tmp_path: Path):
    notes = {"note": json.dumps({"deep": ["\u2028", "é"]})}
    write_prompt(PROMPT, tmp_path / "p.safetensors", "safetensors", notes)
    assert read_metadata(tmp_path / "p.safetensors") == notes


def test_the_light_modules_start_without_jax():
    modules = [
        *("ptsys.prompts.formats", "ptsys.prompts.initialization"),
        *("ptsys.data.features", "ptsys.data.order", "ptsys.data.metrics", "ptsys.data.vocabulary"),
    ]
    code = f"import {', '.join(modules)}, sys; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
