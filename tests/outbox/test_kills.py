"""Killed at any moment, an outbox has lost nothing and doubled nothing, and is usable without repair."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import franking
from outbox.test_outbox import message_id, save
from servers.smtp import SmtpServer

pytestmark = [pytest.mark.process, pytest.mark.slow]

PROGRAM = Path(__file__).parent / "kills.py"


@pytest.mark.parametrize(("kills", "runners"), [(500, 1), (500, 4)])
@pytest.mark.timeout(300)
def test_a_thousand_kills_lose_nothing_and_double_nothing(kills: int, runners: int) -> None:
    with SmtpServer() as server:
        save(server.port)
        ended = subprocess.run(
            [sys.executable, str(PROGRAM), str(kills), str(runners), "7"], capture_output=True, text=True, check=True
        )
        box = franking.Outbox()
        box.run(once=True)  # takes over what the dead had
        for _ in range(3):
            for entry in box.list(state="queued", limit=100_000):
                box.retry(entry.id)
            box.run(once=True)
    promised = {line.split()[0] for line in ended.stdout.splitlines()}
    entries = {entry.id: entry for entry in box.list(limit=100_000)}
    assert promised <= entries.keys()  # what queue returned for is there
    arrived = Counter(message_id(received.data) for received in server.messages)
    states = Counter(entry.state for entry in entries.values())
    assert set(states) <= {"accepted", "unknown"}, states
    for entry in entries.values():
        times = arrived.pop(entry.message_id, 0)
        assert times == 1 if entry.state == "accepted" else times <= 1, (entry, times)
    assert not arrived  # nothing went that is not there
    assert len(promised) > kills // 4
    assert states["accepted"] > states["unknown"]
