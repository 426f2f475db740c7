"""Stores: the contract for each kind, who may read, encryption, keyrings that hang, full disks, and processes killed in
the middle.
"""

from __future__ import annotations

import json
import os
import re
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import franking
from franking import Account
from franking.auth.secret import Grant, Password, loads
from franking.auth.store import FileStore, MemoryStore, open_store, save_grant, save_password
from franking.testing.contracts import StoreContract

posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX")
root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestPlainFiles(StoreContract):
    @pytest.fixture
    def store(self, state: Path) -> FileStore:
        return FileStore(state, "file")


class TestEncryptedFiles(StoreContract):
    @pytest.fixture
    def store(self, state: Path) -> FileStore:
        return FileStore(state, "encrypted", passphrase="long and random enough", cost=(2, 1, 1))


class TestKeyringFiles(StoreContract):
    @pytest.fixture
    def store(self, state: Path, keyring: Any) -> FileStore:
        return FileStore(state, "keyring")


class TestAutomaticFiles(StoreContract):
    @pytest.fixture
    def store(self, state: Path) -> FileStore:
        return FileStore(state)


# --- the file ---------------------------------------------------------------------------------------------------------


def test_one_versioned_file_per_key(state: Path) -> None:
    store = FileStore(state, "file")
    store.save("Můj Shop", "hunter2")
    assert [path.name for path in state.iterdir()] == ["%4d%c5%afj%20%53hop.json"]
    assert json.loads(store.path("Můj Shop").read_text()) == {
        "version": 1,
        "store": "file",
        "key": "Můj Shop",
        "value": "hunter2",
    }


def test_file_names_differ_without_case_and_are_no_devices(state: Path) -> None:
    store = FileStore(state)
    names = [
        store.path(key).name
        for key in ("shop", "Shop", "SHOP", "con", "nul.x", "com1", ".x", "a/b", "x" * 300, "x" * 301)
    ]
    assert len({name.lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9%_@+][a-z0-9%._@+-]*\.json", name) and len(name) < 240 for name in names)
    assert not [name for name in names if re.match(r"(con|nul|com1)\b", name)]


@posix
def test_files_are_0600_in_a_0700_directory_whatever_the_umask(state: Path) -> None:
    before = os.umask(0)
    try:
        store = FileStore(state, "file")
        with store.lock("shop"):
            store.save("shop", "hunter2")
    finally:
        os.umask(before)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in state.iterdir()} == {
        "shop.json": "0o600",
        "shop.lock": "0o600",
    }


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_file_open_to_others_is_refused_with_the_command_that_mends_it(state: Path, mode: int) -> None:
    store = FileStore(state, "file")
    store.save("shop", "canary-1")
    store.path("shop").chmod(mode)
    for act in (lambda: store.load("shop"), lambda: store.save("shop", "x"), lambda: store.kind("shop")):
        with pytest.raises(franking.SettingsError) as caught:
            act()
        assert caught.value.evidence and caught.value.evidence.reason == "loose-mode"
        assert "canary-1" not in str(caught.value)
        assert caught.value.repair == f"chmod 600 {store.path('shop')}"
    store.path("shop").chmod(0o600)
    assert store.load("shop") == "canary-1"


@posix
def test_a_directory_open_to_others_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    state = tmp_path / "with blank"
    store = FileStore(state, "file")
    store.save("shop", "x")
    state.chmod(0o755)
    for act in (lambda: store.load("shop"), lambda: store.save("other", "x"), lambda: store.lock("shop").__enter__()):
        with pytest.raises(franking.SettingsError, match="chmod 700") as caught:
            act()
        assert caught.value.repair == f"chmod 700 '{state}'"
        assert str(caught.value).endswith(f"run: {caught.value.repair}.")
    state.chmod(0o700)
    assert store.load("shop") == "x"


@posix
def test_links_are_refused_and_what_they_point_at_stays(state: Path, tmp_path: Path) -> None:
    store = FileStore(state, "file")
    store.save("shop", "x")
    target = tmp_path / "target.json"
    store.path("shop").rename(target)
    store.path("shop").symlink_to(target)
    before = target.read_bytes()
    for act in (lambda: store.load("shop"), lambda: store.save("shop", "y")):
        with pytest.raises(franking.SettingsError, match="symbolic link"):
            act()
    assert target.read_bytes() == before
    store.delete("shop")  # takes the link away, not what it points at
    assert target.read_bytes() == before

    link = tmp_path / "link"
    link.symlink_to(state)
    with pytest.raises(franking.SettingsError, match="FRANKING_STATE_DIR"):
        FileStore(link, "file").save("shop", "x")


