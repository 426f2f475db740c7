"""The files of Google's console: the right one is read, each wrong one is recognised."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from franking.errors import FrankingError, SettingsError
from franking.gmail.client_files import read_client, read_service_account
from servers.google import Google


def seen(error: FrankingError) -> tuple[str | None, str]:
    assert error.evidence is not None
    return error.evidence.reason, error.evidence.text


INSTALLED = {
    "client_id": "1.apps.googleusercontent.com",
    "auth_uri": "https://a/auth",
    "token_uri": "https://a/token",
    "client_secret": "s",
}
WRONG_FILES: dict[str, str] = {
    "web": json.dumps({"web": INSTALLED}),
    "service-account": json.dumps({"type": "service_account", "client_email": "x@y", "private_key": "-"}),
    "authorized-user": json.dumps({"type": "authorized_user", "refresh_token": "1//0secret"}),
    "android": json.dumps({"project_info": {}, "client": []}),
    "api-key": "AIzaSyD-secret-key",
    "html": "<!DOCTYPE html><html><head><title>Google Cloud</title>",
    "id-only": "1234-abc.apps.googleusercontent.com\n",
    "not-json": "{'installed': {",
    "other": "{}",
    "incomplete": json.dumps({"installed": {"client_id": "x", "client_secret": "GOCSPX-secret"}}),
    "insecure": json.dumps({"installed": {**INSTALLED, "token_uri": "http://a/token"}}),
}


@pytest.mark.parametrize("reason", WRONG_FILES)
def test_a_wrong_client_file_is_recognised(tmp_path: Path, reason: str) -> None:
    file = tmp_path / "file.json"
    file.write_text(WRONG_FILES[reason])
    with pytest.raises(SettingsError) as caught:
        read_client(str(file))
    assert seen(caught.value)[0] == f"client-secrets-{reason}"
    assert caught.value.field == "client_secrets"
    assert "secret-key" not in str(caught.value)
    assert "1//0secret" not in str(caught.value)
    assert "GOCSPX" not in str(caught.value)


def test_other_ways_of_having_no_client_file(tmp_path: Path) -> None:
    for path, reason in ((None, "unset"), (str(tmp_path / "none.json"), "missing"), (str(tmp_path), "unreadable")):
        with pytest.raises(SettingsError) as caught:
            read_client(path)
        assert seen(caught.value)[0] == f"client-secrets-{reason}"
    (tmp_path / "key.json").write_text(json.dumps({"current_key": "AIzaX"}))
    with pytest.raises(SettingsError) as caught:
        read_client(str(tmp_path / "key.json"))
    assert seen(caught.value)[0] == "client-secrets-api-key"


def test_a_client_file_is_read_with_a_byte_order_mark_and_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.json").write_text("\ufeff" + json.dumps({"installed": INSTALLED}))
    monkeypatch.setenv("HOME", str(tmp_path))
    client = read_client("~/c.json")
    assert client.client_id == INSTALLED["client_id"]
    assert "'s'" not in repr(client)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda key: {"installed": {}}, "service-account-is-client"),
        (lambda key: {**key, "type": "external_account"}, "service-account-not-a-key"),
        (lambda key: {**key, "private_key": None}, "service-account-incomplete"),
        (lambda key: {**key, "token_uri": "http://a/token"}, "service-account-insecure"),
    ],
)
def test_a_wrong_key_file(google: Google, tmp_path: Path, change: Callable[[Any], Any], reason: str) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(change(google.service_account())))
    with pytest.raises(SettingsError) as caught:
        read_service_account(str(file))
    assert seen(caught.value)[0] == reason
    assert "PRIVATE KEY" not in str(caught.value)
