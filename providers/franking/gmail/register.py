"""An OAuth client of one's own at Google: the pages on which it is made, and a look at its file for which nobody has to
sign in. No API makes clients of desktop applications, so that there is no script for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from franking.abilities import Errand, Looked
from franking.account.account import Account
from franking.errors import SettingsError
from franking.gmail import issuer
from franking.gmail.client_files import read_client
from franking.gmail.facts import FACTS, SMTP
from franking.text import json_object

__all__ = ["errands", "look"]


def errands(account: Account) -> tuple[Errand, ...]:
    """Return the pages on which the client for this account is made; the route by SMTP needs no API."""
    assert FACTS.client is not None
    return tuple(errand for errand in FACTS.client.steps if account.route != SMTP or "apis/library" not in errand.link)


def look(account: Account) -> Iterator[Looked]:
    """Read the client's file, and ask Google with it for what it cannot give: its answer tells whether it knows the
    client and its secret.
    """
    try:
        client = read_client(account.client_secrets)
    except SettingsError as problem:
        yield Looked("file", False, error=problem)
        return
    yield Looked("file", True, "a client of the type Desktop app, whose way back is this computer")
    form = {
        "grant_type": "authorization_code",
        "code": "4/none",  # of no sign-in: a client that is known is told that, an unknown one that it is unknown
        "redirect_uri": "http://127.0.0.1",
        "client_id": client.client_id,
        "client_secret": client.client_secret,
    }
    with issuer.requester(account) as request:
        response = request("POST", client.token_uri, data=form)
    answer = json_object(response.text) or {}
    if answer.get("error") in ("invalid_grant", "invalid_request", "redirect_uri_mismatch"):
        yield Looked("client", True, "Google knows it and its secret")
    else:
        yield Looked("client", False, error=issuer.refused(response.content, account))
        return
    yield Looked("Publish app", None, "the sign-in says so where it would end after seven days")
    if account.route != SMTP:
        yield Looked("Gmail API", None, "the test message shows whether it is switched on")
