"""The HTTP session of the API providers, tried against HTTPS servers on loopback: whom it trusts, what it says, what it
reuses.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from urllib3.exceptions import HTTPError

from franking import errors
from franking.net import http, http_errors
from servers.names import Names, silent
from servers.ports import closed_port, full_backlog
from servers.tunnel import Tunnel
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
    with Tunnel(seen) as port:
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
    with Tunnel([], refuse=True) as port:
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
    with Tunnel(seen) as port:
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


# -- connecting: within the time, the nearest of several addresses -----------------------------------------------------


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


def _unreached(ca_file: str, url: str, *, ahead: bool) -> tuple[errors.FrankingError, float]:
    """Open a connection ahead of a request, or with it, and give the error and the seconds that it took."""
    with http.session(ca_file, timeout=0.3) as session:
        began = time.perf_counter()
        with pytest.raises((OSError, HTTPError)) as caught:
            if ahead:
                http.reach(session, url)
            else:
                session.post(url, data=b"x", timeout=(0.3, 5))
        took = time.perf_counter() - began
    assert http_errors.never_left(caught.value)
    return http_errors.from_exception(caught.value, service="Graph", url=url), took


@pytest.mark.parametrize("ahead", [True, False], ids=["opened ahead", "with a request"])
def test_no_connection_takes_longer_than_its_time(authority: Authority, names: Names, ahead: bool) -> None:
    with silent() as mute, full_backlog() as nowhere, names.hanging("hanging.localhost"):
        for host, port, step in (
            ("localhost", mute, "tls"),
            ("localhost", nowhere, "connect"),
            ("hanging.localhost", 1, "resolve"),
        ):
            error, took = _unreached(authority.ca_file, f"https://{host}:{port}/", ahead=ahead)
            assert isinstance(error, errors.ConnectTimeout), repr(error)
            assert error.step == step
            assert took < 1.3


@pytest.mark.parametrize("ahead", [True, False], ids=["opened ahead", "with a request"])
def test_a_proxy_that_keeps_silent_is_named(
    authority: Authority, names: Names, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    with silent() as mute:
        names.lead("proxy.example.test", mute)
        monkeypatch.setenv("HTTPS_PROXY", "http://name:canary@proxy.example.test:3128")
        error, took = _unreached(authority.ca_file, "https://graph.example.test/", ahead=ahead)
    assert isinstance(error, errors.ConnectTimeout)
    assert error.step == "connect"
    assert error.evidence is not None
    assert (error.evidence.details["proxy"], error.evidence.details["host"]) == (
        "proxy.example.test:3128",
        "graph.example.test",
    )
    assert "graph.example.test), through the proxy proxy.example.test:3128," in str(error)
    assert "canary" not in f"{error} {error.evidence}"
    assert took < 1.3


def test_a_living_address_wins_over_dead_ones(server: WebServer, names: Names, session: requests.Session) -> None:
    with full_backlog() as nowhere:
        names.lead("localhost", nowhere, closed_port(), server.port)
        began = time.perf_counter()
        assert http.reach(session, server.url) == "TLSv1.3"
        assert session.get(f"{server.url}/x").status_code == 200
    assert time.perf_counter() - began < 1.3
    assert names.asked == ["localhost"]


def test_every_address_that_was_tried_is_in_the_evidence(
    authority: Authority, names: Names, session: requests.Session
) -> None:
    names.lead("localhost", closed_port(), ("127.0.0.2", closed_port("127.0.0.2")))
    error = _broken(session, "https://localhost:1/")
    assert error.evidence is not None
    assert [one["address"] for one in error.evidence.details["tried"]] == ["127.0.0.1", "127.0.0.2"]


def test_a_tls_handshake_that_fails_leaves_nothing_of_a_request(session: requests.Session) -> None:
    """A final request without a body would otherwise count as one that perhaps arrived."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(requests.exceptions.RequestException) as caught:
            session.post(f"https://localhost:{listener.getsockname()[1]}/")
        thread.join()
    assert http_errors.never_left(caught.value)


def test_the_patience_for_a_reply_is_not_that_for_the_next_body(authority: Authority) -> None:
    """The reply that accepts a message may take minutes; a server that takes no more of the next one may not."""
    stopped = threading.Event()

    def answer(request: Request) -> Reply:
        if request.path == "/first":
            return Reply(200, {"got": len(request.read())})
        stopped.wait(20)
        return CUT

    with WebServer(answer, authority) as server, http.session(authority.ca_file, timeout=0.5, patience=30) as session:
        session.post(f"{server.url}/first", data=b"x", timeout=(0.5, 30))
        body = http.Streamed((b"x" * 65_536 for _ in range(1_000)), 65_536_000)
        began = time.perf_counter()
        error = _broken(session, f"{server.url}/second", data=body, timeout=(0.5, 30))
        assert time.perf_counter() - began < 5
        stopped.set()
    assert isinstance(error, errors.ConnectTimeout)
    assert server.connections == 1


def test_a_socks_proxy_is_refused_in_words(session: requests.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5h://127.0.0.1:1080")
    url = "https://graph.example.test/"
    error = _broken(session, url)
    with pytest.raises(OSError, match="SOCKS"):
        http.reach(session, url)
    assert error.evidence is not None
    assert error.evidence.reason == "proxy"


def test_a_proxy_behind_tls(server: WebServer, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our context for the proxy too, and what is inside of its TLS can be broken off like anything else."""
    seen: list[str] = []
    with Tunnel(seen, context=authority.context("localhost")) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"https://localhost:{port}")
        with http.session(authority.ca_file, timeout=5) as session:
            http.reach(session, server.url)
            assert session.get(f"{server.url}/x").status_code == 200
            http.abort(session)
            assert isinstance(_broken(session, f"{server.url}/x"), errors.ConnectError)
    assert len(seen) == 1
    with silent() as mute, http.session(authority.ca_file, timeout=0.3) as session:
        monkeypatch.setenv("HTTPS_PROXY", f"https://localhost:{mute}")
        error = _broken(session, f"{server.url}/x")
    assert isinstance(error, errors.ConnectTimeout)
    assert f"the proxy localhost:{mute}," in str(error)


def test_a_session_that_is_aborted_while_it_connects_sends_nothing(
    server: WebServer, names: Names, session: requests.Session
) -> None:
    with names.hanging("localhost"):
        threading.Timer(0.1, http.abort, [session]).start()
        threading.Timer(0.2, names.lead, ["localhost", server.port]).start()
        error = _broken(session, f"{server.url}/x", data=b"x")
    assert error.evidence is not None
    assert error.evidence.reason == "reset"
    assert server.requests == []


def test_nothing_goes_over_plain_http(session: requests.Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        _broken(session, f"http://127.0.0.1:{listener.getsockname()[1]}/token", data={"refresh_token": "canary"})
        with pytest.raises(BlockingIOError):
            listener.accept()
