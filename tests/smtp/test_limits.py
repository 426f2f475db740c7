"""Limits, over sockets: sizes, long lines, and attachments that change, vanish or are no files while a message is on
its way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import franking
from franking.errors import FrankingError, MessageError
from servers.smtp import EXTENSIONS, Fault, Peer, SmtpServer, answers

PIPES = tuple(word for word in EXTENSIONS if word != "CHUNKING")


def account(server: SmtpServer) -> franking.Account:
    return franking.Account(
        name="shop", provider="smtp", sender="a@b.cz", host="127.0.0.1", port=server.port, security="none", timeout=10
    )


CHANGES: dict[str, Callable[[Path], object]] = {
    "grows": lambda path: path.write_bytes(path.read_bytes() + b"more"),
    "shrinks": lambda path: os.truncate(path, 1000),
    "is emptied": lambda path: os.truncate(path, 0),
    "vanishes": lambda path: path.unlink(),
    "becomes a directory": lambda path: (path.unlink(), path.mkdir()),
    "becomes a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "becomes a device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("words", [EXTENSIONS, PIPES], ids=["chunking", "pipelining"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_after_mail_is_not_accepted(change: str, words: tuple[str, ...], tmp_path: Path) -> None:
    """The change comes between MAIL and the content: the connection ends, or the message fails before anything of it
    left; nothing is accepted.
    """
    path = tmp_path / "big.bin"
    path.write_bytes(os.urandom(3_000_000))

    def meddles(peer: Peer, reply: str) -> None:
        CHANGES[change](path)
        answers(peer, reply)

    with SmtpServer(extensions=words, faults=[Fault("rcpt", meddles, executed=True, connection=1)]) as server:
        with pytest.raises(MessageError) as caught, franking.connect(account(server)) as mailer:
            mailer.send(franking.Message(to="c@d.cz", subject="x", text="y", attachments=[path]))
        assert not caught.value.possibly_sent
        assert "big.bin" in str(caught.value) or "changed its size" in str(caught.value)
        server.wait()
        assert server.messages == []
        assert "QUIT" not in server.sessions[0].lines, (
            "the connection is dropped, not ended politely in the middle of a content"
        )


@pytest.mark.timeout(60)
@pytest.mark.parametrize("words", [EXTENSIONS, PIPES], ids=["chunking", "pipelining"])
@pytest.mark.parametrize("change", ["grows", "shrinks", "is emptied"])
def test_a_file_that_changes_in_the_middle_of_its_content(change: str, words: tuple[str, ...], tmp_path: Path) -> None:
    """The server begins to read, and sockets' buffers hold a part of it at most."""
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(16_000_000))
    with SmtpServer(extensions=words, faults=[Fault("content", lambda peer, reply: CHANGES[change](path))]) as server:
        with pytest.raises(FrankingError) as caught, franking.connect(account(server)) as mailer:
            mailer.send(franking.Message(to="c@d.cz", subject="x", text="y", attachments=[path]))
        assert not caught.value.possibly_sent
        server.wait()
        assert server.messages == []


def test_a_message_larger_than_size_leaves_nothing() -> None:
    with SmtpServer(extensions=("PIPELINING", "SIZE 2000")) as server, franking.connect(account(server)) as mailer:
        with pytest.raises(franking.Refused) as caught:
            mailer.send(franking.Message(to="c@d.cz", subject="x", text="y" * 5000))
        assert caught.value.diagnosis is not None
        assert caught.value.diagnosis.code == "message.too-large"
        assert mailer.send(franking.Message(to="c@d.cz", subject="x", text="y")).accepted
        assert [line for line in server.sessions[0].lines if line.startswith("MAIL")] == [
            line for line in server.sessions[0].lines if "SIZE=" in line
        ]
    assert len(server.messages) == 1


def test_no_line_of_a_header_is_longer_than_smtp_allows() -> None:
    with SmtpServer() as server, franking.connect(account(server)) as mailer:
        mailer.send(
            franking.Message(
                to=[f"r{number}@example.cz" for number in range(2_000)],
                subject="Žluť " * 3_000,
                text="z" * 100_000,
                headers={"X": "w" * 5_000},
            )
        )
    assert max(len(line) for line in server.messages[0].data.split(b"\r\n")) <= 998


@pytest.mark.parametrize(("length", "encoded"), [(998, False), (999, True)])
def test_a_line_of_998_octets_goes_as_it_is_and_a_longer_one_is_encoded(length: int, encoded: bool) -> None:
    line = "z" * length
    with SmtpServer() as server, franking.connect(account(server)) as mailer:
        mailer.send(franking.Message(to="c@d.cz", subject="x", text=f"a\n{line}\n"))
    lines = server.messages[0].data.decode().split("\r\n")
    assert (line not in lines) is encoded
    assert max(map(len, lines)) <= 998
