"""A shared server whose name leads nowhere, or to a dead address first: it is reached as every other server is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from franking.errors import SendError
from franking.shared.postgres_server import PostgresServer
from franking.shared.redis_server import RedisServer, Script
from servers.memoryredis import MemoryRedis
from servers.names import Names, silent
from servers.ports import closed_port, full_backlog
from servers.sqlwire import SqlWire

NAME = "store.localhost"
Ask = Callable[[float], object]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.fixture(params=["redis", "postgres"])
def living(request: pytest.FixtureRequest) -> Iterator[tuple[int, Ask]]:
    """Serve; yield the port, and what asks ``NAME`` once, with this time-out."""
    server: Any
    if request.param == "redis":
        with MemoryRedis() as server:
            yield server.port, lambda seconds: once(RedisServer(f"redis://{NAME}/0", timeout=seconds))
    else:
        with SqlWire() as server:
            url = f"postgresql://postgres@{NAME}/mail"
            yield server.port, lambda seconds: once(PostgresServer(url, timeout=seconds))


def once(server: RedisServer | PostgresServer) -> object:
    try:
        return server.run(Script("return 1")) if isinstance(server, RedisServer) else server.run("SELECT 1")[0][0]
    finally:
        server.close()


@pytest.mark.timeout(20)
def test_a_dead_address_before_a_living_one(living: tuple[int, Ask], names: Names) -> None:
    port, ask = living
    with full_backlog() as nowhere:
        names.lead(NAME, nowhere, closed_port(), port)
        assert ask(3600) == 1


@pytest.mark.timeout(20)
@pytest.mark.parametrize("trouble", ["hanging name", "nobody answers", "accepts and says nothing"])
def test_what_never_answers_is_given_up(trouble: str, living: tuple[int, Ask], names: Names) -> None:
    with full_backlog() as nowhere, silent() as mute, names.hanging(NAME):
        if trouble != "hanging name":
            names.lead(NAME, nowhere if trouble == "nobody answers" else mute)
        with pytest.raises(SendError, match="cannot be reached") as caught:
            living[1](0.1)
    assert caught.value.temporary


def test_an_unknown_name_and_a_closed_port_are_told(living: tuple[int, Ask], names: Names) -> None:
    names.lead(NAME, closed_port(), closed_port())
    with pytest.raises(SendError, match=r"Connection refused|connection refused"):
        living[1](5)
    with names.hanging(NAME):
        pass
    with pytest.raises(SendError, match="is not known"):
        living[1](5)
