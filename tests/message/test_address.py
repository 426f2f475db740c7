"""Addresses: what a person types, what is printed, what SMTP carries, and what is refused."""

from __future__ import annotations

import pickle
from email.headerregistry import Address as StdlibAddress
from email.policy import default
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from franking.errors import MessageError
from franking.message.address import Address, Envelope

# typed → address, name, printed
READ = [
    ("jan@novak.cz", "jan@novak.cz", "", "jan@novak.cz"),
    ("  jan@novak.cz ", "jan@novak.cz", "", "jan@novak.cz"),
    ("<jan@novak.cz>", "jan@novak.cz", "", "jan@novak.cz"),
    ("Jan Novák <jan@novak.cz>", "jan@novak.cz", "Jan Novák", "Jan Novák <jan@novak.cz>"),
    ("Jan  Novák<jan@novak.cz>", "jan@novak.cz", "Jan Novák", "Jan Novák <jan@novak.cz>"),
    ('"Jan Novák" <jan@novak.cz>', "jan@novak.cz", "Jan Novák", "Jan Novák <jan@novak.cz>"),
    ("Novák, s.r.o. <info@novak.cz>", "info@novak.cz", "Novák, s.r.o.", '"Novák, s.r.o." <info@novak.cz>'),
    ("Jan (Praha) <jan@novak.cz>", "jan@novak.cz", "Jan (Praha)", '"Jan (Praha)" <jan@novak.cz>'),
    (
        r'"Jan \"Honza\" \\ Novák" <jan@novak.cz>',
        "jan@novak.cz",
        r'Jan "Honza" \ Novák',
        r'"Jan \"Honza\" \\ Novák" <jan@novak.cz>',
    ),
    ('"Jan <jan>" <jan@novak.cz>', "jan@novak.cz", "Jan <jan>", '"Jan <jan>" <jan@novak.cz>'),
    ("jan@novak.cz <jan@novak.cz>", "jan@novak.cz", "jan@novak.cz", '"jan@novak.cz" <jan@novak.cz>'),
    ("=?utf-8?q?Jan_Nov=C3=A1k?= <jan@novak.cz>", "jan@novak.cz", "Jan Novák", "Jan Novák <jan@novak.cz>"),
    ("=?iso-8859-2?B?SmFuIE5vduFr?= <jan@novak.cz>", "jan@novak.cz", "Jan Novák", "Jan Novák <jan@novak.cz>"),
    ("=?utf-8?q?Jan__Nov=C3=A1k?= <jan@novak.cz>", "jan@novak.cz", "Jan  Novák", '"Jan  Novák" <jan@novak.cz>'),
    ("=?no-such?q?Jan?= <jan@novak.cz>", "jan@novak.cz", "=?no-such?q?Jan?=", '"=?no-such?q?Jan?=" <jan@novak.cz>'),
    ("root@host (Cron Daemon)", "root@host", "Cron Daemon", "Cron Daemon <root@host>"),
    ('"john doe"@example.com', '"john doe"@example.com', "", '"john doe"@example.com'),
    ('"a@b"@example.com', '"a@b"@example.com', "", '"a@b"@example.com'),
    ('John <"a>b"@example.com>', '"a>b"@example.com', "John", 'John <"a>b"@example.com>'),
    ("jan@[127.0.0.1]", "jan@[127.0.0.1]", "", "jan@[127.0.0.1]"),
    ("jan@[IPv6:2001:db8::1]", "jan@[IPv6:2001:db8::1]", "", "jan@[IPv6:2001:db8::1]"),
    ("jan+filter@my_host", "jan+filter@my_host", "", "jan+filter@my_host"),
    ("محمد <m@example.com>", "m@example.com", "محمد", "محمد <m@example.com>"),
]


