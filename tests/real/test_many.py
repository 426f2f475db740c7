"""Many messages on one connection to real servers, with and without a window: each arrives once, unchanged, and its
result says so.
"""

from __future__ import annotations

import random
import re
import uuid
from typing import Any

import pytest

import franking
from servers.daemon import Certificates
from servers.delay import Delay
from servers.postfix import Postfix

from .conftest import Endpoint
from .test_delivery import raw

COUNT = 40


@pytest.mark.parametrize(
    "without", [(), ("chunking",), ("chunking", "pipelining")], ids=["all", "no-chunking", "plain"]
)
@pytest.mark.parametrize("window", [1, 16])
def test_many_messages_on_one_connection(endpoint: Any, window: int, without: tuple[str, ...]) -> None:
    messages = [raw(b"number %d\r\n.\r\n" % number * (number * 37 % 500 + 1)) for number in range(COUNT)]
    with Delay(endpoint.port) as proxy:
        with endpoint.connect(window=window, without=without, port=proxy.port) as mailer:
            results = list(mailer.send_many(octets for _, octets in messages))
        assert proxy.connections == 1
    assert sorted(result.index for result in results) == list(range(COUNT))
    assert {result.outcome for result in results} == {"accepted"}
    arrived = endpoint.inbox.find_all([name for name, _ in messages])
    assert arrived == dict(messages)
    assert all(endpoint.inbox.copies(name) == 1 for name, _ in messages)


@pytest.mark.parametrize("window", [1, 8])
def test_refusals_in_between_touch_only_their_own_message(login_endpoint: Any, window: int) -> None:
    messages = [raw(b"number %d\r\n" % number) for number in range(24)]
    octets = [
        text.replace(b"To: jana@example.com", b"To: nobody@example.cz") if number % 3 == 1 else text
        for number, (_, text) in enumerate(messages)
    ]
    with login_endpoint.connect(window=window) as mailer:
        results = {result.index: result for result in mailer.send_many(octets)}
    assert sorted(results) == list(range(24))
    assert [results[number].outcome for number in range(24)] == [
        "refused" if number % 3 == 1 else "accepted" for number in range(24)
    ]
    assert isinstance(results[1].error, franking.RecipientsRefused)
    good = {name: text for number, (name, text) in enumerate(messages) if number % 3 != 1}
    assert login_endpoint.inbox.find_all(list(good)) == good
    assert all(
        login_endpoint.inbox.copies(name) == (0 if number % 3 == 1 else 1) for number, (name, _) in enumerate(messages)
    )


def test_many_with_bodies_larger_than_one_flight(login_endpoint: Any) -> None:
    messages = [
        raw(b"x" * 70 + b"\r\n.\r\n" + b"y" * 70 + b"\r\n" * (3000 if number % 2 else 1)) for number in range(6)
    ]
    messages += [raw((b"z" * 76 + b"\r\n") * 4000) for _ in range(4)]
    with login_endpoint.connect(window=4) as mailer:
        results = list(mailer.send_many(octets for _, octets in messages))
    assert {result.outcome for result in results} == {"accepted"}
    assert login_endpoint.inbox.find_all([name for name, _ in messages]) == dict(messages)


def test_a_window_of_sixteen_with_refusals_in_the_middle(postfix: Postfix, certificates: Certificates) -> None:
    """Postfix with CHUNKING: senders, recipients and whole messages refused all over the window; each verdict and each
    delivery is the right one.
    """
    endpoint = Endpoint("postfix", "tls", postfix.tls_port, str(certificates.ca), postfix.inbox)
    chance = random.Random(16)
    kinds = [chance.choice(["good", "good", "good", "sender", "recipient", "partly"]) for _ in range(300)]
    run = uuid.uuid4().hex[:8]
    sent: dict[str, bytes] = {}
    jobs = []
    with endpoint.connect(window=16) as mailer:
        for number, kind in enumerate(kinds):
            mine = f"{run}-{number}@example.com"
            name, octets = raw(b"for %s\r\n.\r\n" % mine.encode() * (chance.choice([1, 10, 900])))
            octets = octets.replace(b"To: jana@example.com", f"To: {mine}".encode())
            to = {"recipient": ["nobody@example.cz"], "partly": ["nobody@example.cz", mine]}.get(kind, [mine])
            sender = "boss@example.com" if kind == "sender" else "info@example.cz"
            jobs.append(mailer.prepare(octets, envelope=franking.Envelope(sender, to)))
            if kind in ("good", "partly"):
                sent[name] = octets
        results = {result.index: result for result in mailer.send_many(jobs)}
    assert sorted(results) == list(range(300))
    for number, kind in enumerate(kinds):
        result = results[number]
        mine = f"{run}-{number}@example.com"
        assert result.outcome == ("accepted" if kind in ("good", "partly") else "refused"), (kind, result.error)
        if kind == "sender":
            assert "5.7.1" in str(result.error) and "boss@example.com" in str(result.error)
        elif kind == "recipient":
            assert isinstance(result.error, franking.RecipientsRefused)
            assert list(result.error.refused) == ["nobody@example.cz"]
        else:
            assert result.receipt is not None
            assert result.receipt.accepted == (mine,)
            assert list(result.receipt.refused) == (["nobody@example.cz"] if kind == "partly" else [])
    assert endpoint.inbox.find_all(list(sent)) == sent
    delivered = [path.read_bytes() for path in postfix.inbox.root.glob("**/new/*") if run.encode() in path.read_bytes()]
    assert len(delivered) == len(sent), "something arrived twice, or that had been refused"
    for octets in delivered:
        (to,) = re.findall(rb"^Delivered-To: (\S+)", octets, re.MULTILINE)
        assert to.startswith(run.encode())
        assert set(re.findall(rb"^for (\S+)", octets, re.MULTILINE)) == {to}, "a message reached another's recipient"


@pytest.mark.parametrize("login_endpoint", ["postfix-tls"], indirect=True)
@pytest.mark.parametrize("without", [(), ("chunking",)], ids=["all", "no-chunking"])
def test_ten_thousand_recipients_are_one_receipt(login_endpoint: Any, without: tuple[str, ...]) -> None:
    """Postfix takes a thousand in one transaction (``smtpd_recipient_limit``) and says 452 4.5.3 to the others: they go
    in further ones.
    """
    everybody = [f"r{number}@example.org" for number in range(10_000)]  # relayed, which means discarded here
    with Delay(login_endpoint.port) as proxy, login_endpoint.connect(without=without, port=proxy.port) as mailer:
        receipt = mailer.send(franking.Message(bcc=everybody, subject="x", text="y"))
        assert proxy.connections == 1
    assert sorted(receipt.accepted) == sorted(everybody)
    assert receipt.refused == {}
