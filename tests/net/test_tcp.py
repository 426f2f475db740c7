"""Finding addresses and connecting to one of them. What a session makes of a failure is ``smtp/test_open.py``."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from franking.errors import ConnectError, ConnectTimeout
from franking.net import tcp
from franking.net.tcp import Place
from servers.ports import closed_port


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def address(port: int, host: str = "127.0.0.1") -> Any:
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))


def connected(place: Place, found: list[Any], **options: Any) -> socket.socket:
    """Connect, and return the socket that was attached."""
    attached: list[socket.socket] = []
    tcp.connect(place, found, attached.append, timeout=5, **options)
    return attached.pop()


def test_a_connection_is_kept_alive_and_does_not_wait_to_fill_a_packet(listener: socket.socket) -> None:
    place = Place("localhost", listener.getsockname()[1])
    with connected(place, [address(place.port)]) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_losers_of_a_race_are_closed(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []

    class Watched(socket.socket):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            opened.append(self)

    nobody = address(closed_port())
    monkeypatch.setattr(socket, "socket", Watched)
    place = Place("localhost", listener.getsockname()[1])
    with connected(place, [nobody, address(place.port)]):
        assert [one.fileno() >= 0 for one in opened] == [False, True]


def test_an_interruption_leaves_no_socket(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []

    class Interrupted(socket.socket):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            opened.append(self)

        def setsockopt(self, *args: Any) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(socket, "socket", Interrupted)
    place = Place("localhost", listener.getsockname()[1])
    with pytest.raises(KeyboardInterrupt):
        connected(place, [address(place.port)])
    assert [one.fileno() for one in opened] == [-1]


def test_an_interruption_while_the_socket_is_attached_leaves_none(listener: socket.socket) -> None:
    attached: list[socket.socket] = []

    def attach(sock: socket.socket) -> None:
        attached.append(sock)
        raise KeyboardInterrupt

    place = Place("localhost", listener.getsockname()[1])
    with pytest.raises(KeyboardInterrupt):
        tcp.connect(place, [address(place.port)], attach, timeout=5)
    assert [one.fileno() for one in attached] == [-1]


def test_a_family_that_this_machine_lacks_is_one_attempt_that_failed(listener: socket.socket) -> None:
    lacking = (255, socket.SOCK_STREAM, 0, "", ("::1", 1))
    place = Place("localhost", listener.getsockname()[1])
    connected(place, [lacking, address(place.port)]).close()
    with pytest.raises(ConnectError) as caught:
        connected(place, [lacking, lacking])
    assert caught.value.evidence is not None
    assert [one["address"] for one in caught.value.evidence.details["tried"]] == ["::1", "::1"]
    assert caught.value.evidence.reason == "unreachable"


def test_without_an_address_nothing_is_reached() -> None:
    with pytest.raises(ConnectError, match="cannot be reached"):
        connected(Place("localhost", 1), [])


def test_the_time_is_for_all_addresses_together() -> None:
    """When it is over, the next address is not even tried; the clock of this test goes ten seconds at each look."""
    now = iter(range(0, 1_000, 10))
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), pytest.raises(ConnectTimeout) as caught:
            connected(Place("localhost", port), [address(port)] * 3, clock=lambda: float(next(now)))
    assert caught.value.evidence is not None
    assert [one["reason"] for one in caught.value.evidence.details["tried"]] == ["timeout"]


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ECONNREFUSED, "refused"),
        (errno.ETIMEDOUT, "timeout"),
        (errno.ECONNRESET, "reset"),
        (errno.ECONNABORTED, "reset"),
        (errno.EPIPE, "reset"),
        (errno.ENETUNREACH, "unreachable"),
        (errno.EHOSTUNREACH, "unreachable"),
        (errno.EADDRNOTAVAIL, "unreachable"),
        (errno.EAFNOSUPPORT, "unreachable"),
        (errno.ENETDOWN, "unreachable"),
    ],
)
def test_the_systems_numbers_in_the_catalogues_words(number: int, word: str) -> None:
    assert tcp.why(OSError(number, "said")) == word


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("::ffff:8.8.8.8", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.1.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.1.2.3", False),
        ("64:ff9b::8.8.8.8", True),
        ("64:ff9b::127.0.0.1", False),
        ("64:ff9b::10.1.2.3", False),
        ("2002:7f00:1::", False),
        ("2002:a01:203::1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("64:ff9b:1::10.1.2.3", False),
        ("64:ff9b:1::8.8.8.8", True),
        ("::127.0.0.1", False),
        ("::8.8.8.8", True),
        ("fec0::1", False),
        ("224.0.0.1", False),
        ("ff02::1", False),
    ],
)
def test_which_addresses_are_public(host: str, public: bool) -> None:
    assert tcp.is_public(host) is public


def test_a_place_is_shown_as_an_address_is_written() -> None:
    assert str(Place("mail.example.test", 587)) == "mail.example.test:587"
    assert str(Place("::1", 587)) == "[::1]:587"


def test_an_address_is_not_looked_up_and_a_name_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, Any]] = []

    def resolver(name: str, port: int, **options: Any) -> list[Any]:
        asked.append((name, options.get("flags")))
        return [address(port)]

    for host in ("127.0.0.1", "::1", "mail.example.test"):
        tcp.resolve(Place(host, 25), timeout=1, resolver=resolver)
    numeric = socket.AI_NUMERICHOST
    assert asked == [("127.0.0.1", numeric), ("::1", numeric), ("mail.example.test", None)]


def test_a_name_without_an_address_and_a_resolver_that_breaks() -> None:
    def broken(*args: Any, **options: Any) -> list[Any]:
        raise OSError(errno.EMFILE, "Too many open files")

    for resolver, reason, temporary in ((lambda *args, **options: [], "no-address", False), (broken, "no-dns", True)):
        with pytest.raises(ConnectError) as caught:
            tcp.resolve(Place("mail.example.test", 25), timeout=1, resolver=resolver)
        assert caught.value.evidence is not None
        assert (caught.value.evidence.reason, caught.value.temporary) == (reason, temporary)


def test_the_system_is_asked_where_nobody_else_is() -> None:
    found = tcp.resolve(Place("localhost", 25), timeout=5)
    assert {each[4][0] for each in found} <= {"127.0.0.1", "::1"}
    assert len(found) == len(set(found))


def test_families_take_turns() -> None:
    def resolver(name: str, port: int, **options: Any) -> list[Any]:
        six = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, port, 0, 0)) for one in ("::1", "::2", "::3")]
        return [*six, address(port), address(port, "127.0.0.2")]

    order = tcp.resolve(Place("x.test", 1), timeout=1, resolver=resolver)
    assert [each[4][0] for each in order] == ["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"]


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("straße.test", "xn--strae-oqa.test"),
        ("ｓｍｔｐ．x.test", "smtp.x.test"),
        ("smtp.x.test.", "smtp.x.test"),
        ("[::1]", "::1"),
    ],
)
def test_names_are_looked_up_as_idna_2008_says(host: str, asked: str) -> None:
    """IDNA 2003 would ask for strasse.test, which is another server."""
    assert Place(host, 1).name == asked
