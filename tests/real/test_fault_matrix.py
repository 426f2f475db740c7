"""The fault matrix before real servers: a proxy spoils one step, and what the report says is compared with what was
delivered.

The verdicts are those of ``faults/smtp_table.py``, the very table by which the scripted server is judged. Whoever
trusts a report must be right: a message that is called accepted is there once, one that is surely not sent is not
there. All steps of a fault are done at the same time.
"""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

import franking
from faults.smtp_outcome import CHUNK, LARGE_BODY, SMALL_BODY, Outcome, act, harmless, seen
from faults.smtp_table import ACCEPTED, FAULTS, STEPS, WAITING, Expected, allowed, expected
from franking.errors import FrankingError
from franking.message.address import Envelope
from servers.daemon import START, in_use
from servers.dialogue import Raw
from servers.dovecot import PASSWORDS
from servers.proxy import Dripping, Injection, Proxy

USER = "info@example.cz"
ENVELOPE = Envelope(USER, ["jana@example.com"])
WITHOUT = {"chunking": [], "pipelining": ["chunking"], "dialogue": ["chunking", "pipelining"]}
TLS_STEPS = ("starttls", "tls", "ehlo again")
WAYS = [
    (server, security, way)
    for server in ("postfix", "dovecot")
    for security, way in [("none", "chunking"), ("none", "pipelining"), ("none", "dialogue"), ("starttls", "chunking")]
]


@dataclass
class Cell:
    """One step, one fault, one message."""

    step: str
    wanted: Expected
    content: Raw
    told: Expected = ACCEPTED
    error: FrankingError | None = None
    reached: bool = False


class Place:
    """A real server with its proxies."""

    def __init__(self, request: pytest.FixtureRequest, server: str, security: str) -> None:
        self.postfix, self.certificates = request.getfixturevalue("postfix"), request.getfixturevalue("certificates")
        self.trust, self.server, self.security = request.getfixturevalue("trust"), server, security
        if server == "dovecot":
            dovecot = request.getfixturevalue("dovecot")
            self.port, self.ports = dovecot.port, (dovecot.port, dovecot.tls_port)
        else:
            self.port, self.ports = self.postfix.plain_port if security == "none" else self.postfix.port, ()

    def proxy(self, injection: Injection | None) -> Proxy:
        return Proxy(
            self.port, injection, security=self.security, context=self.certificates.context(), trust=self.trust
        )

    def account(self, proxy: Proxy, **settings: Any) -> franking.Account:
        given = {"ca_file": str(self.certificates.ca)} if self.security != "none" else {}
        given |= {
            "host": "localhost",
            "port": proxy.port,
            "security": self.security,
            "username": USER,
            "auth": "plain",
            **settings,
        }
        return franking.Account(name="real", provider="smtp", sender=USER, **given)

    def copies(self, names: list[str]) -> dict[str, int]:
        """Wait until nothing can happen any more, and count."""
        deadline = time.monotonic() + START
        while in_use(self.ports):
            assert time.monotonic() < deadline, f"{self.server} does not come to rest"
            time.sleep(0.01)
        self.postfix.settle()
        return {name: self.postfix.inbox.copies(name) for name in names}


def message(large: bool = False) -> Raw:
    name = f"<{uuid.uuid4()}@example.cz>"
    head = f"Message-ID: {name}\r\n".encode()
    return Raw(head + (LARGE_BODY if large else SMALL_BODY), message_id=name, chunk=CHUNK)


def do(place: Place, fault: str, way: str, wait: float, cell: Cell) -> None:
    with place.proxy(Injection(cell.step, fault)) as proxy:
        outcome = Outcome(proxy.ready)
        auth = "cram-md5" if cell.step in ("auth question", "auth answer") else "plain"
        given = place.account(proxy, timeout=wait, final_timeout=wait, auth=auth, without=WITHOUT[way])
        try:
            act(cell.step, given, PASSWORDS[USER], outcome, ENVELOPE, cell.content, nobody="nobody@example.com")
            cell.told, cell.error = seen(outcome, given), outcome.error
        finally:
            proxy.over.set()
            outcome.close()
        cell.reached = proxy.done.is_set()


def wanted(step: str, fault: str, way: str, security: str) -> Expected:
    found = expected(step, fault, way)
    assert found is not None
    # what comes with the answer to EHLO is seen before the next command: there, the login
    return replace(found, step="tls") if (step, fault, security) == ("ehlo", "extra reply", "starttls") else found


def steps(security: str, way: str, fault: str) -> list[str]:
    """Return the steps of a way at which there is such a fault; at the TCP handshake nobody can be a proxy."""
    here = [step for step in STEPS if step != "connect" and (security != "none" or step not in TLS_STEPS)]
    return [step for step in here if expected(step, fault, way) is not None]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("server", "security", "way"), WAYS)
def test_the_report_agrees_with_the_delivery(
    request: pytest.FixtureRequest, server: str, security: str, way: str, fault: str
) -> None:
    place = Place(request, server, security)
    left = steps(security, way, fault)
    wrong: list[str] = []
    for wait in (
        (0.5, 3.0, 15.0) if fault in WAITING else (20.0,)
    ):  # seconds: what is not reached on a busy machine is tried again, with patience
        cells = [Cell(step, wanted(step, fault, way, security), message(step == "content")) for step in left]
        with ThreadPoolExecutor(len(cells)) as pool:
            list(pool.map(partial(do, place, fault, way, wait), cells))
        copies = place.copies([cell.content.message_id for cell in cells])
        for cell in cells:
            there = copies[cell.content.message_id]
            true = there == 1 if cell.error is None else there <= 1 if cell.error.possibly_sent else there == 0
            right = cell.told == cell.wanted or cell.told in allowed(cell.step, fault, way, apart=True)[1:]
            if not true or (cell.reached and not right):
                wrong.append(f"{cell.step}: {there} delivered; told {cell.told}, wanted {cell.wanted}: {cell.error}")
            if cell.error is not None:
                harmless(cell.error, PASSWORDS[USER])
        left = [cell.step for cell in cells if not cell.reached]
        if not left:
            break
    assert not wrong, "\n".join(wrong)
    assert not left, f"never reached: {left}"


@pytest.mark.parametrize("way", WITHOUT)
def test_a_whole_connection_octet_by_octet(login_endpoint: Any, way: str) -> None:
    """TLS too: each octet in a segment of its own, in both directions."""
    content = message()
    with Dripping(login_endpoint.port) as proxy:
        account = login_endpoint.account(port=proxy.port, timeout=20.0, without=WITHOUT[way])
        with franking.connect(account, secret=PASSWORDS[USER]) as mailer:
            assert mailer.send(content.data, envelope=ENVELOPE).accepted
    login_endpoint.inbox.find(content.message_id)