@posix
def test_a_planted_pipe_or_directory_does_not_hang(state: Path) -> None:
    store = FileStore(state, "file")
    store.save("other", "x")
    os.mkfifo(store.path("shop"), 0o600)
    with pytest.raises(franking.SettingsError, match="in the way"):
        store.load("shop")
    store.path("dir").mkdir(0o700)
    with pytest.raises(franking.SettingsError, match="in the way"):
        store.load("dir")


@root
def test_files_and_directories_of_others_are_refused(state: Path) -> None:
    store = FileStore(state, "file")
    store.save("shop", "x")
    os.chown(store.path("shop"), 12345, 12345)
    for act in (lambda: store.load("shop"), lambda: store.save("shop", "y")):
        with pytest.raises(franking.SettingsError, match=r"uid 12345.*sudo chown 0 "):
            act()
    os.chown(store.path("shop"), 0, 0)
    os.chown(state, 12345, 12345)
    with pytest.raises(franking.SettingsError, match="uid 12345"):
        store.load("shop")
    with pytest.raises(franking.SettingsError, match="uid 12345"):
        store.save("shop", "y")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[]", "damaged"),
        (b'{"version": 1, "store": "file", "key": "shop"}', "damaged"),
        (b'{"version": 1, "store": "file", "key": "other", "value": "x"}', "damaged"),
        (b'{"version": 2, "store": "file", "key": "shop", "value": "x"}', "newer"),
        (b'{"version": 1, "store": "vault", "key": "shop", "value": "x"}', "newer"),
    ],
)
def test_what_is_not_ours_is_not_read_as_a_secret(state: Path, content: bytes, reason: str) -> None:
    store = FileStore(state, "file")
    store.save("shop", "x")
    store.path("shop").write_bytes(content)
    with pytest.raises(franking.SettingsError) as caught:
        store.load("shop")
    assert caught.value.evidence and caught.value.evidence.reason == reason
    if reason == "damaged":  # signing in again mends it
        store.save("shop", "new")
        assert store.load("shop") == "new"
    else:
        with pytest.raises(franking.SettingsError):
            store.save("shop", "new")


def test_a_missing_home_is_said_when_something_is_to_be_kept() -> None:
    store = FileStore(Path("~/.local/state/franking"), "file")
    assert store.load("shop") is None
    with pytest.raises(franking.SettingsError, match="FRANKING_STATE_DIR"):
        store.save("shop", "x")


# --- writing ----------------------------------------------------------------------------------------------------------


