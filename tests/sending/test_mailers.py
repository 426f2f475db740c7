"""One mailer per account and process: kept, made anew when what it was made of changed, and after a fork."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import franking
from franking.sending.mailers import LOOK_SECONDS, KeptMailers
from franking.shared.opening import server_at, shared_place
from servers.memoryredis import MemoryRedis
from servers.shop import letter, save_password, write_account
from servers.smtp import SmtpServer


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(clock: Clock) -> Iterator[KeptMailers]:
    made = KeptMailers(clock=clock)
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as made:
        write_account(made.port)
        yield made


def test_it_is_kept(kept: KeptMailers, server: SmtpServer, clock: Clock) -> None:
    first = kept.of("shop")
    clock.now += 1000
    assert kept.of("shop") is first
    assert kept.of(first.account.reference) is first


def test_it_is_made_anew_when_the_settings_changed(kept: KeptMailers, server: SmtpServer, clock: Clock) -> None:
    first = kept.of("shop")
    first.send(letter("jana@example.com"))
    write_account(server.port, "timeout = 7\n")
    assert kept.of("shop") is first  # it was looked a moment ago
    clock.now += LOOK_SECONDS
    second = kept.of("shop")
    assert second is not first
    assert second.account.timeout == 7
    assert "QUIT" in server.wait(0).lines  # nobody would use its connection any more


def test_it_is_made_anew_when_the_secret_changed(kept: KeptMailers, server: SmtpServer, clock: Clock) -> None:
    first, stamp = kept.of("shop"), kept.stamp("shop")
    save_password("another")
    clock.now += LOOK_SECONDS
    assert kept.of("shop") is not first
    assert kept.stamp("shop") != stamp


def test_it_is_made_anew_when_the_password_file_changed(
    kept: KeptMailers, server: SmtpServer, clock: Clock, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("one\n")
    write_account(server.port, f'password_file = "{file.as_posix()}"\n')
    first, stamp = kept.of("shop"), kept.stamp("shop")
    clock.now += LOOK_SECONDS
    assert kept.of("shop") is first
    file.write_text("another\n")
    clock.now += LOOK_SECONDS
    assert kept.of("shop") is not first
    assert kept.stamp("shop") != stamp


def test_it_is_kept_while_the_shared_store_is_away(
    kept: KeptMailers, server: SmtpServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRANKING_STORE_KEY", "a key of the tests, long enough")
    with MemoryRedis() as store:
        monkeypatch.setenv("FRANKING_STORE", f"{store.url}?timeout=5")
        place = shared_place(os.environ)
        assert place is not None
        server_at(place).ask("HSET", "franking:secret:shop", "value", "x")
        first, stamp = kept.of("shop"), kept.stamp("shop")
    clock.now += LOOK_SECONDS
    assert kept.of("shop") is first
    assert kept.stamp("shop") == stamp
    server_at(place).close()


def test_it_is_forgotten(kept: KeptMailers, server: SmtpServer) -> None:
    first = kept.of("shop")
    kept.forget("shop")
    kept.forget("nobody")
    assert kept.of("shop") is not first
    with pytest.raises(franking.SettingsError, match="closed"):
        first.send(letter("jana@example.com"))


def test_an_account_that_is_not_there_is_an_error_each_time(kept: KeptMailers, server: SmtpServer) -> None:
    for _ in range(2):
        with pytest.raises(franking.SettingsError, match="nobody"):
            kept.of("nobody")


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_opens_its_own_connection(kept: KeptMailers, server: SmtpServer) -> None:
    kept.of("shop").send(letter("jana@example.com"))
    child = os.fork()
    if not child:
        code = 1
        try:
            kept.of("shop").send(letter("jan@example.com", number=2))
            kept.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    kept.of("shop").send(letter("josef@example.com", number=3))
    assert [len([line for line in one.lines if line.startswith("MAIL")]) for one in server.sessions] == [2, 1]
