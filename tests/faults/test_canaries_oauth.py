"""Every way in and every way of sending with OAuth × everything that an issuer or an API may do: no secret comes out of
any cell.

The secrets are those that crossed the line (``servers/tap.py``) and the keys that never may; what is searched is all
that a caller, a log or a terminal gets, with every library at its loudest. Each flow runs the real libraries over HTTPS
against the strict fakes.
"""

from __future__ import annotations

import base64
import datetime
import http.client
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

import franking
from canaries import RUN, everything, found, variables
from franking.auth.secret import Grant, Password
from franking.auth.sources import secret_for
from franking.auth.store import MemoryStore
from franking.errors import FrankingError
from franking.outlook import login as outlook_login
from franking.registry import provider
from franking.sending.explain import explain
from franking.sending.testsend import send_test
from servers.google import MAIL, SEND, Google
from servers.microsoft import Microsoft
from servers.person import Person, browse
from servers.smtp import Act, Fault, Peer, SmtpServer, hangs_up, says, then
from servers.tap import FAULTS, ISSUERS, Tap
from servers.web import Authority

pytestmark = pytest.mark.matrix

SECRET = "canary~Client.Secret_8Q~0123456789abcdefgh"
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
    return renewed(world.outlook(app_only=True), MemoryStore({"shop": Password(SECRET).dumps()}))


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


# -- the matrix --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Google, Microsoft, dict[str, Tap]]]:
    World.microsofts = None
    authority = Authority(tmp_path_factory.mktemp("ca"))
    with Google(authority) as google, Microsoft(tmp_path_factory.mktemp("microsoft"), authority=authority) as microsoft:
        microsoft.rotate, microsoft.approves = False, True
        yield google, microsoft, {"google": Tap(google.web), "microsoft": Tap(microsoft.server)}


