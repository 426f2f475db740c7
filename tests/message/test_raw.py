"""Messages that somebody else composed go as they are, but for what SMTP or the envelope needs."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.message import Message as OldMessage
from email.policy import SMTPUTF8

import pytest

from franking.errors import MessageError
from franking.message.address import Envelope
from franking.message.prepare import prepare
from message.sent import SENDER, content_of, parsed, sent


def test_ready_octets_go_as_they_are() -> None:
    octets = (
        b"From: a@b.cz\r\nTo: c@d.cz\r\nDate: Mon, 02 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@b>\r\n"
        b"X-Odd:  \t two  \r\n\r\n.\r\n..\r\nFrom me\r\n"
    )
    prepared = prepare(octets, sender=SENDER)
    assert b"".join(prepared.content.chunks(bcc=False)) == octets
    assert prepared.content.message_id == "<1@b>"
    assert prepared.envelope == Envelope("info@novak.cz", ["c@d.cz"])
    assert (prepared.content.eight_bit, prepared.content.smtputf8) == (False, False)
    assert sent(bytearray(octets)) == sent(memoryview(octets)) == octets


def test_what_is_missing_is_added() -> None:
    content = content_of(b"To: c@d.cz\n\nx")
    octets = b"".join(content.chunks(bcc=False))
    ours = parsed(octets)
    assert str(ours["from"]) == "Jan Novák <info@novak.cz>"
    assert ours["date"].datetime is not None
    assert ours["message-id"] == content.message_id
    assert octets.endswith(b"\r\n\r\nx\r\n")
    assert b"".join(content.chunks(bcc=False)) == octets
    assert parsed(sent(b"To: c@d.cz\nMessage-ID:  \nmessage-id: <2@b>\n\n"))["message-id"].startswith("<")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_bcc_comes_off_whatever_it_looks_like(end: bytes) -> None:
    octets = end.join(
        [
            b"Bcc: a@x.cz,",
            b"\tb@x.cz,",
            b" c@x.cz",
            b"To: d@x.cz",
            b"BCC : e@x.cz",
            b"resent-bcc: f@x.cz",
            b" ",
            b"Subject: Bcc: no",
            b"",
            b"Bcc: body",
        ]
    )
    content = content_of(octets, envelope=Envelope("", ["d@x.cz"]))
    without, whole = b"".join(content.chunks(bcc=False)), b"".join(content.chunks(bcc=True))
    head, _, body = without.partition(b"\r\n\r\n")
    assert not re.search(rb"[abcef]@x\.cz", head)
    assert b"Subject: Bcc: no\r\n" in head
    assert body == b"Bcc: body\r\n"
    assert b"Bcc: a@x.cz,\r\n\tb@x.cz,\r\n c@x.cz\r\n" in whole
    assert (len(without), len(whole)) == (content.size, content.size_with_bcc())


def test_recipients_of_ready_octets() -> None:
    def found(head: bytes) -> tuple[str, ...]:
        return prepare(head + b"\n\n", sender=SENDER).envelope.recipients

    assert found(b'To: A <a@x.cz>, b@x.cz\nCC: "C, D" <c@x.cz>\nBcc: a@x.cz,\n d@x.cz\nto: e@x.cz') == (
        "a@x.cz",
        "b@x.cz",
        "e@x.cz",
        "c@x.cz",
        "d@x.cz",
    )
    assert found(b"To: Friends: a@x.cz, B <b@x.cz>;, c@x.cz") == ("a@x.cz", "b@x.cz", "c@x.cz")
    assert found(b"To: undisclosed-recipients:;\nBcc: a@x.cz") == ("a@x.cz",)
    assert found(b"To: a@x.cz (comment, with comma)") == ("a@x.cz",)
    assert found("To: Žofie <z@háčky.cz>".encode()) == ("z@xn--hky-ela4t.cz",)
    assert found(b"To: =?utf-8?q?=C5=BD=2C?= <z@x.cz>") == ("z@x.cz",)
    assert found(b"To: a@x.cz\nResent-Date: x\nResent-To: b@x.cz\nResent-Cc: c@x.cz\nResent-Bcc: d@x.cz") == (
        "b@x.cz",
        "c@x.cz",
        "d@x.cz",
    )
    for head, field in (
        (b"To: root", "to"),
        (b"Cc: a@x.cz, root", "cc"),
        (b"Resent-To: a@x.cz\nResent-To: b@x.cz", "resent-to"),
        (b"Subject: x", "to"),
        (b"To: \n", "to"),
    ):
        with pytest.raises(MessageError) as caught:
            found(head)
        assert caught.value.field == field
    # who gives an envelope need not have readable headers
    assert sent(b"To: root\n\n", envelope=Envelope("", ["root@host"]))


def test_eight_bits_and_utf8_headers_are_seen() -> None:
    def seen(octets: bytes) -> tuple[bool, bool]:
        content = content_of(octets, envelope=Envelope("", ["a@b.cz"]))
        return content.eight_bit, content.smtputf8

    assert seen(b"Subject: x\n\nx") == (False, False)
    assert seen("Subject: x\n\nč".encode()) == (True, False)
    assert seen("Subject: č\n\nx".encode()) == (False, True)
    assert seen("Subject: č\r\n\r\nč".encode()) == (True, True)
    assert seen(b"Subject: x\n\n" + b"x" * 200_000 + b"\xff") == (True, False)
    assert seen("Bcc: č <a@b.cz>\n\nx".encode()) == (False, False)  # it comes off


def test_odd_headers() -> None:
    envelope = Envelope("", ["a@b.cz"])
    assert sent(b"From jan Mon Nov  2 10:00:00 2026\nSubject: x\n\ny\n", envelope=envelope).startswith(
        b"Subject: x\r\n"
    )
    assert sent(b" continues nothing\nSubject: x\n\ny\n", envelope=envelope).startswith(b"Subject: x\r\n")
    assert sent(b"Subject: x\nno field\nTo: y\n\nz", envelope=envelope).endswith(
        b">\r\n\r\nno field\r\nTo: y\r\n\r\nz\r\n"
    )
    assert sent(b"just text", envelope=envelope).endswith(b">\r\n\r\njust text\r\n")
    assert sent(b"\n\nbody", envelope=envelope).endswith(b">\r\n\r\n\r\nbody\r\n")
    assert sent(b"", envelope=envelope).startswith(b"From: ")
    assert parsed(sent(b"Subject: x", envelope=envelope)).get_payload() == ""
    assert b"\r\n\r\n" + b"x" * 5000 in sent(b"Subject: x\n\n" + b"x" * 5000, envelope=envelope)  # long lines stay
    with pytest.raises(MessageError, match="NUL") as caught:
        sent(b"Subject: a\0b\n\n", envelope=envelope)
    assert caught.value.field == "headers"
    with pytest.raises(MessageError, match="NUL"):
        sent(b" x\nSubject: a\0b\n\n", envelope=envelope)
    with pytest.raises(MessageError, match="NUL"):
        sent(USUAL.replace(b"{}", b"To: k@b.cz\r\nSubject: a\0b\r\n"), envelope=envelope)


def test_from_of_ready_octets_is_rewritten() -> None:
    def changed(head: bytes) -> tuple[str, str | None]:
        ours = parsed(sent(head + b"\nTo: a@b.cz\n\n", rewrite_from=True))
        assert len(ours.get_all("from", [])) == 1
        return str(ours["from"]), ours["reply-to"] and str(ours["reply-to"])

    me = "Jan Novák <info@novak.cz>"
    assert changed(b"From: =?utf-8?q?=C5=BD?=\n <root@host>") == (me, "Ž <root@host>")
    assert changed(b"from: root@host\nReply-To: r@s.cz") == (me, "r@s.cz")
    assert changed(b"From: root (Cron Daemon)") == (me, None)
    assert changed(b"From: info@novak.cz") == (me, None)
    assert changed(b"From: a@b.cz\nFrom: c@d.cz") == (me, "a@b.cz")
    assert changed(b"Subject: x") == (me, None)


def test_an_email_message_goes_as_it_is_and_stays_as_it_was() -> None:
    message = EmailMessage()
    message["To"] = "Žofie <z@háčky.cz>"
    message["Bcc"] = "hidden@x.cz"
    message["Subject"] = "č"
    message.set_content("From the start: č\n")
    before = message.as_string(policy=SMTPUTF8)
    prepared = prepare(message, sender=SENDER)
    octets = b"".join(prepared.content.chunks(bcc=False))
    assert message.as_string(policy=SMTPUTF8) == before
    assert prepared.envelope.recipients == ("z@xn--hky-ela4t.cz", "hidden@x.cz")
    assert prepared.content.eight_bit
    assert not prepared.content.smtputf8
    ours = parsed(octets)
    assert (str(ours["to"]), ours["bcc"], str(ours["subject"])) == ("Žofie <z@xn--hky-ela4t.cz>", None, "č")
    assert ours.get_content() == "From the start: č\r\n"


def test_groups_survive() -> None:
    message = EmailMessage()
    message["To"] = "Friends: a@x.cz, Žofie <b@háčky.cz>;"
    message["Cc"] = "undisclosed-recipients:;"
    message.set_content("x")
    prepared = prepare(message, sender=SENDER)
    ours = parsed(b"".join(prepared.content.chunks(bcc=False)))
    (group,) = ours["to"].groups
    assert (group.display_name, [str(each) for each in group.addresses]) == (
        "Friends",
        ["a@x.cz", "Žofie <b@xn--hky-ela4t.cz>"],
    )
    assert str(ours["cc"]) == "undisclosed-recipients:;"
    assert prepared.envelope.recipients == ("a@x.cz", "b@xn--hky-ela4t.cz")


def test_no_recipient_is_lost_where_the_standard_library_would_encode_a_comma() -> None:
    from email.headerregistry import Address as StdlibAddress

    message = EmailMessage()
    names = [("", "a"), ("", "b"), ("¡\xa0\xa0𐀀", "c"), ("", "d")]
    message["To"] = [StdlibAddress(name, local, "example.com") for name, local in names]
    assert prepare(message, sender=SENDER).envelope.recipients == tuple(f"{local}@example.com" for _, local in names)


def test_a_local_part_outside_ascii_makes_the_header_utf8() -> None:
    for old in (False, True):
        message = OldMessage() if old else EmailMessage()
        message["To"] = "Žofie <žofie@háčky.cz>"
        message.set_payload("x")
        prepared = prepare(message, sender=SENDER)
        assert prepared.content.smtputf8
        assert "<žofie@háčky.cz>".encode() in b"".join(prepared.content.chunks(bcc=False))
        assert prepared.envelope.recipients == ("žofie@háčky.cz",)


def test_old_messages_keep_their_addresses_readable() -> None:
    message = OldMessage()
    message["To"] = "Žofie <z@háčky.cz>"
    message["Subject"] = "č"
    message.set_payload("From x\n")
    prepared = prepare(message, sender=SENDER)
    ours = parsed(b"".join(prepared.content.chunks(bcc=False)))
    assert (str(ours["to"]), str(ours["subject"])) == ("Žofie <z@xn--hky-ela4t.cz>", "č")
    assert ours.get_payload() == "From x\r\n"  # no > in front


@pytest.mark.parametrize("bad", ["a\nBcc: x@y.cz", "a\rb", "a\r\nb", "a\0b"])
def test_injection_in_old_messages_is_refused(bad: str) -> None:
    message = OldMessage()
    message["To"] = "a@b.cz"
    message["Subject"] = bad
    with pytest.raises(MessageError, match="Subject") as caught:
        prepare(message, sender=SENDER)
    assert caught.value.field == "subject"
    part = OldMessage()
    part["Content-Description"] = bad
    message = OldMessage()
    message["To"] = "a@b.cz"
    message["Content-Type"] = "multipart/mixed"
    message.attach(part)
    with pytest.raises(MessageError, match="Content-Description"):
        prepare(message, sender=SENDER)


def test_a_message_that_cannot_be_written_down() -> None:
    message = EmailMessage()
    message["To"] = "a@b.cz"
    message["Content-Type"] = 'text/plain; charset="no-such"'
    message.set_payload("č")
    with pytest.raises(MessageError, match="cannot be written down") as caught:
        prepare(message, sender=SENDER)
    assert caught.value.field == "message"
    for wrong in ("To: a@b.cz\n\n", None, 5, object()):
        with pytest.raises(MessageError, match="not "):
            prepare(wrong, sender=SENDER)  # type: ignore[arg-type]


USUAL = (
    b"From: x@y.cz\r\nTo: a@b.cz\r\nDate: Mon, 02 Nov 2026 10:00:00 +0100\r\n"
    b"Message-ID: <1@y.cz>\r\n{}Subject: x\r\n\r\nhi\r\n"
)


@pytest.mark.parametrize(
    "hidden", [b"Bcc: h@b.cz\r\n", b"Resent-Bcc: h@b.cz\r\n", b"RESENT-BCC : h@b.cz,\r\n i@b.cz\r\n"]
)
@pytest.mark.parametrize("first", [True, False])
def test_a_message_that_lacks_nothing_does_not_tell_its_hidden_recipients(hidden: bytes, first: bool) -> None:
    octets = USUAL.replace(b"{}", b"")
    content = content_of(hidden + octets if first else USUAL.replace(b"{}", hidden))
    assert b"".join(content.chunks(bcc=False)) == octets
    assert hidden in b"".join(content.chunks(bcc=True))
    assert content.size_with_bcc() == content.size + len(hidden)
    assert "h@b.cz" in content.recipients


@pytest.mark.parametrize("name", [b"From", b"Date", b"Message-ID"])
def test_what_is_there_is_not_added_again(name: bytes) -> None:
    lines = USUAL.replace(b"{}", b"").split(b"\r\n")
    lacking = b"\r\n".join([line for line in lines if not line.startswith(name + b":")])
    head = sent(lacking).partition(b"\r\n\r\n")[0]
    for each in (b"From", b"Date", b"Message-ID", b"To", b"Subject"):
        assert head.count(each + b": ") == 1, each
    assert [line for line in lines[:-3] if not line.startswith(name + b":")] == head.split(b"\r\n")[:-1]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("line", [b"x", b"x ", b"x:", b" "])
def test_a_header_of_one_long_line_is_read_in_linear_time(line: bytes) -> None:
    with pytest.raises(MessageError, match="names no recipient"):
        content_of(line * 300_000)


@pytest.mark.timeout(20)
def test_odd_lists_of_addresses_are_read_soon() -> None:
    assert content_of(b"To: a@b.cz,, ,c@d.cz, \n\nx").recipients == ("a@b.cz", "c@d.cz")
    many = b"To: " + b"a@b.cz, " * 20_000 + b"," * 100_000 + b"\n\nx"
    assert content_of(many).recipients == ("a@b.cz",)
    with pytest.raises(MessageError, match="cannot be read"):
        content_of(b"To: " + b"(" * 5000 + b"\n\nx")


@pytest.mark.parametrize("size", [60, 2 << 16])
@pytest.mark.parametrize(
    ("end", "clean"),
    [(b"x\r\n", True), (b"x\n", False), (b"x\r", False), (b"x\n\r", False), (b"\r\r\n", False), (b"\r\n\n", False)],
)
@pytest.mark.parametrize("octet", [b".", b"\xe9"])
def test_odd_line_ends_and_eight_bits_are_found_wherever_they_stand(
    size: int, end: bytes, clean: bool, octet: bytes
) -> None:
    head = USUAL.replace(b"{}", b"").removesuffix(b"hi\r\n")
    for at in (len(head), size - len(end) - 1, size // 2 - 1, size // 2 - 2, size // 2 - 3, size // 2):
        filled = head.ljust(at, b"y") + octet + end
        octets = filled + b"z" * (size - len(filled))
        content = content_of(octets)
        left = b"".join(content.chunks(bcc=False))
        whole = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        if not whole.endswith(b"\n"):
            whole += b"\r\n"
        assert left == b"".join(content.chunks(bcc=True)) == whole
        assert (left == octets + b"\r\n" * (not octets.endswith(b"\n"))) is clean
        assert content.size == len(whole)
        assert (content.eight_bit, content.smtputf8) == (octet != b".", False)


def test_what_lacks_nothing_leaves_uncopied_and_an_api_gets_it_in_pieces() -> None:
    octets = USUAL.replace(b"{}", b"") + b"x\r\n" * 100_000
    content = content_of(octets)
    assert [chunk is octets for chunk in content.chunks(bcc=False)] == [True]
    assert max(map(len, content.chunks(bcc=True))) < len(octets) // 2
    assert b"".join(content.chunks(bcc=True)) == octets


def test_recipients_of_a_usual_header_are_all_found() -> None:
    for name in (b"To: ", b"TO:", b"tO :", b"Cc:\t", b"cC \t: "):
        octets = USUAL.replace(b"{}", name + b"k@b.cz,\r\n l@b.cz\r\nTo: m@b.cz\r\n")
        assert set(content_of(octets).recipients) >= {"k@b.cz", "l@b.cz", "m@b.cz"}, name
        assert sent(octets) == octets
