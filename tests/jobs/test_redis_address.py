from pathlib import Path

import pytest
from kombu import Connection

from ptsys.errors import InvalidInput, Unavailable
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_server import EmbeddedRedis


@pytest.mark.parametrize(
    "url", ["redis://host", "redis://host:6379/3", "redis://user:pass@host:6379/0"]
)
def test_a_plain_url_is_the_same_for_both_clients(url: str) -> None:
    address = RedisAddress(url)
    assert (address.redis_url, address.celery_url) == (url, url)


def test_tls_checks_certificates_with_both_clients() -> None:
    address = RedisAddress("rediss://:hush@host:6380/1")
    pool = address.client().connection_pool
    assert pool.connection_class.__name__ == "SSLConnection"
    made = pool.connection_class(**pool.connection_kwargs)
    assert made.cert_reqs == 2  # ssl.CERT_REQUIRED
    with Connection(address.celery_url) as connection:
        assert connection.ssl["ssl_cert_reqs"] == 2
        assert connection.virtual_host == "1"
    chosen = RedisAddress("rediss://host?ssl_cert_reqs=none")
    assert chosen.celery_url == chosen.url


@pytest.mark.parametrize("form", ["unix://{}?db=2", "redis+socket://{}?virtual_host=2"])
def test_both_spellings_of_a_socket_reach_the_same_server(
    server: EmbeddedRedis, tmp_path: Path, form: str
) -> None:
    address = RedisAddress(form.format(tmp_path / "data" / "redis.sock"))
    with Connection(address.celery_url) as connection:
        queue = connection.SimpleQueue("q")
        queue.put("x")
        queue.close()
    with address.client() as client:
        assert client.llen("q") == 1
    with server.address.client() as client:
        assert client.dbsize() == 0  # it was written to database 2


@pytest.mark.parametrize(
    "url", ["", "host:6379", "http://host", "redis://", "unix://", "redis://host/name", "amqp://h"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        RedisAddress(url)
    assert caught.value.field == "redis_url"


def test_a_password_is_never_shown() -> None:
    address = RedisAddress("redis://user:hush@127.0.0.1:1/0")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1") as caught:
        address.check()
    for text in (repr(address), str(address), str(caught.value)):
        assert "hush" not in text
