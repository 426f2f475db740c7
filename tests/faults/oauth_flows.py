"""Every way in and every way of sending with OAuth, done for real by the libraries over HTTPS against the strict fakes:
what the tests of canaries let faults and interruptions meet.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import franking
from canaries import everything
from franking.auth.secret import Grant, Password
from franking.auth.sources import secret_for
from franking.auth.store import MemoryStore
from franking.outlook import login as outlook_login
from franking.registry import provider
from franking.sending.testsend import send_test
from servers.google import MAIL, SEND, Google
from servers.microsoft import Microsoft
from servers.person import Person, browse
from servers.tap import Tap

SECRET = "canary~Client.Secret_8Q~0123456789abcdefgh"
KEPT = Password(SECRET).dumps()  # made beforehand: a strike into a test's own call of Password tells nothing of ours
MESSAGE = franking.Message(to=["jana@example.cz"], subject="x", text="y")
LARGE = franking.Message(
    to=["jana@example.cz"],
    subject="x",
    text="y",
    attachments=[franking.Attachment(data=b"z" * 3_300_000, name="f.bin")],
)


@dataclass
class World:
    """Both fakes with taps on them, and what a flow has told."""

    google: Google
    microsoft: Microsoft
    taps: dict[str, Tap]
    directory: Path
    told: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    microsofts: ClassVar[Grant | None] = None
    googles_key: ClassVar[dict[str, Any]] = {}

    def gmail(self, **settings: Any) -> franking.Account:
        file = self.directory / "client.json"
        file.write_text(json.dumps(self.google.client_secrets()))
        given = {
            "client_secrets": str(file),
            "api_endpoint": self.google.url,
            "ca_file": self.google.authority.ca_file,
            "timeout": 20,
        }
        return franking.Account(name="shop", provider="gmail", sender="me@gmail.com", **{**given, **settings})

    def outlook(self, **settings: Any) -> franking.Account:
        return franking.Account(
            name="shop",
            provider="outlook",
            sender="jan@contoso.com",
            **self.microsoft.settings(**{"timeout": 20, **settings}),
        )

    def grant(self, account: franking.Account, **details: Any) -> Grant:
        """Return a grant whose access token has ended, without a sign-in."""
        base: dict[str, Any] = {
            "provider": account.provider,
            "who": None,
            "created_at": 1.0,
            "refreshed_at": 1.0,
            "details": details,
        }
        if account.provider == "gmail":
            data = {
                "client_id": self.google.client_id,
                "client_secret": self.google.client_secret,
                "token_uri": f"{self.google.url}/token",
            }
            token = self.google.give_refresh(scopes=("openid", "email", SEND, MAIL))
            return Grant(
                route="gmail-api", scopes=("openid", "email", SEND, MAIL), data={**data, "refresh_token": token}, **base
            )
        if self.microsofts is None:  # one sign-in serves all cells: the stand-in does not rotate
            with self.signing_in(browser=self.microsoft.browser) as person:
                made = outlook_login.login(self.outlook(large_attachments=True), person)
            World.microsofts = replace(made, access_token="", expires_at=0.0)
        assert self.microsofts is not None
        return self.microsofts

    def store(self, account: franking.Account) -> MemoryStore:
        return MemoryStore({"shop": self.grant(account).dumps()})

    def signing_in(self, **ways: Any) -> Signing:
        return Signing(self, ways)


@dataclass
class Signing:
    """A person at the sign-in; what they were shown is searched too, but for the address to open, which has to have its
    ``state``.
    """

    world: World
    ways: dict[str, Any]

    def __enter__(self) -> Person:
        self.person = Person(**self.ways)
        return self.person

    def __exit__(self, *exc: object) -> None:
        self.person.join()
        self.world.told += [
            re.sub(r"https://\S+", "", text).replace("CANARYCODE", "")
            for text in (*self.person.shown, *self.person.asked)
        ]


Flow = Callable[[World], Any]
FLOWS: dict[str, tuple[Flow, str, set[str]]] = {}
"""Each flow with the requests that faults meet, and the secrets that must have been in it."""


def flow(*targets: str, holds: str) -> Callable[[Flow], Flow]:
    def add(function: Flow) -> Flow:
        for number, target in enumerate(targets):
            name = function.__name__.replace("_", " ") + (f", step {number + 1}" if len(targets) > 1 else "")
            FLOWS[name] = (function, target, set(holds.split(", ")))
        return function

    return add


# -- signing in --------------------------------------------------------------------------------------------------------


def google_browser(world: World) -> Callable[[str], object]:
    return lambda url: browse(url, world.google.authority.ca_file)


CODE = "authorisation code, PKCE verifier, state, access token, refresh token, ID token"


@flow("POST /token", holds=f"{CODE}, client secret")
def google_in_the_browser(world: World) -> Any:
    with world.signing_in(browser=google_browser(world)) as person:
        return provider("gmail").login(world.gmail(), person)  # type: ignore[attr-defined]


@flow("POST /token", holds=f"{CODE}, client secret")
def google_pasted(world: World) -> Any:
    with world.signing_in(
        pastes=lambda url: browse(url, world.google.authority.ca_file, stop_at_loopback=True)
    ) as person:
        return provider("gmail").login(world.gmail(), person)  # type: ignore[attr-defined]


@flow("POST .*/token", holds=CODE)
def microsoft_in_the_browser(world: World) -> Any:
    with world.signing_in(browser=world.microsoft.browser) as person:
        return provider("outlook").login(world.outlook(), person)  # type: ignore[attr-defined]


@flow("POST .*/token", holds=CODE)
def microsoft_pasted(world: World) -> Any:
    with world.signing_in(pastes=world.microsoft.address_line) as person:
        return provider("outlook").login(world.outlook(), person)  # type: ignore[attr-defined]


@flow("POST .*/devicecode", "POST .*/token", holds="device code, user code, access token, refresh token, ID token")
def microsoft_by_device(world: World) -> Any:
    with world.signing_in() as person:
        person.device = True
        return outlook_login.login(world.outlook(), person, sleep=lambda seconds: None)


# -- tokens ------------------------------------------------------------------------------------------------------------


def renewed(account: franking.Account, store: MemoryStore, explicit: str | None = None) -> str:
    """Get a token as a session does; what comes out of it but the token."""
    secret = secret_for(account, provider(account.provider), store, {}, explicit)
    secret.get()
    return f"{secret!r} {vars(secret)!r}"


@flow("POST /token", holds="refresh token, client secret, access token")
def google_refresh(world: World) -> Any:
    return renewed(world.gmail(), world.store(world.gmail()))


@flow("POST /token", holds="refresh token, client secret, access token")
def google_refresh_with_basic(world: World) -> Any:
    account = world.gmail()
    return renewed(account, MemoryStore(), world.grant(account, foreign=True).dumps())


@flow("POST /token", holds="assertion, access token")
def google_service_account(world: World) -> Any:
    file = world.directory / "key.json"
    if not world.google.keys:
        World.googles_key = world.google.service_account(scopes=(SEND, MAIL))
    key = World.googles_key
    file.write_text(json.dumps(key))
    world.keys["service-account key"] = "".join(key["private_key"].splitlines()[1:-1])
    return renewed(world.gmail(client_secrets=None, service_account=str(file)), MemoryStore())


@flow("POST /revoke", holds="refresh token")
def google_revoke(world: World) -> Any:
    account = world.gmail()
    return provider("gmail").revoke(account, world.grant(account))  # type: ignore[attr-defined]


@flow("POST .*/token", holds="refresh token, access token")
def microsoft_refresh(world: World) -> Any:
    account = world.outlook()
    return renewed(account, world.store(account))


@flow("POST .*/token", "GET .*/openid-configuration", holds="client secret, access token")
def microsoft_as_an_app(world: World) -> Any:
    world.microsoft.secret, world.microsoft.certificate = SECRET, None
    world.keys["client secret"] = SECRET
    return renewed(world.outlook(app_only=True), MemoryStore({"shop": KEPT}))


@flow("POST .*/token", "GET .*/openid-configuration", holds="client assertion, access token")
def microsoft_with_a_certificate(world: World) -> Any:
    key, certificate = made_certificate()
    file = world.directory / "app.pem"
    file.write_text(key + certificate)
    world.microsoft.secret, world.microsoft.certificate = None, certificate.encode()
    world.keys["certificate key"] = "".join(key.splitlines()[1:-1])
    return renewed(world.outlook(app_only=True, certificate=str(file)), MemoryStore())


@lru_cache(maxsize=1)
def made_certificate() -> tuple[str, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name, now = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "franking")]),
        datetime.datetime.now(datetime.UTC),
    )
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=30))
    pem, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(pem).decode()
    return key.private_bytes(pem, kind, serialization.NoEncryption()).decode(), certificate


# -- sending -----------------------------------------------------------------------------------------------------------


def sent(world: World, account: franking.Account, message: franking.Message) -> str:
    """Send as an application does."""
    steps: list[Any] = []
    try:
        with franking.connect(account, store=world.store(account), observer=steps.append) as mailer:
            return repr(mailer.send(message)) + repr(mailer)
    finally:
        world.told.append(repr(steps))


def reported(world: World, account: franking.Account) -> str:
    """Send as ``send-test`` does, which raises nothing and tells all."""
    report = send_test(account, to="me@example.cz", store=world.store(account))
    world.told.append(everything(report.error) if report.error else "")
    return repr(report) + json.dumps(report.as_dict(), ensure_ascii=False)


@flow("POST /upload", holds="access token, refresh token")
def gmail_api(world: World) -> Any:
    return sent(world, world.gmail(), MESSAGE)


@flow("POST /upload", holds="access token, refresh token")
def gmail_api_tested(world: World) -> Any:
    return reported(world, world.gmail())


@flow("POST /upload", "PUT /upload", holds="access token, upload address")
def gmail_api_resumable(world: World) -> Any:
    return sent(world, world.gmail(), LARGE)


@flow("POST /v1.0/.*sendMail", holds="access token, refresh token")
def graph(world: World) -> Any:
    return sent(world, world.outlook(), MESSAGE)


@flow("POST /v1.0/.*sendMail", holds="access token, refresh token")
def graph_tested(world: World) -> Any:
    return reported(world, world.outlook())


@flow(
    "POST /v1.0/me/messages$",
    "POST .*createUploadSession",
    "PUT /upload",
    "POST .*/send$",
    holds="access token, upload address",
)
def graph_upload(world: World) -> Any:
    return sent(world, world.outlook(large_attachments=True), LARGE)
