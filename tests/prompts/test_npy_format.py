import io
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from numpy.lib import format as npy

from ptsys.errors import InvalidInput
from ptsys.prompts.npy_format import decode, encode

PROMPT = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)


def saved(array, **options) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def with_header(content: bytes = b"", **changes) -> bytes:
    buffer = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (5, 8)} | changes
    npy.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + content


@pytest.mark.parametrize(
    "array", [PROMPT, np.asfortranarray(PROMPT), PROMPT.astype(">f8"), PROMPT.astype(np.float16)]
)
def test_numpys_own_files_are_read(array):
    np.testing.assert_array_equal(decode(saved(array)), array)
    np.testing.assert_array_equal(decode(encode(PROMPT)), PROMPT)


def test_bfloat16_as_prompt_tunings_scripts_write_it():
    half = PROMPT.astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(decode(saved(half)), half.astype(np.float32))


def test_pickled_objects_are_never_loaded():
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    data = saved(np.array([[Bomb()]], object), allow_pickle=True)
    with pytest.raises(InvalidInput, match="could run code"):
        decode(data)


@pytest.mark.parametrize(
    "shape", [(10**9, 10**9), (1 << 40, 8), (1 << 62, 1 << 62), (6, 8), (4, 8), (-5, -8), (5, -8)]
)
def test_a_header_that_lies_about_the_size_allocates_nothing(shape):
    tracemalloc.start()
    with pytest.raises(InvalidInput, match="truncated or damaged"):
        decode(with_header(PROMPT.tobytes(), shape=shape))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("kept", range(0, 128, 9))
def test_truncated_headers_are_refused(kept):
    with pytest.raises(InvalidInput):
        decode(saved(PROMPT)[:kept])


@pytest.mark.parametrize(
    "data",
    [
        b"\x93NUMPY\x03\x00" + saved(PROMPT)[8:],
        b"\x93NUMPY\x09\x00" + saved(PROMPT)[8:],
        b"\x93NUMPY\x01\x00\x0a\x00" + b"[" * 10,
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"{" * 40,
        with_header(descr="V3"),
        with_header(descr="not a dtype"),
    ],
)
def test_headers_of_no_plain_array_are_refused(data):
    with pytest.raises(InvalidInput) as caught:
        decode(data)
    assert caught.value.field == "prompt"
