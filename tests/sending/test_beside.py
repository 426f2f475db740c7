"""The check of the From's domain beside a test message: it never changes how the message goes, and is never longer than
its time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import dns.resolver
import pytest

import franking
from franking.discovery import domain_check
from franking.errors import Refused
from franking.sending.testsend import check, send_test
from servers.dns import DnsServer
from servers.scripted import ScriptedProvider
from servers.zones import zone

pytestmark = pytest.mark.parametrize("scripted", [False], indirect=True, ids=["scripted"])


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[DnsServer]:
    monkeypatch.setattr(domain_check, "TIMEOUT", 60.0)
    with DnsServer(zone("example.com MX 1 mail.example.com")) as server:
        yield server


def test_what_receivers_may_distrust_is_told_and_changes_nothing(
    account: franking.Account, scripted: ScriptedProvider, names: DnsServer
) -> None:
    report = send_test(account, "me@example.cz", secret="x", resolver=names.resolver)
    assert report.ok and report.outcome == "sent" and report.deliverability is not None
    assert report.deliverability.verdict == "warning" and report.deliverability.account == "s"
    shown = str(report)
    assert shown.startswith("sent: me@example.cz") and "example.com has no SPF record" in shown
    assert len(scripted.sent) == 1


def test_without_it_nobody_is_asked(account: franking.Account, scripted: ScriptedProvider, names: DnsServer) -> None:
    report = send_test(account, "me@example.cz", secret="x", resolver=names.resolver, domain_check=False)
    assert report.ok and report.deliverability is None and not names.asked
    assert check(account, secret="x").deliverability is None


def test_a_failure_does_not_wait_for_it(account: franking.Account, scripted: ScriptedProvider) -> None:
    held = threading.Event()

    class Held:
        def resolve(self, *_: Any, **__: Any) -> Any:
            held.wait(60)
            raise dns.resolver.NoNameservers

    scripted.answers = [Refused("no")]
    try:
        report = send_test(account, "me@example.cz", secret="x", resolver=Held())
    finally:
        held.set()
    assert not report.ok and report.deliverability is None


def test_a_mistake_of_ours_is_logged_and_the_message_was_sent(
    account: franking.Account, scripted: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd:
        def resolve(self, *_: Any, **__: Any) -> Any:
            return [object()]

    with caplog.at_level(logging.ERROR):
        report = send_test(account, "me@example.cz", secret="x", resolver=Odd())
    assert report.ok and report.deliverability is None
    assert "was not checked" in caplog.text and "AttributeError" in caplog.text


def test_the_account_s_own_time_wins_where_it_is_less(
    account: franking.Account, scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []

    class Timed:
        def resolve(self, *_: Any, lifetime: float, **__: Any) -> Any:
            seen.append(lifetime)
            raise dns.resolver.NoNameservers

    send_test(account.replace(timeout=0.5), "me@example.cz", secret="x", resolver=Timed())
    send_test(account, "me@example.cz", secret="x", resolver=Timed())
    assert max(seen[:2]) <= 0.5 and 0.5 < max(seen) <= 3.0


def test_no_room_for_a_thread_is_no_reason_not_to_send(
    account: franking.Account, scripted: ScriptedProvider, names: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def full(thread: threading.Thread) -> None:
        if thread.name == "franking domain check":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", full)
    report = send_test(account, "me@example.cz", secret="x", resolver=names.resolver)
    assert report.ok and report.deliverability is None
    found = domain_check.check_domain("example.com", resolver=names.resolver, timeout=0.2)
    assert found.verdict == "unknown"
