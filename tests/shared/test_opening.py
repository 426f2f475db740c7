"""Which shared store the environment names, and what is wrong with an address."""

from __future__ import annotations

from pathlib import Path

import pytest

from franking.errors import SettingsError
from franking.shared.opening import LEASE, place_of, server_at, shared_place
from franking.shared.postgres_server import PostgresServer
from franking.shared.redis_server import RedisServer


@pytest.mark.parametrize("text", ["", "file", "keyring", " auto "])
def test_what_lies_on_this_machine_is_no_shared_store(text: str) -> None:
    assert shared_place({"FRANKING_STORE": text}) is None
    assert shared_place({}) is None


def test_the_address_comes_from_the_variable_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "store"
    file.write_text("redis://:secret@one/0\nsecond line\n")
    found = shared_place({"FRANKING_STORE_FILE": str(file)})
    assert found is not None and found.url.reveal() == "redis://:secret@one/0"
    assert "secret" not in repr(found)
    both = shared_place({"FRANKING_STORE_FILE": str(file), "FRANKING_STORE": "redis://two/0"})
    assert both is not None and both.url.reveal() == "redis://two/0"


def test_what_is_franking_s_own_is_taken_off() -> None:
    place = place_of("postgresql://u:p@h/mail?sslmode=require&lease=5&timeout=7.5")
    assert (place.url.reveal(), place.lease, place.timeout) == ("postgresql://u:p@h/mail?sslmode=require", 5, 7.5)
    assert place_of("redis://h").lease == LEASE
    shortest = place_of("redis://h?lease=0.1&timeout=3600")
    assert (shortest.lease, shortest.timeout) == (0.1, 3600)


def test_a_place_has_one_server_in_a_process() -> None:
    place = place_of("redis://h:1/0")
    server = server_at(place)
    assert isinstance(server, RedisServer) and server_at(place_of("redis://h:1/0?lease=9")) is server
    assert server_at(place_of("redis://h:1/1")) is not server
    assert server_at(place_of("redis://h:1/0?timeout=9")) is not server
    assert isinstance(server_at(place_of("postgres://h/mail")), PostgresServer)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://h/mail", "mysql:// is no store"),
        ("redis://h?lease=0.05", "lease=0.05 is not a number of seconds"),
        ("redis://h?lease=3601", "from 0.1 to 3600"),
        ("redis://h?lease=", "lease= is not"),
        ("redis://h?timeout=nan", "timeout=nan"),
        ("redis://[::1/0", "cannot be read"),
    ],
)
def test_an_address_that_is_none(url: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        place_of(url)
    assert said in str(caught.value) and caught.value.field == "FRANKING_STORE"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"\xff", "UTF-8"), (b"", "first line"), (b"x", "redis://")]
)
def test_a_file_that_says_nothing_usable(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "store"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        shared_place({"FRANKING_STORE_FILE": str(file)})
    assert said in str(caught.value) and caught.value.field == "FRANKING_STORE_FILE"
    assert "FRANKING_STORE_FILE" in str(caught.value)
