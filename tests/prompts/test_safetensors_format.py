import json
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

from ptsys.errors import InvalidInput
from ptsys.prompts.safetensors_format import annotated, decode, encode

PROMPT = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)


def file_of(header: object, content: bytes = PROMPT.tobytes()) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def tensor(**changes) -> dict:
    return {"prompt": {"dtype": "F32", "shape": [5, 8], "data_offsets": [0, 160]} | changes}


def test_safetensors_itself_reads_what_is_written():
    tensors = safetensors.numpy.load(encode(PROMPT, {"model": "tiny"}))
    np.testing.assert_array_equal(tensors["prompt"], PROMPT)


def test_half_precision_is_read():
    np.testing.assert_array_equal(
        decode(safetensors.numpy.save({"prompt": PROMPT.astype(np.float16)}))[0],
        PROMPT.astype(np.float16),
    )
    upper = np.ascontiguousarray(PROMPT.view(np.uint16)[:, 1::2])  # bfloat16 cuts a float32
    array, _ = decode(file_of(tensor(dtype="BF16", data_offsets=[0, 80]), upper.tobytes()))
    np.testing.assert_allclose(array, PROMPT, rtol=2**-7)


@pytest.mark.parametrize(
    "header",
    [
        tensor(data_offsets=[0, 1 << 42]),
        tensor(shape=[1 << 40, 8], data_offsets=[0, 1 << 45]),
        tensor(shape=[1 << 62, 1 << 62]),
        tensor(shape=[5, 9]),
        tensor(shape=[-5, -8]),
        tensor(data_offsets=[160, 0]),
        tensor(data_offsets=[0, 80]),
        tensor(dtype="F99"),
        b"{" * 4000,
        b"[]",
        b"\xff\xfe",
    ],
)
def test_lying_headers_are_refused_without_allocating(header):
    tracemalloc.start()
    with pytest.raises(InvalidInput, match="not a whole safetensors file"):
        decode(file_of(header))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("length", [1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_header_longer_than_the_file_is_refused(length):
    with pytest.raises(InvalidInput, match="not a whole"):
        decode(length.to_bytes(8, "little") + b"{}")


@pytest.mark.parametrize("kept", [0, 7, 8, 20, 80, -1])
def test_truncated_files_are_refused(kept):
    with pytest.raises(InvalidInput, match="not a whole"):
        decode(encode(PROMPT)[:kept])


def test_a_missing_tensor_is_named_with_those_that_are_there():
    with pytest.raises(InvalidInput, match=r"no tensor 'prompt'; it has 'a', 'b'$"):
        decode(safetensors.numpy.save({"a": PROMPT, "b": PROMPT}))
    with pytest.raises(InvalidInput, match="it has none"):
        decode(safetensors.numpy.save({}))


def test_whole_numbers_are_refused():
    with pytest.raises(InvalidInput, match="holds I32 values"):
        decode(safetensors.numpy.save({"prompt": np.zeros((2, 2), np.int32)}))


def test_metadata_is_put_beside_the_same_tensor():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    told = {"response": '{"loss": 0.5, "text": "Größe"}'}
    for before in ({}, {"old": "gone"}):
        again = annotated(encode(array, before, tensor="gradient"), told)
        back, notes = decode(again, tensor="gradient")
        np.testing.assert_array_equal(back, array)
        assert notes == told
