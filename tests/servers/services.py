"""Gmail and Graph, each with somebody signed in whose access token has ended: for tests and measurements that send by
either in the same words.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import franking
from franking.auth.store import FileStore
from franking.registry import provider as find_provider
from servers import google as google_faults
from servers.google import UPLOAD, Google, api_error
from servers.graph import failure
from servers.microsoft import Microsoft
from servers.person import Person, browse
from servers.web import Authority, WebServer

Described = tuple[franking.Account, Person, dict[str, Any]]


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
    loses: Callable[[bool], None] | None = None  # the next answer, with or without having accepted the message
    drafts: dict[str, Any] | None = None  # what lies in the mailbox and was not sent


@contextlib.contextmanager
def _gmail(directory: Path) -> Iterator[Described]:
    with Google(Authority(directory)) as google:
        (directory / "client.json").write_text(json.dumps(google.client_secrets()))
        ca_file = google.authority.ca_file
        account = franking.Account(
            name="shop",
            provider="gmail",
            sender="me@gmail.com",
            client_secrets=str(directory / "client.json"),
            api_endpoint=google.url,
            ca_file=ca_file,
            timeout=20,
        )
        too_much = api_error(
            429, "rateLimitExceeded", "Too many concurrent requests for user", headers={"Retry-After": "1"}
        )
        yield (
            account,
            Person(lambda url: browse(url, ca_file)),
            {
                "api": google.web,
                "send": f"POST {UPLOAD}",
                "renewals": lambda: sum(form["grant_type"] == "refresh_token" for form in google.token_requests),
                "subjects": lambda: [
                    message.raw.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for message in google.messages
                ],
                "throttle": lambda: google.faults.append(google_faults.answer(too_much)),
            },
        )


@contextlib.contextmanager
def _graph(directory: Path) -> Iterator[Described]:
    with Microsoft(directory) as microsoft:
        account = franking.Account(
            name="shop",
            provider="outlook",
            sender="jan@contoso.com",
            large_attachments=True,
            **microsoft.settings(timeout=20),
        )
        too_much = failure(
            429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.", {"Retry-After": "1"}
        )
        yield (
            account,
            Person(microsoft.browser),
            {
                "api": microsoft.server,
                "send": "POST /v1.0/me/sendMail",
                "renewals": lambda: microsoft.token_requests.count("refresh_token"),
                "subjects": lambda: [sent.subject for sent in microsoft.graph.sent],
                "throttle": lambda: microsoft.answers.append(("/sendMail", too_much)),
                "drafts": microsoft.graph.drafts,
                "loses": lambda accepted: setattr(microsoft.graph, "loses", accepted),
            },
        )


@contextlib.contextmanager
def _signed_in(described: Callable[[Path], AbstractContextManager[Described]], directory: Path) -> Iterator[Service]:
    (directory / "service").mkdir()
    with described(directory / "service") as (account, person, seen):
        provider: Any = find_provider(account.provider)
        store = FileStore(directory / "state", "file")
        store.save("shop", replace(provider.login(account, person), access_token="ended", expires_at=0.0).dumps())
        yield Service(account, store, **seen)


SERVICES: dict[str, Callable[[Path], AbstractContextManager[Service]]] = {
    "Gmail": lambda directory: _signed_in(_gmail, directory),
    "Graph": lambda directory: _signed_in(_graph, directory),
}
"""What to call with an empty directory."""
