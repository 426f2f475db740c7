"""The one TLS context: the system's trust, the account's CA file on top, nothing weaker."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from franking.errors import SettingsError
from franking.net import tls
from servers.web import Authority


@pytest.mark.parametrize("least", [ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3])
def test_names_and_chains_are_checked_from_tls_1_2_on(least: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    systems = ssl.create_default_context()
    systems.minimum_version = least  # Debian's Python leaves it to OpenSSL's settings
    monkeypatch.setattr(ssl, "create_default_context", lambda: systems)
    context = tls.context()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version == max(least, ssl.TLSVersion.TLSv1_2)


def test_a_ca_file_adds_to_the_systems_trust(tmp_path: Path) -> None:
    ours = len(tls.context().get_ca_certs())
    assert len(tls.context(Authority(tmp_path).ca_file).get_ca_certs()) == ours + 1


def test_a_ca_file_that_cannot_be_used_is_a_setting_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for name, words in (("missing.pem", "No such file"), ("empty.pem", "it holds no PEM certificate")):
        path = str(tmp_path / name)
        with pytest.raises(SettingsError, match=words) as caught:
            tls.context(path)
        assert caught.value.field == "ca_file"
        assert caught.value.evidence is not None
        assert (caught.value.evidence.reason, caught.value.evidence.details) == ("ca-file", {"path": path})