@pytest.mark.parametrize(("typed", "address", "name", "printed"), READ, ids=[row[0] for row in READ])
def test_reads_what_people_type(typed: str, address: str, name: str, printed: str) -> None:
    read = Address.parse(typed)
    assert (read.address, read.name, str(read)) == (address, name, printed)
    assert Address.parse(str(read)) == read


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "is empty"),
        ("jan", "has no @"),
        ("jan＠novak.cz", "full-width @"),
        ("@novak.cz", "nothing before the @"),
        ("jan@", "nothing behind the @"),
        ("jan@@novak.cz", "more than one address"),
        ("jan novak@novak.cz", "blank"),
        ("jan@novak .cz", "blank"),
        ("Jan jan@novak.cz", "< and >"),
        ("Jan <jan@novak.cz", "< and >"),
        ("Jan <jan@novak.cz>>", "< or > too many"),
        ('Jan" <"jan@novak.cz>', "quotation mark"),
        ("a@novak.cz, b@novak.cz", "give a list"),
        ("a@novak.cz; b@novak.cz", "give a list"),
        ("a@novak.cz,b@novak.cz", "give a list"),
        ("a@novak.cz, Jan <b@novak.cz>", "give a list"),
        ("Jan <a@novak.cz>, Jan <b@novak.cz>", "more than one address"),
        ("Friends: a@novak.cz, b@novak.cz;", "group"),
        ("undisclosed-recipients:;", "group"),
        ("a..b@novak.cz", "dot too many"),
        (".a@novak.cz", "dot too many"),
        ("a.@novak.cz", "dot too many"),
        ("a(b)@novak.cz", "only in quotes"),
        ("a@novak..cz", "empty part"),
        ("a@novak.cz.", "empty part"),
        ("a@-novak.cz", "no name"),
        ("a@novak!.cz", "no name"),
        ("a@℀.cz", "no name"),
        ("a@novak＠evil.cz", "no name"),
        (f"a@{'x' * 64}.cz", "longer than 63"),
        (f"a@{'x.' * 130}cz", "longer than the 253"),
        ("a" * 256 + "@novak.cz", "more than 255 octets"),
        ("a@[1.2.3]", "literal"),
        ("a@[127.0.0.1", "literal"),
        ("a@[IPv6:zz]", "literal"),
        ("a\u200b@novak.cz", "invisible"),
        ("evil\u202etxt.exe <a@novak.cz>", "direction of writing"),
        ("\u2066a\u2069 <a@novak.cz>", "direction of writing"),
        ("=?utf-8?q?a=0D=0ABcc=3A_x?= <a@novak.cz>", "line break"),
        ("=?utf-8?q?a=00?= <a@novak.cz>", "NUL"),
        ("x" * 999 + " <a@novak.cz>", "longer than 998"),
    ],
)
def test_says_what_is_wrong(typed: str, says: str) -> None:
    with pytest.raises(MessageError, match=says) as caught:
        Address.parse(typed)
    assert isinstance(caught.value, ValueError)
    assert caught.value.field == "address"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("\r", "line break"),
        ("\n", "line break"),
        ("\r\n ", "line break"),
        ("\0", "NUL"),
        ("\x07", "control"),
        ("\x7f", "control"),
        ("\x9b", "control"),
        ("\u2028", "line break"),
        ("\x85", "line break"),
        ("\ud800", "half a character"),
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        "{}jan@novak.cz",
        "j{}an@novak.cz",
        "jan@no{}vak.cz",
        "jan@novak.cz{}",
        "J{}n <jan@novak.cz>",
        '"J{}n" <jan@novak.cz>',
        "Jan <jan@novak.cz{}>",
        "Jan <jan@novak.cz>{}",
        "jan@novak.cz (J{}n)",
        '"j{}n"@novak.cz',
        "jan@[127.0.0.1{}]",
    ],
)
def test_refuses_injection_everywhere(place: str, bad: str, says: str) -> None:
    text = place.format(bad)
    with pytest.raises(MessageError, match=says):
        Address.parse(text)
    with pytest.raises(MessageError, match=says):
        Address(text)
    with pytest.raises(MessageError, match=says):
        Address("jan@novak.cz", text)
    with pytest.raises(MessageError, match=says) as caught:
        Envelope("jan@novak.cz", [text])
    assert caught.value.field == "recipients"
    with pytest.raises(MessageError, match=says) as caught:
        Envelope(text, ["jan@novak.cz"])
    assert caught.value.field == "sender"


@pytest.mark.parametrize("wrong", [None, 5, b"a@b.cz", ["a@b.cz"]])
def test_refuses_what_is_no_text(wrong: Any) -> None:
    with pytest.raises(MessageError):
        Address.parse(wrong)
    with pytest.raises(MessageError):
        Address(wrong)
    with pytest.raises(MessageError):
        Envelope("", [wrong])


