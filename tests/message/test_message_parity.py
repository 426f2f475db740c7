"""What we write says the same as what the standard library writes, and what others wrote arrives as it was.

The first half builds random messages twice, as our ``Message`` and as an ``EmailMessage``, parses our octets with
``email`` and compares. The second half takes the messages of CPython's own test suite, which nobody here wrote.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.generator import BytesGenerator
from email.message import EmailMessage
from email.message import Message as StdlibMessage
from email.utils import getaddresses
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from franking.errors import MessageError
from franking.message.address import Address, Envelope
from franking.message.attachment import Attachment
from franking.message.headers import read_addresses
from franking.message.message import Message
from franking.message.prepare import prepare

SENDER = Address.parse("Jan Novák <info@novak.cz>")
SHOP = Address.parse("shop@example.cz")
ENVELOPE = Envelope("a@example.com", ["b@example.com"])

# everything but controls, surrogates, separators of lines, and the signs that turn the direction of writing
clean = st.characters(
    exclude_categories=["Cc", "Cs", "Zl", "Zp"],
    exclude_characters="\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
)
ascii_line = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200)
line = st.one_of(ascii_line, st.text(clean, max_size=120), st.text("Příliš žluťoučký kůň ", max_size=300))
# an encoded word in a text would be decoded by the standard library where the text is assigned
subject = line.filter(lambda text: "=?" not in text)
body_text = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=400),
    st.text("ab .=\t\r\nFrom", max_size=400),
    st.text("á=. \n", max_size=300),
    st.integers(900, 3000).map(lambda length: "x" * length + "\n.\nend"),
)
name = st.text(clean, max_size=60).filter(lambda text: "=?" not in text)
local = st.from_regex(r"[a-z0-9]{1,12}(\.[a-z0-9]{1,8})?", fullmatch=True)
domain = st.sampled_from(["example.com", "novak.cz", "háčky.cz", "mail.example.org", "host"])
address = st.builds(lambda name, local, domain: Address(f"{local}@{domain}", name), name, local, domain)
file_name = st.one_of(
    st.sampled_from(
        [
            "faktura.pdf",
            "a b.txt",
            'quo"te\\.bin',
            "50%.csv",
            "příliš žluťoučký kůň úpěl ďábelské ódy a ještě něco.xlsx",
            "日本語.png",
            "x" * 200,
        ]
    ),
    st.text(clean, min_size=1, max_size=80)
    .map(str.strip)
    .filter(lambda text: text and "=?" not in text and not re.search("[\u200e\u200f]", text)),
)
kind = st.sampled_from(["application/pdf", "text/csv", "image/png", "application/octet-stream", "text/plain"])
attachment = st.builds(
    lambda data, name, kind: Attachment(data=data, name=name, content_type=kind),
    st.binary(max_size=300),
    file_name,
    kind,
)


def parsed(octets: bytes) -> EmailMessage:
    message = message_from_bytes(octets, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def lines(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


def well_formed(octets: bytes) -> None:
    """Check what RFC 5321 and 5322 ask of every line."""
    assert octets.isascii()
    assert b"\0" not in octets
    assert octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r")
    assert octets.endswith(b"\r\n")
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    for line in octets.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        assert line.strip(), "a line of blanks in a header"


def tree(part: StdlibMessage) -> Any:
    if part.is_multipart() and part.get_content_maintype() == "multipart":
        return part.get_content_type(), [tree(child) for child in part.get_payload()]  # type: ignore[union-attr, arg-type]
    return part.get_content_type()


def bare(name: str) -> str:
    return "".join(name.split())


def files(message: EmailMessage) -> list[tuple[Any, ...]]:
    return [
        (
            part.get_content_type(),
            part.get_filename(),
            part.get_content_disposition(),
            part["content-id"],
            part.get_payload(decode=True),
        )
        for part in message.walk()
        if part.get_content_disposition()
    ]


@settings(suppress_health_check=[HealthCheck.too_slow], report_multiple_bugs=False)
@given(
    subject=subject,
    to=st.lists(address, min_size=1, max_size=6),
    cc=st.lists(address, max_size=3),
    reply_to=st.lists(address, max_size=2),
    text=st.none() | body_text,
    html=st.none() | body_text,
    inline=st.lists(st.binary(max_size=200), max_size=2),
    attached=st.lists(attachment, max_size=3),
    order=line.filter(lambda text: "=?" not in text),
)
def test_says_the_same_as_an_email_message(
    subject: str,
    to: list[Address],
    cc: list[Address],
    reply_to: list[Address],
    text: str | None,
    html: str | None,
    inline: list[bytes],
    attached: list[Attachment],
    order: str,
) -> None:
    if html is None:
        inline = []
    images = [Attachment(data=data, name=f"i{number}.png", cid=f"i{number}") for number, data in enumerate(inline)]
    message = Message(
        to=to,
        cc=cc,
        reply_to=reply_to,
        subject=subject,
        text=text,
        html=html,
        attachments=[*images, *attached],
        headers={"X-Order": order},
    )
    prepared = prepare(message, sender=SENDER)
    octets = b"".join(prepared.content.chunks(bcc=False))
    well_formed(octets)
    assert len(octets) == prepared.content.size
    assert not prepared.content.eight_bit
    assert not prepared.content.smtputf8

    theirs = EmailMessage()
    theirs["From"], theirs["Subject"], theirs["X-Order"] = str(SENDER), subject.strip(), order.strip()
    if text is not None or html is None:
        theirs.set_content(lines(text or ""))
        if html is not None:
            theirs.add_alternative(lines(html), subtype="html")
    else:
        theirs.set_content(lines(html), subtype="html")
    shown = theirs.get_body(("html",))
    for number, data in enumerate(inline):
        assert isinstance(shown, EmailMessage)
        shown.add_related(data, "image", "png", cid=f"<i{number}>", filename=f"i{number}.png", disposition="inline")
    for file in attached:
        assert file.data is not None
        theirs.add_attachment(file.data, *file.content_type.split("/"), filename=file.name)

    ours = parsed(octets)
    assert ours.defects == []
    assert ours["mime-version"] == "1.0"
    assert str(ours["subject"] or "") == str(theirs["subject"])
    assert str(ours["x-order"]) == str(theirs["x-order"])
    for field, expected in (("from", [SENDER]), ("to", to), ("cc", cc), ("reply-to", reply_to)):
        found = ours[field].addresses if ours[field] is not None else ()
        # the parser of email gets the blanks of encoded names wrong; decode_header, the older one, reads them as RFC
        # 2047 says
        assert [(each.addr_spec, bare(each.display_name)) for each in found] == [
            (each.wire, bare(each.name)) for each in expected
        ]
        raw = "".join(re.sub("\r\n", "", str(value)) for key, value in ours.raw_items() if key.lower() == field)
        assert [(each.wire, each.name) for each in read_addresses(raw.strip(), field)] == [
            (each.wire, each.name) for each in expected
        ]
    if text is None and html is None and attached:
        # no empty text beside the files
        assert tree(ours) == ("multipart/mixed", [file.content_type for file in attached])
    else:
        assert tree(ours) == tree(theirs)
    for form, typed in (("plain", text), ("html", html)):
        if typed is not None:
            found = ours.get_body((form,))
            assert isinstance(found, EmailMessage)
            assert lines(found.get_content()) == lines(typed)
    assert files(ours) == files(theirs)


@given(body_text)
@example("")
@example("\r")
@example(".\r\n..\r\n")
@example("a" * 998)
@example("a" * 999)
@example("á" + "a" * 5000)
@example("trailing blank \n\ttab\t\n")
def test_text_arrives_with_the_same_lines(text: str) -> None:
    octets = Message(to="a@b.cz", text=text).as_bytes(SHOP)
    well_formed(octets)
    assert lines(parsed(octets).get_content()) == lines(text)


@given(st.binary(max_size=1000), st.integers(0, 57 * 256 * 4 + 100), file_name)
def test_files_arrive_octet_by_octet(seed: bytes, length: int, name: str) -> None:
    data = (seed * (length // len(seed) + 1))[:length] if seed else b""
    message = Message(to="a@b.cz", text="x", attachments=[Attachment(data=data, name=name)])
    content = prepare(message, sender=SHOP).content
    octets = b"".join(content.chunks(bcc=True))
    assert len(octets) == content.size == content.size_with_bcc()
    (file,) = parsed(octets).iter_attachments()
    written = file["Content-Disposition"].params["filename"]  # get_filename() takes the brackets of "<>" off
    assert (file.get_payload(decode=True), written) == (data, name)


@given(st.lists(address, min_size=1, max_size=8), subject, st.text(clean, max_size=50))
def test_own_email_messages_arrive_as_they_were(to: list[Address], subject: str, text: str) -> None:
    theirs = EmailMessage()
    theirs["To"] = list(map(_stdlib, to))
    theirs["Subject"] = subject.strip()
    theirs.set_content(text)
    prepared = prepare(theirs, sender=SHOP)
    octets = b"".join(prepared.content.chunks(bcc=False))
    assert len(octets) == prepared.content.size
    ours = parsed(octets)
    assert [each.addr_spec for each in ours["to"].addresses] == [each.wire for each in to]
    assert str(ours["subject"]) == str(theirs["subject"])
    assert lines(ours.get_content()) == lines(theirs.get_content())
    assert set(prepared.envelope.recipients) == {each.wire for each in to}
    assert str(theirs["to"].addresses[0].addr_spec) == to[0].address, "the application's own message was changed"


def _stdlib(address: Address) -> Any:
    from email.headerregistry import Address as StdlibAddress

    return StdlibAddress(
        address.name, addr_spec=None, username=address.address.rpartition("@")[0], domain=address.domain
    )


# ── messages of CPython's test suite ────────────────────────────────────────────────────────────────────────────────


def _cpython() -> Iterator[Path]:
    found = importlib.util.find_spec("test.test_email") if importlib.util.find_spec("test") else None
    if found is not None and found.origin is not None:
        yield from sorted((Path(found.origin).parent / "data").glob("msg_*"))


CPYTHON = list(_cpython())


def test_cpython_messages_are_there() -> None:
    if not CPYTHON:
        pytest.skip("this Python came without its test suite (test.test_email)")
    assert len(CPYTHON) > 40


@pytest.mark.parametrize(
    "how",
    ["as-it-is", *(pytest.param(how, marks=pytest.mark.matrix) for how in ("crlf", "cr", "email-message", "compat32"))],
)
@pytest.mark.parametrize("path", CPYTHON, ids=[path.name for path in CPYTHON])
def test_cpython_messages_arrive_as_they_were(path: Path, how: str) -> None:
    octets = path.read_bytes()
    if how == "crlf":
        octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    elif how == "cr":
        octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r")
    given: Any = octets
    if how in ("email-message", "compat32"):
        given = message_from_bytes(octets, policy=policy.default if how == "email-message" else policy.compat32)
    content = prepare(given, sender=SHOP, envelope=ENVELOPE).content
    sent = b"".join(content.chunks(bcc=True))
    assert len(sent) == content.size_with_bcc()
    assert len(b"".join(content.chunks(bcc=False))) == content.size
    assert sent.count(b"\r\n") == sent.count(b"\n") == sent.count(b"\r")
    before, after = message_from_bytes(octets), message_from_bytes(sent)
    if how in ("email-message", "compat32"):  # written down by the standard library, which folds anew
        out = BytesIO()
        BytesGenerator(
            out, mangle_from_=False, policy=given.policy.clone(refold_source="none") if how == "email-message" else None
        ).flatten(given)
        before = message_from_bytes(out.getvalue())
    assert after["date"]
    assert after["message-id"]
    assert content.message_id == after["message-id"].strip()
    for name in ("date", "message-id", "from"):
        if name not in before:
            del after[name]
    compare(before, after)


@pytest.mark.parametrize("path", CPYTHON, ids=[path.name for path in CPYTHON])
def test_cpython_messages_name_the_recipients_that_smtplib_finds(path: Path) -> None:
    octets = path.read_bytes()
    message = message_from_bytes(octets)
    fields = [str(value) for name in ("to", "cc", "bcc") for value in message.get_all(name, [])]
    expected = list(dict.fromkeys(address for _, address in getaddresses(fields) if address))
    try:
        found = prepare(octets, sender=SHOP).envelope.recipients
    except MessageError as problem:
        assert problem.field in ("to", "cc", "bcc")
        assert not expected or not all("@" in address for address in expected), problem
        return
    assert list(found) == expected


def compare(before: StdlibMessage, after: StdlibMessage) -> None:
    assert [(key, unfolded(value)) for key, value in before.items()] == [
        (key, unfolded(value)) for key, value in after.items()
    ]
    old, new = before.get_payload(), after.get_payload()
    if isinstance(old, list):
        assert isinstance(new, list)
        assert len(old) == len(new)
        for each, other in zip(old, new, strict=True):
            compare(each, other)  # type: ignore[arg-type]
    else:
        assert lines(str(old)) == lines(str(new))


def unfolded(value: Any) -> str:
    return re.sub(r"\r\n|\r|\n", "\n", str(value)).strip()
