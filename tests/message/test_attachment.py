"""Files to attach: what is refused when they are named, and what happened to them when they are sent."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from franking.errors import MessageError
from franking.message.attachment import CHUNK, Attachment
from franking.message.message import Message
from message.sent import content_of, leaves, parsed, sent
from servers.privileges import where_modes_count


def test_attachments_by_path_data_and_file(tmp_path: Path) -> None:
    path = tmp_path / "faktura č. 1.pdf"
    path.write_bytes(b"%PDF" + bytes(range(256)) * 500)
    opened = io.BytesIO(b"abc")
    opened.seek(3)
    with (tmp_path / "open.csv").open("w+b") as file:
        file.write(b"a;b\r\nc;d\n")
        message = Message(
            to="a@b.cz",
            text="x",
            attachments=[
                path,
                str(path),
                Attachment(data=b"\0", name="x"),
                Attachment(file=opened, name="y.bin"),
                Attachment(file=file),
            ],
        )
        first, second = sent(message), sent(message)
    for octets in (first, second):
        assert leaves(octets) == [
            ("application/pdf", "faktura č. 1.pdf", "attachment", path.read_bytes()),
            ("application/pdf", "faktura č. 1.pdf", "attachment", path.read_bytes()),
            ("application/octet-stream", "x", "attachment", b"\0"),
            ("application/octet-stream", "y.bin", "attachment", b"abc"),
            ("text/csv", "open.csv", "attachment", b"a;b\r\nc;d\n"),  # octet by octet, though it is text
        ]


def test_relative_paths_stay_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_bytes(b"here")
    monkeypatch.chdir(tmp_path)
    message = Message(to="a@b.cz", attachments=["a.txt"])
    monkeypatch.chdir("/")
    assert leaves(sent(message))[0][3] == b"here"


@pytest.mark.parametrize(("name", "kind"), [
    ("a.pdf", "application/pdf"), ("a.tar.gz", "application/gzip"), ("a.txt.xz", "application/octet-stream"),
    ("a", "application/octet-stream"),
    ("a.JPG", "image/jpeg"), ("a.html", "text/html"), (None, "application/octet-stream"),
])  # fmt: skip
def test_content_type_from_the_name(name: str | None, kind: str) -> None:
    assert Attachment(data=b"", name=name).content_type == kind


def test_only_ordinary_readable_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "sock"))
        for path, says in (
            (tmp_path, "directory"),
            (tmp_path / "pipe", "named pipe"),
            ("/dev/null", "device"),
            (tmp_path / "sock", "socket"),
            (tmp_path / "no", "No such file"),
        ):
            with pytest.raises(MessageError, match=says) as caught:
                Attachment(path)
            assert caught.value.field == "path"
            with pytest.raises(MessageError, match=says) as caught:
                Message(to="a@b.cz", attachments=[path])
            assert caught.value.field == "attachments"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_unreadable_files_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(MessageError, match="Permission denied"):
        where_modes_count(lambda: Attachment(path))


@pytest.mark.parametrize("wrong", [
    {}, {"data": b"", "path": "x"}, {"data": "text"}, {"data": 5}, {"file": 5}, {"file": io.StringIO("x")},
    {"data": b"", "name": ""}, {"data": b"", "name": "x" * 256},
    {"data": b"", "name": "evil\u202efdp.exe"}, {"data": b"", "cid": "a b"}, {"data": b"", "cid": ""},
    {"data": b"", "cid": "<<a>>"}, {"data": b"", "cid": 5},
    {"data": b"", "content_type": "pdf"}, {"data": b"", "content_type": "multipart/mixed"},
    {"data": b"", "content_type": "a/b; c"}, {"path": 5},
    {"data": b"", "content_type": "a/č"}, {"data": b"", "name": 5}, {"path": b"/etc/hostname"},
],
ids=lambda wrong: ascii({key: type(value) if hasattr(value, "read") else value for key,
value in wrong.items()}))  # fmt: skip
def test_attachments_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        Attachment(**wrong)


def test_pipes_as_file_objects_are_refused() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file, os.fdopen(writing, "wb"), pytest.raises(MessageError, match="seekable"):
        Attachment(file=file)


@pytest.mark.parametrize("size", [0, 10, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
@pytest.mark.parametrize(("change", "says"), [(1, "grew"), (-1, "shrank"), (None, "cannot be read")])
def test_a_file_that_changed_meanwhile_is_an_error_with_its_name(
    tmp_path: Path, size: int, change: int | None, says: str
) -> None:
    if size == 0 and change == -1:
        size = 1  # nothing can be shorter than nothing
    path = tmp_path / "faktura.pdf"
    path.write_bytes(b"x" * size)
    content = content_of(Message(to="a@b.cz", attachments=[path]))
    if change is None:
        path.unlink()
    else:
        path.write_bytes(b"x" * (size + change))
    with pytest.raises(MessageError, match=rf"faktura\.pdf.*{says}") as caught:
        list(content.chunks(bcc=False))
    assert caught.value.field == "attachments"
    with pytest.raises(MessageError, match=rf"faktura\.pdf.*{says}"):
        part = content_part(path, size)
        path.unlink(missing_ok=True) if change is None else path.write_bytes(b"x" * (size + change))
        list(part.open())


def content_part(path: Path, size: int) -> Any:
    path.write_bytes(b"x" * size)
    return content_of(Message(to="a@b.cz", attachments=[path])).parts().attachments[0]


@pytest.mark.parametrize(("change", "says"), [(1, "grew"), (-1, "shrank")])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: int, says: str) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"x" * (4 * CHUNK))
    chunks = content_of(Message(to="a@b.cz", attachments=[path])).chunks(bcc=False)
    next(chunks)
    os.truncate(path, 4 * CHUNK + change)
    with pytest.raises(MessageError, match=says):
        list(chunks)


def test_a_named_pipe_in_the_files_place_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    content = content_of(Message(to="a@b.cz", attachments=[path]))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(MessageError, match="named pipe"):
        list(content.chunks(bcc=False))


def test_file_objects_are_checked_too() -> None:
    file = io.BytesIO(b"x" * 100)
    content = content_of(Message(to="a@b.cz", attachments=[Attachment(file=file, name="f")]))
    file.truncate(50)
    with pytest.raises(MessageError, match="'f' shrank"):
        list(content.chunks(bcc=False))
    file.close()
    with pytest.raises(MessageError, match="'f' cannot be read: I/O operation on closed file"):
        list(content.chunks(bcc=False))


@pytest.mark.parametrize(("change", "says"), [(b"x", "grew"), (None, "shrank")])
def test_a_file_object_that_changes_while_it_is_read(change: bytes | None, says: str) -> None:
    file = io.BytesIO(b"x" * (2 * CHUNK))
    attachment = Attachment(file=file, name="a.bin")
    chunks = attachment.read(2 * CHUNK)
    assert len(next(chunks)) == CHUNK
    if change is None:
        file.truncate(CHUNK + 1)
    else:
        file.seek(0, os.SEEK_END)
        file.write(change)
    with pytest.raises(MessageError, match=says):
        list(chunks)


def test_a_file_object_stays_where_it_stood() -> None:
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    assert Attachment(file=file, name="a.bin").measure() == 10
    assert file.tell() == 4


LETTERS = "".join(map(chr, range(9, 127)))


@pytest.mark.parametrize(
    ("name", "data", "encoding"),
    [
        ("a.txt", b"plain\r\ntext\r\n", "7bit"),
        ("a.txt", b"", "7bit"),
        ("a.csv", b"a;b\r\nno line end", "7bit"),
        ("a.csv", b"a;b\nc=d \n\n.\nFrom x\t\n", "quoted-printable"),
        ("a.html", b"<p>" + b"x" * 3000, "quoted-printable"),
        ("a.txt", b"old\rmac\r", "quoted-printable"),
        ("a.txt", LETTERS.encode() * 2000, "quoted-printable"),
        ("a.txt", b"mixed\r\nline\nends\r\n", "quoted-printable"),
        ("a.txt", "Příliš\r\n".encode(), "base64"),
        ("a.txt", b"x\0y\r\n", "base64"),
        ("a.txt", b"log\n" * 300_000, "base64"),
        ("a.json", b"{}\r\n", "base64"),
    ],
)
def test_a_text_file_in_ascii_goes_as_text_octet_by_octet(
    name: str, data: bytes, encoding: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    for attachment in (Attachment(data=data, name=name), Attachment(tmp_path / name)):
        octets = sent(Message(to="a@b.cz", text="t", attachments=[attachment]))
        (part,) = parsed(octets).iter_attachments()
        assert part["Content-Transfer-Encoding"] == encoding
        assert part.get_payload(decode=True) == data
        assert max(map(len, octets.split(b"\r\n"))) <= 998
        if encoding == "quoted-printable":
            body = octets.partition(b"quoted-printable")[2].partition(b"\r\n\r\n")[2]
            assert max(map(len, body.split(b"\r\n"))) <= 76


@pytest.mark.parametrize("later", [b"a;c\r\n", "a;č\r\n".encode(), b"a;bb\r\n", b""])
def test_a_text_file_that_changes_meanwhile_is_no_half_truth(later: bytes, tmp_path: Path) -> None:
    """What changed to something else of the same size and kind cannot be told from what it was."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"a;b\r\n")
    content = content_of(Message(to="a@b.cz", text="t", attachments=[path]))
    path.write_bytes(later)
    if later == b"a;c\r\n":
        assert later in b"".join(content.chunks(bcc=False))
        return
    with pytest.raises(MessageError, match="while the message was being sent"):
        b"".join(content.chunks(bcc=False))
