"""PEFT's adapters with more than soft tokens: prefixes of the decoder, prompts of several tasks."""

import json
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ptsys.errors import InvalidInput
from ptsys.prompts import peft_multitask
from ptsys.prompts.peft_format import CONFIG_FILE, TENSOR_FILE, decode_tree, encode_tree

RANDOM = np.random.default_rng(0)
HUNT = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def drawn(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def prefix(layers: int) -> dict[str, np.ndarray]:
    return {"decoder_keys": drawn(4, layers, 6), "decoder_values": drawn(4, layers, 6)}


def both() -> dict[str, np.ndarray]:
    return {"prompt": drawn(4, 6), "decoder_prompt": drawn(4, 6)}


def decoded(files: dict[str, bytes], **options: Any) -> Any:
    return decode_tree(files[CONFIG_FILE], files[TENSOR_FILE], **options)


def changed(files: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    config = json.loads(files[CONFIG_FILE]) | changes
    return files | {CONFIG_FILE: json.dumps(config).encode()}


def read_or_told(files: dict[str, bytes], **options: Any) -> bool:
    """Whether there is a prompt, or one line that names a field."""
    try:
        return bool(decoded(files, **options).tree)
    except InvalidInput as error:
        return bool(error.field) and "\n" not in str(error)


@pytest.mark.parametrize("layers", [1, 2, 3, 24])
def test_a_prefix_for_any_number_of_layers_reads_back(layers: int) -> None:
    tree = prefix(layers)
    found = decoded(encode_tree("deep", tree, {"made": "here"}), decoder_layers=layers)
    assert found.kind == "deep"
    assert found.notes["made"] == "here"
    assert found.tree.keys() == tree.keys()
    for name, leaf in tree.items():
        np.testing.assert_array_equal(found.tree[name], leaf)


def test_layers_of_a_prefix_that_peft_trained_read_the_pairs_that_peft_gives_them() -> None:
    """With four layers the third reads what the first does, and pairs 1 and 3 are read by none."""
    rows = drawn(5, 4, 2, 6)
    files = {TENSOR_FILE: safetensors.numpy.save({"prompt_embeddings": rows.reshape(5, -1)})}
    config = {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 5, "num_layers": 4}
    files[CONFIG_FILE] = json.dumps(config | {"token_dim": 6}).encode()
    tree = decoded(files).tree
    for layer, pair in enumerate([0, 2, 0, 2]):
        np.testing.assert_array_equal(tree["decoder_keys"][:, layer], rows[:, pair, 0])
        np.testing.assert_array_equal(tree["decoder_values"][:, layer], rows[:, pair, 1])
    assert decoded(files, decoder_layers=3).tree["decoder_keys"].shape[1] == 3
    with pytest.raises(InvalidInput, match="the model's decoder has 5"):
        decoded(files, decoder_layers=5)


def test_a_prefix_that_peft_has_no_place_for_is_not_written() -> None:
    tree = prefix(2) | {"encoder_keys": drawn(4, 2, 6), "cross_values": drawn(4, 2, 6)}
    with pytest.raises(InvalidInput, match="others for cross and encoder: export it as safet"):
        encode_tree("deep", tree)


def test_tokens_before_the_decoders_input_read_back() -> None:
    tree = both()
    found = decoded(encode_tree("encoder_decoder", tree))
    assert found.kind == "encoder_decoder"
    for name, leaf in tree.items():
        np.testing.assert_array_equal(found.tree[name], leaf)
    with pytest.raises(InvalidInput, match="has 3 and 4: export it as safetensors"):
        encode_tree("encoder_decoder", tree | {"decoder_prompt": drawn(3, 6)})
    with pytest.raises(InvalidInput, match="the decoder alone"):
        encode_tree("encoder_decoder", {"decoder_prompt": drawn(3, 6)})


def test_each_task_has_its_own_prompt() -> None:
    tasks = [{"prompt": drawn(4, 6)} for _ in range(3)]
    files = peft_multitask.encode(tasks, {"base_model_name_or_path": "t5"})
    for number, task in enumerate(tasks):
        found = decoded(files, task=number)
        assert found.kind == "tokens"
        assert found.notes["base_model_name_or_path"] == "t5"
        np.testing.assert_array_equal(found.tree["prompt"], task["prompt"])
    for task, words in ((None, "3 tasks; name one, from 0 to 2"), (3, "no task 3, only 0 to 2")):
        with pytest.raises(InvalidInput, match=words) as caught:
            decoded(files, task=task)
        assert caught.value.field == "task"
    with pytest.raises(InvalidInput, match="same shape"):
        peft_multitask.encode([both(), {"prompt": drawn(4, 6)}])
    with pytest.raises(InvalidInput, match="no tasks to name"):
        decoded(encode_tree("tokens", tasks[0]), task=0)


def test_a_task_is_the_shared_prompt_times_its_own_matrix_of_low_rank() -> None:
    shared, columns, rows = drawn(8, 6), drawn(2, 8, 3), drawn(2, 3, 6)
    tensors = {
        "prompt_embeddings": shared,
        "prefix_task_cols": columns,
        "prefix_task_rows": rows,
    }
    files = encode_tree("encoder_decoder", both()) | {TENSOR_FILE: safetensors.numpy.save(tensors)}
    files = changed(files, num_tasks=2, num_ranks=3)
    tree = decoded(files, task=1).tree
    wanted = shared * (columns[1] @ rows[1])
    np.testing.assert_allclose(tree["prompt"], wanted[:4], rtol=1e-6)
    np.testing.assert_allclose(tree["decoder_prompt"], wanted[4:], rtol=1e-6)


PREFIX, TASKS = encode_tree("deep", prefix(2)), encode_tree("encoder_decoder", both())


@pytest.mark.parametrize(
    ("files", "field"),
    [
        (changed(PREFIX, peft_type="LORA"), "peft_type"),
        (changed(PREFIX, peft_type="PROMPT_TUNING"), "token_dim"),
        (changed(PREFIX, task_type="CAUSAL_LM"), "task_type"),
        (changed(PREFIX, num_transformer_submodules=1), "num_transformer_submodules"),
        (changed(PREFIX, num_layers=2), "prompt_embeddings"),
        (changed(PREFIX, num_layers=1 << 70), "prompt_embeddings"),
        (changed(PREFIX, token_dim=None), "token_dim"),
        (changed(PREFIX, num_virtual_tokens=True), "num_virtual_tokens"),
        (changed(TASKS, num_virtual_tokens=2), "num_transformer_submodules"),
        (changed(TASKS, num_transformer_submodules=4, num_virtual_tokens=2),
         "num_transformer_submodules"),
        (changed(TASKS, num_tasks=2), "num_ranks"),
        (changed(TASKS, num_ranks=2), "num_ranks"),
        (changed(TASKS, num_tasks="many"), "num_tasks"),
        (changed(TASKS, token_dim=7), "token_dim"),
        (TASKS | {TENSOR_FILE: PREFIX[TENSOR_FILE]}, "prefix_task_cols"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_field(files: dict[str, bytes], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decoded(files)
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


@HUNT
@example(PREFIX, {"peft_type": "\n"}, 0)
@example(PREFIX, {"token_dim": "\n"}, None)
@given(
    st.sampled_from([PREFIX, TASKS]),
    st.dictionaries(
        st.sampled_from(sorted(json.loads(PREFIX[CONFIG_FILE]) | json.loads(TASKS[CONFIG_FILE]))),
        st.one_of(
            st.none(), st.booleans(), st.integers(-2, 9), st.sampled_from([2**63, 10**30, 0.5]),
            st.text(max_size=3), st.lists(st.integers(), max_size=2),
            st.sampled_from(["PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "PROMPT_TUNING"]),
        ),
        max_size=4,
    ),
    st.one_of(st.none(), st.integers(-2, 3)),
)  # fmt: skip
def test_any_configuration_gives_a_prompt_or_one_line(
    files: dict[str, bytes], changes: dict[str, Any], task: int | None
) -> None:
    assert read_or_told(changed(files, **changes), task=task)


@HUNT
@given(
    st.sampled_from([PREFIX, TASKS]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_any_changed_bytes_give_a_prompt_or_one_line(
    files: dict[str, bytes], changes: list[tuple[int, int]]
) -> None:
    data = bytearray(files[TENSOR_FILE])
    for place, value in changes:
        data[place % len(data)] = value
    assert read_or_told(files | {TENSOR_FILE: bytes(data)})
