"""Making an OAuth client: the pages, and a look at its file that needs nobody to sign in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import franking
from franking.errors import SettingsError
from franking.gmail.register import errands, look
from franking.registry import provider
from franking.sending.explain import explain
from servers.google import Google


@pytest.fixture
def account(account: franking.Account, google: Google, tmp_path: Path) -> franking.Account:
    file = tmp_path / "client_secret.json"
    file.write_text(json.dumps(google.client_secrets()))
    return account.replace(client_secrets=str(file))


def test_the_pages_have_full_addresses_and_publish_the_app_at_once(account: franking.Account) -> None:
    pages = errands(account)
    assert all(page.link.startswith("https://console.cloud.google.com/") for page in pages)
    assert any(page.do.startswith("Publish app") for page in pages)
    assert ("Application type", "Desktop app") in pages[-1].values
    assert len(errands(account.replace(route="smtp"))) == len(pages) - 1, "SMTP needs no API"


def test_a_right_client_is_known_without_a_sign_in(google: Google, account: franking.Account) -> None:
    found = {one.what: one.ok for one in look(account)}
    assert found == {"file": True, "client": True, "Publish app": None, "Gmail API": None}
    assert google.refresh == {}
    assert "Gmail API" not in {one.what for one in look(account.replace(route="smtp"))}


@pytest.mark.parametrize("key", ["client_id", "client_secret"])
def test_a_client_that_google_does_not_know(google: Google, account: franking.Account, key: str) -> None:
    path = Path(account.client_secrets)
    data = json.loads(path.read_text())
    data["installed"][key] = "another.apps.googleusercontent.com"
    path.write_text(json.dumps(data))
    *_, one = look(account)
    assert (one.what, one.ok) == ("client", False)
    assert one.error is not None
    assert explain(one.error, account, provider("gmail")).code == "google.client-invalid"


def test_the_wrong_file_is_named_before_anybody_is_asked(
    google: Google, account: franking.Account, tmp_path: Path
) -> None:
    path = tmp_path / "web.json"
    path.write_text(json.dumps({"web": {}}))
    (one,) = look(account.replace(client_secrets=str(path)))
    assert "Web application" in str(one.error)
    assert google.token_requests == []


def test_there_is_no_script(account: franking.Account) -> None:
    kind = provider("gmail")
    with pytest.raises(SettingsError, match="no script"):
        kind.script(account, "az", name="Franking")  # type: ignore[attr-defined]