@posix
def test_a_write_that_fails_leaves_the_old_value_and_no_debris(state: Path) -> None:
    store = FileStore(state, "file")
    store.save("shop", "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(franking.SettingsError, match="could not be written") as caught:
            store.save("shop", "canary-2" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "canary-2" not in str(caught.value)
    assert store.load("shop") == "old"
    assert [path.name for path in state.iterdir()] == ["shop.json"]


@pytest.mark.process
@root
def test_a_full_disk_leaves_the_old_value(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        store = FileStore(disk / "state", "file")
        store.save("shop", "old")
        with pytest.raises(franking.SettingsError, match="No space left") as caught:
            store.save("shop", "x" * 200_000)
        assert caught.value.evidence and caught.value.evidence.reason == "unwritable"
        assert store.load("shop") == "old"
        assert [path.name for path in (disk / "state").iterdir()] == ["shop.json"]
        store.save("shop", "new")  # what failed took no room away
        assert store.load("shop") == "new"
    finally:
        subprocess.run(["umount", disk], check=True)


WRITER = """
import sys
from franking.auth.store import FileStore
store = FileStore(sys.argv[1], "file")
number = int((store.load("shop") or "0").partition(":")[0])
while True:
    number += 1
    store.save("shop", f"{number}:" + chr(97 + number % 26) * 30000)
"""


@pytest.mark.process
@posix
def test_kill_at_any_point_leaves_a_whole_file(state: Path) -> None:
    store = FileStore(state, "file")
    store.save("shop", "0:")
    for attempt in range(12):
        before = store.load("shop")
        with subprocess.Popen([sys.executable, "-c", WRITER, str(state)]) as writer:
            while store.load("shop") == before:  # pytest's time-out bounds it
                time.sleep(0.001)
            time.sleep(0.0007 * attempt)  # another point each time; the moment itself does not matter
            writer.kill()
        number, _, letters = (store.load("shop") or "").partition(":")
        assert letters == chr(97 + int(number) % 26) * 30000
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in state.glob(".*.tmp"))


def test_what_killed_writers_left_goes_with_a_later_write_and_all_of_it_with_a_logout(state: Path) -> None:
    store = FileStore(state, "file")
    store.save("shop", "one")
    old, young = (state / f".shop.json.{number}-abcd.tmp" for number in (1, 2))
    for draft in (old, young):
        draft.write_text("half a grant")
    os.utime(old, (time.time() - 4000,) * 2)
    store.save("shop", "two")
    assert (old.exists(), young.exists(), store.load("shop")) == (False, True, "two")
    store.delete("shop")
    assert sorted(path.name for path in state.iterdir()) == []


@pytest.mark.process
@posix
def test_a_lock_keeps_other_processes_out_for_a_bounded_time(state: Path) -> None:
    code = """
import sys
from franking.auth.store import FileStore
with FileStore(sys.argv[1]).lock("shop"):
    print("locked", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(state)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as other:
        assert other.stdout and other.stdin
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(franking.SendError) as caught, FileStore(state, wait=0.1).lock("shop"):
            pass
        assert caught.value.temporary
        assert caught.value.evidence and caught.value.evidence.reason == "lock-timeout"
        with FileStore(state, wait=0.1).lock("other"):
            pass
        other.kill()
    with FileStore(state, wait=5).lock("shop"):  # a killed holder holds nothing
        pass


def test_a_lock_keeps_other_threads_out_for_a_bounded_time(state: Path) -> None:
    for one, two in ((FileStore(state), FileStore(state, wait=0.05)), (MemoryStore(wait=0.05),) * 2):
        with one.lock("shop"):
            with pytest.raises(franking.SendError) as caught, two.lock("shop"):
                pass
            assert caught.value.temporary


# --- the environment --------------------------------------------------------------------------------------------------


def test_the_environment_chooses_the_store(tmp_path: Path) -> None:
    assert open_store({"FRANKING_STATE_DIR": str(tmp_path)}).directory == tmp_path
    assert open_store({"FRANKING_STATE_DIR": "~/x"}).directory == Path.home() / "x"
    assert open_store({}).directory.is_absolute()
    assert [open_store({"FRANKING_STORE": mode}).mode for mode in ("file", "KEYRING", "auto", "")] == [
        "file",
        "keyring",
        "auto",
        "auto",
    ]
    assert open_store({"FRANKING_STORE_KEY": "k" * 16}).mode == "encrypted"
    assert open_store({"FRANKING_STORE": "auto", "FRANKING_STORE_KEY": "k" * 16}).mode == "auto"
    with pytest.raises(franking.SettingsError, match="auto, file, encrypted, keyring"):
        open_store({"FRANKING_STORE": "vault"})
    with pytest.raises(franking.SettingsError, match="FRANKING_STORE_KEY is not set"):
        open_store({"FRANKING_STORE": "encrypted"})
    assert "secret-key" not in repr(open_store({"FRANKING_STORE_KEY": "secret-key-of-mine"}))


@pytest.mark.parametrize("save", ["password", "grant"])
def test_a_secret_is_saved_under_the_accounts_lock(save: str) -> None:
    told: list[str] = []

    class Watched(MemoryStore):
        @contextmanager
        def lock(self, key: str) -> Iterator[None]:
            told.append(f"lock {key}")
            with super().lock(key):
                yield
            told.append("unlock")

        def save(self, key: str, value: str) -> None:
            told.append(f"save {key}")
            super().save(key, value)

    store, before = Watched(), time.time()
    shop = Account(name="shop", provider="smtp", sender="a@novak.cz", host="SMTP.Novak.cz.", port=465)
    if save == "password":
        save_password(store, shop, "hunter2 ")
        stored = loads(store.load("shop") or "")
        assert isinstance(stored, Password)
        assert (stored.value, stored.source) == ("hunter2 ", "store")
        assert stored.bound == {"provider": "smtp", "host": "smtp.novak.cz"}
        assert before <= stored.saved_at <= time.time()
    else:
        grant = Grant("gmail", "gmail-api", "a@b.cz", ("send",), 1.0, 2.0, "token", 3.0, {"refresh_token": "r"})
        save_grant(store, shop, grant)
        assert loads(store.load("shop") or "") == replace(grant, bound={"provider": "smtp", "host": "smtp.novak.cz"})
    assert told == ["lock shop", "save shop", "unlock"]
