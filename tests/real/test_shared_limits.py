"""The journal and limits in a real Redis and a real PostgreSQL: the checks that others pass in the tests' process. And
what PostgreSQL gives not everybody: tables, and many connections.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from franking.errors import SettingsError
from franking.sending.postgres_limits import PostgresLimits
from franking.sending.redis_limits import RedisLimits
from franking.shared.afterwards import afterwards
from franking.shared.postgres_pool import CONNECTIONS
from franking.shared.postgres_server import PostgresServer
from franking.shared.redis_server import RedisServer
from real.conftest import start
from sending.journals import Journals, a_clock_that_was_set_back
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


def test_a_clock_that_was_set_back_keeps_no_message_for_longer_than_a_lease(redis: Redis, postgres: Postgres) -> None:
    with in_redis(redis.url) as kept:
        a_clock_that_was_set_back(kept)
    with in_postgres(postgres.url) as kept:
        a_clock_that_was_set_back(kept)


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


def test_a_role_that_may_make_no_tables_uses_those_that_are_there(postgres: Postgres) -> None:
    postgres.sql(
        "CREATE ROLE clerk LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC; "
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk"
    )
    clerk = PostgresServer(postgres.url.replace("postgres@", "clerk@"))
    clerk.make_tables()
    with pytest.raises(SettingsError, match="permission denied"):
        PostgresServer(postgres.url.replace("postgres@", "clerk@"), table="another").make_tables()
    postgres.sql("DROP OWNED BY clerk; DROP ROLE clerk")
    clerk.close()


def test_threads_of_a_program_leave_connections_of_a_small_database_to_others() -> None:
    with start(
        lambda: Postgres(max_connections=CONNECTIONS + 1, max_wal_senders=0, superuser_reserved_connections=0)
    ) as small:
        server, answers = PostgresServer(small.url), []

        def ask() -> None:
            answers.extend(server.run("SELECT pg_sleep(0.05), 1")[0][1:])

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        assert (
            int(small.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'franking'")) <= CONNECTIONS
        )
        for thread in threads:
            thread.join()
        server.close()
    assert answers == [1] * 40
