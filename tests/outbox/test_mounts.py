"""A disk of a megabyte, really mounted: full, freed, read-only. What fails at which write is ``test_disk.py``'s."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import franking
from commandline import franking as command
from outbox.test_outbox import large, save
from servers.smtp import SmtpServer

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount"),
]
Mount = Callable[[str], None]


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mount]:
    """Mount a small disk for the outbox; called again it changes the disk's options."""
    place = tmp_path / "disk"
    place.mkdir(mode=0o700)
    begun = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "franking", place], capture_output=True, text=True
    )
    if begun.returncode:
        pytest.skip(f"nothing can be mounted here: {begun.stderr}")
    monkeypatch.setenv("FRANKING_OUTBOX", str(place / "outbox"))
    try:
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", place], check=True) and None
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(octets: int) -> list[str]:
    """Put messages in until there is no room; return the ids of those that are in."""
    put = []
    with franking.connect("shop") as mailer:
        for _ in range(1000):
            message = (
                large(b"x" * octets) if octets > 100_000 else franking.Message(to="a@example.com", text="y" * octets)
            )
            try:
                put.append(mailer.queue(message).id)
            except franking.SendError as full:
                assert full.temporary, full
                return put
    raise AssertionError("it never got full")


@pytest.mark.parametrize("octets", [500, 20_000, 200_000])
def test_a_full_disk_keeps_what_was_told_and_goes_on_when_there_is_room(octets: int, mount: Mount) -> None:
    with SmtpServer() as server:
        save(server.port)
        put = fill(octets)
        assert command("outbox", "list", "--json").code == 0
        sent = command("send", "shop", "--to", "a@example.com", "--text", "y" * octets, "--queue")
        assert sent.code in (0, 5)  # a smaller one may still fit
        command("outbox", "run", "--once")  # what it can write down it may send
        mount("size=8m")
        assert command("outbox", "run", "--once").code in (0, 3)
        box = franking.Outbox()
        ended = {name: box.get(name).state for name in put}
        box.close()
    assert set(ended.values()) <= {"accepted", "unknown"}
    assert list(ended.values()).count("accepted") >= len(put) - 1
    assert len(put) <= len(server.messages) <= len(put) + 1


def test_a_read_only_disk_says_so_and_loses_nothing(mount: Mount) -> None:
    with SmtpServer() as server:
        save(server.port)
        box = franking.Outbox()
        (entry,) = box.put_many("shop", [franking.Message(to="a@example.com", text="x")])
        box.close()
        mount("ro")
        refused = command("send", "shop", "--to", "a@example.com", "--text", "x", "--queue")
        assert (refused.code, "Traceback" in refused.err) == (2, False)
        assert "outbox" in refused.err
        assert command("outbox", "run", "--once").code == 2
        assert server.messages == []
        mount("rw")
        assert command("outbox", "run", "--once").code == 0
        assert box.get(entry.id).state == "accepted"
        box.close()
    assert len(server.messages) == 1
