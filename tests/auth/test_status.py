"""How an account's secret stands: its source, its end, what is wrong and the command that mends it."""

from __future__ import annotations

from pathlib import Path

from auth.test_sources import NOW, Signing, grant, posix, smtp
from franking.account.account import Account
from franking.auth import status
from franking.auth.secret import Password
from franking.auth.status import state_of
from franking.auth.store import FileStore
from franking.registry import provider as provider_named
from franking.smtp.provider import SmtpProvider


@posix
def test_the_state_of_passwords(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "state", "file")
    provider = SmtpProvider()
    assert state_of(smtp(username=None), provider, store, {}) == status.SecretState(True, "none")
    missing = state_of(smtp(), provider, store, {})
    assert (missing.ok, missing.kind, missing.source, missing.repair) == (
        False,
        "password",
        None,
        "franking login my-shop",
    )
    store.save("my-shop", Password("x", saved_at=NOW).dumps())
    kept = state_of(smtp(), provider, store, {})
    assert (kept.ok, kept.source, kept.store, kept.saved_at, kept.repair) == (True, "store", "file", NOW, None)
    assert state_of(smtp(), provider, store, {"FRANKING_SECRET_MY_SHOP": "x"}).source == "environment"
    assert state_of(smtp(password_command=f"touch {tmp_path}/ran"), provider, store, {}).source == "password_command"
    assert not (tmp_path / "ran").exists()
    store.path("my-shop").chmod(0o644)
    loose = state_of(smtp(), provider, store, {})
    assert (loose.ok, loose.repair) == (False, f"chmod 600 {store.path('my-shop')}")
    # another source does not make it better
    assert not state_of(smtp(), provider, store, {"FRANKING_SECRET_MY_SHOP": "x"}).ok


def test_the_state_of_sign_ins(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "state", "file")
    provider = Signing()
    missing = state_of(smtp(), provider, store, {})
    assert (missing.ok, missing.kind, missing.repair) == (False, "grant", "franking login my-shop")
    store.save("my-shop", grant(details={"testing": True}).dumps())
    kept = state_of(smtp(), provider, store, {})
    assert (kept.ok, kept.source, kept.store, kept.saved_at, kept.expires_at) == (
        True,
        "store",
        "file",
        NOW - 100,
        NOW + 3000,
    )
    assert (kept.who, kept.scopes, kept.details) == ("a@b.cz", ("send",), {"testing": True})
    newer = grant(created_at=NOW).dumps()
    assert state_of(smtp(), provider, store, {"FRANKING_SECRET_MY_SHOP": newer}).source == "environment"
    assert state_of(smtp(), provider, store, {"FRANKING_SECRET_MY_SHOP": "nonsense"}).ok is False
    assert not provider.seen
    assert "token" not in repr(kept) and "refresh_token" not in repr(kept)


def test_every_provider_tells_its_state(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "state", "file")
    assert (
        state_of(
            Account(name="f", provider="file", sender="a@b.cz", path="/tmp"), provider_named("file"), store, {}
        ).kind
        == "none"
    )
    for name, rest in (("gmail", {}), ("outlook", {"client_id": "x"})):
        account = Account(name="g", provider=name, sender="a@b.cz", **rest).referred_to_as("g")
        state = state_of(account, provider_named(name), store, {})
        assert (state.ok, state.kind, state.repair) == (False, "grant", "franking login g")
    service = Account(name="g", provider="gmail", sender="a@b.cz", service_account="/x.json")
    assert state_of(service, provider_named("gmail"), store, {}).source == "settings"
    assert not (tmp_path / "state").exists()  # looking makes nothing
