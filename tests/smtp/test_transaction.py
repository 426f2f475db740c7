"""One message as the server sees it: what is said for it, and what the server cannot take."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from franking.errors import ConnectError, MessageError, Refused
from franking.message.address import Envelope
from franking.provider import Receipt
from franking.smtp.pipeline import Pipeline
from franking.smtp.protocol import Reply
from franking.smtp.transaction import MAIL, RCPT, Asked, Transaction, path, receipt
from servers.dialogue import Raw, offers
from smtp.dialogues import ALL, FROM_TO, TWO


@pytest.mark.parametrize(
    ("content", "envelope", "words", "mail"),
    [
        (Raw(eight_bit=True), FROM_TO, ("8BITMIME",), b"MAIL FROM:<a@x.test> BODY=8BITMIME\r\n"),
        (Raw(), FROM_TO, ("8BITMIME", "SIZE"), b"MAIL FROM:<a@x.test> SIZE=21\r\n"),
        (Raw(smtputf8=True), FROM_TO, ("8BITMIME", "SMTPUTF8"), b"MAIL FROM:<a@x.test> BODY=8BITMIME SMTPUTF8\r\n"),
        (
            Raw(),
            Envelope("a@x.test", ["jiří@y.test"]),
            ("8BITMIME", "SMTPUTF8"),
            b"MAIL FROM:<a@x.test> BODY=8BITMIME SMTPUTF8\r\n",
        ),
        (
            Raw(),
            Envelope("a@bücher.test", ["b@y.test"]),
            ("8BITMIME", "SMTPUTF8"),
            b"MAIL FROM:<a@xn--bcher-kva.test>\r\n",
        ),
        (Raw(), Envelope("", ["b@y.test"]), (), b"MAIL FROM:<>\r\n"),
    ],
)
def test_the_parameters_of_mail(content: Raw, envelope: Envelope, words: tuple[str, ...], mail: bytes) -> None:
    pipeline = Pipeline(offers(*words))
    pipeline.add(1, envelope, content)
    assert pipeline.outgoing() == mail


@pytest.mark.parametrize(
    ("content", "envelope", "words", "reason"),
    [
        (Raw(eight_bit=True), FROM_TO, ("SMTPUTF8",), "8bitmime-not-offered"),
        (Raw(smtputf8=True), FROM_TO, ("8BITMIME",), "smtputf8-not-offered"),
        (Raw(), Envelope("jiří@x.test", ["b@y.test"]), ("8BITMIME",), "smtputf8-not-offered"),
    ],
)
def test_what_the_server_cannot_carry_is_said_before_mail(
    content: Raw, envelope: Envelope, words: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(MessageError) as caught:
        Pipeline(offers(*words)).add(1, envelope, content)
    assert caught.value.evidence is not None
    assert (caught.value.evidence.kind, caught.value.evidence.reason) == ("message", reason)


def test_a_message_that_is_too_large_is_refused_before_mail() -> None:
    with pytest.raises(Refused) as caught:
        Pipeline(offers("SIZE 20")).add(1, FROM_TO, Raw())
    assert caught.value.evidence is not None
    assert (caught.value.evidence.reason, caught.value.evidence.details) == ("size", {"size": 21, "limit": 20})
    assert not caught.value.temporary


def test_a_message_to_nobody() -> None:
    with pytest.raises(MessageError):
        Pipeline(offers()).add(1, Envelope("a@x.test", []), Raw())


@pytest.mark.parametrize(
    ("sender", "recipient"), [("a@x.test>\r\nRCPT TO:<evil@z.test", "b@y.test"), ("a@x.test", "b@y.test\nDATA")]
)
def test_no_address_smuggles_a_command_even_past_the_envelope(sender: str, recipient: str) -> None:
    envelope = Envelope("a@x.test", ["b@y.test"])
    object.__setattr__(envelope, "sender", sender)
    object.__setattr__(envelope, "recipients", (recipient,))
    with pytest.raises(MessageError):
        Pipeline(offers(*ALL)).add(1, envelope, Raw())


@pytest.mark.parametrize(("limit", "fits"), [(22, True), (21, True), (20, False), (0, True)])
def test_a_message_of_exactly_the_limit_fits(limit: int, fits: bool) -> None:
    """21 octets; a limit of 0 means none (RFC 1870 §4)."""
    if fits:
        assert Pipeline(offers(f"SIZE {limit}")).add(1, FROM_TO, Raw()).result is None
        return
    with pytest.raises(Refused):
        Pipeline(offers(f"SIZE {limit}")).add(1, FROM_TO, Raw())


def test_what_cannot_be_carried_leaves_the_pipeline_as_it_was() -> None:
    pipeline = Pipeline(offers("SIZE 20"))
    with pytest.raises(Refused):
        pipeline.add(1, FROM_TO, Raw())
    assert pipeline.outgoing() == b""
    assert not pipeline.unfinished
    assert not pipeline.done
    assert pipeline.room(1)


def test_a_message_is_handed_over_with_its_last_octet_and_not_before() -> None:
    transaction = Transaction(offers(*ALL), 1, FROM_TO, Raw())
    assert not transaction.handed_over(1 << 40)
    transaction.begin_content(100)
    assert (transaction.begun(0), transaction.handed_over(1 << 40)) == (True, False)
    transaction.end_content(121)
    assert [transaction.handed_over(offset) for offset in (120, 121, 122)] == [False, True, True]
    assert [transaction.begun(offset) for offset in (120, 121)] == [True, False]


def test_a_message_is_addressed_when_everybody_was_answered_and_somebody_accepted() -> None:
    transaction = Transaction(offers(*ALL), 1, TWO, Raw())
    ok, no = Reply(250, (b"ok",)), Reply(550, (b"5.1.1 nobody",))
    transaction.hear(MAIL, ok)
    assert not transaction.addressed
    transaction.hear(RCPT, ok)
    assert not transaction.addressed
    transaction.hear(RCPT, no)
    assert transaction.addressed
    assert transaction.refusal is None


def test_enough_recipients_is_no_refusal_of_the_first() -> None:
    """452 4.5.3 before anybody was accepted leaves nobody to go on with."""
    transaction = Transaction(offers(*ALL), 1, TWO, Raw())
    enough = Reply(552, (b"5.5.3 too many recipients",))
    transaction.hear(MAIL, Reply(250, (b"ok",)))
    transaction.hear(RCPT, enough)
    assert not transaction.full
    assert transaction.refused["b@y.test"]["temporary"] is False
    transaction = Transaction(offers(*ALL), 1, TWO, Raw())
    transaction.hear(MAIL, Reply(250, (b"ok",)))
    transaction.hear(RCPT, Reply(250, (b"ok",)))
    transaction.hear(RCPT, enough)
    assert transaction.full
    assert transaction.refused["c@y.test"]["temporary"] is True


@pytest.mark.parametrize(
    ("code", "asked", "step"), [(421, "MAIL", "message"), (421, "DATA", "message"), (421, "BODY", "accepted")]
)
def test_421_is_told_at_the_step_that_it_answers(code: int, asked: str, step: str) -> None:
    transaction = Transaction(offers(*ALL), 1, FROM_TO, Raw())
    error = transaction.cut_off(Asked[asked], Reply(code, (b"4.3.0 closing",)), used=False)
    assert (error.step, error.possibly_sent) == (step, False)


def test_421_to_a_guarded_message_on_a_connection_that_had_died_is_stale() -> None:
    transaction = Transaction(offers(*ALL), 1, FROM_TO, Raw(), guarded=True)
    assert transaction.cut_off(MAIL, Reply(421, (b"4.3.0 bye",)), used=False).stale
    transaction.hear(MAIL, Reply(250, (b"ok",)))
    assert not isinstance(transaction.cut_off(RCPT, Reply(421, (b"4.3.0 bye",)), used=True), ConnectError)


@pytest.mark.parametrize(
    "address",
    ["a b@c.test", "a@b.test> SIZE=1", "<a@b.test", "a@b.test\t", '"a"b"@c.test', '"a\\', "a@b\x7f.test", "a\rb@c.test",
     "a\nb@c.test", "a\0b@c.test", "a\r\nb@c.test", "a\ud800b@c.test"],
)  # fmt: skip
def test_no_address_ends_its_path_early(address: str) -> None:
    with pytest.raises(MessageError):
        path(address)


@pytest.mark.parametrize(
    ("address", "octets", "utf8"),
    [
        ("", b"", False),
        ("a+b@c.test", b"a+b@c.test", False),
        ('"a b>c"@d.test', b'"a b>c"@d.test', False),
        ("jana@bücher.test", b"jana@xn--bcher-kva.test", False),
        ("jiří@háčky.test", "jiří@háčky.test".encode(), True),
    ],
)
def test_addresses_as_they_stand_on_the_wire(address: str, octets: bytes, utf8: bool) -> None:
    assert path(address) == (octets, utf8)


def test_a_receipt_of_a_connection_is_one_like_any_other() -> None:
    refused = {"b@example.com": {"reply": "550 no", "temporary": False}}
    made = receipt("<1@x>", "smtp", "250 ok", ("a@example.com",), refused, 12, 3.5, "shop")
    wanted = Receipt(
        "<1@x>", "smtp", "250 ok", accepted=("a@example.com",), refused=refused, bytes=12, ms=3.5, account="shop"
    )
    assert type(made) is Receipt
    assert made == wanted
    assert repr(made) == repr(wanted)
    assert pickle.loads(pickle.dumps(made)) == wanted
    assert replace(made, account="x") == replace(wanted, account="x")
    with pytest.raises(FrozenInstanceError):
        made.reply = "250 no"  # type: ignore[misc]
