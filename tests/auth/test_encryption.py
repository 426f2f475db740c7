"""Encrypted secrets: nothing shows, nothing is passed off as another's, and keyrings that hang, forget or are not
there.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.auth import encryption as sealing
from franking.auth.store import FileStore, open_store

posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX")
KEY = "canary-key-0123456789"
CHEAP = (2, 1, 1)
"""scrypt's real cost is half a second each time."""
root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")


def test_an_encrypted_file_shows_nothing_and_needs_its_key(state: Path) -> None:
    store = FileStore(state, "encrypted", passphrase=KEY, cost=CHEAP)
    store.save("shop", "canary-3")
    raw = store.path("shop").read_bytes()
    assert b"canary-3" not in raw and KEY.encode() not in raw
    assert FileStore(state, passphrase=KEY).load("shop") == "canary-3"  # the file says how it is read
    for passphrase, reason in ((None, "no-key"), (KEY[::-1], "wrong-key")):
        with pytest.raises(franking.SettingsError) as caught:
            FileStore(state, passphrase=passphrase).load("shop")
        assert caught.value.evidence and caught.value.evidence.reason == reason
        assert "FRANKING_STORE_KEY" in str(caught.value)


def test_a_secret_cannot_be_passed_off_as_another_accounts(state: Path) -> None:
    store = FileStore(state, "encrypted", passphrase=KEY, cost=CHEAP)
    store.save("shop", "canary-3")
    record = json.loads(store.path("shop").read_text())
    store.save("other", "x")
    store.path("other").write_text(json.dumps({**record, "key": "other"}))
    with pytest.raises(franking.SettingsError):
        store.load("other")


def test_saving_again_keeps_the_salt_but_never_the_nonce(state: Path) -> None:
    store = FileStore(state, "encrypted", passphrase=KEY, cost=CHEAP)
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
    FileStore(state, "encrypted", passphrase=KEY, cost=CHEAP).save("shop", "3")
    assert not keyring.kept
    assert (FileStore(state).kind("shop"), FileStore(state, passphrase=KEY).load("shop")) == ("encrypted", "3")


@pytest.mark.parametrize(("mode", "package"), [("keyring", "keyring"), ("encrypted", "cryptography")])
def test_a_missing_extra_is_said_with_the_pip_command(
    state: Path, mode: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name == package or name.startswith(f"{package}."):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(franking.SettingsError, match=r"pip install 'franking\[keyring\]'"):
        FileStore(state, mode, passphrase=KEY, cost=CHEAP).save("shop", "x")


def test_the_cost_of_a_key_is_todays_and_stands_in_the_file(state: Path) -> None:
    assert sealing.COST[0] >= 2**17 and sealing.COST[1:] == (8, 1)  # OWASP, Password Storage Cheat Sheet
    FileStore(state, "encrypted", passphrase=KEY).save("shop", "x")
    assert json.loads(FileStore(state).path("shop").read_text())["scrypt"] == [2**17, 8, 1]
    assert FileStore(state, passphrase=KEY, cost=CHEAP).load("shop") == "x"


def test_what_franking_0_1_encrypted_still_opens_and_is_written_anew(state: Path) -> None:
    store = FileStore(state, "encrypted", passphrase=KEY, cost=sealing.OLD_COST)
    store.save("shop", "x")
    record = json.loads(store.path("shop").read_text())
    del record["scrypt"]
    store.path("shop").write_text(json.dumps(record))
    newer = FileStore(state, "encrypted", passphrase=KEY, cost=(2**15, 1, 1))
    assert newer.load("shop") == "x"
    newer.save("shop", "y")
    renewed = json.loads(store.path("shop").read_text())
    assert renewed["scrypt"] == [2**15, 1, 1]
    assert renewed["salt"] != record["salt"]


@pytest.mark.parametrize(
    "cost", [[2**40, 8, 1], [2**17, 2**20, 1], [2**17, 8, 2**20], [3, 8, 1], [0, 8, 1], [2, 0, 1], "x", [1], None, {}]
)
def test_a_cost_that_nobody_would_write_costs_nothing(state: Path, cost: Any) -> None:
    store = FileStore(state, "encrypted", passphrase=KEY, cost=CHEAP)
    store.save("shop", "x")
    record = json.loads(store.path("shop").read_text())
    store.path("shop").write_text(json.dumps({**record, "scrypt": cost}))
    with pytest.raises(franking.SettingsError):
        store.load("shop")


def test_a_key_is_derived_once_for_all_accounts_and_all_threads(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    derived: list[int] = []
    real = hashlib.scrypt

    def counted(*arguments: Any, **options: Any) -> bytes:
        derived.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    for number in range(3):
        FileStore(state, "encrypted", passphrase=KEY + "!", cost=CHEAP).save(f"shop-{number}", "x")
    threads = [
        threading.Thread(target=FileStore(state, passphrase=KEY + "!").load, args=(f"shop-{number % 3}",))
        for number in range(9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(derived) == 1


def test_memory_that_is_not_there_is_a_temporary_error(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(state, "encrypted", passphrase=KEY + "?", cost=CHEAP)

    def fail(*arguments: Any, **options: Any) -> bytes:
        raise MemoryError

    monkeypatch.setattr(hashlib, "scrypt", fail)
    with pytest.raises(franking.SendError, match="memory") as caught:
        store.save("shop", "x")
    assert caught.value.temporary


@pytest.mark.parametrize("key", ["kanary!", "fifteen chars!!"])
def test_a_short_key_is_refused(state: Path, key: str) -> None:
    for act in (
        lambda: open_store({"FRANKING_STORE_KEY": key}),
        lambda: open_store({"FRANKING_STORE_KEY": key, "FRANKING_STORE": "auto"}),
        lambda: FileStore(state, "encrypted", passphrase=key),
    ):
        with pytest.raises(franking.SettingsError, match="at least 16") as caught:
            act()
        assert key not in str(caught.value)


def test_a_plain_file_where_encryption_is_asked_for_is_said_and_mended(
    state: Path, caplog: pytest.LogCaptureFixture, keyring: Any
) -> None:
    FileStore(state, "file").save("shop", "canary-5")
    for mode in ("encrypted", "keyring"):
        store = FileStore(state, mode, passphrase=KEY, cost=CHEAP)
        caplog.clear()
        assert store.load("shop") == store.load("shop") == "canary-5"  # the mail goes on
        assert caplog.text.count("is a plain file, although") == 1
        assert "canary" not in caplog.text
        assert store.encrypt_plain("shop")
        assert not store.encrypt_plain("shop")
        assert not store.encrypt_plain("nobody")
        assert (store.kind("shop"), store.load("shop")) == (mode, "canary-5")
        assert b"canary" not in store.path("shop").read_bytes()
        FileStore(state, "file").save("shop", "canary-5")
    for mode in ("auto", "file"):
        assert not FileStore(state, mode).encrypt_plain("shop")
