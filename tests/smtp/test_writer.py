"""Messages on the wire, octet by octet and without sockets: what leaves when."""

from __future__ import annotations

import pytest

from franking.errors import RecipientsRefused, Refused
from franking.message.address import Envelope
from franking.provider import Receipt
from franking.smtp.pipeline import Pipeline
from servers.dialogue import Raw, offers, replies
from smtp.dialogues import ALL, BODY, FROM_TO, TWO, large, play


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


@pytest.mark.parametrize("words", [ALL, ("PIPELINING",)])
@pytest.mark.parametrize(("recipients", "at_once"), [(100, True), (101, False)])
def test_a_hundred_recipients_leave_at_once(words: tuple[str, ...], recipients: int, at_once: bool) -> None:
    pipeline = Pipeline(offers(*words))
    pipeline.add(1, many(recipients), BODY)
    flight = pipeline.outgoing()
    assert (flight.count(b"RCPT") == recipients) is at_once
    assert (b"BDAT" in flight or flight.endswith(b"DATA\r\n")) is at_once
    assert pipeline.outgoing() == b""


def test_the_last_group_of_many_recipients_brings_data_along() -> None:
    pipeline = Pipeline(offers("PIPELINING"))
    pipeline.add(1, many(150), BODY)
    assert not pipeline.outgoing().endswith(b"DATA\r\n")
    for reply in replies(b"250 ok\r\n" * 100):
        pipeline.receive(reply)
    assert pipeline.outgoing().endswith(b"<r149@y.test>\r\nDATA\r\n")


@pytest.mark.parametrize(("size", "one"), [(65536, True), (65537, False)])
def test_one_octet_more_than_64_kib_waits_for_the_recipients(size: int, one: bool) -> None:
    pipeline = Pipeline(offers(*ALL))
    pipeline.add(1, FROM_TO, Raw(b"x" * size))
    assert (b"BDAT" in pipeline.outgoing()) is one
    assert pipeline.outgoing() == b""


def test_after_a_large_message_that_was_accepted_nothing_is_reset() -> None:
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
        S: 250 first
        C: MAIL FROM:<a@x.test> SIZE={BODY.size}
        C: RCPT TO:<b@y.test>
        C: BDAT {BODY.size} LAST
        C: Subject: x
        C:
        C: .dot
        S: 250 ok
        S: 250 ok
        S: 250 second""",
        (1, FROM_TO, content),
        (2, FROM_TO, BODY),
        words=ALL,
    )
    assert [results[tag].reply for tag in (1, 2)] == ["250 first", "250 second"]


def test_a_third_message_is_reset_as_well_as_the_second() -> None:
    envelope = """
        C: MAIL FROM:<a@x.test>
        S: 250 ok
        C: RCPT TO:<b@y.test>
        S: 550 5.1.1 nobody"""
    reset = """
        C: RSET
        S: 250 ok"""
    results = play(envelope + reset + envelope + reset + envelope, *((tag, FROM_TO, BODY) for tag in (1, 2, 3)))
    assert [type(results[tag]) for tag in (1, 2, 3)] == [RecipientsRefused] * 3


def test_the_end_of_the_data_ends_the_transaction_however_it_is_answered() -> None:
    message = """
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
        S: 554 5.7.1 spam"""
    results = play(message + message, (1, FROM_TO, BODY), (2, FROM_TO, BODY))
    assert [results[tag].evidence.code for tag in (1, 2)] == [554, 554]


def test_an_empty_content_is_a_content() -> None:
    results = play(
        """
        C: MAIL FROM:<a@x.test> SIZE=0
        C: RCPT TO:<b@y.test>
        C: BDAT 0 LAST
        S: 250 ok
        S: 250 ok
        S: 250 queued""",
        (1, FROM_TO, Raw(b"")),
        words=ALL,
    )
    assert results[1].bytes == 0


def test_what_is_claimed_and_what_leaves_in_one_flight_may_differ() -> None:
    """A size is a promise only where content leaves bit by bit."""
    results = play(
        """
        C: MAIL FROM:<a@x.test> SIZE=99
        C: RCPT TO:<b@y.test>
        C: BDAT 5 LAST
        C: abc
        S: 250 ok
        S: 250 ok
        S: 250 queued""",
        (1, FROM_TO, Raw(b"abc\r\n", claimed=99)),
        words=ALL,
    )
    assert results[1].bytes == 5
