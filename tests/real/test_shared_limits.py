"""The journal and limits in a real Redis and a real PostgreSQL: the checks that others pass in the tests' process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from franking.sending.afterwards import afterwards
from franking.sending.postgres_limits import PostgresLimits
from franking.sending.redis_limits import RedisLimits
from franking.shared.postgres_server import PostgresServer
from franking.shared.redis_server import RedisServer
from real.conftest import start
from sending.journals import Journals
from sending.keepers import in_memory, in_postgres, in_redis
from sending.limit_checks import CHECKS
from servers.postgres import Postgres
from servers.redis import Redis


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with start(Redis) as server:
        yield server


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with start(Postgres) as server:
        PostgresServer(server.url).make_tables()
        yield server


def test_whatever_workers_do_every_journal_says_the_same(redis: Redis, postgres: Postgres) -> None:
    with in_redis(redis.url) as first, in_postgres(postgres.url) as second:

        class Three(Journals):
            kept = (in_memory(), first, second)

        run_state_machine_as_test(Three, settings=settings(max_examples=20, stateful_step_count=30, deadline=None))


@pytest.fixture(params=["redis", "postgres"])
def place(request: pytest.FixtureRequest) -> Iterator[Any]:
    server = request.getfixturevalue(request.param)
    one: RedisLimits | PostgresLimits
    if request.param == "redis":
        one = RedisLimits(RedisServer(server.url))
        one.server.ask("FLUSHALL")
    else:
        one = PostgresLimits(PostgresServer(server.url))
        for table in ("limits", "sent", "days", "connections"):
            one.server.run(f"DELETE FROM {{table}}_{table}")
    yield one
    afterwards(one.server).close()
    one.server.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_counts_as_it_should(check: Callable[[Any], None], place: Any) -> None:
    check(place)
