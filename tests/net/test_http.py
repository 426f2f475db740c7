"""The HTTP session of the API providers, tried against HTTPS servers on loopback: whom it trusts, what it says, what it
reuses.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from franking import errors
from franking.net import http, http_errors
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


def test_what_every_request_says(server: WebServer, session: requests.Session) -> None:
    for _ in range(2):
        heard = session.post(f"{server.url}/x", data=b"x").json()["headers"]
        assert heard["User-Agent"] == "franking"
        assert heard["Accept-Encoding"] == "identity"
        assert heard["Connection"] == "keep-alive"


def test_the_letters_case_of_a_host_is_no_difference_to_its_certificate(
    server: WebServer, session: requests.Session
) -> None:
    assert session.get(f"https://LocalHost:{server.port}/x").status_code == 200


def test_a_connection_opened_ahead_is_the_one_that_is_used(server: WebServer, session: requests.Session) -> None:
    assert http.reach(session, f"{server.url}/y") == "TLSv1.3"
    assert server.requests == []
    session.get(f"{server.url}/x")
    assert (server.connections, server.requests) == (1, ["GET /x"])


def test_a_connection_that_the_server_closed_is_not_used_again(server: WebServer, session: requests.Session) -> None:
    session.get(f"{server.url}/x")
    server.drop()
    time.sleep(0.05)
    session.post(f"{server.url}/x", data=b"x")
    assert server.requests == ["GET /x", "POST /x"]
    assert server.connections == 2


def test_a_connection_opened_ahead_goes_through_the_proxy(
    server: WebServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    with _Proxy(seen) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with http.session(authority.ca_file, timeout=5) as session:
            http.reach(session, server.url)
            session.get(f"{server.url}/x")
    assert len(seen) == 1
    assert server.connections == 1


def test_an_aborted_session_breaks_off_and_makes_no_new_connection(
    server: WebServer, session: requests.Session
) -> None:
    session.get(f"{server.url}/x")
    http.abort(session)
    for _ in range(2):
        error = _broken(session, f"{server.url}/x")
        assert isinstance(error, errors.ConnectError)
        assert error.evidence is not None
        assert error.evidence.reason == "reset"
    assert (server.connections, server.requests) == (1, ["GET /x"])
    http.abort(session)


def test_streamed_bodies_are_handed_over_with_their_last_octet_not_before() -> None:
    body = http.Streamed([b"abc", b"", b"d"], 4)
    states = [(chunk, body.handed_over) for chunk in body]
    assert states == [(b"abc", False), (b"d", True)]


def test_a_body_that_turns_out_longer_is_never_handed_over() -> None:
    body = http.Streamed([b"abc", b"d", b"", b"e"], 4)
    sent: list[bytes] = []
    with pytest.raises(http.Changed, match="turned out longer"):
        sent.extend(body)
    assert (b"".join(sent), body.handed_over) == (b"abc", False)


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
