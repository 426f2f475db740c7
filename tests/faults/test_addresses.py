"""Where a name leads: to a server that accepts and says nothing, to addresses that nobody answers at, to nowhere. Every
route sends, and every sign-in is made and renewed, within its ``timeout``; a dead address beside a living one costs
next to nothing.

Every cell goes the way that sending takes, from ``franking.connect`` or from the command line.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import commandline
import franking
from faults.test_http import CLIENT, MESSAGE, Place
from franking.auth.secret import Grant, Password
from franking.errors import ConnectTimeout, FrankingError
from franking.outlook.facts import scopes
from franking.registry import provider
from servers.google import SEND, Google
from servers.microsoft import Microsoft
from servers.names import Names, silent
from servers.person import Person, browse
from servers.ports import closed_port, full_backlog
from servers.rawweb import RawServer, reply
from servers.smtp import SmtpServer
from servers.web import Authority

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(60)]

NAME = "mail.localhost"
TIMEOUT = 1.0
SLACK = 1.0
"""Seconds that a dead address, or the end of the patience, may cost beside that (docs/design: budgets)."""
TOKEN = "canary-access-token"
ROUTES = ("smtp", "gmail-api", "gmail-smtp", "graph", "outlook-smtp")
RENEWALS = ("google token", "service account", "microsoft token", "openid token", "openid app token")
SIGN_INS = ("google sign-in", "microsoft sign-in")
WAYS = (*ROUTES, *RENEWALS, *SIGN_INS)
HTTPS = tuple(way for way in WAYS if "smtp" not in way)


class Wide(Authority):
    """Every certificate of its is for ``NAME`` too."""

    def context(self, *names: str, expired: bool = False) -> Any:
        return super().context(NAME, *names, expired=expired)


@dataclass
class Way:
    """Something that connects to ``NAME``: what it does there, and the port of the server that lives."""

    port: int
    act: Callable[[], Any]
    account: franking.Account
    secret: str | None = None


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Wide(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


def account_of(route: str, port: int, ca_file: str) -> franking.Account:
    url = f"https://{NAME}:{port}"
    provided: dict[str, dict[str, Any]] = {
        "smtp": {"provider": "smtp", "security": "starttls", "host": NAME, "port": port},
        "gmail-api": {"provider": "gmail", "api_endpoint": url},
        "gmail-smtp": {"provider": "gmail", "route": "smtp", "host": NAME, "port": port},
        "graph": {"provider": "outlook", "graph_endpoint": url, "client_id": CLIENT},
        "outlook-smtp": {"provider": "outlook", "route": "smtp", "host": NAME, "port": port, "client_id": CLIENT},
    }
    settings = provided[route]
    if route == "gmail-smtp":
        settings["security"] = "tls"
    return franking.Account(
        name="shop", sender="me@contoso.com", ca_file=ca_file, timeout=TIMEOUT, final_timeout=5, **settings
    )


def grant_of(account: franking.Account) -> Grant | None:
    """Make a sign-in whose access token is good for years."""
    if account.provider == "smtp":
        return None
    if account.provider == "outlook":
        wanted = scopes(account, account.route)
    else:
        wanted = (SEND if account.route == "gmail-api" else "https://mail.google.com/", "openid", "email")
    data = {"refresh_token": "r", "token_uri": "https://localhost:1/token", "client_id": "c", "cache": "{}"}
    return Grant(account.provider, account.route, "me@contoso.com", wanted, 0.0, 0.0, TOKEN, 4e9, data, {})


@contextlib.contextmanager
def sending(route: str, authority: Authority) -> Iterator[Way]:
    """Serve a route, and send by it."""
    with contextlib.ExitStack() as stack:
        if "smtp" in route:
            tokens = {} if route == "smtp" else {"me@contoso.com": TOKEN}
            implicit = route == "gmail-smtp"
            context = authority.context("localhost")
            port = stack.enter_context(SmtpServer(context=context, implicit_tls=implicit, tokens=tokens)).port
        else:
            done = reply(200, {"id": "1"}) if route == "gmail-api" else reply(202)
            port = stack.enter_context(RawServer(authority, otherwise=lambda head: done)).port
        account = account_of(route, port, authority.ca_file)
        grant = grant_of(account)

        def act() -> franking.Receipt:
            with franking.connect(account, secret=None if grant is None else Password(TOKEN)) as mailer:
                return mailer.send(MESSAGE)

        yield Way(port, act, account, None if grant is None else grant.dumps())


@contextlib.contextmanager
def renewing(
    kind: str, authority: Authority, key: Mapping[str, str], file: Path, patch: pytest.MonkeyPatch
) -> Iterator[Way]:
    """Serve as an issuer, and renew a sign-in there."""
    if kind.startswith("microsoft"):
        patch.setattr("franking.outlook.facts.LOGIN_HOSTS", frozenset({NAME}))

    def answer(head: str) -> bytes:
        base = f"{server.url}/contoso"
        if head.startswith("GET"):
            there = {"authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/oauth2/v2.0/token"}
            return reply(200, {"issuer": base, **there})
        return reply(200, {"access_token": "new", "expires_in": 3600, "token_type": "Bearer"})

    with RawServer(authority, otherwise=answer) as server:
        server.url = f"https://{NAME}:{server.port}"
        place = Place(kind, server, authority, key, file)
        place.account = place.account.replace(timeout=TIMEOUT, final_timeout=5)
        yield Way(server.port, place.ask, place.account)


@contextlib.contextmanager
def signing_in(kind: str, authority: Authority, directory: Path) -> Iterator[Way]:
    """Serve as Google or Microsoft, and let a person sign in there; the browser goes to ``localhost``."""
    common: dict[str, Any] = {"name": "shop", "ca_file": authority.ca_file, "timeout": TIMEOUT, "final_timeout": 5}
    found: Any
    if kind == "google sign-in":
        with Google(authority) as google:
            file = directory / "client.json"
            file.write_text(json.dumps(google.client_secrets(token_uri=f"https://{NAME}:{google.web.port}/token")))
            account = franking.Account(provider="gmail", sender="me@gmail.com", client_secrets=str(file), **common)
            found = provider("gmail")
            person = Person(lambda url: browse(url, authority.ca_file))
            yield Way(google.web.port, lambda: found.login(account, person), account)
            person.join()
        return
    with Microsoft(directory, authority=authority) as microsoft:
        microsoft.url = f"https://{NAME}:{microsoft.server.port}"
        microsoft.authority = microsoft.authority.replace("localhost", NAME)
        microsoft.approves = True
        settings = microsoft.settings() | common
        account = franking.Account(provider="outlook", sender="jan@contoso.com", **settings)
        found = provider("outlook")
        device = Person()
        device.device = True
        yield Way(microsoft.server.port, lambda: found.login(account, device), account)


@pytest.fixture
def way(
    request: pytest.FixtureRequest,
    authority: Authority,
    service_key: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Way]:
    kind: str = request.param
    with contextlib.ExitStack() as stack:
        if kind in ROUTES:
            yield stack.enter_context(sending(kind, authority))
        elif kind in RENEWALS:
            yield stack.enter_context(renewing(kind, authority, service_key, tmp_path / "key.json", monkeypatch))
        else:
            yield stack.enter_context(signing_in(kind, authority, tmp_path))


def timed(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


# — dead addresses beside a living one —


@pytest.mark.parametrize("way", WAYS, indirect=True)
@pytest.mark.parametrize("dead", ["nobody answers", "two nobody answers at", "refused", "a silent one behind"])
def test_dead_addresses_before_a_living_one(way: Way, names: Names, dead: str) -> None:
    names.lead(NAME, way.port)
    alone = timed(way.act)
    with full_backlog() as nowhere, full_backlog("127.0.0.2") as nowhere_either, silent() as mute:
        ports: dict[str, list[Any]] = {
            "nobody answers": [nowhere, way.port],
            "two nobody answers at": [nowhere, ("127.0.0.2", nowhere_either), way.port],
            "refused": [closed_port(), closed_port(), way.port],
            "a silent one behind": [nowhere, way.port, mute],
        }
        names.lead(NAME, *ports[dead])
        assert timed(way.act) < alone + SLACK


# — nobody who says a word —


def gives_up(act: Callable[[], Any], longest: float = TIMEOUT) -> FrankingError:
    """Return the error with which something ends within its time."""
    began = time.perf_counter()
    with pytest.raises(FrankingError) as caught:
        act()
    assert time.perf_counter() - began < longest + SLACK
    error = caught.value
    assert isinstance(error, ConnectTimeout), repr(error)
    assert error.temporary and not error.possibly_sent
    return error


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_a_server_that_accepts_and_says_nothing(way: Way, names: Names) -> None:
    names.lead(NAME, way.port)
    way.act()
    with silent() as port, full_backlog() as nowhere:
        # what accepts first is taken, whatever it says then
        for ports in ((port,), (nowhere, port, way.port)):
            names.lead(NAME, *ports)
            error = gives_up(way.act)
            assert error.step in ("greet", "tls", "secret")
    names.lead(NAME, way.port)
    way.act()


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_addresses_that_nobody_answers_at(way: Way, names: Names) -> None:
    names.lead(NAME, way.port)
    way.act()
    with full_backlog() as port, full_backlog("127.0.0.2") as other:
        names.lead(NAME, port, ("127.0.0.2", other))
        error = gives_up(way.act)
    assert error.step in ("connect", "secret")


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_a_resolver_that_does_not_answer(way: Way, names: Names) -> None:
    names.lead(NAME, way.port)
    way.act()
    with names.hanging(NAME):
        error = gives_up(way.act)
    assert error.step in ("resolve", "secret")


# — a proxy on the way —


@pytest.mark.parametrize("way", HTTPS, indirect=True)
@pytest.mark.parametrize("proxy", ["silent", "nobody answers", "hanging name"])
def test_a_proxy_that_says_nothing(way: Way, names: Names, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    names.lead(NAME, way.port)
    way.act()
    with silent() as mute, full_backlog() as nowhere, names.hanging("hanging.localhost"):
        names.lead("proxy.localhost", mute if proxy == "silent" else nowhere)
        host = "hanging.localhost" if proxy == "hanging name" else "proxy.localhost"
        monkeypatch.setenv("HTTPS_PROXY", f"http://{host}:3128")
        error = gives_up(way.act)
    assert f"{host}:3128" in str(error)


# — the commands, and several threads —


def written(way: Way) -> dict[str, str]:
    """Write the account down as a person would; return what the environment holds besides."""
    settings = {key: value for key, value in way.account.settings.items() if value is not None}
    given = {key: value for key, value in settings.items() if isinstance(value, str | int | float) and value != ""}
    given |= {"provider": way.account.provider, "from": str(way.account.sender)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in given.items()]
    Path(commandline.os.environ["FRANKING_CONFIG"]).write_text(
        "\n".join(['default = "shop"', "[accounts.shop]", *lines])
    )
    return {"FRANKING_SECRET_SHOP": way.secret} if way.secret else {}


COMMANDS: dict[str, Callable[[dict[str, str]], commandline.Ended]] = {
    "check": lambda env: commandline.franking("check", "shop", "--json", env=env),
    "send-test": lambda env: commandline.franking("send-test", "shop", "--to", "a@example.cz", "--json", env=env),
    "send": lambda env: commandline.franking(
        "send", "shop", "--to", "a@example.cz", "--subject", "x", "--text", "y", "--json", env=env
    ),
    "franking-sendmail": lambda env: commandline.sendmail("-i", "a@example.cz", text=b"Subject: x\n\nHello\n", env=env),
}


@pytest.mark.parametrize("way", ROUTES, indirect=True)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("trouble", ["silent", "nobody answers", "hanging name"])
def test_every_command_gives_up_in_time(way: Way, names: Names, command: str, trouble: str) -> None:
    env, run = written(way), COMMANDS[command]
    names.lead(NAME, way.port)
    well = run(env)
    assert well.code == 0, well.err
    with contextlib.ExitStack() as stack:
        if trouble == "silent":
            names.lead(NAME, stack.enter_context(silent()))
        elif trouble == "nobody answers":
            names.lead(NAME, stack.enter_context(full_backlog()))
        else:
            stack.enter_context(names.hanging(NAME))
        began = time.perf_counter()
        ended = run(env)
        assert time.perf_counter() - began < TIMEOUT + SLACK
    # a server that greets nobody is taken for another service's port, which nobody mends by waiting
    assert ended.code in ((69, 75) if command == "franking-sendmail" else (1, 5)), ended.err
    if command in ("check", "send-test"):
        failed = [step for step in ended.json["steps"] if step["status"] == "failed"]
        assert len(failed) == 1
        assert failed[0]["name"] in {"silent": ("tls", "greet"), "nobody answers": ("connect",)}.get(
            trouble, ("resolve",)
        )


@pytest.mark.parametrize("way", ROUTES, indirect=True)
def test_every_thread_of_a_mailer_gives_up_in_time(way: Way, names: Names) -> None:
    """Those who waited for the one connection while it came to nothing do not wait as long once more."""
    ends: list[float] = []
    errors: list[BaseException] = []
    with silent() as port, franking.connect(way.account, secret=way.secret and Password(TOKEN)) as mailer:
        names.lead(NAME, port)
        began = time.perf_counter()

        def send() -> None:
            try:
                mailer.send(MESSAGE)
            except FrankingError as problem:
                errors.append(problem)
            ends.append(time.perf_counter() - began)

        threads = [threading.Thread(target=send, daemon=True) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert [type(one) for one in errors] == [ConnectTimeout] * 5
        assert len({id(one) for one in errors}) == 5
        assert max(ends) < TIMEOUT + SLACK
        names.lead(NAME, way.port)
        assert mailer.send(MESSAGE).accepted
