"""`ptsys keys`, and the key that `ptsys up` makes."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import call

from ptsys.cli.local_key import local_key
from ptsys.config import Settings
from ptsys.errors import Unauthenticated
from ptsys.jobs.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(Settings(data_dir=tmp_path, redis_url=None, database_url=None))
    yield service
    service.close()


def test_a_key_is_made_listed_and_revoked(service: Service, tmp_path: Path) -> None:
    made = call("--data", tmp_path, "keys", "create", "ann", "--note", "laptop")
    secret = made.out.strip()
    key = service.keys.authenticate(secret)
    assert (key.user, key.role, key.note) == ("ann", "user", "laptop")
    listed: Any = call("--data", tmp_path, "keys", "list", "--json").json
    assert [found["id"] for found in listed] == [key.id]
    assert secret not in str(listed)
    assert call("--data", tmp_path, "keys", "revoke", key.id).code == 0
    with pytest.raises(Unauthenticated):
        service.keys.authenticate(secret)
    assert call("--data", tmp_path, "keys", "revoke", "key-none").code == 2
    assert call("--data", tmp_path, "keys", "create", "a/b").code == 2


def test_the_local_key_is_made_once_and_again_if_it_was_revoked(service: Service) -> None:
    first = local_key(service, "ann")
    assert first.new
    assert first.path.read_text().strip() == first.secret
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert first.secret not in repr(first)
    key = service.keys.authenticate(first.secret)
    assert (key.user, key.role) == ("ann", "admin")
    again = local_key(service, "ann")
    assert (again.secret, again.new) == (first.secret, False)
    assert local_key(service, "bob").new
    [kept] = service.settings.root.glob("trash/*/api-key")  # the only copy of ann's
    assert kept.read_text().strip() == first.secret
    service.keys.revoke(service.keys.authenticate(local_key(service, "bob").secret).id)
    assert local_key(service, "bob").new
