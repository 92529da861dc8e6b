import hashlib

import pytest
from sqlalchemy import text

from ptsys.errors import InvalidInput, NotFound, Unauthenticated
from ptsys.store.database import Database
from ptsys.store.keys import PREFIX, ApiKeys


def test_a_key_opens_until_it_is_revoked(database: Database) -> None:
    keys = ApiKeys(database)
    made, secret = keys.create("ann", role="admin", note="laptop")
    assert secret.startswith(PREFIX)
    assert keys.authenticate(secret) == made
    assert keys.revoke(made.id).revoked is not None
    assert keys.revoke(made.id).revoked == keys.list()[0].revoked  # twice is no error
    with pytest.raises(Unauthenticated):
        keys.authenticate(secret)


def test_the_secret_is_stored_nowhere(database: Database) -> None:
    _, secret = ApiKeys(database).create("ann")
    with database.reading() as session:
        [row] = session.execute(text("SELECT * FROM api_keys")).all()
    assert secret not in str(row)
    assert secret.removeprefix(PREFIX) not in str(row)
    assert hashlib.sha256(secret.encode()).hexdigest() in row


def test_keys_are_listed_in_pages(database: Database) -> None:
    keys = ApiKeys(database)
    made = [keys.create(user)[0].id for user in ("ann", "bob", "ann")]
    assert [key.id for key in keys.list(user="ann")] == [made[2], made[0]]
    assert [key.id for key in keys.list(limit=1, before=made[2])] == [made[1]]


@pytest.mark.parametrize("secret", ["", "ptsys_", "' OR 1=1", f"{PREFIX}{'a' * 43}", "\0", "é"])
def test_what_is_no_key_opens_nothing(database: Database, secret: str) -> None:
    keys = ApiKeys(database)
    keys.create("ann")
    with pytest.raises(Unauthenticated):
        keys.authenticate(secret)


def test_what_cannot_be_kept_is_refused(database: Database) -> None:
    keys = ApiKeys(database)
    for user in ("", "a/b", "ann\n", "x" * 101):
        with pytest.raises(InvalidInput):
            keys.create(user)
    with pytest.raises(InvalidInput):
        keys.create("ann", note="two\nlines")
    with pytest.raises(NotFound):
        keys.revoke("key-none")
