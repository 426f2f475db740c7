"""What a setup asks of an OAuth client at Google is checked where it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from franking.errors import SettingsError
from franking.gmail.facts import FACTS


def test_a_client_file_is_checked_when_it_is_named(tmp_path: Path) -> None:
    client = FACTS.client
    assert client is not None and client.file
    path = tmp_path / "client.json"
    part = {"client_id": "1", "auth_uri": "https://a/auth", "token_uri": "https://a/token"}
    path.write_text(json.dumps({"installed": part}))
    assert client.check(str(path))
    path.write_text(json.dumps({"web": part}))
    with pytest.raises(SettingsError, match="client_secrets"):
        client.check(str(path))
