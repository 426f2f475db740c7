"""Many messages by Gmail and Graph: as many TCP connections as workers, one token refresh, no discovery download, and less when the service wants less."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.feed import Feed
from franking.registry import provider as find_provider
from franking.stores import FileStore
from servers import google as google_faults
from servers.google import UPLOAD, Google, api_error
from servers.graph import failure
from servers.microsoft import Microsoft
from servers.person import Person, browse
from servers.web import Authority, WebServer

COUNT = 120


@dataclass
class Service:
    """One API with somebody signed in whose access token has ended, and what the fake has seen."""

    account: franking.Account
    store: FileStore
    api: WebServer
    send: str  # the one request that sends
    renewals: Callable[[], int]
    subjects: Callable[[], list[str]]
    throttle: Callable[[], None]


@contextlib.contextmanager
def gmail(directory: Path) -> Iterator[tuple[franking.Account, Person, dict[str, Any]]]:
    with Google(Authority(directory)) as google:
        (directory / "client.json").write_text(json.dumps(google.client_secrets()))
        ca_file = google.authority.ca_file
        account = franking.Account(
            name="shop", provider="gmail", sender="me@gmail.com", client_secrets=str(directory / "client.json"), api_endpoint=google.url,
            ca_file=ca_file, timeout=20,
        )  # fmt: skip
        too_much = api_error(429, "rateLimitExceeded", "Too many concurrent requests for user", headers={"Retry-After": "1"})
        yield (
            account,
            Person(lambda url: browse(url, ca_file)),
            {
                "api": google.web,
                "send": f"POST {UPLOAD}",
                "renewals": lambda: sum(form["grant_type"] == "refresh_token" for form in google.token_requests),
                "subjects": lambda: [message.raw.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for message in google.messages],
                "throttle": lambda: google.faults.append(google_faults.answer(too_much)),
            },
        )


@contextlib.contextmanager
def graph(directory: Path) -> Iterator[tuple[franking.Account, Person, dict[str, Any]]]:
    with Microsoft(directory) as microsoft:
        account = franking.Account(name="shop", provider="outlook", sender="jan@contoso.com", **microsoft.settings(timeout=20))
        too_much = failure(429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.", {"Retry-After": "1"})
        yield (
            account,
            Person(microsoft.browser),
            {
                "api": microsoft.server,
                "send": "POST /v1.0/me/sendMail",
                "renewals": lambda: microsoft.token_requests.count("refresh_token"),
                "subjects": lambda: [sent.subject for sent in microsoft.graph.sent],
                "throttle": lambda: microsoft.answers.append(("/sendMail", too_much)),
            },
        )


@pytest.fixture(params=[gmail, graph], ids=["gmail", "graph"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    directory = tmp_path / "service"
    directory.mkdir()
    with request.param(directory) as (account, person, seen):
        found: Any = find_provider(account.provider)
        store = FileStore(tmp_path / "state", "file")
        store.save("shop", replace(found.login(account, person, options={}), access_token="ended", expires_at=0.0).dumps())
        yield Service(account, store, **seen)


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
    assert not [request for request in others if "/discovery/" in request or "$discovery" in request], "a discovery document was downloaded"
    # the sign-in's own connections: for the token, and for Microsoft the OpenID configuration
    assert service.api.connections - connections_before - len(others) <= connections


def test_too_many_requests_keep_the_connections_and_slow_everything_down(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[int] = []
    original = Feed.slow_down

    def watched(feed: Feed, pause: float) -> None:
        assert pause >= 1.0, "Retry-After was not honoured"
        original(feed, 0.0)  # it has been looked at: no need to wait
        allowed.append(feed.allowed)

    monkeypatch.setattr(Feed, "slow_down", watched)
    for _ in range(2):
        service.throttle()
    with franking.connect(service.account, connections=1, store=service.store) as mailer:
        mailer.check()
        before = service.api.connections
        assert {result.outcome for result in mailer.send_many(messages(10), rate=float("inf"))} == {"accepted"}
        assert service.api.connections - before <= 1, "an answered 429 is no reason for a new connection"
    assert allowed == [1, 1]
    assert sorted(service.subjects()) == sorted(f"n{number}" for number in range(10))
    for _ in range(2):
        service.throttle()
    with franking.connect(service.account, connections=4, store=service.store) as mailer:
        assert {result.outcome for result in mailer.send_many(messages(30), rate=float("inf"))} == {"accepted"}
    assert allowed[2:] == [2, 1]
