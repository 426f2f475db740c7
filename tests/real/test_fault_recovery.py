"""Recovery before real servers: a proxy spoils the second message of a connection, and what a mailer then does leaves
one copy or a true report.

A connection that the server closed before anything of a message left is replaced without a word; whatever may have been
accepted is not sent again.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

import franking
from faults.smtp_table import FAULTS, WAITING
from franking.errors import FrankingError
from servers.dovecot import PASSWORDS
from servers.proxy import Injection, Proxy

USER = "info@example.cz"
STEPS = ("rset", "mail", "rcpt", "data", "final")
WAYS = {"chunking": [], "pipelining": ["chunking"], "dialogue": ["chunking", "pipelining"]}
MESSAGES = 5


def mail() -> franking.Message:
    return franking.Message(
        to="jana@example.com", subject="x", text="y" * 300, message_id=f"<{uuid.uuid4()}@example.cz>"
    )


def connect(proxy: Proxy, way: str, wait: float, **settings: Any) -> franking.Mailer:
    account = franking.Account(
        name="real",
        provider="smtp",
        sender=USER,
        host="127.0.0.1",
        port=proxy.port,
        security="none",
        username=USER,
        timeout=wait,
        final_timeout=wait,
        without=WAYS[way],
    )
    return franking.connect(account, secret=PASSWORDS[USER], **settings)


def one_by_one(port: int, kind: str, way: str, step: str) -> list[tuple[str, str, bool]]:
    """Send three messages over one mailer, with a fault in the second; give each Message-ID with what was told, and
    whether the fault happened.
    """
    told = []
    with Proxy(port, Injection(step, kind, nth=1 if step == "rset" else 2)) as proxy:
        with connect(proxy, way, 1.0 if kind in WAITING else 20.0) as mailer:
            for message in (mail(), mail(), mail()):
                try:
                    mailer.send(message)
                    told.append((str(message.message_id), "accepted"))
                except FrankingError as error:
                    told.append((str(message.message_id), "unknown" if error.possibly_sent else "failed"))
            proxy.over.set()
        happened = proxy.done.is_set()
    return [(name, word, happened) for name, word in told]


def many(port: int, kind: str, way: str, step: str) -> list[tuple[str, str, bool]]:
    """Send five messages with a window of three, with a fault in the third."""
    messages = [mail() for _ in range(MESSAGES)]
    with Proxy(port, Injection(step, kind, nth=3)) as proxy:
        with connect(proxy, way, 1.0 if kind in WAITING else 20.0, window=3) as mailer:
            results = {result.index: result for result in mailer.send_many(messages)}
            proxy.over.set()
        happened = proxy.done.is_set()
    assert sorted(results) == list(range(MESSAGES)), "a result for each, none lost"
    words = {index: "accepted" if result.receipt is not None else result.outcome for index, result in results.items()}
    return [(str(message.message_id), words[index], happened) for index, message in enumerate(messages)]


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind != "too early"])
@pytest.mark.parametrize("send", [one_by_one, many])
def test_a_fault_in_the_middle_loses_nothing_and_doubles_nothing(postfix: Any, send: Any, kind: str) -> None:
    cells = [
        (way, step)
        for way in WAYS
        for step in STEPS
        if not (step == "data" and way == "chunking") and not (step == "rset" and send is many)
    ]
    with ThreadPoolExecutor(len(cells)) as pool:
        told = list(pool.map(lambda cell: partial(send, postfix.plain_port, kind)(*cell), cells))
    postfix.settle()
    wrong = []
    for cell, results in zip(cells, told, strict=True):
        for name, word, _ in results:
            there = postfix.inbox.copies(name)
            if there > 1 or there != {"accepted": 1, "failed": 0, "refused": 0}.get(word, there):
                wrong.append(f"{cell}: told {word}, {there} there")
        if not any(happened for _, _, happened in results) and cell[1] != "rset":
            wrong.append(f"{cell}: the fault did not happen")
    assert not wrong, "\n".join(wrong)
