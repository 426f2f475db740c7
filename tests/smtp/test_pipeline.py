"""Messages on the wire, octet by octet and without sockets: what leaves when, and what each reply means for which
message.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from franking.errors import (
    ConnectError,
    ConnectTimeout,
    Evidence,
    MessageError,
    OutcomeUnknown,
    RecipientsRefused,
    Refused,
    SendError,
    Throttled,
)
from franking.message.address import Envelope
from franking.provider import Receipt
from franking.smtp.pipeline import Misfit, Pipeline
from servers.dialogue import Raw, offers, play_messages, replies

FROM_TO = Envelope("a@x.test", ["b@y.test"])
TWO = Envelope("a@x.test", ["b@y.test", "c@y.test"])
BODY = Raw(b"Subject: x\r\n\r\n.dot\r\n")
ALL = ("PIPELINING", "CHUNKING", "SIZE 1000000", "8BITMIME", "SMTPUTF8")
GONE = ConnectError("gone", evidence=Evidence("connect", reason="closed"))


def play(
    script: str,
    *jobs: tuple[Any, Envelope, Raw],
    words: tuple[str, ...] = (),
    window: int = 1,
    guarded: tuple[Any, ...] = (),
) -> dict[Any, Any]:
    return play_messages(Pipeline(offers(*words)), script, jobs or [(1, FROM_TO, BODY)], window=window, guarded=guarded)


# — the plain dialogue —


def test_the_plain_dialogue() -> None:
    results = play("""
        C: MAIL FROM:<a@x.test>
        S: 250 ok
        C: RCPT TO:<b@y.test>
        S: 250 ok
        C: DATA
        S: 354 go
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 2.0.0 queued""")
    receipt = results[1]
    assert isinstance(receipt, Receipt)
    assert (receipt.reply, receipt.accepted, receipt.refused, receipt.bytes) == (
        "250 2.0.0 queued",
        ("b@y.test",),
        {},
        BODY.size,
    )
    assert receipt.message_id == BODY.message_id


def test_the_plain_dialogue_stops_at_a_refused_sender_and_resets_before_the_next_message() -> None:
    results = play(
        """
        C: MAIL FROM:<a@x.test>
        S: 553 5.7.1 not yours
        C: RSET
        S: 250 ok
        C: MAIL FROM:<a@x.test>
        S: 250 ok
        C: RCPT TO:<b@y.test>
        S: 251 will forward
        C: DATA
        S: 354 go
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 ok""",
        (1, FROM_TO, BODY),
        (2, FROM_TO, BODY),
    )
    assert isinstance(results[1], Refused)
    assert (results[1].step, results[1].temporary, results[1].evidence.raw) == ("message", False, "553 5.7.1 not yours")
    assert isinstance(results[2], Receipt)


def test_the_plain_dialogue_goes_on_with_the_recipients_that_were_accepted() -> None:
    results = play(
        """
        C: MAIL FROM:<a@x.test>
        S: 250 ok
        C: RCPT TO:<b@y.test>
        S: 550 5.1.1 no such user
        C: RCPT TO:<c@y.test>
        S: 250 ok
        C: DATA
        S: 354 go
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 ok""",
        (1, TWO, BODY),
    )
    assert results[1].accepted == ("c@y.test",)
    assert results[1].refused == {"b@y.test": {"reply": "550 5.1.1 no such user", "temporary": False}}


def test_the_plain_dialogue_never_says_data_without_a_recipient() -> None:
    results = play(
        """
        C: MAIL FROM:<a@x.test>
        S: 250 ok
        C: RCPT TO:<b@y.test>
        S: 550 5.1.1 no such user
        C: RCPT TO:<c@y.test>
        S: 450 4.2.1 later""",
        (1, TWO, BODY),
    )
    error = results[1]
    assert isinstance(error, RecipientsRefused)
    assert error.temporary
    assert error.refused["c@y.test"] == {"reply": "450 4.2.1 later", "temporary": True}
    assert error.evidence is not None
    assert (error.evidence.code, error.evidence.enhanced, error.evidence.text) == (550, "5.1.1", "no such user")


@pytest.mark.parametrize("words", [("CHUNKING",), ("CHUNKING", "SIZE 100")])
def test_chunking_without_pipelining_is_the_plain_dialogue(words: tuple[str, ...]) -> None:
    size = f" SIZE={BODY.size}" if len(words) > 1 else ""
    play(
        f"""
        C: MAIL FROM:<a@x.test>{size}
        S: 250 ok
        C: RCPT TO:<b@y.test>
        S: 250 ok
        C: DATA
        S: 354 go
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 ok""",
        words=words,
    )


# — PIPELINING alone —


def test_mail_rcpt_and_data_share_a_flight_and_the_next_envelope_rides() -> None:
    results = play(
        """
        C: MAIL FROM:<a@x.test>
        C: RCPT TO:<b@y.test>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: Subject: x
        C:
        C: ..dot
        C: .
        C: RSET
        C: MAIL FROM:<a@x.test>
        C: RCPT TO:<b@y.test>
        C: DATA
        S: 250 first
        S: 250 reset
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 second""",
        (1, FROM_TO, BODY),
        (2, FROM_TO, BODY),
        words=("PIPELINING",),
    )
    assert [results[tag].reply for tag in (1, 2)] == ["250 first", "250 second"]


def test_a_refused_content_is_tied_to_its_message_and_the_next_one_goes_on() -> None:
    results = play(
        """
        C: MAIL FROM:<a@x.test>
        C: RCPT TO:<b@y.test>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: Subject: x
        C:
        C: ..dot
        C: .
        C: RSET
        C: MAIL FROM:<a@x.test>
        C: RCPT TO:<b@y.test>
        C: DATA
        S: 554 5.7.1 spam
        S: 250 reset
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 second""",
        (1, FROM_TO, BODY),
        (2, FROM_TO, BODY),
        words=("PIPELINING",),
    )
    assert isinstance(results[1], Refused)
    assert (results[1].step, results[1].evidence.raw) == ("accepted", "554 5.7.1 spam")
    assert results[2].reply == "250 second"


def test_a_354_without_a_recipient_gets_a_lone_dot() -> None:
    results = play(
        """
        C: MAIL FROM:<a@x.test>
        C: RCPT TO:<b@y.test>
        C: DATA
        S: 250 ok
        S: 550 5.1.1 nobody
        S: 354 go
        C: .
        C: RSET
        C: MAIL FROM:<a@x.test>
        C: RCPT TO:<b@y.test>
        C: DATA
        S: 554 5.5.1 no valid recipients
        S: 250 reset
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 ok""",
        (1, FROM_TO, BODY),
        (2, FROM_TO, BODY),
        words=("PIPELINING",),
    )
    assert isinstance(results[1], RecipientsRefused)
    assert isinstance(results[2], Receipt)


@pytest.mark.parametrize("last", ["250 ok, to nobody", "554 5.5.1 no valid recipients"])
def test_a_lone_dot_delivers_nothing_whatever_the_server_says(last: str) -> None:
    results = play(
        f"""
        C: MAIL FROM:<a@x.test>
        C: RCPT TO:<b@y.test>
        C: DATA
        S: 553 5.7.1 not yours
        S: 503 5.5.1 MAIL first
        S: 354 go
        C: .
        S: {last}""",
        words=("PIPELINING",),
    )
    assert isinstance(results[1], Refused)
    assert results[1].evidence.raw == "553 5.7.1 not yours"


def test_a_refused_data_command_is_reset() -> None:
    results = play(
        """
        C: MAIL FROM:<a@x.test>
        C: RCPT TO:<b@y.test>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 451 4.3.0 not now
        C: RSET
        C: MAIL FROM:<a@x.test>
        C: RCPT TO:<b@y.test>
        C: DATA
        S: 250 reset
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 ok""",
        (1, FROM_TO, BODY),
        (2, FROM_TO, BODY),
        words=("PIPELINING",),
    )
    assert (results[1].temporary, results[1].step, results[1].evidence.code) == (True, "message", 451)
    assert isinstance(results[2], Receipt)


# — CHUNKING —


def test_a_small_message_leaves_in_one_flight() -> None:
    results = play(
        f"""
        C: MAIL FROM:<a@x.test> SIZE={BODY.size}
        C: RCPT TO:<b@y.test>
        C: RCPT TO:<c@y.test>
        C: BDAT {BODY.size} LAST
        C: Subject: x
        C:
        C: .dot
        S: 250 ok
        S: 550 5.1.1 nobody
        S: 250 ok
        S: 250 queued""",
        (1, TWO, BODY),
        words=ALL,
    )
    assert results[1].accepted == ("c@y.test",)


def test_a_window_resets_before_every_further_mail() -> None:
    flight = f"""
        C: MAIL FROM:<a@x.test> SIZE={BODY.size}
        C: RCPT TO:<b@y.test>
        C: BDAT {BODY.size} LAST
        C: Subject: x
        C:
        C: .dot"""
    results = play(
        f"""{flight}
        C: RSET{flight}
        C: RSET{flight}
        S: 250 ok
        S: 250 ok
        S: 250 first
        C: RSET{flight}
        S: 250 reset
        S: 250 ok
        S: 550 5.1.1 nobody
        S: 554 5.5.1 no valid recipients
        S: 250 reset
        S: 250 ok
        S: 250 ok
        S: 250 third
        S: 250 reset
        S: 553 5.7.1 not yours
        S: 503 5.5.1 MAIL first
        S: 503 5.5.1 MAIL first""",
        *((tag, FROM_TO, BODY) for tag in (1, 2, 3, 4)),
        words=ALL,
        window=3,
    )
    assert results[1].reply == "250 first"
    assert isinstance(results[2], RecipientsRefused)
    assert results[3].reply == "250 third"
    assert isinstance(results[4], Refused)
    assert results[4].evidence.raw == "553 5.7.1 not yours"


def test_without_a_window_only_a_failure_is_reset() -> None:
    flight = f"""
        C: MAIL FROM:<a@x.test> SIZE={BODY.size}
        C: RCPT TO:<b@y.test>
        C: BDAT {BODY.size} LAST
        C: Subject: x
        C:
        C: .dot"""
    results = play(
        f"""{flight}
        S: 250 ok
        S: 250 ok
        S: 250 first{flight}
        S: 250 ok
        S: 250 ok
        S: 451 4.3.0 later
        C: RSET{flight}
        S: 250 reset
        S: 250 ok
        S: 250 ok
        S: 250 third{flight}
        S: 250 ok
        S: 250 ok
        S: 250 fourth""",
        *((tag, FROM_TO, BODY) for tag in (1, 2, 3, 4)),
        words=ALL,
    )
    assert [getattr(results[tag], "reply", None) for tag in (1, 2, 3, 4)] == [
        "250 first",
        None,
        "250 third",
        "250 fourth",
    ]


def large(lines: int = 820) -> Raw:
    return Raw((b"x" * 78 + b"\r\n") * lines, chunk=4096)


def test_a_large_message_waits_for_the_recipients() -> None:
    content = large()
    lines = "\n".join(["C: " + "x" * 78] * 820)
    results = play(
        f"""
        C: MAIL FROM:<a@x.test> SIZE={content.size}
        C: RCPT TO:<b@y.test>
        S: 250 ok
        S: 250 ok
        C: BDAT {content.size} LAST
        {lines}
        S: 250 queued""",
        (1, FROM_TO, content),
        words=ALL,
    )
    assert results[1].reply == "250 queued"


def test_a_large_message_that_nobody_takes_never_leaves() -> None:
    content = large()
    results = play(
        f"""
        C: MAIL FROM:<a@x.test> SIZE={content.size}
        C: RCPT TO:<b@y.test>
        S: 250 ok
        S: 550 5.1.1 nobody
        C: RSET
        C: MAIL FROM:<a@x.test> SIZE={BODY.size}
        C: RCPT TO:<b@y.test>
        C: BDAT {BODY.size} LAST
        C: Subject: x
        C:
        C: .dot
        S: 250 reset
        S: 250 ok
        S: 250 ok
        S: 250 second""",
        (1, FROM_TO, content),
        (2, FROM_TO, BODY),
        words=ALL,
    )
    assert isinstance(results[1], RecipientsRefused)
    assert results[2].reply == "250 second"


def test_exactly_64_kib_is_small() -> None:
    data = (b"x" * 62 + b"\r\n") * 1024
    assert len(data) == 65536
    for content, one in ((Raw(data), True), (Raw(data + b"y\r\n"), False)):
        pipeline = Pipeline(offers(*ALL))
        pipeline.add(1, FROM_TO, content)
        assert (b"BDAT" in pipeline.outgoing()) is one


def test_after_an_idle_time_no_content_leaves_before_mail_is_answered() -> None:
    play(
        f"""
        C: MAIL FROM:<a@x.test> SIZE={BODY.size}
        C: RCPT TO:<b@y.test>
        S: 250 ok
        S: 250 ok
        C: BDAT {BODY.size} LAST
        C: Subject: x
        C:
        C: .dot
        S: 250 queued""",
        words=ALL,
        guarded=(1,),
    )


# — parameters —


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


# — many recipients —


def many(count: int) -> Envelope:
    return Envelope("a@x.test", [f"r{number}@y.test" for number in range(count)])


def rcpts(start: int, end: int) -> str:
    return "\n".join(f"C: RCPT TO:<r{number}@y.test>" for number in range(start, end))


def test_many_recipients_go_in_groups_of_a_hundred() -> None:
    results = play(
        f"""
        C: MAIL FROM:<a@x.test> SIZE={BODY.size}
        {rcpts(0, 99)}
        {chr(10).join(["S: 250 ok"] * 100)}
        {rcpts(99, 150)}
        {chr(10).join(["S: 250 ok"] * 51)}
        C: BDAT {BODY.size} LAST
        C: Subject: x
        C:
        C: .dot
        S: 250 ok""",
        (1, many(150), BODY),
        words=ALL,
    )
    assert len(results[1].accepted) == 150


@pytest.mark.parametrize("enough", ["452 4.5.3 too many recipients", "552 5.5.3 too many recipients"])
def test_a_server_that_has_enough_recipients_is_asked_no_further(enough: str) -> None:
    results = play(
        f"""
        C: MAIL FROM:<a@x.test>
        {rcpts(0, 99)}
        {chr(10).join(["S: 250 ok"] * 91)}
        {chr(10).join(["S: " + enough] * 9)}
        C: DATA
        S: 354 go
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 ok""",
        (1, many(250), BODY),
        words=("PIPELINING",),
    )
    receipt = results[1]
    assert receipt.accepted == tuple(f"r{number}@y.test" for number in range(90))
    assert len(receipt.refused) == 160
    assert all(answer == {"reply": enough, "temporary": True} for answer in receipt.refused.values())


def test_too_many_recipients_in_the_plain_dialogue() -> None:
    results = play(
        """
        C: MAIL FROM:<a@x.test>
        S: 250 ok
        C: RCPT TO:<r0@y.test>
        S: 250 ok
        C: RCPT TO:<r1@y.test>
        S: 452 4.5.3 enough
        C: DATA
        S: 354 go
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 ok""",
        (1, many(4), BODY),
    )
    assert results[1].accepted == ("r0@y.test",)
    assert list(results[1].refused) == ["r1@y.test", "r2@y.test", "r3@y.test"]


# — too fast, and 421 —


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [
        ("450 4.2.1 receiving mail at a rate that is too high", Throttled, None),
        ("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", Throttled, None),
        ("451 4.7.500 Server busy. Please try again later", Throttled, None),
        ("450 4.7.1 too much mail; retry after 5 minutes", Throttled, 300.0),
        ("451 4.7.1 slow down, try again in 30 seconds", Throttled, 30.0),
        ("451 4.7.1 Greylisting in action", Refused, None),
        ("452 4.3.1 insufficient system storage", Refused, None),
        ("550 5.4.5 daily sending quota exceeded", Refused, None),
    ],
)
def test_what_counts_as_throttled(answer: str, kind: type[Refused], after: float | None) -> None:
    error = play(f"C: MAIL FROM:<a@x.test>\nS: {answer}")[1]
    assert type(error) is kind
    assert error.temporary is answer.startswith("4")
    assert getattr(error, "retry_after", None) == after


def in_flight(count: int, *, script: str = "") -> tuple[Pipeline, int]:
    """Put messages in flight, CHUNKING; give the pipeline and how many octets it has said."""
    pipeline = Pipeline(offers(*ALL))
    said = 0
    for tag in range(count):
        pipeline.add(tag, FROM_TO, BODY)
        while octets := pipeline.outgoing():
            said += len(octets)
    for reply in replies(script.encode()):
        pipeline.receive(reply)
    return pipeline, said


def verdicts(pipeline: Pipeline) -> list[str]:
    return [type(transaction.result).__name__ for transaction in sorted(pipeline.done, key=lambda each: each.tag)]


@pytest.mark.parametrize("before", range(4))
def test_what_421_answers_and_all_behind_it_is_safe(before: int) -> None:
    replied = "250 ok\r\n250 ok\r\n250 queued\r\n" + "250 ok\r\n" * before + "421 4.3.0 closing\r\n"
    pipeline, _ = in_flight(3, script=replied)
    assert pipeline.closing
    first, second, third = sorted(pipeline.done, key=lambda each: each.tag)
    assert isinstance(first.result, Receipt)
    for transaction in (second, third):
        assert isinstance(transaction.result, SendError)
        assert not transaction.result.possibly_sent
        assert transaction.result.temporary
        assert transaction.result.evidence is not None
        assert transaction.result.evidence.code == 421
    assert pipeline.outgoing() == b""


def test_421_to_the_first_command_on_a_used_connection_is_a_stale_connection() -> None:
    pipeline, _ = in_flight(2, script="250 ok\r\n250 ok\r\n250 queued\r\n421 too many messages in this connection\r\n")
    stale = pipeline.done[1].result
    assert isinstance(stale, ConnectError)
    assert stale.stale


@pytest.mark.parametrize(("first", "text"), [(True, "421 4.3.0 busy"), (False, "421 4.7.0 unusual rate of mail")])
def test_421_on_a_new_connection_or_about_pace_is_throttling(first: bool, text: str) -> None:
    pipeline, _ = in_flight(
        1 if first else 2, script=("" if first else "250 ok\r\n250 ok\r\n250 queued\r\n") + text + "\r\n"
    )
    assert isinstance(pipeline.done[-1].result, Throttled)


# — replies that do not fit —


@pytest.mark.parametrize(
    "replied",
    [
        "354 go\r\n",
        "553 no\r\n250 ok\r\n",
        "250 ok\r\n354 go\r\n",
        "250 ok\r\n550 no\r\n250 accepted, to whom?\r\n",
        "553 no\r\n503 no\r\n250 accepted, from whom?\r\n",
        "250 ok\r\n250 ok\r\n354 go\r\n",
        "250 ok\r\n250 ok\r\n250 queued\r\n554 cannot reset\r\n",
    ],
)
def test_a_reply_that_does_not_fit_makes_what_was_handed_over_unknown(replied: str) -> None:
    pipeline, said = in_flight(2)
    with pytest.raises(Misfit):
        for reply in replies(replied.encode()):
            pipeline.receive(reply)
    pipeline.lost(said, GONE)
    assert verdicts(pipeline)[-1] == "OutcomeUnknown"
    assert "Refused" not in verdicts(pipeline)
    assert "RecipientsRefused" not in verdicts(pipeline)


def test_a_reply_to_nothing_does_not_fit() -> None:
    with pytest.raises(Misfit):
        Pipeline(offers()).receive(replies(b"250 ok\r\n")[0])


def test_data_that_is_accepted_before_it_was_sent_does_not_fit() -> None:
    with pytest.raises(Misfit):
        play(
            "C: MAIL FROM:<a@x.test>\nC: RCPT TO:<b@y.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok",
            words=("PIPELINING",),
        )


# — a connection that dies —


def test_handed_over_means_the_last_octet() -> None:
    for missing, verdict in ((0, "OutcomeUnknown"), (1, "ConnectError")):
        pipeline, said = in_flight(1)
        pipeline.lost(said - missing, GONE)
        assert verdicts(pipeline) == [verdict]


def test_a_window_that_dies_knows_each_message() -> None:
    pipeline, said = in_flight(4, script="250 ok\r\n250 ok\r\n250 queued\r\n250 ok\r\n250 ok\r\n250 ok\r\n")
    pipeline.lost(said - 1, dataclasses_replaced(GONE))
    assert verdicts(pipeline) == ["Receipt", "OutcomeUnknown", "OutcomeUnknown", "ConnectError"]
    by_tag = {transaction.tag: transaction.result for transaction in pipeline.done}
    assert isinstance(by_tag[1], OutcomeUnknown)
    assert by_tag[1].accepted == ["b@y.test"]
    assert isinstance(by_tag[2], OutcomeUnknown)
    assert by_tag[2].accepted == []


def dataclasses_replaced(cause: ConnectError) -> ConnectError:
    assert cause.evidence is not None
    return ConnectError(cause.message, evidence=dataclasses.replace(cause.evidence, text="cut"))


@pytest.mark.parametrize("replied", ["553 no\r\n", "250 ok\r\n550 nobody\r\n"])
def test_a_message_that_the_envelope_already_refused_is_refused_not_unknown(replied: str) -> None:
    pipeline, said = in_flight(1, script=replied)
    pipeline.lost(said, GONE)
    assert verdicts(pipeline)[0] in ("Refused", "RecipientsRefused")


def test_an_envelope_that_rides_is_safe_when_the_connection_dies() -> None:
    pipeline = Pipeline(offers("PIPELINING"))
    said = 0
    for tag in (1, 2):
        pipeline.add(tag, FROM_TO, BODY)
        said += len(pipeline.outgoing())
        if tag == 1:
            for reply in replies(b"250 ok\r\n250 ok\r\n354 go\r\n"):
                pipeline.receive(reply)
            said += len(pipeline.outgoing())
            assert pipeline.outgoing() == b""
    pipeline.lost(said, GONE)
    assert verdicts(pipeline) == ["OutcomeUnknown", "ConnectError"]


@pytest.mark.parametrize(
    ("used", "guarded", "stale"), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_a_connection_that_had_died_before_any_content_left_is_stale(used: bool, guarded: bool, stale: bool) -> None:
    pipeline = Pipeline(offers("PIPELINING"))
    pipeline.used = used
    pipeline.add(1, FROM_TO, BODY, guarded=guarded)
    said = len(pipeline.outgoing())
    pipeline.lost(said, GONE)
    error = pipeline.done[0].result
    assert isinstance(error, ConnectError)
    assert error.stale is stale


def test_silence_is_never_stale() -> None:
    pipeline = Pipeline(offers("PIPELINING"))
    pipeline.used = True
    pipeline.add(1, FROM_TO, BODY)
    pipeline.lost(len(pipeline.outgoing()), ConnectTimeout("slow", evidence=Evidence("connect", reason="timeout")))
    error = pipeline.done[0].result
    assert isinstance(error, ConnectTimeout)
    assert not error.stale


# — content that cannot be read —


class Vanishing(Raw):
    """A content whose file disappears in the middle."""

    def chunks(self, *, bcc: bool) -> Iterator[bytes]:
        yield self.data[: len(self.data) // 2]
        raise FileNotFoundError(2, "No such file or directory")


def test_a_small_content_that_cannot_be_read_harms_nobody() -> None:
    flight = f"""
        C: MAIL FROM:<a@x.test> SIZE={BODY.size}
        C: RCPT TO:<b@y.test>
        C: BDAT {BODY.size} LAST
        C: Subject: x
        C:
        C: .dot
        S: 250 ok
        S: 250 ok
        S: 250 queued"""
    results = play(flight, (1, FROM_TO, Vanishing()), (2, FROM_TO, BODY), words=ALL)
    assert isinstance(results[1], MessageError)
    assert isinstance(results[2], Receipt)


@pytest.mark.parametrize(
    ("words", "kind"),
    [(ALL, "vanishes"), (("PIPELINING",), "vanishes"), ((), "vanishes"), (ALL, "shrinks"), (ALL, "grows")],
)
def test_a_large_content_that_breaks_its_promise_ends_the_connection_and_is_not_accepted(
    words: tuple[str, ...], kind: str
) -> None:
    whole = large()
    content: Raw = {
        "vanishes": Vanishing(whole.data, chunk=4096),
        "shrinks": Raw(whole.data[:-80], chunk=4096, claimed=whole.size),
        "grows": Raw(whole.data + b"y\r\n", chunk=4096, claimed=whole.size),
    }[kind]
    pipeline = Pipeline(offers(*words))
    pipeline.add(1, FROM_TO, content)
    said = b""
    for _ in range(4):  # at most MAIL, RCPT, DATA, and then the content
        flight = b""
        while octets := pipeline.outgoing():
            flight += octets
        said += flight
        for line in flight.split(b"\r\n"):
            if line.startswith((b"MAIL", b"RCPT")):
                pipeline.receive(replies(b"250 ok\r\n")[0])
            elif line == b"DATA":
                pipeline.receive(replies(b"354 go\r\n")[0])
    assert isinstance(pipeline.done[0].result, MessageError)
    assert pipeline.closing
    assert not said.endswith(b"\r\n.\r\n")
    if words == ALL and kind != "grows":
        assert len(said.partition(b"LAST\r\n")[2]) < whole.size


def test_a_refusal_in_the_middle_of_a_large_content_ends_the_connection() -> None:
    content = large()
    pipeline = Pipeline(offers(*ALL))
    pipeline.add(1, FROM_TO, content)
    pipeline.outgoing()
    for reply in replies(b"250 ok\r\n250 ok\r\n"):
        pipeline.receive(reply)
    pipeline.outgoing()
    pipeline.outgoing()
    pipeline.receive(replies(b"552 5.3.4 too big\r\n")[0])
    assert isinstance(pipeline.done[0].result, Refused)
    assert pipeline.closing
    assert pipeline.outgoing() == b""


def test_lines_are_logged_beside_what_leaves_and_bodies_are_not() -> None:
    said: list[str] = []
    pipeline = Pipeline(offers(*ALL), log=said.append)
    pipeline.add(1, FROM_TO, BODY)
    pipeline.outgoing()
    assert said == [
        f"MAIL FROM:<a@x.test> SIZE={BODY.size}",
        "RCPT TO:<b@y.test>",
        f"BDAT {BODY.size} LAST",
        f"<… {BODY.size} octets>",
    ]
