"""A message in a file taken apart: as the parser does it with the whole of it, in little memory."""

from __future__ import annotations

import tracemalloc
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.message import file_parts
from franking.message.file_parts import parse_file
from franking.message.parser import Parts, parse_parts

SENDER = franking.Address("jan@novak.cz")
BIG = bytes(range(256)) * 1200  # 307,200 octets
FILES = [
    franking.Attachment(data=BIG, name="příloha.bin"),
    franking.Attachment(data=BIG[:-1], name="a.pdf"),
    franking.Attachment(data=BIG[:-2], name="logo.png", cid="logo"),
    franking.Attachment(data=b"small", name="s.txt"),
    franking.Attachment(data=b"plain text, " * 40_000, name="t.txt"),
]
FIELDS: dict[str, Any] = {"to": ["jana@example.cz"], "subject": "Příliš žluťoučký"}


def composed(**more: Any) -> bytes:
    return franking.Message(**FIELDS, **more).as_bytes(SENDER)


def others(encoding: str, **more: Any) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@b.cz", "c@d.cz", "x"
    message.set_content("Hello", **more)
    message.add_attachment("line of text\n" * 30_000, filename="a.txt", cte=encoding)
    inner = EmailMessage()
    inner["Subject"] = "inner"
    inner.set_content("i" * 300_000, cte="quoted-printable")
    message.add_attachment(inner)
    return message.as_bytes(policy=message.policy.clone(linesep="\r\n"))


def everything(parts: Parts) -> object:
    files = [
        (one.content_type, one.name, one.cid, one.inline, one.size, b"".join(one.open())) for one in parts.attachments
    ]
    return parts.headers, parts.text, parts.html, files, parts.complete


WHOLE = {
    "files": composed(text="Dobrý den", attachments=FILES[:2]),
    "all": composed(text="Dobrý den", html='<p>Dobrý den <img src="cid:logo"></p>', attachments=FILES),
    "html and a picture": composed(html='<img src="cid:logo">', attachments=[FILES[2]]),
    "a long text": composed(text="Dobrý den, paní Nováková, " * 20_000),
    "a long text and a file": composed(text="Dobrý den, paní Nováková, " * 20_000, attachments=FILES[:1]),
    "no file": composed(text="x"),
    "somebody else's": others("base64"),
    "quoted-printable": others("quoted-printable"),
    "8bit": others("7bit"),
}


@pytest.mark.parametrize("what", WHOLE)
def test_it_is_what_the_parser_says(what: str, tmp_path: Path) -> None:
    path = tmp_path / "x.eml"
    path.write_bytes(WHOLE[what])
    assert everything(parse_file(path)) == everything(parse_parts(WHOLE[what]))


ALL = WHOLE["all"]
ODD = {
    "cut off": ALL[: len(ALL) * 2 // 3],
    "without its end": ALL[: ALL.rindex(b"--")],
    "not base64": ALL.replace(b"AAECAw", b"AAE*Aw", 1),
    "two files in one": ALL.replace(b"\r\nAAECAw", b"\r\nAA==\r\nAAECAw", 1),
    "too short": ALL.replace(b"AAECAw", b"AAECA", 1),
    "no boundary": ALL.replace(b"boundary=", b"border=", 1),
    "a digest": ALL.replace(b"multipart/mixed", b"multipart/digest", 1),
    "no header": b"\r\n" + b"x" * 300_000,
    "a long header": b"X: " + b"y" * 70_000 + b"\r\n" + ALL,
    "a blank behind a boundary": ALL.replace(b"\r\n--", b"\r\n--", 1).replace(b"--\r\n", b"-- \t\r\n"),
    "a long line": ALL.replace(b"AAECAw", b"AAECAw" + b"A" * 140_000, 1),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_odd_is_the_parser_s(what: str, tmp_path: Path) -> None:
    path = tmp_path / "x.eml"
    path.write_bytes(ODD[what])
    assert everything(parse_file(path)) == everything(parse_parts(ODD[what]))


def test_a_large_file_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.eml"
    attached = franking.Attachment(data=BIG * 20, name="x.bin")
    path.write_bytes(composed(text="x", attachments=[attached]))
    monkeypatch.setattr(file_parts, "parse_parts", None)
    tracemalloc.start()
    try:
        (part,) = parse_file(path).attachments
        assert sum(map(len, part.open())) == part.size == len(BIG) * 20
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
