"""Many messages by Gmail and Graph: as many TCP connections as workers, one token refresh, no discovery download, and
less when the service wants less.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import franking
from franking.sending.bulk import send_all
from franking.sending.queue import Queue, Run
from franking.sending.retry import Policy
from servers.services import SERVICES, Service

COUNT = 40


@pytest.fixture(params=SERVICES.values(), ids=SERVICES)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    with request.param(tmp_path) as service:
        yield service


def messages(count: int = COUNT) -> Iterator[franking.Message]:
    for number in range(count):
        yield franking.Message(to=["jana@example.cz"], subject=f"n{number}", text="Dobrý den\n")


@pytest.mark.parametrize("connections", [1, 4])
def test_one_connection_per_worker_one_refresh_and_nothing_downloaded(service: Service, connections: int) -> None:
    requests_before, connections_before = len(service.api.requests), service.api.connections
    with franking.connect(service.account, connections=connections, store=service.store) as mailer:
        results = list(mailer.send_many(messages(), rate=float("inf")))
    assert sorted(result.index for result in results) == list(range(COUNT))
    assert {result.outcome for result in results} == {"accepted"}
    assert sorted(service.subjects()) == sorted(f"n{number}" for number in range(COUNT))
    assert service.renewals() == 1
    requests = service.api.requests[requests_before:]
    assert requests.count(service.send) == COUNT
    others = [request for request in requests if request != service.send]
    assert not [request for request in others if "/discovery/" in request or "$discovery" in request], (
        "a discovery document was downloaded"
    )
    # the sign-in's own connections: for the token, and for Microsoft the OpenID configuration
    assert service.api.connections - connections_before - len(others) <= connections


class Clock:
    """A clock that whoever waits pushes on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
        time.sleep(0.001)  # the others go on meanwhile


def test_too_many_requests_keep_the_connections_and_slow_everything_down(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: list[int] = []
    original = Queue.slow_down

    def watched(feed: Queue, pause: float) -> None:
        assert pause >= 1.0, "Retry-After was not honoured"
        original(feed, pause)
        allowed.append(feed.allowed)

    def sent(mailer: franking.Mailer, count: int, connections: int) -> set[str]:
        clock = Clock()
        run = Run(mailer, connections, policy=Policy(first=0.0), clock=clock, wait=clock.wait)
        outcomes = {result.outcome for result in send_all(run, messages(count))}
        assert clock.now >= 1.0, "nobody waited"
        return outcomes

    monkeypatch.setattr(Queue, "slow_down", watched)
    for _ in range(2):
        service.throttle()
    with franking.connect(service.account, connections=1, store=service.store) as mailer:
        mailer.check()
        before = service.api.connections
        assert sent(mailer, 10, 1) == {"accepted"}
        assert service.api.connections - before <= 1, "an answered 429 is no reason for a new connection"
    assert allowed == [1, 1]
    assert sorted(service.subjects()) == sorted(f"n{number}" for number in range(10))
    for _ in range(2):
        service.throttle()
    with franking.connect(service.account, connections=4, store=service.store) as mailer:
        assert sent(mailer, 30, 4) == {"accepted"}
    assert allowed[2:] == [2, 1]
