"""What a failed HTTP request means: for the message, and in which words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from email.utils import formatdate
from http.client import IncompleteRead, RemoteDisconnected

import pytest
import requests

from franking import errors
from franking.net import http, http_errors
from franking.text import TEXT_LIMIT
from servers.ports import closed_port
from servers.web import CUT, Authority, Reply, Request, WebServer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def _answer(request: Request) -> Reply:
    if request.path == "/cut":
        request.read()
    return CUT


@pytest.fixture
def server(authority: Authority) -> Iterator[WebServer]:
    with WebServer(_answer, authority) as made:
        yield made


@pytest.fixture
def session(authority: Authority) -> Iterator[requests.Session]:
    with http.session(authority.ca_file, timeout=5) as made:
        yield made


def _broken(session: requests.Session, url: str, **settings: object) -> errors.FrankingError:
    with pytest.raises(requests.exceptions.RequestException) as caught:
        session.post(url, **settings)  # type: ignore[arg-type]
    return http_errors.from_exception(caught.value, service="Graph", url=url)


@pytest.mark.parametrize(("names", "expired", "code"), [(("other.example",), False, 62), (("localhost",), True, 10)])
def test_wrong_certificates_are_tls_errors(
    authority: Authority, session: requests.Session, names: tuple[str, ...], expired: bool, code: int
) -> None:
    with WebServer(_answer, authority, context=authority.context(*names, expired=expired)) as server:
        error = _broken(session, f"{server.url}/secret?token=canary")
    assert isinstance(error, errors.TLSError)
    assert error.evidence is not None
    assert error.evidence.details["verify_code"] == code
    assert "canary" not in f"{error} {error.evidence}"


def test_a_dead_port_and_a_bad_name_are_told_apart(session: requests.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    error = _broken(session, f"https://localhost:{closed_port()}/")
    assert isinstance(error, errors.ConnectError)
    assert error.evidence is not None
    assert (error.evidence.kind, error.evidence.reason, error.step) == ("connect", "refused", "connect")

    def unknown(*args: object, **kw: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = _broken(session, "https://graph.invalid/")
    assert isinstance(error, errors.ConnectError)
    assert error.evidence is not None
    assert (error.evidence.kind, error.evidence.reason, error.step) == ("dns", "not-found", "resolve")


def test_silence_is_a_time_out(session: requests.Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        error = _broken(session, f"https://127.0.0.1:{mute.getsockname()[1]}/", timeout=0.2)
    assert isinstance(error, errors.ConnectTimeout)
    assert error.temporary


def test_a_cut_before_the_end_of_the_body_is_not_accepted_and_after_it_unknown(
    server: WebServer, session: requests.Session
) -> None:
    body = http.Streamed(iter([b"abc", b"def"]), 6)
    with pytest.raises(requests.exceptions.RequestException) as caught:
        session.post(f"{server.url}/cut", data=body)
    assert body.handed_over
    error = http_errors.from_exception(caught.value, service="Graph", url=server.url, handed_over=body.handed_over)
    assert isinstance(error, errors.OutcomeUnknown)
    assert error.possibly_sent

    half = http.Streamed((b"x" * 65536 for _ in range(200)), 13_107_200)
    with pytest.raises(requests.exceptions.RequestException) as caught:
        session.post(f"{server.url}/slam", data=half)
    error = http_errors.from_exception(caught.value, service="Graph", url=server.url, handed_over=half.handed_over)
    assert isinstance(error, errors.ConnectError)
    assert not error.possibly_sent


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        (" 5 ", 5.0),
        ("1.5", 1.5),
        ("3600", 3_600.0),
        ("86400", 86_400.0),
        ("86401", 86_400.0),
        ("9" * 400, 86_400.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("Mon, 99 Foo 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after_in_seconds(value: str | None, seconds: float | None) -> None:
    assert http_errors.retry_after(value) == seconds


def test_retry_after_as_a_date() -> None:
    now = 1_790_000_000.0
    for offset, wanted in ((90, 90.0), (7_200, 7_200.0), (86_399, 86_399.0), (-90, 0.0), (10**8, 86_400.0)):
        assert http_errors.retry_after(formatdate(now + offset, usegmt=True), clock=lambda: now) == wanted


@pytest.mark.parametrize(
    ("status", "headers", "reason", "final", "kind", "temporary"),
    [
        (401, {}, "InvalidAuthenticationToken", True, errors.LoginError, False),
        (403, {}, "ErrorSendAsDenied", True, errors.Refused, False),
        (403, {}, "rateLimitExceeded", True, errors.Throttled, True),
        (408, {}, None, True, errors.Refused, True),
        (413, {}, None, True, errors.Refused, False),
        (429, {}, None, True, errors.Throttled, True),
        (429, {"Retry-After": "3"}, None, False, errors.Throttled, True),
        (503, {"Retry-After": "3"}, None, True, errors.Throttled, True),
        (503, {}, None, True, errors.OutcomeUnknown, False),
        (500, {}, None, True, errors.OutcomeUnknown, False),
        (502, {"Retry-After": "3"}, None, True, errors.OutcomeUnknown, False),
        (501, {}, None, True, errors.Refused, False),
        (507, {}, None, True, errors.Refused, False),
        (499, {}, None, True, errors.Refused, False),
        (504, {}, None, True, errors.OutcomeUnknown, False),
        (500, {}, None, False, errors.Refused, True),
        (503, {}, None, False, errors.Refused, True),
        (200, {}, None, True, errors.Refused, False),
        (302, {}, None, True, errors.Refused, False),
    ],
)
def test_what_a_response_means_for_the_message(
    status: int,
    headers: dict[str, str],
    reason: str | None,
    final: bool,
    kind: type[errors.FrankingError],
    temporary: bool,
) -> None:
    error = http_errors.from_response(
        status, headers, service="Gmail", reason=reason, text="No.", final=final, throttled={"rateLimitExceeded"}
    )
    assert type(error) is kind
    assert error.temporary is temporary
    assert error.possibly_sent is (kind is errors.OutcomeUnknown)
    assert error.evidence is not None
    assert (error.evidence.kind, error.evidence.code, error.evidence.reason) == ("http", status, reason)
    if isinstance(error, errors.Throttled):
        assert error.retry_after == (3.0 if headers else None)
    if isinstance(error, errors.LoginError):
        assert error.token_refused


def _with_reason(reason: str) -> ssl.SSLError:
    made = ssl.SSLError(1, f"[SSL: {reason}]")
    made.reason = reason
    return made


def test_another_sides_words_are_bounded_and_harmless() -> None:
    error = http_errors.from_response(400, {}, service="Gmail", text="a\x1b[31m\r\nb\x00" + "x" * 10_000)
    assert error.evidence is not None
    assert error.evidence.text.startswith("a\\x1b[31m b\\x00x")
    assert len(error.evidence.text) == TEXT_LIMIT
    assert "\x1b" not in str(error)


# -- exceptions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "kind", "reason"),
    [
        (ssl.SSLEOFError(8, "EOF occurred"), "connect", "closed"),
        (ssl.SSLZeroReturnError(6, "closed"), "connect", "closed"),
        (_with_reason("UNEXPECTED_EOF_WHILE_READING"), "connect", "closed"),  # as Python 3.14 says it
        (_with_reason("WRONG_VERSION_NUMBER"), "tls", "WRONG_VERSION_NUMBER"),
        (ssl.SSLError(1, "[SSL] unknown"), "tls", "handshake"),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), "dns", "no-dns"),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "dns", "not-found"),
        (RemoteDisconnected("closed"), "connect", "closed"),
        (IncompleteRead(b"half", 10), "connect", "closed"),
        (ConnectionRefusedError(111, "refused"), "connect", "refused"),
        (TimeoutError("timed out"), "connect", "timeout"),
        (ConnectionResetError(104, "reset"), "connect", "reset"),
        (BrokenPipeError(32, "broken pipe"), "connect", "reset"),
        (OSError(101, "Network is unreachable"), "connect", "unreachable"),
        (OSError("Tunnel connection failed: 407 Proxy Authentication Required"), "connect", "proxy"),
        (PermissionError(13, "denied"), "connect", "closed"),
        (requests.exceptions.ReadTimeout("silent"), "connect", "timeout"),
        (requests.exceptions.InvalidURL("no host"), "dns", "bad-name"),
        (requests.exceptions.ProxyError("refused"), "connect", "proxy"),
        (requests.exceptions.ConnectionError("whatever"), "connect", "closed"),
    ],
)
def test_what_an_exception_says_is_found_under_the_sdks_own(problem: Exception, kind: str, reason: str) -> None:
    """As the cause, as an argument, and as ``reason``: that is how requests and urllib3 nest them."""
    by_cause, by_argument, by_reason = (ValueError("https://host/?token=canary") for _ in range(3))
    by_cause.__cause__ = problem
    by_argument.args = ("https://host/?token=canary", problem)
    by_reason.reason = problem  # type: ignore[attr-defined]
    for outer in (problem, by_cause, by_argument, by_reason):
        error = http_errors.from_exception(outer, service="Graph", url="https://graph.example:8443/x?token=canary")
        assert error.evidence is not None
        assert (error.evidence.kind, error.evidence.reason) == (kind, reason)
        assert (error.evidence.details["host"], error.evidence.details["port"]) == ("graph.example", 8443)
        assert "canary" not in f"{error} {error.evidence}"


def test_exceptions_that_go_in_a_circle_end() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    error = http_errors.from_exception(one, service="Graph", url="https://graph.example/")
    assert error.evidence is not None
    assert (error.evidence.reason, error.evidence.details["port"]) == ("closed", 443)


def test_a_request_that_never_left_is_told_from_one_that_perhaps_did(session: requests.Session) -> None:
    with pytest.raises(requests.exceptions.RequestException) as caught:
        session.post("https://127.0.0.1:1/")
    assert http_errors.never_left(caught.value)
    for perhaps in (requests.exceptions.ReadTimeout("silent"), ConnectionResetError(104, "reset")):
        assert not http_errors.never_left(perhaps)
