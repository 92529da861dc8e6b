"""`ptsys doctor` on what a deployment stands on: the database and Redis."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import redis
from sqlalchemy import text

from ptsys.cli.examination import Finding, note, ok, wrong
from ptsys.config import Settings
from ptsys.errors import PtsysError, WrongDeployment
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_advisories import holes
from ptsys.jobs.redis_keys import RedisKeys
from ptsys.jobs.redis_server import locate
from ptsys.store.database import Database
from ptsys.store.deployment import check_bound
from ptsys.store.migrations import HEAD

_SLOW = 0.05  # seconds of a round trip
_SKEW = 2.0  # seconds that leases bear; see `ptsys.jobs.leases`


def examine_database(settings: Settings) -> Iterator[Finding]:
    """It answers, its tables are of this version, it belongs to the folder, its clock agrees."""
    about = "database"
    if settings.database_url is None and not (settings.root / "ptsys.db").exists():
        yield note(about, f"there is none in {settings.root} yet", "`ptsys up` makes it")
        return
    try:
        with contextlib.closing(Database(settings.sqlalchemy_url)) as database:
            revision = database.revision()
            since = time.perf_counter()
            with database.reading() as session:
                session.execute(text("SELECT 1"))
            took = time.perf_counter() - since
            told = f"{_called(database)} answers in {1000 * took:.1f} ms"
            near = "bring it nearer to the API and workers, or give it more"
            yield ok(about, told) if took < _SLOW else note(about, told, near)
            yield from _tables(revision)
            if revision == HEAD:
                yield from _belongs(database, settings)
            if database.file is None:
                yield _clock("database", _database_time(database))
    except PtsysError as error:
        yield wrong(about, str(error), "start it, or PTSYS_DATABASE_URL")


def _called(database: Database) -> str:
    if database.file is not None:
        return f"SQLite ({database.file})"
    with database.reading() as session:
        version = session.execute(text("SHOW server_version")).scalar()
    return f"PostgreSQL {str(version).split()[0]}"


def _tables(revision: str | None) -> Iterator[Finding]:
    if revision == HEAD:
        yield ok("migration", f"the tables are of this version ({HEAD})")
    elif revision is None or revision < HEAD:
        found = f"the tables are of version {revision or 'none'}, this is {HEAD}"
        yield wrong("migration", found, "`ptsys migrate`, before the new version starts")
    else:
        found = f"the tables are of version {revision}, newer than this, {HEAD}"
        yield wrong("migration", found, "upgrade ptsys here")


def _belongs(database: Database, settings: Settings) -> Iterator[Finding]:
    try:
        mark = check_bound(database, settings.root)
    except WrongDeployment as error:
        yield wrong("deployment", str(error), "see there")
    except PtsysError as error:
        yield note("deployment", str(error), "the first start of API or worker mends it")
    else:
        yield ok("deployment", f"database and folder are {mark.deployment}")


def _database_time(database: Database) -> float:
    """Its clock's time less ours (seconds), the way there and back left out."""
    since = time.time()
    with database.reading() as session:
        now = session.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    return float(now) - (since + time.time()) / 2


def _clock(whose: str, ahead: float) -> Finding:
    told = f"the {whose}'s clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} ours"
    if abs(ahead) < _SKEW:
        return ok("clocks", told)
    return wrong("clocks", told, "NTP on both hosts (chrony, systemd-timesyncd)")


def examine_redis(settings: Settings) -> Iterator[Finding]:
    """It answers, is mended, evicts nothing, keeps nothing, and is closed to strangers."""
    about = "Redis"
    try:
        address = locate(settings)
    except PtsysError as error:
        yield note(
            about, str(error), "`ptsys up` brings its own; a deployment wants PTSYS_REDIS_URL"
        )
        return
    try:
        with address.client(timeout=3.0) as client:
            since = time.perf_counter()
            client.ping()
            took = time.perf_counter() - since
            info: dict[str, Any] = client.info()
            seconds, micros = client.time()
            yield ok(about, f"{address} answers in {1000 * took:.1f} ms")
            yield from _version(str(info.get("redis_version", "")), settings)
            yield _clock("Redis", seconds + micros / 1e6 - time.time())
            yield from _configuration(client, address, info)
            yield from _sharing(client, address)
    except redis.RedisError as error:
        yield wrong(about, str(address.unavailable(error)), "start it, or PTSYS_REDIS_URL")


def _version(version: str, settings: Settings) -> Iterator[Finding]:
    hole = holes(version)
    if settings.redis_url is None:
        told = f"the embedded Redis {version} is for trying and for one machine"
        why = (
            "it listens on no port, so its holes are open to its own user alone; a deployment "
            "runs a mended Redis of its own: PTSYS_REDIS_URL"
        )
        yield note("Redis version", told, why)
    elif hole is not None:
        mend = "upgrade it; it keeps nothing that matters"
        judged = wrong if hole.certain else note
        yield judged("Redis version", hole.told, mend)
    else:
        yield ok("Redis version", f"{version} has no holes known to this version of ptsys")


def _configuration(
    client: redis.Redis, address: RedisAddress, info: dict[str, Any]
) -> Iterator[Finding]:
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        found = f"it throws keys away when full ({policy}): requests would be lost"
        yield wrong("Redis memory", found, "maxmemory-policy noeviction")
    else:
        yield ok("Redis memory", "it throws nothing away")
    if info.get("aof_enabled") or _saves(client):
        found = "it writes to disk, and with it pieces of users' requests"
        yield note("Redis disk", found, 'save "" and appendonly no: the database is the truth')
    if address.url.startswith(("redis:", "rediss:")) and "@" not in address.url:
        found = f"{address} lets everybody in that reaches it"
        yield wrong("Redis password", found, "requirepass or an ACL, and a private network")


def _sharing(client: redis.Redis, address: RedisAddress) -> Iterator[Finding]:
    """Other deployments whose workers are there. Their keys have other names; but whoever reaches
    this server reads all."""
    found = client.scan_iter(match=RedisKeys("ptsys:*").worker("*"), count=1000)
    spaces = {key.decode().partition(":workers:")[0] for key in found} - {address.keys.space}
    if spaces:
        others = ", ".join(sorted(space.removeprefix("ptsys:") for space in spaces))
        told = f"{others} has workers there too; keys of this one begin with {address.keys.space}:"
        mend = "fine if both may read each other's requests; else a Redis for each"
        yield note("Redis sharing", told, mend)


def _saves(client: redis.Redis) -> bool:
    """Whether it writes snapshots; False where it does not tell."""
    try:
        return bool(client.config_get("save").get("save"))
    except redis.RedisError:
        return False
