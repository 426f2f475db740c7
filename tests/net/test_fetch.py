"""A document that a stranger may have named: HTTPS from first to last, from public addresses only, bounded in size and
in time; against real HTTPS servers on loopback.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from franking.net import tcp
from franking.net.fetch import MAX_DOCUMENT, fetch_https
from servers import rawweb
from servers.names import Names, silent
from servers.ports import closed_port, full_backlog
from servers.rawweb import RawServer
from servers.web import Authority, Reply, Request, WebServer

HOSTS = ("hoster.example", "elsewhere.example")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


Serve = Callable[..., WebServer]


@pytest.fixture
def serve(authority: Authority, names: Names) -> Iterator[Serve]:
    """Serve ``answer`` as both hosts."""
    running: list[WebServer] = []

    def start(answer: Callable[[Request], Reply], *hosts: str) -> WebServer:
        web = WebServer(answer, authority, context=authority.context(*(hosts or HOSTS)))
        for host in HOSTS:
            names.lead(host, web.port)
        running.append(web.__enter__())
        return web

    yield start
    for web in running:
        web.__exit__()


def fetched(authority: Authority, url: str = "https://hoster.example/x", seconds: float = 10, **more: Any) -> bytes:
    """Get it, from loopback too."""
    return fetch_https(url, seconds, **{"ca_file": authority.ca_file, "reachable": lambda address: True, **more})


@pytest.mark.parametrize("case", ["stranger", "no CA"])
def test_a_certificate_that_does_not_fit_is_nothing(authority: Authority, serve: Serve, case: str) -> None:
    serve(lambda request: Reply(200, b"x"), *(["stranger.example"] if case == "stranger" else []))
    with pytest.raises(OSError, match="certificate verify failed"):
        fetched(authority, ca_file=None if case == "no CA" else authority.ca_file)


def test_redirects_stay_on_https_and_end(authority: Authority, serve: Serve) -> None:
    def answer(request: Request) -> Reply:
        places = {
            "/a": "https://elsewhere.example/b",
            "/http": "http://elsewhere.example/b",
            "/file": "file:///etc/passwd",
        }
        if request.path == "/b":
            return Reply(200, b"found")
        return Reply(302, headers={"Location": places.get(request.path, f"https://hoster.example{request.path}x")})

    serve(answer)
    assert fetched(authority, "https://hoster.example/a") == b"found"
    for path in ("/http", "/file", "/loop"):
        with pytest.raises(OSError, match="302"):
            fetched(authority, f"https://hoster.example{path}")


@pytest.mark.parametrize("url", ["http://hoster.example/", "file:///etc/passwd", "ftp://hoster.example/"])
def test_nothing_but_https_is_opened(names: Names, url: str) -> None:
    names.lead("hoster.example", 1)
    with pytest.raises(OSError, match="unknown url type"):
        fetch_https(url, 5)
    assert names.asked == []


def test_a_large_document_is_cut_off(authority: Authority, serve: Serve) -> None:
    serve(lambda request: Reply(200, b"x" * 10_000_000))
    assert MAX_DOCUMENT < len(fetched(authority)) <= MAX_DOCUMENT + 16 * 1024


def test_a_page_that_is_not_there(authority: Authority, serve: Serve) -> None:
    serve(lambda request: Reply(404, b"no"))
    with pytest.raises(OSError, match="404"):
        fetched(authority)


# -- never inside ------------------------------------------------------------------------------------------------------

INSIDE = (
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "::1",
    "::",
    "fe80::1",
    "fd00::1",
    "::ffff:127.0.0.1",
    "::ffff:192.168.1.1",
    "64:ff9b::7f00:1",
)


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_that_leads_inside_is_asked_nothing(authority: Authority, names: Names, address: str) -> None:
    """What counts is where a name leads when the connection is made; that anything is tried would be a RuntimeError, or
    "refused"."""
    names.lead("hoster.example", (address, 443), (address, 443))
    with pytest.raises(OSError, match="leads to this computer or into a private network"):
        fetch_https("https://hoster.example/x", 5, ca_file=authority.ca_file)
    assert names.asked == ["hoster.example"]  # once: what is looked at is what would be connected to


def test_of_several_addresses_only_the_public_ones_are_tried(authority: Authority, serve: Serve, names: Names) -> None:
    web = serve(lambda request: Reply(200, b"found"))
    with socket.create_server(("127.0.0.2", 0)) as inside:
        inside.setblocking(False)
        names.lead("hoster.example", ("127.0.0.2", inside.getsockname()[1]), web.port)
        assert fetched(authority, reachable=lambda address: address != "127.0.0.2") == b"found"
        with pytest.raises(BlockingIOError):
            inside.accept()


@pytest.mark.parametrize(
    "target", ["127.0.0.2", "127.2", "2130706434", "0x7f.2", "[::ffff:127.0.0.2]", "inside.example", "INSIDE.example."]
)
def test_a_redirect_leads_nobody_inside(authority: Authority, serve: Serve, names: Names, target: str) -> None:
    """The first address may be a public one, and the second any that its owner likes, however it is written."""
    with socket.create_server(("127.0.0.2", 0)) as inside:
        inside.setblocking(False)
        port = inside.getsockname()[1]
        for name in ("inside.example", "127.2", "2130706434", "0x7f.2"):  # the last three as the system reads them
            names.lead(name, ("127.0.0.2", port))
        serve(lambda request: Reply(302, headers={"Location": f"https://{target}:{port}/x"}))
        with pytest.raises(OSError, match="leads to this computer or into a private network"):
            fetched(authority, reachable=lambda address: address == "127.0.0.1")
        with pytest.raises(BlockingIOError):
            inside.accept()


@pytest.mark.parametrize(
    "target", ["127.0.0.2", "127.2", "2130706434", "localhost", "x.localhost", "[::1]", "10.1.2.3"]
)
def test_a_proxy_is_not_asked_for_an_address_inside(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with pytest.raises(OSError, match="leads to this computer or into a private network"):
            fetch_https(f"https://{target}/x", 5)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_a_proxy_inside_is_used_and_asked_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as peer:
                asked.append(peer.recv(4096))
                peer.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(OSError, match="407"):
            fetch_https("https://hoster.example/x", 5)
        thread.join()
    assert asked[0].startswith(b"CONNECT hoster.example:443 ")


# -- within the time ---------------------------------------------------------------------------------------------------


def ends(act: Callable[[], object], seconds: float) -> None:
    began = time.perf_counter()
    with pytest.raises(OSError) as caught:
        act()
    assert time.perf_counter() - began < seconds + 1
    assert isinstance(getattr(caught.value, "reason", caught.value), TimeoutError)


def test_silence_at_any_step_ends(authority: Authority, names: Names) -> None:
    with silent() as mute, full_backlog() as nowhere, names.hanging("hanging.example"):
        names.lead("hoster.example", mute)
        names.lead("elsewhere.example", nowhere)
        for host in ("hoster.example", "elsewhere.example", "hanging.example"):
            ends(lambda host=host: fetched(authority, f"https://{host}/x", 0.3), 0.3)  # type: ignore[misc]


def test_a_dead_address_beside_a_living_one(authority: Authority, serve: Serve, names: Names) -> None:
    web = serve(lambda request: Reply(200, b"found"))
    with full_backlog() as nowhere:
        names.lead("hoster.example", nowhere, closed_port(), web.port)
        began = time.perf_counter()
        assert fetched(authority) == b"found"
    assert time.perf_counter() - began < 1.3


@pytest.mark.parametrize(
    "begin", [b"", b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"]
)
def test_what_drips_for_ever_ends(authority: Authority, names: Names, begin: bytes) -> None:
    with RawServer(otherwise=lambda head: b"", context=authority.context(*HOSTS)) as server:
        server.faulty = lambda head: True
        server.acts = [rawweb.drips_on(begin)]
        names.lead("hoster.example", server.port)
        ends(lambda: fetched(authority, seconds=0.2), 1.0)


def test_what_begins_late_and_drips_ends_in_the_same_time(authority: Authority, names: Names) -> None:
    def act(request: rawweb.Raw) -> None:
        request.over.wait(1.1)
        rawweb.drips_on(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")(request)

    with RawServer(otherwise=lambda head: b"", context=authority.context(*HOSTS)) as server:
        server.faulty = lambda head: True
        server.acts = [act]
        names.lead("hoster.example", server.port)
        ends(lambda: fetched(authority, seconds=1.2), 1.2)


def test_the_time_is_for_all_redirects_together(authority: Authority, serve: Serve) -> None:
    def answer(request: Request) -> Reply:
        time.sleep(0.3)
        return Reply(302, headers={"Location": f"https://hoster.example{request.path}x"})

    serve(answer)
    ends(lambda: fetched(authority, seconds=0.5), 0.5)


def test_what_is_public_is_decided_in_one_place() -> None:
    assert fetch_https.__kwdefaults__["reachable"] is tcp.is_public
