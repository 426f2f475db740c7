"""Limits on the API routes: recipients, sizes, attachments that change on the way, and what is no file at all. Nothing
is half sent, nothing waits for ever.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.errors import MessageError
from franking_cli.app import run
from servers import held
from servers.held import Hook, Service
from servers.privileges import where_modes_count
from servers.web import Reply, Request
from smtp.test_limits import CHANGES

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    with held.gmail(tmp_path_factory.mktemp("gmail")) as gmail, held.graph(tmp_path_factory.mktemp("graph")) as graph:
        yield {"gmail": gmail, "graph": graph}


@pytest.fixture(params=["gmail", "graph"])
def service(request: pytest.FixtureRequest, services: dict[str, Service]) -> Service:
    return services[request.param]


def requests(service: Service) -> list[str]:
    return list(service.fake.requests if service.provider == "gmail" else service.fake.server.requests)


def refused(service: Service, tmp_path: Path, message: franking.Message) -> MessageError:
    """Send what must be refused before any request, and then something good on the same mailer."""
    with franking.connect(service.account(), store=service.save(tmp_path / "state")) as mailer:
        mailer.check()
        before, arrived = requests(service), service.arrived()
        with pytest.raises(MessageError) as caught:
            mailer.send(message)
        assert requests(service) == before
        assert not caught.value.possibly_sent
        assert caught.value.diagnosis is not None
        assert mailer.send(franking.Message(to="c@d.cz", text="x")).accepted
        assert service.arrived() == arrived + 1
    return caught.value


# -- recipients and sizes ----------------------------------------------------------------------------------------------


def everybody(count: int) -> list[str]:
    return [f"r{number}@example.cz" for number in range(count)]


def test_one_recipient_too_many_is_refused_before_any_request(service: Service, tmp_path: Path) -> None:
    most = {"gmail": 100, "outlook": 1_000}[service.provider]
    error = refused(service, tmp_path, franking.Message(bcc=everybody(most + 1), text="x"))
    assert str(most + 1) in str(error)
    assert error.field == "to"
    with franking.connect(service.account(), store=service.save(tmp_path / "state")) as mailer:
        assert len(mailer.send(franking.Message(bcc=everybody(most), text="x")).accepted) == most


def test_a_message_too_large_is_refused_before_any_request(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "film.bin"
    path.touch()
    # a third more in base64; sparse, and never read
    os.truncate(path, {"gmail": 27_000_000, "outlook": 120_000_000}[service.provider])
    error = refused(service, tmp_path, franking.Message(to="c@d.cz", text="x", attachments=[path]))
    assert error.diagnosis is not None
    assert error.diagnosis.code == "message.too-large"


def test_a_long_header_arrives_folded(service: Service, tmp_path: Path) -> None:
    """Ninety recipients with names, a subject of 9,000 characters, a value of 5,000: no line is longer than RFC 5322
    allows.
    """
    people = [f"Žaneta Nováková {number} <r{number}@example.cz>" for number in range(90)]
    message = franking.Message(to=people, subject="Žluť " * 1_800, headers={"X-Long": "w " * 2_500}, text="x")
    with franking.connect(service.account(), store=service.save(tmp_path / "state")) as mailer:
        assert len(mailer.send(message).accepted) == 90
    octets = service.fake.messages[-1].raw if service.provider == "gmail" else service.fake.graph.sent[-1].delivered
    assert max(len(line) for line in octets.split(b"\r\n")) <= 998


# -- files that change -------------------------------------------------------------------------------------------------

MOMENTS = {  # the request behind which the file changes: before any of it was read, and in the middle
    ("gmail", "before"): ("POST", "uploadType=resumable"),
    ("gmail", "middle"): ("PUT", "upload_id="),
    ("outlook", "before"): ("POST", "/createUploadSession"),
    ("outlook", "middle"): ("PUT", "/upload/"),
}


# an open file keeps what was removed or replaced; what happens inside it counts
@pytest.mark.parametrize(
    ("moment", "change"),
    [*(("before", name) for name in CHANGES), *(("middle", name) for name in ("grows", "shrinks", "is emptied"))],
)
def test_a_file_that_changes_while_it_is_uploaded(service: Service, moment: str, change: str, tmp_path: Path) -> None:
    path = tmp_path / "film.bin"
    path.write_bytes(bytes(12_000_000))

    def act(request: Request, answer: Callable[[], Reply]) -> Reply:
        done = answer()
        CHANGES[change](path)
        return done

    with franking.connect(service.account(), store=service.save(tmp_path / "state")) as mailer:
        before = service.arrived()
        service.fake.hook = Hook(*MOMENTS[service.provider, moment], act)
        with pytest.raises(MessageError) as caught:
            mailer.send(franking.Message(to="c@d.cz", text="x", attachments=[path]))
        assert service.fake.hook is None
        assert not caught.value.possibly_sent
        assert "film.bin" in str(caught.value) or "changed" in str(caught.value)
        assert mailer.send(franking.Message(to="c@d.cz", text="x")).accepted
        assert service.arrived() == before + 1
    if service.provider == "outlook":
        assert service.fake.graph.drafts == {}, "a draft was left"


# -- what is no file ---------------------------------------------------------------------------------------------------


def pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


NO_FILES: dict[str, Callable[[Path], Any]] = {
    "a named pipe": pipe,
    "a directory": lambda path: path.mkdir(),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a socket": a_socket,
    "a link to itself": lambda path: path.symlink_to(path),
    "nothing": lambda path: None,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="such files are POSIX")
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_refused_at_once(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody writes into the pipe, and the device never ends: opening one, or reading the other, would wait for
    ever.
    """
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "odd"
    NO_FILES[kind](path)
    for attachment in (str(path), path):
        with pytest.raises(MessageError) as caught:
            franking.Message(to="c@d.cz", text="x", attachments=[attachment])
        assert caught.value.field == "attachments"
    url = f"file://{tmp_path}/mail?from=a@b.cz"
    assert run(["send", url, "--to", "c@d.cz", "--text", "x", "--attach", str(path)]) == 2
    assert "odd" in capsys.readouterr().err
    for flag in ("--text-file", "--html-file", "--eml"):
        if kind in ("a directory", "nothing", "a link to itself"):
            assert run(["send", url, "--to", "c@d.cz", flag, str(path)]) == 2
    assert not (tmp_path / "mail").exists()


def test_a_file_that_became_unreadable(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "film.bin"
    path.write_bytes(b"x" * 1000)
    message = franking.Message(to="c@d.cz", text="x", attachments=[path])
    path.chmod(0)
    with (
        franking.connect(service.account(), store=service.save(tmp_path / "state")) as mailer,
        pytest.raises(MessageError, match=r"film\.bin"),
    ):
        where_modes_count(lambda: mailer.send(message))
