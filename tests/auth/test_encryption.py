"""Encrypted secrets: nothing shows, nothing is passed off as another's, and keyrings that hang, forget or are not
there.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.auth import encryption as sealing
from franking.auth.store import FileStore

posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX")
root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")


def test_an_encrypted_file_shows_nothing_and_needs_its_key(state: Path) -> None:
    store = FileStore(state, "encrypted", passphrase="right")
    store.save("shop", "canary-3")
    raw = store.path("shop").read_bytes()
    assert b"canary-3" not in raw and b"right" not in raw
    assert FileStore(state, passphrase="right").load("shop") == "canary-3"  # the file says how it is read
    for passphrase, reason in ((None, "no-key"), ("wrong", "wrong-key")):
        with pytest.raises(franking.SettingsError) as caught:
            FileStore(state, passphrase=passphrase).load("shop")
        assert caught.value.evidence and caught.value.evidence.reason == reason
        assert "FRANKING_STORE_KEY" in str(caught.value)


def test_a_secret_cannot_be_passed_off_as_another_accounts(state: Path) -> None:
    store = FileStore(state, "encrypted", passphrase="right")
    store.save("shop", "canary-3")
    record = json.loads(store.path("shop").read_text())
    store.save("other", "x")
    store.path("other").write_text(json.dumps({**record, "key": "other"}))
    with pytest.raises(franking.SettingsError):
        store.load("other")


def test_saving_again_keeps_the_salt_but_never_the_nonce(state: Path) -> None:
    store = FileStore(state, "encrypted", passphrase="right")
    seen = []
    for _ in range(3):
        store.save("shop", "same")
        seen.append(json.loads(store.path("shop").read_text()))
    assert len({record["salt"] for record in seen}) == 1
    assert len({record["nonce"] for record in seen}) == len({record["data"] for record in seen}) == 3


def test_the_keyring_holds_a_key_and_the_file_the_secret(state: Path, keyring: Any) -> None:
    store = FileStore(state, "keyring")
    store.save("shop", "canary-4" * 1000)
    assert b"canary-4" not in store.path("shop").read_bytes()
    assert len(keyring.kept) == 1 and len(next(iter(keyring.kept.values()))) < 100  # Windows takes 1,280 characters
    assert FileStore(state).load("shop") == "canary-4" * 1000
    store.save("shop", "again")
    assert len(keyring.kept) == 1
    store.delete("shop")
    assert not keyring.kept


def test_auto_takes_the_keyring_where_it_answers_and_stays_with_it(
    state: Path, keyring: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "KEYRING_SECONDS", 0.05)
    FileStore(state).save("shop", "x")
    assert FileStore(state).kind("shop") == "keyring"
    keyring.hang = threading.Event()
    try:
        for act in (lambda: FileStore(state).load("shop"), lambda: FileStore(state).save("shop", "y")):
            with pytest.raises(franking.SettingsError, match="did not answer within") as caught:
                act()  # out of reach is an error, never another store
            assert caught.value.evidence and caught.value.evidence.reason == "no-keyring"
    finally:
        keyring.hang.set()
    keyring.hang = None
    assert FileStore(state).load("shop") == "x"


def test_auto_takes_a_file_where_no_keyring_answers_and_stays_with_it(
    state: Path, keyring: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "KEYRING_SECONDS", 0.05)
    keyring.hang = threading.Event()
    FileStore(state).save("shop", "x")
    keyring.hang.set()
    keyring.hang = None
    keyring.kept.clear()
    FileStore(state).save("shop", "y")
    assert FileStore(state).kind("shop") == "file"
    assert not keyring.kept
    keyring.forgetful = True  # such as keyring's null backend
    FileStore(state).save("other", "z")
    assert FileStore(state).kind("other") == "file"


def test_the_real_keyring_library_without_a_backend(state: Path) -> None:
    FileStore(state).save("shop", "x")  # PYTHON_KEYRING_BACKEND is its `fail` backend, as on a server
    assert FileStore(state).kind("shop") == "file"
    with pytest.raises(franking.SettingsError, match="NoKeyringError"):
        FileStore(state, "keyring").save("other", "x")


def test_a_store_that_is_asked_for_takes_the_place_of_the_old(state: Path, keyring: Any) -> None:
    FileStore(state, "file").save("shop", "1")
    FileStore(state, "keyring").save("shop", "2")
    assert (FileStore(state).kind("shop"), FileStore(state).load("shop")) == ("keyring", "2")
    FileStore(state, "encrypted", passphrase="p").save("shop", "3")
    assert not keyring.kept
    assert (FileStore(state).kind("shop"), FileStore(state, passphrase="p").load("shop")) == ("encrypted", "3")


@pytest.mark.parametrize(("mode", "package"), [("keyring", "keyring"), ("encrypted", "cryptography")])
def test_a_missing_extra_is_said_with_the_pip_command(
    state: Path, mode: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name == package or name.startswith(f"{package}."):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(franking.SettingsError, match=r"pip install 'franking\[keyring\]'"):
        FileStore(state, mode, passphrase="p").save("shop", "x")
