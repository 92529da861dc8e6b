from hypothesis import given
from hypothesis import strategies as st

from ptsys.data.features import encode_examples
from ptsys.data.unsupervised import span_corrupted
from ptsys.data.vocabulary import EOS, ByteVocabulary
from ptsys.types.example import Example

VOCABULARY = ByteVocabulary()
TEXT = "the same text in both rows, which is long enough for several spans"
LETTERS = st.text("abcdefghij", min_size=2, max_size=80)


def spliced(inputs: list[int], targets: list[int], sentinels: set[int]) -> list[int]:
    """The text again: the span that follows a sentinel in the targets, where it stands."""
    spans: dict[int, list[int]] = {}
    for token in targets:
        if token in sentinels:
            spans[token] = current = []
        else:
            current.append(token)
    return [x for token in inputs for x in spans.get(token, [token])]


@given(text=LETTERS, row=st.integers(1, 99), seed=st.integers(0, 2**31))
def test_what_is_cut_out_of_the_input_is_the_target(text: str, row: int, seed: int) -> None:
    inputs, targets, cut = span_corrupted(VOCABULARY, text, row, seed, 1000, 1000)
    assert (inputs.pop(), targets.pop(), cut) == (EOS, EOS, False)
    sentinels = set(VOCABULARY.sentinels())
    assert spliced(inputs, targets, sentinels) == VOCABULARY.encode(text)
    noise = sum(token not in sentinels for token in targets)
    assert noise == max(1, round(0.15 * len(text)))


@given(text=LETTERS, limits=st.tuples(st.integers(3, 60), st.integers(3, 16)))
def test_a_row_is_cut_no_more_than_its_limits_ask(text: str, limits: tuple[int, int]) -> None:
    inputs, targets, cut = span_corrupted(VOCABULARY, text, 1, 0, *limits)
    assert (len(inputs) <= limits[0], len(targets) <= limits[1]) == (True, True)
    sentinels = set(VOCABULARY.sentinels())
    kept = spliced(inputs[:-1], targets[:-1], sentinels)
    assert VOCABULARY.encode(text)[: len(kept)] == kept
    assert cut == (len(kept) < len(text))
    if cut:
        longer = text[: len(kept) + 1]
        more = span_corrupted(VOCABULARY, longer, 1, 0, 1000, 1000)
        assert len(more[0]) > limits[0] or len(more[1]) > limits[1]


def test_seed_and_row_alone_decide() -> None:
    rows = [Example(TEXT), Example("with", "a target")] * 2
    first, again = (encode_examples(VOCABULARY, rows, 99, 99, seed=3) for _ in range(2))
    assert (first.inputs, first.targets) == (again.inputs, again.targets)
    assert first.inputs[0] != first.inputs[2]
    assert first.texts == ["a target"] * 2
    other = encode_examples(VOCABULARY, rows, 99, 99, seed=4)
    assert other.inputs[0] != first.inputs[0]
    assert other.inputs[1] == first.inputs[1]
