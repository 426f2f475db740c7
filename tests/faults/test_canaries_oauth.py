"""Every way in and every way of sending with OAuth × everything that an issuer or an API may do: no secret comes out of
any cell.

The secrets are those that crossed the line (``servers/tap.py``) and the keys that never may; what is searched is all
that a caller, a log or a terminal gets, with every library at its loudest. Each flow runs the real libraries over HTTPS
against the strict fakes.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from canaries import RUN, everything, found, variables
from faults.oauth_flows import FLOWS, MESSAGE, World, made_certificate, renewed, reported, sent
from franking.auth.store import MemoryStore
from franking.errors import FrankingError
from franking.registry import provider
from franking.sending.explain import explain
from servers.person import browse
from servers.smtp import Act, Fault, Peer, SmtpServer, hangs_up, says, then
from servers.tap import FAULTS, ISSUERS, Tap

pytestmark = pytest.mark.matrix


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
