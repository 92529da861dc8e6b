"""Foreign bytes: a prompt, or one line that says what is wrong, and never anything else."""

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptsys.errors import InvalidInput
from ptsys.prompts import npy_format, peft_format, safetensors_format
from ptsys.prompts.check import check_prompt
from ptsys.prompts.decoding import decoding

PROMPT = np.ones((2, 3), np.float32)
HUNT = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
SIZES = st.one_of(
    st.integers(0, 5), st.sampled_from([2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 10**30])
)
SHAPES = st.lists(st.one_of(SIZES, st.just(-1)), max_size=40)
DTYPES = st.one_of(
    st.sampled_from(["<f4", ">f4", "<f8", "<f2", "<f16", "V2", "V0", "<U0", "<U3", "S0", "<M8[s]"]),
    st.sampled_from(["|b1", "|O", "<c8", "(2,)f4", "<f4,<f4", "<i4", "V2147483647"]),
    st.sampled_from([[], [("a", "<f4")], [("a\udc80", "<f4")], [("a", "<f4", (2,))], {"x": 1}]),
)


def refused(decode: Callable[..., Any], *data: bytes) -> bool:
    """Whether the bytes are told to hold no prompt."""
    try:
        found = decode(*data)
        check_prompt(found[0] if isinstance(found, tuple) else found, None)
    except InvalidInput as error:
        return bool(error.field)
    return False


def npy(header: Any, content: bytes) -> bytes:
    head = repr(header).encode("utf-8", "surrogatepass") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content


def safetensors(header: Any, content: bytes) -> bytes:
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + content


@HUNT
@given(DTYPES, SHAPES, st.booleans())
def test_any_npy_header(dtype: Any, shape: list[int], fortran: bool) -> None:
    header = {"descr": dtype, "fortran_order": fortran, "shape": tuple(shape)}
    assert refused(npy_format.decode, npy(header, b""))
    try:
        size = int(np.dtype(dtype).itemsize * np.prod([float(axis) for axis in shape]))
    except (TypeError, ValueError, OverflowError):
        return
    if 0 < size < 10_000:
        refused(npy_format.decode, npy(header, bytes(size)))


@HUNT
@given(st.sampled_from(["F32", "F16", "BF16", "I64", "F8_E4M3", "X"]), SHAPES, SIZES, SIZES)
def test_any_safetensors_header(dtype: str, shape: list[int], start: int, end: int) -> None:
    for offsets in ([start, end], [0, 0]):
        for axes in (shape, [0, *shape]):
            tensor = {"dtype": dtype, "shape": axes, "data_offsets": offsets}
            for name in ("prompt", "prompt_embeddings", "\udc80"):
                data = safetensors({name: tensor}, b"")
                assert refused(safetensors_format.decode, data)
                config = b'{"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 1}'
                assert refused(peft_format.decode, config, data)


@HUNT
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6), st.booleans())
def test_any_changed_bytes(changes: list[tuple[int, int]], of_npy: bool) -> None:
    whole = npy_format.encode(PROMPT) if of_npy else safetensors_format.encode(PROMPT)
    data = bytearray(whole)
    for place, value in changes:
        data[place % len(data)] = value
    if of_npy:
        refused(npy_format.decode, bytes(data))
    else:
        refused(safetensors_format.decode, bytes(data))


@HUNT
@given(
    st.dictionaries(
        st.sampled_from(["task_type", "num_virtual_tokens", "token_dim", "revision"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just([{}])),
    )
)
def test_any_adapter_configuration(config: dict[str, Any]) -> None:
    data = safetensors_format.encode(PROMPT, tensor="prompt_embeddings")
    told = json.dumps({"peft_type": "PROMPT_TUNING", **config}).encode()
    refused(peft_format.decode, told, data)


def test_what_libraries_throw_is_told_in_one_line() -> None:
    class Panic(BaseException):
        """As Rust's."""

    for error in (Panic("called unwrap\non None"), MemoryError(), KeyError("x"), RecursionError()):
        with pytest.raises(InvalidInput) as caught, decoding("file", "prompt"):
            raise error
        assert "\n" not in str(caught.value)
    with pytest.raises(KeyboardInterrupt), decoding("file", "prompt"):
        raise KeyboardInterrupt
