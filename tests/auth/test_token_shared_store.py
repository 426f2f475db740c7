"""Sign-ins in a store that several machines share: the lock lapses during a refresh, or the store is away after it.

What happens inside the store stands in ``test_shared_store.py``; the same with real servers in tests/real.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from auth.leaving import leave
from franking.auth.redis_store import RedisStore
from franking.auth.secret import Grant, loads
from franking.auth.token import TokenSecret
from franking.errors import LockLost, LoginRequired, SendError, SettingsError
from servers.memoryredis import MemoryRedis
from servers.renewal import token_secret


def grant(token: str, **rest: Any) -> Grant:
    now = time.time()
    base = Grant(
        provider="gmail",
        route="gmail-api",
        who="jana@example.cz",
        scopes=("a",),
        created_at=now - 86_400,
        refreshed_at=now,
        access_token=token,
        expires_at=now + 3600,
        data={"refresh_token": "rotated"},
        bound={"provider": "gmail"},
    )
    return replace(base, **rest)


@dataclass
class Issuer:
    """Hands out "renewed"; ``meanwhile`` is what happens before it answers."""

    meanwhile: Callable[[], None] = lambda: None
    error: Exception | None = None
    asked: list[Grant | None] = field(default_factory=list)

    def __call__(self, old: Grant | None) -> Grant:
        self.asked.append(old)
        self.meanwhile()
        if self.error:
            raise self.error
        return grant("renewed")


class Machines:
    """Two machines with one store, in which a sign-in lies that needs a refresh; ``secret`` is the first machine's."""

    def __init__(self, server: MemoryRedis, directory: Path) -> None:
        self.here, self.there = (
            RedisStore(
                server.url, key="a key of the tests, long enough", directory=directory / name, cost=(2**10, 8, 1)
            )
            for name in ("here", "there")
        )
        self.issuer = Issuer()
        self.here.save("shop", grant("", data={"refresh_token": "first"}).dumps())
        self.secret: TokenSecret = token_secret(self.here, self.issuer)

    def lapse(self) -> None:
        server = self.here.server
        server.ask("HSET", server.name("secret:shop"), "until", "1")

    def overtaken(self) -> None:
        """Let the lock lapse, and the other machine renew."""
        self.lapse()
        self.there.save("shop", grant("theirs").dumps())

    def saved(self) -> str:
        """Return the access token that the store has."""
        stored = loads(self.there.load("shop") or "")
        assert isinstance(stored, Grant)
        return stored.access_token


def away(*args: Any) -> Any:
    raise SendError("the store is away", step="secret", temporary=True)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with MemoryRedis() as server:
        both = Machines(server, tmp_path)
        yield both
        leave(both.here, both.there)


def test_who_was_overtaken_uses_what_the_other_has_saved(machines: Machines) -> None:
    machines.issuer.meanwhile = machines.overtaken
    assert machines.secret.get() == "theirs" == machines.saved()


def test_who_asked_with_what_is_spent_uses_what_the_other_has_saved(machines: Machines) -> None:
    machines.issuer.meanwhile = machines.overtaken
    machines.issuer.error = LoginRequired("spent")
    assert machines.secret.get() == "theirs"


def test_a_sign_in_that_was_withdrawn_is_told_where_nobody_has_a_newer_one(machines: Machines) -> None:
    machines.issuer.error = LoginRequired("withdrawn")
    with pytest.raises(LoginRequired, match="withdrawn"):
        machines.secret.get()
    assert len(machines.issuer.asked) == 1


def test_a_lock_that_lapsed_loses_nothing_where_nobody_came(machines: Machines) -> None:
    machines.issuer.meanwhile = machines.lapse
    assert machines.secret.get() == "renewed"
    with machines.here.lock("shop"):
        assert machines.saved() == "renewed"


@pytest.mark.parametrize("steps", [("write",), ("write", "read")])
def test_what_a_store_that_is_away_cannot_take_is_used_and_saved_later(
    machines: Machines, monkeypatch: pytest.MonkeyPatch, steps: tuple[str, ...]
) -> None:
    def meanwhile() -> None:
        if "read" in steps:  # it lapses, and then the store is not there to be asked what another may have saved
            machines.lapse()
            lost = machines.here.rows.write

            def write(*args: Any) -> bool:
                done = lost(*args)
                monkeypatch.setattr(machines.here.rows, "read", away)
                return done

            monkeypatch.setattr(machines.here.rows, "write", write)
        else:
            monkeypatch.setattr(machines.here.rows, "write", away)

    machines.issuer.meanwhile = meanwhile
    monkeypatch.setattr("franking.auth.unsaved.Unsaved._start", lambda self, key: None)
    assert machines.secret.get() == "renewed"
    assert machines.saved() == ""
    monkeypatch.undo()
    with machines.here.lock("shop"):
        assert machines.saved() == "renewed"


def test_a_store_that_refuses_for_good_is_told(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any) -> Any:
        raise SendError("the store refuses", step="secret", temporary=False)

    machines.issuer.meanwhile = lambda: monkeypatch.setattr(machines.here.rows, "write", refused)
    with pytest.raises(SendError, match="the store refuses"):
        machines.secret.get()


def test_where_nothing_can_be_written_here_either_it_is_used_from_memory(
    machines: Machines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: Any) -> Any:
        raise SettingsError("the disk is full")

    monkeypatch.setattr(machines.here, "keep", full)
    machines.issuer.meanwhile = lambda: monkeypatch.setattr(machines.here.rows, "write", away)
    assert machines.secret.get() == "renewed" == machines.secret.get()
    assert "kept in memory only: the disk is full" in caplog.text
    assert len(machines.issuer.asked) == 1


@pytest.mark.parametrize("broken", [SettingsError("WRONGPASS"), KeyboardInterrupt()])
def test_what_was_renewed_is_saved_later_whatever_kept_it_from_being_saved(
    machines: Machines, monkeypatch: pytest.MonkeyPatch, broken: BaseException
) -> None:
    def fails(*args: Any) -> bool:
        raise broken

    machines.issuer.meanwhile = lambda: monkeypatch.setattr(machines.here.rows, "write", fails)
    with monkeypatch.context() as patch:
        patch.setattr("franking.auth.unsaved.Unsaved._start", lambda self, key: None)
        try:
            assert machines.secret.get() == "renewed"
        except KeyboardInterrupt:
            assert isinstance(broken, KeyboardInterrupt)
    assert machines.saved() == ""
    monkeypatch.undo()
    with machines.here.lock("shop"):  # it was not given back: nobody else asks with what may be spent
        assert machines.saved() == "renewed"


def test_nobody_asks_an_issuer_whose_lock_has_lapsed(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    load = machines.here.load

    def stood_still(key: str) -> str | None:
        found = load(key)
        if holding := machines.here._holding(key):
            holding.held.since = 0.0
        return found

    with monkeypatch.context() as patch:
        patch.setattr(machines.here, "load", stood_still)
        with pytest.raises(LockLost) as caught:
            machines.secret.get()
    assert caught.value.temporary and machines.issuer.asked == []
    assert machines.secret.get() == "renewed" == machines.saved()
