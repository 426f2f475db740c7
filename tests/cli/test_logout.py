"""``franking logout``: what is forgotten here, and what ends at the provider."""

from __future__ import annotations

from commandline import Franking
from franking.auth.secret import Grant
from franking.auth.store import open_store
from servers.google import Google


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
    franking("accounts", "remove", "shop", "--keep-secret")
    assert franking("logout", "shop").code == 0
    assert open_store().load("shop") is None
    assert franking("logout", "shop").code == 2
