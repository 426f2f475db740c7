"""Many messages on one connection to real servers, with and without a window: each arrives once, unchanged, and its result says so."""

from __future__ import annotations

from typing import Any

import pytest

import franking
from servers.delay import Delay

from .test_delivery import raw

COUNT = 40


@pytest.mark.parametrize("without", [(), ("chunking",), ("chunking", "pipelining")], ids=["all", "no-chunking", "plain"])
@pytest.mark.parametrize("window", [1, 16])
def test_many_messages_on_one_connection(road: Any, window: int, without: tuple[str, ...]) -> None:
    messages = [raw(b"number %d\r\n.\r\n" % number * (number * 37 % 500 + 1)) for number in range(COUNT)]
    with Delay(road.port) as proxy:
        with road.connect(window=window, without=without, port=proxy.port) as mailer:
            results = list(mailer.send_many(octets for _, octets in messages))
        assert proxy.connections == 1
    assert sorted(result.index for result in results) == list(range(COUNT))
    assert {result.outcome for result in results} == {"accepted"}
    arrived = road.inbox.find_all([name for name, _ in messages])
    assert arrived == dict(messages)
    assert all(road.inbox.copies(name) == 1 for name, _ in messages)


@pytest.mark.parametrize("window", [1, 8])
def test_refusals_in_between_touch_only_their_own_message(login_road: Any, window: int) -> None:
    messages = [raw(b"number %d\r\n" % number) for number in range(24)]
    octets = [
        text.replace(b"To: jana@example.com", b"To: nobody@example.cz") if number % 3 == 1 else text
        for number, (_, text) in enumerate(messages)
    ]
    with login_road.connect(window=window) as mailer:
        results = {result.index: result for result in mailer.send_many(octets)}
    assert sorted(results) == list(range(24))
    assert [results[number].outcome for number in range(24)] == ["refused" if number % 3 == 1 else "accepted" for number in range(24)]
    assert isinstance(results[1].error, franking.RecipientsRefused)
    good = {name: text for number, (name, text) in enumerate(messages) if number % 3 != 1}
    assert login_road.inbox.find_all(list(good)) == good
    assert all(login_road.inbox.copies(name) == (0 if number % 3 == 1 else 1) for number, (name, _) in enumerate(messages))


def test_many_with_bodies_larger_than_one_flight(login_road: Any) -> None:
    messages = [raw(b"x" * 70 + b"\r\n.\r\n" + b"y" * 70 + b"\r\n" * (3000 if number % 2 else 1)) for number in range(6)]
    messages += [raw((b"z" * 76 + b"\r\n") * 4000) for _ in range(4)]
    with login_road.connect(window=4) as mailer:
        results = list(mailer.send_many(octets for _, octets in messages))
    assert {result.outcome for result in results} == {"accepted"}
    assert login_road.inbox.find_all([name for name, _ in messages]) == dict(messages)
