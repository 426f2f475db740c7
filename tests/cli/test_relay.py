"""``franking relay``: users, what is shown, how it ends."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from commandline import Person, franking
from franking.relay import Relay
from franking.relay.events import Event
from franking_cli.commands import relay as command
from franking_cli.console import Console
from franking_cli.service import handed_sockets
from relay.conftest import MESSAGE, said, save
from servers.smtp import SmtpServer, wait_until


def test_a_user_is_made_listed_and_removed() -> None:
    save(25)
    done = franking("relay", "add-user", "printer")
    name, password = done.out.split()[1], done.out.split()[3]
    assert (done.code, name, len(password)) == (0, "printer", 16)
    assert "shown this once" in done.err
    assert "shop@example.cz" in done.err
    assert "device elsewhere: franking relay run --listen 0.0.0.0:587" in done.err
    assert franking("relay", "add-user", "printer").code == 2
    made = franking(
        "relay", "add-user", "fax", "--account", "shop", "--from", "@a.cz", "--on-blocked", "hold", "--json"
    )
    assert json.loads(made.out) | {"password": ""} == {
        "name": "fax", "password": "", "account": "shop", "from": ["@a.cz"],
    }  # fmt: skip
    assert json.loads(franking("relay", "users", "--json").out) == [
        {"name": "printer", "account": None, "from": [], "on_blocked": None},
        {"name": "fax", "account": "shop", "from": ["@a.cz"], "on_blocked": "hold"},
    ]
    assert "@a.cz" in franking("relay", "users").out
    assert franking("relay", "remove-user", "fax").code == 0
    assert json.loads(franking("relay", "remove-user", "printer", "--json").out) == {"name": "printer", "removed": True}
    assert "none yet" in franking("relay", "users").err
    assert franking("relay", "remove-user", "printer").code == 2
    assert franking("relay", "add-user", "x", "--on-blocked", "drop").code == 2


@pytest.mark.parametrize(("answer", "listens"), [("y", "0.0.0.0"), ("", "127.0.0.1")])
def test_a_person_says_whether_a_device_is_elsewhere(answer: str, listens: str) -> None:
    save(25)
    person = Person("relay", "add-user", "printer")
    person.answer("another machine", answer)
    assert person.run() == 0
    assert person.shown.endswith("Next: franking relay\n")
    assert [place.host for place in Relay.of_settings({}).settings.listen] == [listens]
    if listens == "0.0.0.0":
        again = Person("relay", "add-user", "scanner")  # it is known now
        assert again.run() == 0


def test_a_password_of_ones_own_comes_from_stdin() -> None:
    save(25)
    done = franking("relay", "add-user", "nas", "--password-stdin", text=b"muj-vlastni\n")
    assert (done.code, "muj-vlastni" in done.out, "shown this once" in done.err) == (0, False, False)
    assert "scrypt:" in Path(os.environ["FRANKING_CONFIG"]).read_text()


@contextmanager
def running(*arguments: str) -> Iterator[Any]:
    """Run the command in a thread of this process until the block ends."""
    stop = threading.Event()
    ended: list[Any] = []

    class Stopped(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return stop.wait(0.05)

    before, command.threading = command.threading, type("threads", (), {"Event": Stopped, "Lock": threading.Lock})  # type: ignore[misc, assignment]
    thread = threading.Thread(target=lambda: ended.append(franking("relay", *arguments)))
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join(20)
        command.threading = before  # type: ignore[misc]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def connect(port: int) -> smtplib.SMTP:
    found: list[smtplib.SMTP] = []

    def try_it() -> bool:
        try:
            found.append(smtplib.SMTP("127.0.0.1", port, timeout=20))
        except OSError:
            return False
        return True

    wait_until(try_it)
    found[0].ehlo()
    return found[0]


@pytest.mark.parametrize("json_output", [False, True])
def test_it_serves_and_tells(json_output: bool) -> None:
    port = free_port()
    with SmtpServer(refused={"no@example.com": "550 5.1.1 nobody"}) as server:
        save(server.port)
        flags = ["--json"] * json_output
        with running("--listen", f"127.0.0.1:{port}", "--wait", "3", *flags) as ended, connect(port) as client:
            assert said(client, "shop@example.cz", ["a@b.cz", "c@b.cz", "d@b.cz", "e@b.cz"], MESSAGE).startswith("250")
            assert said(client, "other@example.cz", "a@b.cz", MESSAGE).startswith("550")
        (done,) = ended
    assert done.code == 0
    if json_output:
        lines = [json.loads(line) for line in done.out.splitlines()]
        assert [line["event"] for line in lines] == ["listening", "message", "refused", "stopped"]
        assert lines[0] == {"event": "listening", "address": f"127.0.0.1:{port}", "tls": "none", "fingerprint": None}
        assert set(lines[1]) == {
            "event", "id", "client", "user", "account", "from", "to", "bytes", "outcome", "reply", "mended", "ms",
        }  # fmt: skip
        assert done.err == ""
    else:
        first, second = done.out.splitlines()
        assert first == f"listening  127.0.0.1:{port}  no encryption"
        assert second == (
            "accepted  127.0.0.1  shop@example.cz  a@b.cz, c@b.cz, d@b.cz and 1 more  250 2.0.0 accepted: queued as 1"
        )
        assert f"port      {port}" in done.err
        assert "refused at mail" in done.err


def test_what_it_prints_for_people_is_czech_too() -> None:
    port = free_port()
    with SmtpServer() as server:
        save(server.port)
        flags = ("--listen", f"127.0.0.1:{port}", "--wait", "10", "--language", "cs")
        with running(*flags) as ended, connect(port) as client:
            said(client, "shop@example.cz", ["a@b.cz", "c@b.cz", "d@b.cz", "e@b.cz"], MESSAGE)
    first, second = ended[0].out.splitlines()
    assert first == f"listening  127.0.0.1:{port}  bez šifrování"
    assert second.startswith("přijato  127.0.0.1  shop@example.cz  a@b.cz, c@b.cz, d@b.cz a další: 1  250 2.0.0 ")
    assert "Vyplňte v\u00a0programu nebo zařízení:" in ended[0].err


def test_wrong_settings_end_with_2() -> None:
    save(25)
    for flags, words in (
        (["--listen", "0.0.0.0:0"], "add-user"),
        (["--allow", "0.0.0.0/0"], "allow"),
        (["--allow", "127.0.0.1,8.8.8.8"], "'8.8.8.8' is not within a private network"),
        (["--wait", "x"], "wait"),
        (["--account", "nope"], "nope"),
    ):
        done = franking("relay", "run", *flags)
        assert (done.code, words in done.err) == (2, True), flags
    with socket.create_server(("127.0.0.1", 0)) as sock:
        done = franking("relay", "--listen", f"127.0.0.1:{sock.getsockname()[1]}")
    assert (done.code, "cannot be listened on" in done.err) == (2, True)


def test_every_event_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    screen = command._Screen(Console())
    for name, values in (
        ("listening", {"address": "a", "tls": "starttls", "fingerprint": "SHA256 00"}),
        ("login-failed", {"user": "x\x1b", "client": "10.0.0.1", "hint": None}),
        ("login-failed", {"user": "", "client": "10.0.0.1", "hint": "the name is empty"}),
        ("warning", {"text": "careful"}),
        ("stopped", {}),
    ):
        screen.tell(Event(name, values))
    found = capsys.readouterr()
    assert "STARTTLS" in found.out
    assert "\x1b" not in found.err.replace("\x1b[", "")
    assert "the name is empty" in found.err
    assert "careful" in found.err


def advised(capsys: pytest.CaptureFixture[str], *, by_hand: bool, **places: int) -> str:
    relay = Relay.of_settings({"listen": [f"{host}:{port}" for host, port in places.items()]})
    relay.addresses = list(places.items())  # as if it had started
    command._Screen(Console()).advise(relay, by_hand=by_hand)
    return capsys.readouterr().err


def test_devices_are_told_the_port_that_is_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    save(25)
    franking("relay", "add-user", "printer")
    said = advised(capsys, by_hand=True, **{"127.0.0.1": 2525, "0.0.0.0": 587})
    assert "port      587\n  security  STARTTLS" in said
    assert "this machine's name" in said
    assert "add-user" not in said


@pytest.mark.parametrize(
    ("host", "addresses", "told"),
    [
        ("0.0.0.0", ["127.0.0.1", "192.168.1.20"], "this machine's name or address: 192.168.1.20\n"),
        ("::", ["127.0.0.1"], "this machine's name or address\n"),
        ("192.168.1.20", ["127.0.0.1", "10.0.0.7"], "192.168.1.20\n"),
    ],
)
def test_devices_are_told_where_this_machine_is(
    host: str, addresses: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "addresses_of_interfaces", lambda: addresses)
    save(25)
    franking("relay", "add-user", "printer")
    place = f"[{host}]" if ":" in host else host
    assert f"server    {told}" in advised(capsys, by_hand=True, **{place: 587})


def test_who_listens_for_a_service_manager_is_told_nothing_of_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    save(25)
    by_hand, served = (advised(capsys, by_hand=each, **{"127.0.0.1": 2525}) for each in (True, False))
    assert by_hand.startswith(served)
    assert "port      2525" in served
    assert ["--listen" in each and "Ctrl-C" in each for each in (by_hand, served)] == [True, False]


def test_no_sockets_are_taken_that_are_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert handed_sockets() == []
    monkeypatch.setenv("LISTEN_PID", "1")
    assert handed_sockets() == []


ACTIVATE = """
import os, socket, sys
sock = socket.create_server(("127.0.0.1", 0)); health = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], health.getsockname()[1], flush=True)
one, two = os.dup(sock.fileno()), os.dup(health.fileno())
os.dup2(one, 3); os.dup2(two, 4)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "smtp:health"}
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.process
def test_socket_activation_the_service_manager_and_sigterm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.settimeout(20)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    program = str(Path(sys.executable).with_name("franking"))
    with SmtpServer() as server:
        save(server.port)
        child = subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, program, "relay", "run", "--json"], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        port, health = map(int, child.stdout.readline().split())
        assert json.loads(child.stdout.readline())["address"] == f"127.0.0.1:{port}"
        assert told.recv(100) == b"READY=1"
        with socket.create_connection(("127.0.0.1", health)) as asked:
            asked.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert asked.recv(100).startswith(b"HTTP/1.1 200 OK")
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            assert said(client, "shop@example.cz", "a@b.cz", MESSAGE).startswith("250 2.0.0 accepted")
        child.send_signal(signal.SIGTERM)
        rest = child.communicate(timeout=40)[0]
    assert child.returncode == 0
    assert json.loads(rest.splitlines()[-1]) == {"event": "stopped"}
    assert told.recv(100) == b"STOPPING=1"
    told.close()
