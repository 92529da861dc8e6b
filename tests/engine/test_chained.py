"""One future after another: results, errors and cancellations go where they belong."""

import concurrent.futures
from typing import Any

import pytest

from ptsys.engine.joining import chained

Future = concurrent.futures.Future[Any]


def test_the_second_is_begun_with_the_firsts_result() -> None:
    first, second = Future(), Future()
    begun: list[int] = []

    def then(value: int) -> Future:
        begun.append(value)
        return second

    whole = chained(first, then)
    first.set_result(3)
    assert begun == [3]
    assert not whole.done()
    second.set_result("three")
    assert whole.result(0) == "three"


@pytest.mark.parametrize("where", ["first", "then", "second"])
def test_an_error_of_either_is_that_of_the_whole(where: str) -> None:
    first, second = Future(), Future()

    def then(_: int) -> Future:
        if where == "then":
            raise ValueError(where)
        return second

    whole = chained(first, then)
    if where == "first":
        first.set_exception(ValueError(where))
    else:
        first.set_result(1)
    if where == "second":
        second.set_exception(ValueError(where))
    with pytest.raises(ValueError, match=where):
        whole.result(0)


def test_who_cancels_it_cancels_what_is_under_way() -> None:
    first, second = Future(), Future()
    chained(first, lambda _: second).cancel()
    assert first.cancelled()
    first = Future()
    whole = chained(first, lambda _: second)
    first.set_result(1)
    whole.cancel()
    assert second.cancelled()
