"""Written prompts are kept for a while, within a bound, by all that they were written from."""

import numpy as np
from meta_prompts import random_meta

from ptsys.types.requests import TaskExample
from workers.recent_prompts import RecentPrompts, content, meta_digest

EXAMPLES = (TaskExample(input="cat", target="cats"), TaskExample(input="box", target="boxes"))


def test_whatever_changes_the_prompt_changes_the_key() -> None:
    meta = random_meta(8)
    moved = {name: array + (name == "label") for name, array in meta.items()}
    one, other = meta_digest(meta), meta_digest(moved)
    joined = (TaskExample(input="cat", target="cats box"), TaskExample(input="", target="boxes"))
    keys = {
        content(one, EXAMPLES, None, "each"),
        content(other, EXAMPLES, None, "each"),
        content(one, EXAMPLES[::-1], None, "each"),
        content(one, EXAMPLES, "None", "each"),
        content(one, EXAMPLES, None, "mean"),
        content(one, joined, None, "each"),
    }
    assert len(keys) == 6
    again = content(meta_digest(random_meta(8)), list(EXAMPLES), None, "each")  # type: ignore[arg-type]
    assert again in keys


def test_what_is_kept_is_bounded_in_bytes_and_time() -> None:
    now = 0.0
    array = np.zeros((4, 8), np.float32)
    kept = RecentPrompts(most_bytes=3 * array.nbytes, seconds=10, clock=lambda: now)
    for key in (b"a", b"b", b"c"):
        kept.keep(key, array)
    assert kept.get(b"a") is array
    kept.keep(b"d", array)
    kept.keep(b"huge", np.zeros((4, 80), np.float32))
    there = [key for key in (b"a", b"b", b"c", b"d", b"huge") if kept.get(key) is not None]
    assert there == [b"a", b"c", b"d"]
    kept.keep(b"e", array)
    now = 10.5
    assert kept.get(b"e") is None
    kept.keep(b"f", array)
    assert kept.get(b"f") is array
