import datetime
from pathlib import Path

import pytest

from ptsys.errors import Unavailable
from ptsys.jobs.presence import (
    PRESENCE_SECONDS,
    Presence,
    announce,
    clock_offsets,
    withdraw,
    workers,
)
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_server import EmbeddedRedis


def presence(name: str, minute: int = 0) -> Presence:
    since = datetime.datetime(2026, 1, 1, 0, minute, tzinfo=datetime.UTC)
    return Presence(worker=name, model="tiny", ready=True, host="here", pid=1, since=since)


def test_workers_are_listed_by_age_until_they_leave_or_fall_silent(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        address = server.address
        young, old = presence("b", 2), presence("a", 1)
        for one in (young, old, young.model_copy(update={"residents": 3})):
            announce(address, one)
        assert workers(address) == [old, young.model_copy(update={"residents": 3})]
        withdraw(address, "a")
        assert [one.worker for one in workers(address)] == ["b"]
        with address.client() as client:
            left = client.pttl("ptsys:workers:b") / 1000
            assert 0 < left <= PRESENCE_SECONDS
            client.set("ptsys:workers:c", b'{"of": "another version"}')
            client.sadd("ptsys:workers", "c", "killed")
            assert [one.worker for one in workers(address)] == ["b"]
            assert client.smembers("ptsys:workers") == {b"b", b"c"}
            assert client.ttl("ptsys:workers") > 0


def test_the_keys_of_many_users_are_not_looked_through(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        announce(server.address, presence("a"))
        with server.address.client() as client:
            client.config_resetstat()
            assert [one.worker for one in workers(server.address)] == ["a"]
            assert clock_offsets(server.address) == {}  # it told no clock
            asked = client.info("commandstats")
        assert "cmdstat_mget" in asked
        assert not asked.keys() & {"cmdstat_scan", "cmdstat_keys"}


def test_without_redis_it_is_unavailable(tmp_path: Path) -> None:
    address = RedisAddress.socket(tmp_path / "none.sock")
    for action in (
        lambda: announce(address, presence("a")),
        lambda: withdraw(address, "a"),
        lambda: workers(address),
    ):
        with pytest.raises(Unavailable):
            action()
