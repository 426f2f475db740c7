"""The fault matrix of HTTP: everything that no proper server says, at token endpoints, Gmail and Graph, and what it
means for the message.
"""

from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.auth.secret import Grant, Password
from franking.errors import FrankingError
from franking.outlook.facts import scopes
from franking.registry import provider
from franking.sending.explain import explain
from servers import rawweb
from servers.rawweb import RawServer, Wire, reply, sends, sends_then_closes, sends_then_silence
from servers.web import Authority

pytestmark = pytest.mark.matrix

TOKEN, SECRET, REFRESH = "canary-access-token", "canary-client-secret", "canary-refresh-token"
SILENCE, PATIENCE = 0.5, 10.0  # seconds: where nothing comes, and where a busy machine may be slow
CHUNK = b"ffff\r\n" + b"x" * 65535 + b"\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: "
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ESCAPES = b'{"error":{"code":"\x1b[31m","message":"\x1b]0;owned\x07","errors":[{"reason":"\x1b[2J"}]}}'
DEEP = b"[" * 200_000
BOMB = gzip.compress(b"x" * 20_000_000)
MESSAGE = franking.Message(to=["jana@example.cz"], subject="Faktura", text="Dobrý den")

Verdict = tuple[str, bool, bool, str]
"""Error class, temporary, possibly sent, diagnosis."""

UNKNOWN: Verdict = ("OutcomeUnknown", False, True, "outcome.unknown")
REFUSED: Verdict = ("Refused", False, False, "send.refused")
BAD: Verdict = ("Refused", False, False, "api.bad-request")
NOT_202: Verdict = ("Refused", False, False, "microsoft.upload-needed")
BUSY: Verdict = ("Throttled", True, False, "server.trouble")
SLOW: Verdict = ("Throttled", True, False, "rate.limited")
TIMEOUT: Verdict = ("ConnectTimeout", True, False, "https.unreachable")
GONE: Verdict = ("ConnectError", True, False, "https.unreachable")
UNREADABLE: Verdict = ("ConnectError", True, False, "https.not-understood")
TROUBLE: Verdict = ("ConnectError", True, False, "server.trouble")
LATER: Verdict = ("ConnectError", True, False, "rate.limited")

