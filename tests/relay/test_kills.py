"""A relay that is killed at any moment: what was answered 250 arrives once or is unknown, what was not at most once.

``FRANKING_KILLS=300 pytest -m process tests/relay/test_kills.py`` kills more often than the tests do each time.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import franking
from relay.conftest import save
from servers.smtp import SmtpServer

KILLS = int(os.environ.get("FRANKING_KILLS") or 15)
IN_DATABASE = 256 * 1024  # larger messages are files


@pytest.mark.process
@pytest.mark.timeout(60 + 3 * KILLS)
def test_a_relay_that_is_killed_loses_nothing_and_doubles_nothing() -> None:
    with SmtpServer() as server:
        save(server.port)
        program = Path(__file__).with_name("kills.py")
        done = subprocess.run(
            [sys.executable, str(program), str(KILLS), "7"], stdout=subprocess.PIPE, text=True, check=True
        )
        box = franking.Outbox()
        until = time.monotonic() + 30
        while box.counts()["queued"] + box.counts()["sending"] and time.monotonic() < until:
            box.run(once=True)
        arrived = Counter(
            int(found[1]) for message in server.messages if (found := re.search(rb"Subject: (\d+)", message.data))
        )
        doubtful = box.list(state="unknown", limit=10_000)
        unknown = Counter(int(entry.subject) for entry in doubtful)
    said: dict[int, list[str]] = {}
    for line in done.stdout.splitlines():
        number, _, reply = line.partition(" ")
        said.setdefault(int(number), []).append(reply)
    assert sum(reply == "-" for replies in said.values() for reply in replies) > 0, "nothing was interrupted"
    wrong = {}
    for number, replies in said.items():
        answered = any(reply.startswith("250") for reply in replies)
        times, doubts = arrived[number], unknown[number]
        # an unknown one may have arrived: a message that did, and of which nobody could say so
        if times > 1 or (answered and times + doubts == 0):
            wrong[number] = (replies, times, doubts)
    assert wrong == {}
    # a file that was written for a commit that never came, or whose message went as its relay died, stays for an hour
    bodies = box.directory / "bodies"
    for path in bodies.iterdir():
        os.utime(path, (0, 0))
    box.purge()
    needed = {f"{entry.id}.eml" for entry in doubtful if entry.bytes > IN_DATABASE}
    assert {path.name for path in bodies.iterdir()} == needed
