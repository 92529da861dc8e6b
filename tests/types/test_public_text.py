"""What users are told of errors names no file of the service's machines."""

import pytest

from ptsys.errors import Damaged, Unavailable, WrongDeployment
from ptsys.types.public_text import public_text, without_paths, without_paths_in


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/srv/data/ds-1.jsonl cannot be written: no", "ds-1.jsonl cannot be written: no"),
        ("the database sqlite:////srv/a/ptsys.db did not", "the database ptsys.db did not"),
        ("reading 'file:///a/b/c'", "reading 'c'"),
        ('File "/usr/lib/python3/x.py", line 3', 'File "x.py", line 3'),
        ("[Errno 28] No space: '/a/b/'", "[Errno 28] No space: 'b'"),
        ("see GET /v1/jobs/x at https://a.b/c/d", "see GET /v1/jobs/x at https://a.b/c/d"),
        ("prompt 'ann/reviews' of 1/2 and and/or", "prompt 'ann/reviews' of 1/2 and and/or"),
    ],
)
def test_paths_are_cut_and_nothing_else(text: str, told: str) -> None:
    assert without_paths(text) == told
    assert without_paths_in({"a": [text, 1, None]}) == {"a": [told, 1, None]}


def test_errors_of_the_services_insides_have_words_for_users() -> None:
    assert "/" not in public_text(WrongDeployment("/srv/data and postgresql://host/db differ"))
    assert public_text(Damaged("the tensor of pr-1 is damaged")) == "the tensor of pr-1 is damaged"
    error = Unavailable("host 10.0.0.7 is away")
    error.public = "try again"
    assert public_text(error) == "try again"
