"""The certificate of an account that signs in by itself: its end, and files that cannot work."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from franking import errors
from franking.outlook import login
from franking.registry import provider
from outlook.messages import Make
from outlook.test_login import certificate
from servers.microsoft import Microsoft


@pytest.mark.parametrize("damage", ["missing", "no key", "no certificate", "other key", "text", "encrypted"])
def test_a_certificate_file_that_cannot_work_is_named(
    microsoft: Microsoft, account: Make, tmp_path: Path, damage: str
) -> None:
    file, pem = certificate(tmp_path)
    whole = Path(file).read_bytes()
    key = whole.removesuffix(pem)
    second = tmp_path / "second"
    second.mkdir()
    contents = {
        "no key": pem,
        "no certificate": key,
        "other key": Path(certificate(second)[0]).read_bytes().partition(b"-----BEGIN CERT")[0] + pem,
        "text": b"\xff\xfe",
        "encrypted": whole.replace(b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY"),
    }
    if damage == "missing":
        Path(file).unlink()
    else:
        Path(file).write_bytes(contents[damage])
    with pytest.raises(errors.SettingsError) as caught:
        login.refresh(account(app_only=True, certificate=file), None, None)
    assert caught.value.field == "certificate"
    assert file in str(caught.value)


def test_status_knows_when_a_certificate_ends_and_that_a_broken_one_does_not_work(
    account: Make, tmp_path: Path
) -> None:
    from franking.auth.status import state_of
    from franking.auth.store import open_store

    file, _ = certificate(tmp_path)
    daemon = account(app_only=True, certificate=file)
    state = state_of(daemon, provider("outlook"), open_store(), {})
    assert state.ok
    assert state.details["credential_expires_at"] == pytest.approx(time.time() + 30 * 86_400, abs=60)
    Path(file).write_text("nothing")
    state = state_of(daemon, provider("outlook"), open_store(), {})
    assert not state.ok
    assert file in str(state.problem)
