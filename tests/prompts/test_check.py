import ml_dtypes
import numpy as np
import pytest

from ptsys.errors import InvalidInput
from ptsys.prompts.check import check_prompt


def refused(array, d_model=4, **options):
    with pytest.raises(InvalidInput) as caught:
        check_prompt(array, d_model, **options)
    return caught.value


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_floating_point_becomes_contiguous_float32(dtype):
    array = np.asfortranarray(np.arange(12).reshape(3, 4).astype(dtype))
    prompt = check_prompt(array, 4)
    assert prompt.dtype == np.float32
    assert prompt.flags.c_contiguous
    np.testing.assert_array_equal(prompt, np.arange(12, dtype=np.float32).reshape(3, 4))


def test_another_models_prompt_is_named_as_such():
    error = refused(np.zeros((2, 768), np.float32), 192, model="tiny", field="file")
    assert str(error) == (
        "this prompt has width 768, model 'tiny' has 192: it was made for another model"
    )
    assert error.field == "file"


@pytest.mark.parametrize("shape", [(4,), (1, 2, 4), ()])
def test_other_ranks_are_refused_with_their_shape(shape):
    assert str(list(shape)) in str(refused(np.zeros(shape, np.float32)))


def test_an_empty_prompt_and_one_too_long_are_refused():
    assert "empty" in str(refused(np.zeros((0, 4), np.float32)))
    assert "empty" in str(refused(np.zeros((3, 0), np.float32), None))
    assert "9 tokens" in str(refused(np.zeros((9, 4), np.float32), max_length=8))
    assert len(check_prompt(np.zeros((8, 4), np.float32), 4, max_length=8)) == 8


@pytest.mark.parametrize("dtype", [np.int32, bool, np.complex64, "U1", object])
def test_what_is_not_floating_point_is_refused(dtype):
    assert "floating point" in str(refused(np.zeros((2, 4), dtype)))


@pytest.mark.parametrize(
    ("value", "shown"), [(np.nan, "nan"), (-np.inf, "-inf"), (1e300, "1e+300")]
)
def test_the_first_value_that_is_not_finite_is_located(value, shown):
    array = np.zeros((3, 4))
    array[1, 2] = array[2, 0] = value
    message = str(refused(array))
    assert f"row 1, column 2 of the prompt is {shown}," in message
    assert "2 such values" in message
