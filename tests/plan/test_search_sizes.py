"""The search for the largest size, on machines whose memory is a known line."""

import dataclasses

import pytest
from planned import at_a_time, case

from ptsys.plan.case import Case
from ptsys.plan.compiling import Compiled
from ptsys.plan.memory import Memory
from ptsys.plan.search import largest, largest_power, more_rows


class Machine:
    """Compiles in no time: `fixed` bytes and `each` a row, of `hbm`."""

    def __init__(self, fixed: int, each: int, hbm: int) -> None:
        self.fixed, self.each, self.hbm = fixed, each, hbm
        self.tried: list[int] = []

    @property
    def most(self) -> int:
        return (self.hbm - self.fixed) // self.each

    def __call__(self, case: Case) -> Compiled:
        self.tried.append(case.rows)
        used = self.fixed + self.each * case.rows
        needed = used if used > self.hbm else 0
        return Compiled(
            case,
            Memory(self.hbm, self.fixed, 0, 0, 0, activations=used - self.fixed, needed=needed),
        )


@pytest.mark.parametrize("fixed", [0, 10_000])
@pytest.mark.parametrize("each", [1, 7, 900])
@pytest.mark.parametrize("first", [1, 8, 300])
def test_the_most_rows_are_found_within_an_eighth_in_few_compilations(
    fixed: int, each: int, first: int
) -> None:
    machine = Machine(fixed, each, 1_000_000)
    at = more_rows(case(data=2), users_follow=True)
    found = largest(at, machine, first=first, most=1 << 30)
    assert found.fits is not None
    assert machine.most * 7 / 8 - 4 <= found.fits.case.rows <= machine.most
    assert found.fits.case.users == found.fits.case.rows
    assert found.too_large is None or found.too_large.case.rows > machine.most
    assert len(machine.tried) <= 14
    assert len(set(machine.tried)) == len(machine.tried)
    assert all(rows % 2 == 0 for rows in machine.tried)


def test_no_size_is_beyond_the_most_and_none_fitting_is_told() -> None:
    roomy, full = Machine(0, 1, 1 << 40), Machine(100, 1, 50)
    at = more_rows(case(data=2), users_follow=False)
    found = largest(at, roomy, first=8, most=1000)
    assert found.fits is not None
    assert 875 * 2 <= found.fits.case.rows <= 2000
    assert found.fits.case.users == case().users
    nothing = largest(at, full, first=8, most=1000)
    assert nothing.fits is None
    assert nothing.too_large is not None
    assert nothing.too_large.case.rows == 2


@pytest.mark.parametrize("most", [3, 8, 50, 64, 1000])
def test_powers_of_two_end_at_the_last_that_fits(most: int) -> None:
    machine = Machine(0, 1, 2 * most)  # two data shards

    def at(size: int) -> Case:
        return dataclasses.replace(case(rows=2 * size), execution=at_a_time(size))

    found = largest_power(at, machine, first=16, most=512)
    assert found.fits is not None
    assert found.fits.case.rows // 2 == min(1 << (most.bit_length() - 1), 512)
