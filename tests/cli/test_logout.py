"""``franking logout``: what is forgotten here, and what ends at the provider."""

from __future__ import annotations

from commandline import Franking
from franking.account.config import config_path
from franking.account.fields import Field
from franking.auth.secret import Grant
from franking.auth.store import open_store
from servers.google import Google
from servers.scripted import ScriptedProvider


def secrets_of(google: Google, grant: Grant) -> list[str]:
    return [grant.access_token, str(grant.data["refresh_token"]), google.client_secret, *google.refresh, *google.access]


def test_logout_revoke_ends_it_at_the_provider(google: Google, franking: Franking) -> None:
    franking("login", "g")
    grant = Grant.loads(open_store().load("g") or "")
    ended = franking("logout", "g", "--revoke")
    assert ended.code == 0, ended.err
    assert "forgotten" in ended.err
    assert not google.refresh
    assert open_store().load("g") is None
    assert all(secret not in ended.out + ended.err for secret in secrets_of(google, grant) if secret)
    assert franking("logout", "g", "--revoke").code == 2
    assert "nothing was stored" in franking("logout", "g").err


def test_logout_of_an_account_that_is_gone_forgets_what_is_left(franking: Franking, shop: None) -> None:
    franking("login", "shop", "--password-stdin", stdin="x\n")
    franking("accounts", "remove", "shop", "--yes", "--keep-secret")
    assert franking("logout", "shop").code == 0
    assert open_store().load("shop") is None
    assert franking("logout", "shop").code == 2


def test_what_else_holds_the_secret_is_named(franking: Franking, scripted: ScriptedProvider) -> None:
    scripted.fields = (Field("vault", credential="token"), Field("badge", credential="key"), Field("desk"))
    config_path().parent.mkdir(parents=True, exist_ok=True)
    config_path().write_text(
        "[accounts.s]\nprovider = 'scripted'\nfrom = 'a@b.cz'\nvault = 'x'\nbadge = 'y'\ndesk = 'z'\n"
    )
    told = franking("logout", "s").err
    assert [line for line in told.splitlines() if "still" in line] == [
        "The account's vault is still there, and is still used.",
        "The account's badge is still there, and is still used.",
    ]
