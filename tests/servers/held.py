"""The fakes of Google and Microsoft with a hook before or after one request: for tests that break in at a chosen
moment.

service.hook = Hook("PUT", "/upload/", early)      # called once, with the request
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import franking
from franking.auth.secret import Grant
from franking.auth.store import FileStore
from franking.registry import provider as find_provider
from servers.google import Google
from servers.microsoft import Microsoft
from servers.person import Person, browse
from servers.web import CUT, Authority, Reply, Request

__all__ = ["Hook", "Service", "early", "gmail", "graph", "late"]


@dataclass
class Hook:
    """What happens to the next request of this method whose path (with the query) holds ``part``; then it is used
    up.
    """

    method: str
    part: str
    act: Callable[[Request, Callable[[], Reply]], Reply]


def early(press: Callable[[], object]) -> Callable[[Request, Callable[[], Reply]], Reply]:
    """Read the beginning of the body, act, and wait until the client has gone: nothing is accepted."""

    def act(request: Request, answer: Callable[[], Reply]) -> Reply:
        request.read(min(65_536, request.left))
        press()
        _until_gone(request)
        return CUT

    return act


def late(press: Callable[[], object]) -> Callable[[Request, Callable[[], Reply]], Reply]:
    """Carry the request out, act, and wait until the client has gone: it never hears the answer."""

    def act(request: Request, answer: Callable[[], Reply]) -> Reply:
        answer()
        press()
        _until_gone(request)
        return CUT

    return act


def _until_gone(request: Request) -> None:
    with contextlib.suppress(OSError, ValueError):
        while request.stream.read(65_536):
            pass


class _Hooked:
    hook: Hook | None = None

    def _answer(self, request: Request) -> Reply:
        hook = self.hook
        ask = "&".join(f"{key}={value}" for key, value in request.query.items())
        if hook is not None and request.method == hook.method and hook.part in f"{request.path}?{ask}":
            self.hook = None
            return hook.act(request, lambda: self._usual(request))
        return self._usual(request)

    def _usual(self, request: Request) -> Reply:
        answered: Reply = super()._answer(request)  # type: ignore[misc]
        return answered


class HookedGoogle(_Hooked, Google):
    """Google, with a hook."""


class HookedMicrosoft(_Hooked, Microsoft):
    """Microsoft, with a hook."""


@dataclass
class Service:
    """One API with somebody signed in: the account's settings, the grant, the fake, and what it has seen."""

    provider: str
    settings: dict[str, Any]
    grant: Grant
    fake: Any
    send: str  # a part of the path of the request that sends a small message
    renewals: Callable[[], int]
    arrived: Callable[[], int]
    connections: Callable[[], int]

    def account(self, **more: Any) -> franking.Account:
        return franking.Account(name="shop", provider=self.provider, **{**self.settings, **more})

    def save(self, directory: Path, *, ended: bool = False) -> FileStore:
        """Keep the sign-in in a store, with an access token that is good, or that has ended."""
        store = FileStore(directory, "file")
        grant = replace(self.grant, access_token="ended", expires_at=0.0) if ended else self.grant
        store.save("shop", grant.dumps())
        return store

    def write(self, file: Path) -> None:
        """Write the account down as a person would."""
        keys = {"provider": self.provider, **self.settings}
        keys["from"] = keys.pop("sender")
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        file.write_text("[accounts.shop]\n" + "\n".join(lines) + "\n")


@contextmanager
def gmail(directory: Path) -> Iterator[Service]:
    """Serve as Google with a signed-in mailbox."""
    with HookedGoogle(Authority(directory)) as google:
        (directory / "client.json").write_text(json.dumps(google.client_secrets()))
        ca_file = google.authority.ca_file
        settings = {
            "sender": "me@gmail.com",
            "client_secrets": str(directory / "client.json"),
            "api_endpoint": google.url,
            "ca_file": ca_file,
            "timeout": 20,
        }
        account = franking.Account(name="shop", provider="gmail", **settings)
        found: Any = find_provider("gmail")
        yield Service(
            provider="gmail",
            settings=settings,
            grant=found.login(account, Person(lambda url: browse(url, ca_file))),
            fake=google,
            send="uploadType=m",  # "media" or "multipart"
            renewals=lambda: sum(form["grant_type"] == "refresh_token" for form in google.token_requests),
            arrived=lambda: len(google.messages),
            connections=lambda: google.web.connections,
        )


@contextmanager
def graph(directory: Path) -> Iterator[Service]:
    """Serve as Microsoft with a signed-in mailbox that may send large attachments."""
    with HookedMicrosoft(directory) as microsoft:
        microsoft.rotate = False  # one sign-in serves many tests
        settings = {"sender": "jan@contoso.com", **microsoft.settings(timeout=20, large_attachments=True)}
        account = franking.Account(name="shop", provider="outlook", **settings)
        found: Any = find_provider("outlook")
        yield Service(
            provider="outlook",
            settings=settings,
            grant=found.login(account, Person(microsoft.browser)),
            fake=microsoft,
            send="/sendMail",
            renewals=lambda: microsoft.token_requests.count("refresh_token"),
            arrived=lambda: len(microsoft.graph.sent),
            connections=lambda: microsoft.server.connections,
        )
