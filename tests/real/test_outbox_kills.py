"""Runners, and those who put mail into an outbox, are killed while a proxy before Postfix spoils one connection in
three: what was put down is in the mailbox exactly once, or unknown, or was refused.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from outbox.killing import Kills, kills
from outbox.test_outbox import save
from servers.proxy import Injection, Proxy

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(3600)]
STEPS = ("mail", "rcpt", "final")
KINDS = ("reset", "4xx", "5xx", "421", "garbage", "wrong code", "extra reply")


@pytest.mark.parametrize("without", [(), ("chunking",)], ids=["one flight", "groups"])
@pytest.mark.parametrize(("runners", "window"), [(1, 1), (4, 1), (1, 16), (4, 16)])
def test_what_was_put_down_arrives_once(postfix: Any, runners: int, window: int, without: tuple[str, ...]) -> None:
    chance, faults = random.Random(7), 0

    def fault() -> Injection | None:
        nonlocal faults
        if chance.random() > 1 / 3:
            return None
        faults += 1
        return Injection(chance.choice(STEPS), chance.choice(KINDS), chance.randint(1, 3))

    before = set(postfix.inbox.names())
    with Proxy(postfix.plain_port, each=fault) as proxy:
        save(proxy.port, without=list(without), final_timeout=5)
        killed = Kills.run(kills(25), runners, window=window)
        proxy.each = None
        box = killed.finish()
    postfix.settle()
    new = set(postfix.inbox.names()) - before
    killed.judge(box, lambda entry: postfix.inbox.copies(entry.message_id), faults)
    assert new <= {entry.message_id for entry in box.list(limit=1_000_000)}  # nothing went that is not there