@pytest.fixture
def world(fakes: tuple[Google, Microsoft, dict[str, Tap]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # instead of the system's bundle, whose reading takes most of the time
    monkeypatch.setenv("SSL_CERT_FILE", fakes[0].authority.ca_file)
    google, microsoft, taps = fakes
    for tap in taps.values():
        tap.forget()
    return World(google, microsoft, taps, tmp_path)


def leaks(
    world: World, tap: Tap, loud: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> dict[tuple[str, str], list[str]]:
    """Search all that came out for all that is secret; what the browser's thread logs is the browser's."""
    ours = [record for record in loud.records if record.threadName == "MainThread"]
    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in ours)
    places = {"told": "\n".join(world.told), "logged": logged, "printed": "".join(capfd.readouterr())}
    secrets = {**tap.known, **{kind: {value} for kind, value in world.keys.items()}}
    length = {"SASL": 16}  # parts of its end are the same in each
    hits = {
        (kind, place): found(text, *values, run=length.get(kind, RUN))
        for kind, values in secrets.items()
        for place, text in places.items()
    }
    return {where: forms for where, forms in hits.items() if forms}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (name, fault)
        for name, (_, target, _) in FLOWS.items()
        for fault in ("none", *FAULTS, *(ISSUERS if "token" in target else ()))
    ],
)
def test_nothing_secret_comes_out(
    name: str,
    fault: str,
    world: World,
    loud: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, target, holds = FLOWS[name]
    if not any(way in name for way in ("browser", "pasted", "outlook", "microsoft", "graph")):
        # as programs do that want to see their requests
        monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    tap = world.taps["microsoft" if "microsoft" in name or "graph" in name else "google"]
    if fault != "none":
        tap.stand_in(target, {**FAULTS, **ISSUERS}[fault])
    try:
        world.told.append(repr(run(world)))
    except FrankingError as error:
        assert fault != "none", error
        explain(error)  # as every public call and every command does
        world.told += [everything(error), variables(error)]
    assert (tap.met > 0) == (fault != "none"), "the fault was not met"
    assert fault != "none" or holds <= set(tap.known), "a secret was not in it"
    assert leaks(world, tap, loud, capfd) == {}


# -- what is wrong on this side ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda url: re.sub("state=[^&]+", "state=another", url),
        lambda url: url.replace("code=", "kode="),
        lambda url: url.replace("code=", "code=1&code="),
        lambda url: f"<{url}> that is what it says: {url}",
        lambda url: url.partition("?")[2].replace("state=", "stale="),
    ],
    ids=["another state", "another name", "twice", "with words", "without state"],
)
@pytest.mark.parametrize("name", ["gmail", "outlook"])
def test_what_is_pasted_wrongly_is_not_repeated(
    name: str,
    change: Callable[[str], str],
    world: World,
    loud: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    account = world.gmail() if name == "gmail" else world.outlook()
    ends = (
        world.microsoft.address_line
        if name == "outlook"
        else partial(browse, ca_file=world.google.authority.ca_file, stop_at_loopback=True)
    )
    kind: Any = provider(name)
    with world.signing_in(pastes=lambda url: change(ends(url))) as person, pytest.raises(FrankingError) as caught:
        kind.login(account, person)
    explain(caught.value)
    world.told += [everything(caught.value), variables(caught.value)]
    tap = world.taps["google" if name == "gmail" else "microsoft"]
    assert {"authorisation code", "state"} <= set(tap.known)
    assert leaks(world, tap, loud, capfd) == {}


@pytest.mark.parametrize("damage", ["cut", "letters", "doubled", "of another kind"])
@pytest.mark.parametrize("name", ["gmail", "outlook"])
def test_a_damaged_key_is_not_shown(
    name: str, damage: str, world: World, loud: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    pem, certificate = made_certificate()
    lines = pem.splitlines()
    damaged = {
        "cut": lines[:9],
        "letters": [*lines[:8], lines[8].swapcase(), *lines[9:]],
        "doubled": [*lines[:8], *lines[3:]],
        "of another kind": [line.replace("PRIVATE KEY", "RSA PRIVATE KEY") for line in lines],
    }[damage]
    key = "\n".join(damaged) + "\n"
    file = world.directory / "key"
    if name == "gmail":
        whole = {
            "type": "service_account",
            "client_email": "a@b.iam",
            "token_uri": f"{world.google.url}/token",
            "private_key": key,
        }
        file.write_text(json.dumps(whole))
        account = world.gmail(client_secrets=None, service_account=str(file))
    else:
        file.write_text(key + certificate)
        account = world.outlook(app_only=True, certificate=str(file))
    with pytest.raises(FrankingError) as caught:
        renewed(account, MemoryStore())
    explain(caught.value)
    world.keys["key"] = "".join(lines[1:-1])
    world.keys["a line of it"] = lines[3]
    world.told += [everything(caught.value), variables(caught.value), repr(account)]
    assert leaks(world, world.taps["google"], loud, capfd) == {}


# -- the smtp routes ---------------------------------------------------------------------------------------------------


def _heard(peer: Peer) -> str:
    """Return the AUTH command's initial response, or ask for it, and what it says in plain."""
    answer = peer.heard.lines[-1].split(" ")[2:]
    if not answer:
        peer.send(b"334 \r\n")
        answer = [peer.line()]
        peer.heard.lines += answer
    return f"{answer[0]} {base64.b64decode(answer[0]).decode()}"


def _refuses(text: str) -> Act:
    def act(peer: Peer, reply: str) -> None:
        said = _heard(peer).replace("\x01", " ")
        peer.send("".join(f"{line.format(said)}\r\n" for line in text.splitlines()).encode())

    return act


def _challenges(peer: Peer, reply: str) -> None:
    """Refuse a token as both providers do, with a JSON in base64, and repeat the token in it and behind it."""
    said = _heard(peer)
    peer.send(
        b"334 "
        + base64.b64encode(json.dumps({"status": "400", "schemes": said, "scope": said.split()[-1]}).encode())
        + b"\r\n"
    )
    peer.line()
    peer.send(f"535 5.7.3 {said.split()[0]}\r\n".encode())


def asks_for_ever(peer: Peer, reply: str) -> None:
    while True:
        peer.send(b"334 bW9yZQ==\r\n")
        peer.heard.lines.append(peer.line())


SMTP_FAULTS: dict[str, list[Fault]] = {
    "none": [],
    "repeated": [Fault("auth", _refuses("535-5.7.8 {0}\n535 5.7.8 again: {0}"), nth=None)],
    "repeated for now": [Fault("auth", _refuses("454 4.7.0 {0}"), nth=None)],
    "repeated in a challenge": [Fault("auth", _challenges, nth=None)],
    "repeated as garbage": [Fault("auth", _refuses("{0}"), nth=None)],
    "asked for ever": [Fault("auth", asks_for_ever, nth=None)],
    "asked what nobody can read": [Fault("auth", then(_refuses("334 {0}"), hangs_up), nth=None)],
    "cut": [Fault("auth", hangs_up, nth=None)],
    "the message refused": [Fault("mail", says("550 5.7.60 SendAsDenied"), nth=None)],
}


class Issued(dict[str, str]):
    """Let every token in: whether it is the right one is not the subject here."""

    def get(self, user: str, default: Any = None) -> Any:
        return self

    def __eq__(self, token: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("fault", SMTP_FAULTS)
@pytest.mark.parametrize(("name", "auth"), [("gmail", "xoauth2"), ("gmail", "oauthbearer"), ("outlook", "xoauth2")])
def test_nothing_secret_comes_out_of_the_smtp_routes(
    name: str, auth: str, fault: str, world: World, loud: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    context = world.google.authority.context("localhost")
    with SmtpServer(context=context, mechanisms=(auth.upper(),), faults=SMTP_FAULTS[fault]) as server:
        server.tokens = Issued()
        way = {"route": "smtp", "host": "localhost", "port": server.port, "security": "starttls", "auth": auth}
        account = world.gmail(**way) if name == "gmail" else world.outlook(**way)
        try:
            world.told.append(sent(world, account, MESSAGE))
            assert fault == "none"
        except FrankingError as error:
            assert fault != "none", error
            world.told += [everything(error), variables(error)]
        world.told.append(reported(world, account))
    tap = world.taps["google" if name == "gmail" else "microsoft"]
    tap.known["SASL"] = {
        line.rpartition(" ")[2][80:] for heard in server.sessions for line in heard.lines if len(line) > 100
    }  # behind names and hosts
    assert {"access token", "refresh token"} <= set(tap.known)
    assert len(tap.known["SASL"]) > 1 or fault == "cut"
    assert leaks(world, tap, loud, capfd) == {}