Fault = Callable[[str], Wire]  # given the address of another server
FAULTS: dict[str, tuple[Fault, Verdict, Verdict, Verdict]] = {
    # what is done; what Gmail's and Graph's send and a token endpoint must make of it
    "nothing comes": (lambda _: sends_then_silence(b""), UNKNOWN, UNKNOWN, TIMEOUT),
    "closed": (lambda _: sends_then_closes(b""), UNKNOWN, UNKNOWN, GONE),
    "reset": (lambda _: rawweb.resets, UNKNOWN, UNKNOWN, GONE),
    "half a status line": (lambda _: sends_then_silence(b"HTTP/1.1 2"), UNKNOWN, UNKNOWN, TIMEOUT),
    "half a status line, closed": (lambda _: sends_then_closes(b"HTTP/1.1 2"), UNKNOWN, UNKNOWN, GONE),
    "half the header": (lambda _: sends_then_silence(OK + b"Content-Le"), UNKNOWN, UNKNOWN, TIMEOUT),
    "half the body": (lambda _: sends_then_silence(LENGTH + b'500\r\n\r\n{"id'), UNKNOWN, UNKNOWN, TIMEOUT),
    "half the body, closed": (lambda _: sends_then_closes(LENGTH + b"500\r\n\r\n{"), UNKNOWN, UNKNOWN, GONE),
    "truncated JSON": (lambda _: sends(reply(200, b'{"access_token": "abc')), UNKNOWN, UNKNOWN, UNREADABLE),
    "a list": (lambda _: sends(reply(200, [1])), UNKNOWN, UNKNOWN, UNREADABLE),
    "null": (lambda _: sends(reply(200, b"null")), UNKNOWN, UNKNOWN, UNREADABLE),
    "wrong types": (
        lambda _: sends(reply(200, {"access_token": 5, "expires_in": "soon", "id": {"a": 1}, "error": [1]})),
        UNKNOWN, UNKNOWN, UNREADABLE,
    ),
    "a number": (lambda _: sends(reply(200, b"5")), UNKNOWN, UNKNOWN, UNREADABLE),
    "a text": (lambda _: sends(reply(200, b'"id"')), UNKNOWN, UNKNOWN, UNREADABLE),
    "nothing at all": (lambda _: sends(reply(200)), UNKNOWN, NOT_202, UNREADABLE),
    "deep JSON": (lambda _: sends(reply(200, DEEP)), UNKNOWN, UNKNOWN, UNREADABLE),
    "a refusal of wrong types": (lambda _: sends(reply(400, {"error": [1, {"a": 2}]})), BAD, BAD, UNREADABLE),
    "a deep refusal": (lambda _: sends(reply(400, DEEP)), BAD, BAD, UNREADABLE),
    "a hotel's page": (
        lambda _: sends(reply(200, b"<html>Welcome</html>", "Content-Type: text/html")),
        UNKNOWN, UNKNOWN, UNREADABLE,
    ),
    "a proxy's page": (
        lambda _: sends(reply(403, b"<html>Blocked</html>")),
        REFUSED, ("Refused", False, False, "api.bad-request"), UNREADABLE,
    ),
    "a gateway's page": (lambda _: sends(reply(502, b"<html>Bad gateway</html>")), UNKNOWN, UNKNOWN, TROUBLE),
    "500": (lambda _: sends(reply(500)), UNKNOWN, UNKNOWN, TROUBLE),
    "503": (lambda _: sends(reply(503)), UNKNOWN, UNKNOWN, TROUBLE),
    "503 with a time": (lambda _: sends(reply(503, b"", "Retry-After: 5")), BUSY, BUSY, TROUBLE),
    "503 with a time that is none": (lambda _: sends(reply(503, b"", "Retry-After: soon")), UNKNOWN, UNKNOWN, TROUBLE),
    "429 for ever": (lambda _: sends(reply(429, b"", "Retry-After: " + "9" * 30)), SLOW, SLOW, LATER),
    "429 in the past": (lambda _: sends(reply(429, b"", "Retry-After: -7")), SLOW, SLOW, LATER),
    "429 not a number": (lambda _: sends(reply(429, b"", "Retry-After: NaN")), SLOW, SLOW, LATER),
    "429 in the year 9999": (
        lambda _: sends(reply(429, b"", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT")),
        SLOW, SLOW, LATER,
    ),
    "429 in 1999": (lambda _: sends(reply(429, b"", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT")), SLOW, SLOW, LATER),
    "429 of a date that is none": (
        lambda _: sends(reply(429, b"", "Retry-After: Fri, 99 Foo 2026 99:99:99 GMT")),
        SLOW, SLOW, LATER,
    ),
    "a length too small": (
        lambda _: sends(LENGTH + b'3\r\n\r\n{"id": "1", "access_token": "x"}'), UNKNOWN, UNKNOWN, UNREADABLE
    ),
    "a length below nothing": (lambda _: sends_then_closes(LENGTH + b"-5\r\n\r\n{"), UNKNOWN, UNKNOWN, UNREADABLE),
    "a length that is no number": (lambda _: sends_then_closes(LENGTH + b"x\r\n\r\n{"), UNKNOWN, UNKNOWN, UNREADABLE),
    "two lengths": (lambda _: sends_then_closes(LENGTH + b"1\r\nContent-Length: 9\r\n\r\n{"), UNKNOWN, UNKNOWN, GONE),
    "a header that drips for ever": (lambda _: rawweb.drips_on(OK + b"X-A: "), UNKNOWN, UNKNOWN, TIMEOUT),
    "a body that drips for ever": (lambda _: rawweb.drips_on(LENGTH + b"60000\r\n\r\n"), UNKNOWN, UNKNOWN, TIMEOUT),
    "an endless refusal": (
        lambda _: rawweb.endless(b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNK), BAD, BAD, UNREADABLE
    ),
    "an endless answer": (lambda _: rawweb.endless(CHUNKED, CHUNK), UNKNOWN, UNKNOWN, UNREADABLE),
    "an endless header": (lambda _: rawweb.endless(OK, b"X-A: " + b"b" * 1000 + b"\r\n"), UNKNOWN, UNKNOWN, GONE),
    "an endless line": (lambda _: rawweb.endless(OK + b"X-A: ", b"b" * 65536), UNKNOWN, UNKNOWN, GONE),
    "100 Continue for ever": (
        lambda _: rawweb.endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        UNKNOWN, UNKNOWN, GONE,
    ),
    "garbage": (lambda _: sends_then_closes(b"\x00\xff\x1b[31m\r\n\r\n"), UNKNOWN, UNKNOWN, GONE),
    "SMTP": (lambda _: sends_then_closes(b"220 mx ESMTP\r\n"), UNKNOWN, UNKNOWN, GONE),
    "a chunk below nothing": (lambda _: sends_then_closes(CHUNKED + b"-5\r\nabc\r\n"), UNKNOWN, UNKNOWN, GONE),
    "a chunk of all octets there are": (
        lambda _: sends_then_closes(CHUNKED + b"ffffffffffffffff\r\nabc\r\n"),
        UNKNOWN, UNKNOWN, GONE,
    ),
    "a bad chunk": (lambda _: sends_then_closes(CHUNKED + b"zz\r\n"), UNKNOWN, UNKNOWN, GONE),
    "escapes": (lambda _: sends(reply(400, ESCAPES)), BAD, BAD, UNREADABLE),
    "compressed without end": (
        lambda _: sends(reply(200, BOMB, "Content-Encoding: gzip")), UNKNOWN, UNKNOWN, UNREADABLE
    ),
    "compressed twice": (
        lambda _: sends(reply(200, gzip.compress(BOMB), "Content-Encoding: gzip, gzip")), UNKNOWN, UNKNOWN, UNREADABLE
    ),
    "compressed refusal": (
        lambda _: sends(reply(400, gzip.compress(BOMB), "Content-Encoding: gzip, gzip, gzip")),
        BAD, BAD, UNREADABLE,
    ),
    "said to be compressed": (
        lambda _: sends(reply(200, b"{}", "Content-Encoding: gzip")),
        UNKNOWN, UNKNOWN, UNREADABLE,
    ),
}  # fmt: skip


def redirect(status: int, to: str) -> Fault:
    return lambda other: sends(reply(status, b"", f"Location: {to.format(other=other)}"))


FAULTS |= {
    f"{status} to {name}": (redirect(status, to), REFUSED, REFUSED, UNREADABLE)
    for status in (301, 302, 303, 307, 308)
    for name, to in (("the same host", "/elsewhere"), ("another host", "{other}/steal"))
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


CLIENT = "11111111-1111-1111-1111-111111111111"


class Place:
    """One kind of request, at a server that misbehaves once."""

    def __init__(self, name: str, server: RawServer, authority: Authority, key: Mapping[str, str], file: Path) -> None:
        self.name, self.server = name, server
        self.sends = name in ("gmail", "graph")
        given: dict[str, Any] = {
            "name": "shop",
            "ca_file": authority.ca_file,
            "timeout": PATIENCE,
            "final_timeout": PATIENCE,
        }
        if name in ("gmail", "google token", "service account"):
            file.write_text(json.dumps({**key, "token_uri": f"{server.url}/token"}))
            more = {"service_account": str(file)} if name == "service account" else {}
            self.account = franking.Account(
                provider="gmail", sender="me@gmail.com", api_endpoint=server.url, **more, **given
            )
        else:
            more = {"authority": f"{server.url}/contoso", "graph_endpoint": server.url, "client_id": CLIENT}
            self.app = name in ("openid app token", "microsoft app token")
            more |= {"app_only": True} if self.app else {}
            self.account = franking.Account(provider="outlook", sender="me@contoso.com", **more, **given)

    def ask(self) -> Any:
        made: Any = provider(self.account.provider)
        if self.sends:
            with franking.connect(self.account, secret=Password(TOKEN)) as mailer:
                return mailer.send(MESSAGE)
        if self.name == "service account":
            return made.refresh(self.account, None, None)
        if self.account.provider == "gmail":
            data = {
                "refresh_token": REFRESH,
                "token_uri": f"{self.server.url}/token",
                "client_id": "c",
                "client_secret": SECRET,
            }
            wanted = ("https://www.googleapis.com/auth/gmail.send", "openid", "email")
            return made.refresh(
                self.account, Grant("gmail", "gmail-api", None, wanted, 0.0, 0.0, "old", 1.0, data, {}), None
            )
        return (
            made.refresh(self.account, None, SECRET) if self.app else made.refresh(self.account, self.signed_in(), None)
        )

    def signed_in(self) -> Grant:
        """Make what a sign-in of a person leaves behind: MSAL's own cache with a refresh token."""
        import msal

        def packed(claims: dict[str, Any]) -> str:
            return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")

        claims = {
            "aud": CLIENT,
            "iss": self.issuer,
            "sub": "u",
            "exp": 4e9,
            "iat": 1e9,
            "preferred_username": "me@contoso.com",
        }
        answer = {"access_token": "old", "refresh_token": REFRESH, "expires_in": 1, "token_type": "Bearer"}
        answer |= {
            "id_token": f"{packed({'alg': 'none'})}.{packed(claims)}.x",
            "client_info": packed({"uid": "u", "utid": "t"}),
        }
        cache = msal.SerializableTokenCache()
        asked = list(scopes(self.account, "graph"))
        cache.add(
            {
                "client_id": CLIENT,
                "scope": asked,
                "token_endpoint": f"{self.issuer}/oauth2/v2.0/token",
                "response": answer,
            }
        )
        return Grant(
            "outlook", "graph", "me@contoso.com", tuple(asked), 0.0, 0.0, "old", 1.0, {"cache": cache.serialize()}, {}
        )

    @property
    def issuer(self) -> str:
        return f"{self.server.url}/contoso"


PLACES = {
    "gmail": 1,
    "graph": 2,
    "google token": 3,
    "service account": 3,
    "openid token": 3,
    "openid app token": 3,
    "microsoft token": 3,
    "microsoft app token": 3,
}


@pytest.fixture
def place(
    request: pytest.FixtureRequest,
    authority: Authority,
    service_key: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    name: str = request.param
    if name.startswith("microsoft"):  # otherwise an issuer that is not Microsoft's is a plain OpenID provider
        monkeypatch.setattr("franking.outlook.facts.LOGIN_HOSTS", frozenset({"localhost"}))

    def proper(head: str) -> bytes:
        if head.startswith("GET"):
            url = f"{server.url}/contoso"
            found = {
                "issuer": url,
                "authorization_endpoint": f"{url}/authorize",
                "token_endpoint": f"{url}/oauth2/v2.0/token",
            }
            return reply(200, found)
        if "token" in head.split()[1]:
            return reply(200, {"access_token": "new", "expires_in": 3600, "token_type": "Bearer"})
        return reply(200, {"id": "1"}) if name == "gmail" else reply(202)

    with RawServer(authority, otherwise=proper) as server:
        yield Place(name, server, authority, service_key, tmp_path / "key.json")


@pytest.fixture
def other(authority: Authority) -> Iterator[RawServer]:
    with RawServer(authority, otherwise=lambda head: reply(200, {"access_token": "stolen", "id": "1"})) as server:
        yield server


WHOLE = ("gmail", "graph", "google token", "microsoft token")
SHAPES = (
    "truncated JSON",
    "a list",
    "null",
    "a number",
    "nothing at all",
    "wrong types",
    "a refusal of wrong types",
    "a hotel's page",
)
ANSWERS = (
    "closed",
    "a proxy's page",
    "500",
    "503 with a time",
    "429 for ever",
    "an endless answer",
    "compressed twice",
    "307 to another host",
)
#: an account that keeps no count of what its mailbox may do, and so no note of a pause that the server wanted
UNLIMITED = {"per_minute": 0, "per_day": 0, "recipients_per_day": 0, "max_connections": 0}

CELLS = [(name, fault) for name in PLACES for fault in (FAULTS if name in WHOLE else (*SHAPES, *ANSWERS))]
"""Every fault where the code is another; the other token endpoints share what reads an answer, and differ in what they
make of it.
"""


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("place", "fault"), CELLS, indirect=["place"])
def test_a_fault(place: Place, other: RawServer, fault: str) -> None:
    make, *verdicts = FAULTS[fault]
    place.server.acts = [make(other.url)]
    patient = place.account
    if verdicts[2] == TIMEOUT:
        place.account = patient.replace(timeout=SILENCE, final_timeout=SILENCE)
    with pytest.raises(FrankingError) as caught:
        place.ask()
    error = caught.value
    code = explain(error, place.account, provider(place.account.provider)).code
    assert (type(error).__name__, error.temporary, error.possibly_sent, code) == verdicts[PLACES[place.name] - 1]
    assert error.step == ("accepted" if place.sends else "secret")
    asked = [one for one in place.server.requests if not one.head.startswith("GET")]
    assert len(asked) == 1, "what may have been accepted is not sent again, and nobody is pestered"
    assert other.requests == []  # a redirect is not followed, least of all with the token
    shown = f"{error} {error.evidence} {error.diagnosis}".replace("\n", " ")  # a diagnosis has lines of its own
    assert not [one for one in (TOKEN, SECRET, REFRESH) if one in shown]
    assert shown.isprintable()
    assert len(shown) < 20_000
    wait = getattr(error, "retry_after", None)
    assert wait is None or 0 <= wait <= 86_400
    place.account = patient
    if place.sends and wait == 86_400:
        with pytest.raises(franking.Throttled, match="wanted a pause"):
            place.ask()  # the server is not asked before its time
        place.account = patient.replace(**UNLIMITED)
    place.ask()  # whatever it was, the next request goes well


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_nobody_listens(place: Place) -> None:
    place.server.stop_listening()
    with pytest.raises(franking.ConnectError) as caught:
        place.ask()
    assert not caught.value.possibly_sent
    assert explain(caught.value, place.account, provider(place.account.provider)).code == "https.unreachable"


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_the_right_answer_one_octet_at_a_time(place: Place) -> None:
    proper = place.server.otherwise(f"POST {'/token' if not place.sends else '/send'} HTTP/1.1")
    place.server.acts = [rawweb.drips(proper)]
    place.ask()


@pytest.mark.parametrize("place", WHOLE, indirect=True)
@pytest.mark.parametrize(
    "fault",
    ["an endless answer", "an endless refusal", "an endless line", "compressed without end", "compressed twice"],
)
def test_memory_stays_bounded(place: Place, fault: str) -> None:
    place.ask()  # the libraries are loaded
    place.server.acts = [FAULTS[fault][0]("https://localhost:1")]
    tracemalloc.start()
    try:
        with pytest.raises(FrankingError):
            place.ask()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000, f"{peak} octets"


@pytest.mark.parametrize("place", ["gmail", "graph"], indirect=True)
@pytest.mark.parametrize("kind", ["silence", "reset", "413"])
def test_a_fault_before_the_body_was_read(place: Place, kind: str) -> None:
    """A large body that nobody reads was surely not accepted; a small one is in the kernel's hands, and nobody can
    tell.
    """
    acts: dict[str, Wire] = {
        "silence": sends_then_silence(b""),
        "reset": rawweb.resets,
        "413": sends_then_silence(reply(413, b"", "Connection: close")),
    }
    place.server.before_body = [acts[kind]]
    if kind != "reset":  # the client writes until the kernel takes no more, for as long as its time-out
        wait = SILENCE if kind == "silence" else 2.0
        place.account = place.account.replace(timeout=wait, final_timeout=wait)
    size = 30_000_000 if place.name == "gmail" else 2_000_000
    message = franking.Message(
        to=["jana@example.cz"], subject="x", attachments=[franking.Attachment(data=b"x" * size, name="a.bin")]
    )
    if place.name == "gmail":
        place.server.before_body = [
            lambda request: request.send(reply(200, b"", f"Location: {place.server.url}/upload/x")),
            acts[kind],
        ]
    with pytest.raises(FrankingError) as caught, franking.connect(place.account, secret=Password(TOKEN)) as mailer:
        mailer.send(message)
    if kind == "413" or place.name == "gmail":  # 30 MB are not in anybody's buffers
        assert not caught.value.possibly_sent
    assert caught.value.possibly_sent == (type(caught.value).__name__ == "OutcomeUnknown")


@pytest.mark.parametrize("place", ["gmail", "graph"], indirect=True)
@pytest.mark.parametrize(
    "fault", ["closed", "half the body, closed", "an endless refusal", "429 for ever", "302 to another host"]
)
def test_one_session_goes_on_after_a_fault(place: Place, fault: str) -> None:
    unlimited = place.account.replace(**UNLIMITED)  # nobody waits for a day
    with franking.connect(unlimited, secret=Password(TOKEN)) as mailer:
        assert mailer.send(MESSAGE).accepted
        place.server.acts = [FAULTS[fault][0]("https://localhost:1")]
        with pytest.raises(FrankingError):
            mailer.send(MESSAGE)
        assert mailer.send(MESSAGE).accepted
    assert place.server.connections <= 2