@pytest.mark.parametrize(
    ("typed", "wire", "smtputf8"),
    [
        ("jan@novak.cz", "jan@novak.cz", False),
        ("Jan@Novak.CZ", "Jan@Novak.CZ", False),
        ("info@háčky.cz", "info@xn--hky-ela4t.cz", False),
        ("info@HÁČKY.cz", "info@xn--hky-ela4t.cz", False),
        ("info@ｎｏｖａｋ．ｃｚ", "info@novak.cz", False),
        ("info@例え。テスト", "info@xn--r8jz45g.xn--zckzah", False),
        ("žofie@háčky.cz", "žofie@háčky.cz", True),
        ("žofie@ＮＯＶＡＫ．ＣＺ", "žofie@novak.cz", True),
        ("žofie@HÁČKY.cz", "žofie@háčky.cz", True),
        ("žofie@novak.cz", "žofie@novak.cz", True),
        ('"john doe"@háčky.cz', '"john doe"@xn--hky-ela4t.cz', False),
    ],
)
def test_gives_what_smtp_carries(typed: str, wire: str, smtputf8: bool) -> None:
    address = Address.parse(typed)
    assert (address.address, address.wire, address.smtputf8) == (typed, wire, smtputf8)
    assert Envelope(typed, [typed]) == Envelope(address, [address])
    assert Envelope(typed, [typed]).recipients == (wire,)


def test_domain_is_as_typed() -> None:
    assert Address.parse("Jan <jan@Háčky.cz>").domain == "Háčky.cz"
    assert Address.parse('"a@b"@novak.cz').domain == "novak.cz"


def test_envelope_is_a_frozen_value_of_bare_addresses() -> None:
    envelope = Envelope("", iter(["a@b.cz", Address("c@d.cz", "C")]))
    assert (envelope.sender, envelope.recipients) == ("", ("a@b.cz", "c@d.cz"))
    assert pickle.loads(pickle.dumps(envelope)) == envelope
    assert hash(envelope) == hash(Envelope("", ["a@b.cz", "c@d.cz"]))
    with pytest.raises(AttributeError):
        envelope.sender = "x@y.cz"  # type: ignore[misc]
    with pytest.raises(MessageError, match="recipients: there is none"):
        Envelope("a@b.cz", [])
    with pytest.raises(MessageError, match="give a list"):
        Envelope("a@b.cz", "c@d.cz")
    with pytest.raises(MessageError, match=r"recipients: .*Jan"):
        Envelope("a@b.cz", ["Jan <c@d.cz>"])
    with pytest.raises(MessageError, match=r"recipients: .*is empty"):
        Envelope("a@b.cz", [""])


def test_address_is_a_frozen_value() -> None:
    address = Address.parse("Jan Novák <jan@novak.cz>")
    assert pickle.loads(pickle.dumps(address)) == address
    assert repr(address) == "Address(address='jan@novak.cz', name='Jan Novák')"
    assert address != Address("jan@novak.cz")


names = st.text(
    st.characters(
        exclude_categories=["Cc", "Cs", "Zl", "Zp"],
        exclude_characters="\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    ),
    max_size=60,
)
locals_ = st.text("abcXYZ019!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=20)
domains = st.lists(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True), min_size=1, max_size=4).map(
    ".".join
)


@given(names, locals_, domains)
@example('a"b\\', "a", "b")
@example("=?utf-8?q?a?=", "a", "b")
@example("a\u200fb", "a", "b")
@example("a  b", "a", "b")
@example("a\u00a0 b\u3000", "a", "b")
def test_printed_reads_back(name: str, local: str, domain: str) -> None:
    address = Address(f"{local}@{domain}", name)
    assert address.name == name.strip()
    assert Address.parse(str(address)) == address


@given(st.text('ab ()<>@,:;."\\=?\u00e1', max_size=12), locals_)
def test_printed_means_the_same_to_the_standard_library(name: str, local: str) -> None:
    address = Address(f"{local}@example.com", name)
    header = default.header_factory("to", str(address))
    (read,) = header.addresses
    assert isinstance(read, StdlibAddress)
    assert read.addr_spec == address.address
    assert read.display_name.split() == name.split()


@given(st.text(max_size=60))
def test_never_raises_anything_but_a_message_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except MessageError:
        return
    assert not set("\r\n\0") & set(str(address) + address.wire)
    assert address.smtputf8 == (not address.wire.isascii())
