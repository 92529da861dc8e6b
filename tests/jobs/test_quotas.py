from concurrent.futures import ThreadPoolExecutor

import pytest

from ptsys.errors import InvalidInput, QuotaExceeded, Unavailable
from ptsys.jobs.quotas import RowQuota
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_server import EmbeddedRedis


def test_a_minutes_rows_then_a_wait(address: RedisAddress) -> None:
    quota = RowQuota(address, 60)
    quota.take("ann", 50)
    with pytest.raises(QuotaExceeded) as caught:
        quota.take("ann", 40)  # 10 are left, and one comes back each second
    assert 25 <= caught.value.retry_after <= 30
    quota.take("ann", 10)  # a refusal takes nothing
    quota.take("bob", 60)
    with pytest.raises(InvalidInput):
        quota.take("eve", 61)


def test_many_at_once_get_no_more(address: RedisAddress) -> None:
    quota = RowQuota(address, 100)

    def take(_: int) -> bool:
        try:
            quota.take("ann", 1)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        taken = sum(pool.map(take, range(150)))
    assert 100 <= taken <= 105  # a few come back meanwhile


def test_nothing_stays(address: RedisAddress) -> None:
    RowQuota(address, 100).take("ann", 1)
    with address.client() as client:
        assert 0 < client.ttl("ptsys:rows:ann") <= 120


def test_without_redis_it_says_so(server: EmbeddedRedis) -> None:
    quota = RowQuota(server.address, 100)
    server.stop()
    with pytest.raises(Unavailable):
        quota.take("ann", 1)
