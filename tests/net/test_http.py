"""The HTTP session of the API providers, and what an HTTP failure means: tried against HTTPS servers on loopback."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

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
    if request.path == "/moved":
        return Reply(302, headers={"Location": "https://localhost:1/elsewhere"})
    if request.path == "/cut":
        request.read()
        return CUT
    if request.path == "/slam":
        return CUT
    if request.path == "/early":
        return Reply(413, {"error": "too large"})
    if request.path == "/long":
        return Reply(500, b"x" * 200_000)
    if request.path == "/busy":
        return Reply(503, b"", {"Retry-After": "7"})
    return Reply(200, {"got": len(request.read()), "length": request.length, "headers": dict(request.headers)})


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


def test_redirects_are_never_followed(server: WebServer, session: requests.Session) -> None:
    for verb in (session.get, session.post):
        assert verb(f"{server.url}/moved", allow_redirects=True).status_code == 302
    assert server.requests == ["GET /moved", "POST /moved"]


def test_one_connection_is_reused(server: WebServer, session: requests.Session) -> None:
    for _ in range(5):
        session.post(f"{server.url}/x", data=b"12345")
    assert server.connections == 1


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environments_bundles_do_not_replace_our_trust(
    server: WebServer, session: requests.Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    other = Authority(tmp_path)
    monkeypatch.setenv(variable, other.ca_file)
    assert session.get(f"{server.url}/x").status_code == 200


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environments_bundles_add_no_trust(
    server: WebServer, authority: Authority, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, authority.ca_file)
    with http.session(None, timeout=5) as stranger:
        error = _broken(stranger, f"{server.url}/x")
    assert isinstance(error, errors.TLSError)
    assert error.evidence is not None
    assert (error.evidence.kind, error.evidence.details["verify_code"]) == ("tls", 20)


def test_verification_cannot_be_switched_off(server: WebServer) -> None:
    with http.session(None, timeout=5) as stranger:
        stranger.verify = False
        assert isinstance(_broken(stranger, f"{server.url}/x", verify=False), errors.TLSError)


def test_certifis_bundle_is_not_added_to_ours(
    server: WebServer, session: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    import ssl

    real = ssl.SSLContext.load_verify_locations
    monkeypatch.setattr(
        ssl.SSLContext,
        "load_verify_locations",
        lambda *args, **kw: (loaded.append((args[1:], kw)), real(*args, **kw))[1],
    )
    session.get(f"{server.url}/x")
    assert loaded == []


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


def test_a_proxy_of_the_environment_is_used_and_no_proxy_honoured(
    server: WebServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    with _Proxy(seen) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with http.session(authority.ca_file, timeout=5) as session:
            assert session.get(f"{server.url}/x").status_code == 200
            assert [line.split()[:2] for line in seen] == [["CONNECT", f"localhost:{server.port}"]]
            monkeypatch.setenv("NO_PROXY", "localhost")
            assert session.get(f"{server.url}/x").status_code == 200
    assert len(seen) == 1


def test_a_proxy_that_refuses_is_named(
    server: WebServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _Proxy([], refuse=True) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://name:canary@127.0.0.1:{port}")
        with http.session(authority.ca_file, timeout=5) as session:
            error = _broken(session, f"{server.url}/x")
    assert isinstance(error, errors.ConnectError)
    assert error.evidence is not None
    assert error.evidence.reason == "proxy"
    assert "407" in error.evidence.text
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


def test_streamed_bodies_have_a_length_and_tell_their_progress(server: WebServer, session: requests.Session) -> None:
    told: list[int] = []
    answer = session.post(
        f"{server.url}/x", data=http.Streamed(iter([b"a" * 10, b"", b"b" * 5]), 15, told.append)
    ).json()
    assert (answer["got"], answer["length"], told) == (15, 15, [10, 15])
    assert "Transfer-Encoding" not in answer["headers"]
    for wrong in (14, 16):
        with pytest.raises(ValueError, match="a body of"):
            list(http.Streamed([b"a" * 15], wrong))


def test_an_early_refusal_of_a_large_body_is_read(server: WebServer, session: requests.Session) -> None:
    answer = session.post(f"{server.url}/early", data=http.Streamed((b"x" * 65536 for _ in range(100)), 6_553_600))
    assert answer.status_code == 413


def test_a_long_answer_is_cut_short(server: WebServer, session: requests.Session) -> None:
    with session.post(f"{server.url}/long", stream=True) as answer:
        assert len(http.read(answer).content) == http.BODY_LIMIT
    assert session.get(f"{server.url}/x").status_code == 200
    assert server.connections == 2


def test_the_query_of_a_url_is_in_no_log(
    server: WebServer, session: requests.Session, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        session.put(f"{server.url}/upload?authtoken=canary", data=b"x")
    assert "/upload?…" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        (" 5 ", 5.0),
        ("1.5", 1.5),
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
    for offset, wanted in ((90, 90.0), (-90, 0.0), (10**8, 86_400.0)):
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
        (504, {}, None, True, errors.OutcomeUnknown, False),
        (500, {}, None, False, errors.Refused, True),
        (503, {}, None, False, errors.Refused, True),
        (200, {}, None, True, errors.Refused, False),
        (302, {}, None, True, errors.Refused, False),
    ],
)
def test_verdicts(
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


def test_another_sides_words_are_bounded_and_harmless() -> None:
    error = http_errors.from_response(400, {}, service="Gmail", text="a\x1b[31m\r\nb\x00" + "x" * 10_000)
    assert error.evidence is not None
    assert error.evidence.text.startswith("a\\x1b[31m b\\x00x")
    assert len(error.evidence.text) == TEXT_LIMIT
    assert "\x1b" not in str(error)


class _Proxy:
    """A CONNECT proxy for one test; notes what it was asked for."""

    def __init__(self, seen: list[str], *, refuse: bool = False) -> None:
        self._seen, self._refuse = seen, refuse
        self._server = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._run, daemon=True).start()
        return int(self._server.getsockname()[1])

    def __exit__(self, *exc: object) -> None:
        self._server.close()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client:
                head = client.recv(65536).decode()
                self._seen.append(head.splitlines()[0])
                if self._refuse:
                    client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    continue
                port = int(head.split()[1].rpartition(":")[2])
                with socket.create_connection(("127.0.0.1", port)) as target:
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    other = threading.Thread(target=_pump, args=(target, client), daemon=True)
                    other.start()
                    _pump(client, target)
                    other.join(5)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
