"""Files written whole or not at all, whatever fails meanwhile; directories of one's own; locks."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from franking import atomic
from franking.atomic import held, locked, make_private, sweep, write_whole
from franking.errors import SendError, SettingsError

posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX")
OLD, NEW = b"old " * 10_000, b"new " * 20_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "files" / "x.json"
    found.parent.mkdir()
    found.write_bytes(OLD)
    return found


def watch(monkeypatch: pytest.MonkeyPatch, look: Callable[[str], None]) -> None:
    """Call ``look`` before and after every step that a write takes."""

    def watched(real: Callable[..., object], name: str) -> Callable[..., object]:
        def around(*args: object) -> object:
            look(f"before {name}")
            result = real(*args)
            look(f"after {name}")
            return result

        return around

    monkeypatch.setattr(os, "fchmod", watched(os.fchmod, "fchmod"))
    monkeypatch.setattr(os, "fsync", watched(os.fsync, "fsync"))
    monkeypatch.setattr(Path, "replace", watched(Path.replace, "replace"))


# --- writing ----------------------------------------------------------------------------------------------------------


@posix
def test_every_reader_at_every_moment_sees_a_whole_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, bool]] = []

    def look(step: str) -> None:
        content = path.read_bytes()
        assert content in (OLD, NEW)
        seen.append((step, content == NEW))

    watch(monkeypatch, look)
    write_whole(path, NEW)
    assert seen == [
        ("before fchmod", False),
        ("after fchmod", False),
        ("before fsync", False),  # the content is on the disk before its name is
        ("after fsync", False),
        ("before replace", False),
        ("after replace", True),
        ("before fsync", True),  # and so is the name, before anybody is told
        ("after fsync", True),
    ]


STEPS = ("fchmod", "fsync", "replace")


@posix
@pytest.mark.parametrize("step", [f"{when} {step}" for step in STEPS for when in ("before", "after")])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    step: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(now: str) -> None:
        if now == step:
            raise OSError(28, "No space left on device")

    watch(monkeypatch, look)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, NEW)
    assert path.read_bytes() == (NEW if step == "after replace" else OLD)
    assert os.listdir(path.parent) == ["x.json"]


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("step", [f"{when} {step}" for step in STEPS for when in ("before", "after")])
def test_a_writer_that_is_killed_leaves_a_whole_file(step: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch(monkeypatch, lambda now: os._exit(9) if now == step else None)
    child = os.fork()
    if child == 0:
        write_whole(path, NEW)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert path.read_bytes() == (NEW if step == "after replace" else OLD)
    for draft in path.parent.glob(".*"):
        assert stat.S_IMODE(draft.stat().st_mode) == 0o600


@posix
def test_a_new_file_is_private_and_another_keeps_its_mode(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = os.umask(0)
    try:
        write_whole(path, NEW)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o664)
        os.umask(0o077)
        write_whole(path, OLD, like=path.stat())
        assert stat.S_IMODE(path.stat().st_mode) == 0o664
    finally:
        os.umask(mask)


def test_what_killed_writers_left_is_removed_after_ten_minutes(path: Path) -> None:
    others = [path.parent / name for name in (".y.json.1-2.tmp", ".x.json.1-2.txt", "x.json.tmp")]
    drafts = {seconds: path.parent / f".x.json.{seconds}-2.tmp" for seconds in (0, 590, 610)}
    for file in (*others, *drafts.values()):
        file.write_text("half")
    for seconds, draft in drafts.items():
        os.utime(draft, (time.time() - seconds,) * 2)
    for other in others:
        os.utime(other, (1, 1))
    write_whole(path, NEW)
    assert [seconds for seconds, draft in drafts.items() if draft.exists()] == [0, 590]
    sweep(path, 0)
    assert not any(draft.exists() for draft in drafts.values())
    assert all(other.exists() for other in others)


def test_windows_refuses_for_a_moment_while_somebody_reads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, refused = Path.replace, [0]

    def replace(draft: Path, target: Path) -> Path:
        refused[0] += 1
        if refused[0] < busy:
            raise PermissionError(13, "Access is denied")
        return real(draft, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(atomic, "time", SimpleNamespace(sleep=lambda seconds: None, time=time.time))
    busy = 2
    with pytest.raises(PermissionError):
        write_whole(path, NEW)  # elsewhere it means what it says
    assert (refused, path.read_bytes(), os.listdir(path.parent)) == ([1], OLD, ["x.json"])
    monkeypatch.setattr(atomic, "os", SimpleNamespace(name="nt"))
    busy, refused[0] = 100, 0  # a second's patience, and no more
    atomic._rename(path, path)
    busy, refused[0] = 101, 0
    with pytest.raises(PermissionError):
        atomic._rename(path, path)
    assert refused == [100]


# --- directories ------------------------------------------------------------------------------------------------------


@posix
def test_directories_that_are_missing_are_made_for_this_user_alone(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir(mode=0o755)
    mask = os.umask(0o177)
    try:
        make_private(there / "a" / "b")
    finally:
        os.umask(mask)
    modes = [stat.S_IMODE(made.stat().st_mode) for made in (there, there / "a", there / "a" / "b")]
    assert modes == [0o755, 0o700, 0o700]
    make_private(there)
    assert stat.S_IMODE(there.stat().st_mode) == 0o755
    with pytest.raises(NotADirectoryError):
        (tmp_path / "file").touch()
        make_private(tmp_path / "file" / "a")


# --- locks ------------------------------------------------------------------------------------------------------------


def test_a_lock_lets_one_in_at_a_time_and_bounds_the_wait(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with locked(lock, "It", 5.0):
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        began = time.monotonic()
        with pytest.raises(SendError, match=r"It has been in use by another program for 0\.2 seconds") as caught:
            locked(lock, "It", 0.2).__enter__()
        assert 0.15 < time.monotonic() - began < 2
    assert caught.value.temporary
    assert caught.value.evidence is not None and caught.value.evidence.reason == "lock-timeout"
    with locked(lock, "It", 0.0):
        pass


def test_another_programs_lock_is_waited_for_no_longer(tmp_path: Path) -> None:
    import filelock

    with (
        filelock.FileLock(tmp_path / "x.lock", thread_local=False),
        pytest.raises(SendError, match="in use by another program"),
        locked(tmp_path / "x.lock", "It", 0.1),
    ):
        pytest.fail("both have it")


def test_a_lock_file_that_cannot_be_made_is_a_setting_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="could not be locked") as caught:
        locked(tmp_path / "file" / "x", "It", 1.0).__enter__()
    assert caught.value.evidence is not None and caught.value.evidence.reason == "unwritable"


TEMPORARY = [
    errno.EINVAL,
    errno.ENOLCK,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EIO,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.ESTALE,
]


@pytest.mark.parametrize("number", TEMPORARY, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["open", "flock"])
def test_a_system_that_cannot_lock_now_is_a_temporary_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os if call == "open" else fcntl, call, fail)
        with pytest.raises(SendError, match="could not be locked") as caught:
            locked(tmp_path / "x", "It", 1.0).__enter__()
    assert caught.value.temporary
    with locked(tmp_path / "x", "It", 0.0):
        pass  # nothing was left open or locked


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_lock_file_that_is_somebody_elses_is_no_reason_to_go_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "x").touch()

    def fail(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched, pytest.raises(SendError) as caught:
        patched.setattr(os, "open", fail)
        locked(tmp_path / "x", "It", 1.0).__enter__()
    assert caught.value.temporary


@posix
def test_a_lock_in_a_directory_that_is_not_ours_is_a_setting_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").touch()

    def fail(*_: Any) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patched, pytest.raises(SettingsError, match="Permission denied"):
        patched.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
        patched.setattr(os, "open", fail)
        locked(tmp_path / "x", "It", 1.0).__enter__()


def test_a_lock_file_is_never_followed_through_a_link_and_nothing_is_written_into_it(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "x").symlink_to("victim")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("x", "dangling"):
        with pytest.raises(SettingsError, match="is a symbolic link") as caught:
            locked(tmp_path / name, "It", 1.0).__enter__()
        assert caught.value.evidence is not None and caught.value.evidence.reason == "link"
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "hard").hardlink_to(tmp_path / "victim")
    with locked(tmp_path / "hard", "It", 1.0):
        pass
    assert (tmp_path / "victim").read_text() == "kept"


def test_a_lock_file_that_is_removed_meanwhile_lets_no_two_in(tmp_path: Path) -> None:
    path = tmp_path / "x"
    (tmp_path / "other").symlink_to(tmp_path)
    inside: list[str] = []

    def second() -> None:
        with locked(tmp_path / "other" / "x", "It", 5.0):  # another path: not the lock of this process's threads
            inside.append("second")

    first = open(path, "w")  # noqa: SIM115
    fcntl.flock(first, fcntl.LOCK_EX)
    waiting = threading.Thread(target=second)
    waiting.start()
    time.sleep(0.1)
    path.unlink()  # as somebody who tidies up does
    with locked(path, "It", 5.0):
        first.close()  # gives the old file's lock to who waits for it
        time.sleep(0.2)
        assert inside == []
    waiting.join()
    assert inside == ["second"]


def test_where_there_is_no_flock_filelock_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import filelock  # noqa: F401  (while there is fcntl: without it filelock warns)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    (tmp_path / "other").symlink_to(tmp_path)
    with locked(tmp_path / "x", "It", 1.0), pytest.raises(SendError, match="in use by another program"):
        locked(tmp_path / "other" / "x", "It", 0.1).__enter__()
    for problem in (OSError(errno.EIO, "x"), NotImplementedError("no flock")):
        monkeypatch.setattr("filelock.FileLock.acquire", lambda lock, problem=problem: _raise(problem))
        with pytest.raises(SendError, match="could not be locked"):
            locked(tmp_path / "x", "It", 1.0).__enter__()


def _raise(problem: Exception) -> None:
    raise problem


def test_a_failure_inside_gives_the_lock_back() -> None:
    lock = threading.Lock()
    with pytest.raises(KeyError), held(lock, "It", 1.0):
        raise KeyError
    assert not lock.locked()
