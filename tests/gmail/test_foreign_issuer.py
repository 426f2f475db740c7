"""Signing in at an OpenID provider that nobody here wrote (oidc-provider-mock), only by means of a ``client_secrets``
file that points to it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import oidc_provider_mock
import pytest
import requests
import werkzeug.serving

import franking
from franking.gmail.provider import GmailProvider
from servers.person import Person
from servers.web import Authority

GMAIL = GmailProvider()
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own: it uses an older interface of Authlib


class Issuer:
    """oidc-provider-mock's application behind TLS."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.server = werkzeug.serving.make_server(
            "localhost", 0, oidc_provider_mock.app(), threaded=True, ssl_context=self.authority.context("localhost")
        )
        self.url = f"https://localhost:{self.server.server_port}"

    def browse(self, url: str) -> str:
        """Fill in its form, as a person does, and give where the browser is sent."""
        with requests.Session() as browser:
            browser.trust_env = False
            assert "<form" in browser.get(url, verify=self.authority.ca_file, timeout=10).text
            answer = browser.post(
                url, data={"sub": "me@gmail.com"}, verify=self.authority.ca_file, allow_redirects=False, timeout=10
            )
            return answer.headers["Location"]

    def browse_back(self, url: str) -> None:
        requests.get(self.browse(url), timeout=10)


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    made = Issuer(tmp_path)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def account(issuer: Issuer, tmp_path: Path) -> franking.Account:
    endpoints = requests.get(
        f"{issuer.url}/.well-known/openid-configuration", verify=issuer.authority.ca_file, timeout=10
    ).json()
    file = tmp_path / "client.json"
    file.write_text(
        json.dumps(
            {
                "installed": {
                    "client_id": "franking",
                    "client_secret": "anything",
                    "auth_uri": endpoints["authorization_endpoint"],
                    "token_uri": endpoints["token_endpoint"],
                }
            }
        )
    )
    return franking.Account(
        name="sso",
        provider="gmail",
        sender="me@gmail.com",
        client_secrets=str(file),
        ca_file=issuer.authority.ca_file,
        timeout=10,
    )


@pytest.mark.parametrize("way", ["browser", "paste"])
@pytest.mark.parametrize("route", ["api", "smtp"])
def test_login_and_refresh(issuer: Issuer, account: franking.Account, way: str, route: str) -> None:
    person = Person(issuer.browse_back) if way == "browser" else Person(pastes=issuer.browse)
    grant = GMAIL.login(account.replace(route=route), person)
    assert grant.who == "me@gmail.com"
    assert any("not Google's" in text for text in person.shown)
    assert grant.access_token
    renewed = GMAIL.refresh(account.replace(route=route), grant, None)
    assert renewed.access_token not in ("", grant.access_token)
    assert renewed.expires_at > renewed.refreshed_at
    assert "only forgotten here" in GMAIL.revoke(account, renewed)
