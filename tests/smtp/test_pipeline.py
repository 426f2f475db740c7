"""Messages in flight, without sockets: which message a reply belongs to, and what becomes of each at the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import pytest

from franking.errors import (
    ConnectError,
    ConnectTimeout,
    Evidence,
    MessageError,
    OutcomeUnknown,
    Refused,
    SendError,
    Throttled,
)
from franking.provider import Receipt
from franking.smtp.pipeline import Misfit, Pipeline
from franking.smtp.protocol import Reply
from servers.dialogue import Raw, offers, replies
from smtp.dialogues import ALL, BODY, FROM_TO, GONE, large, play


def in_flight(count: int, *, script: str = "") -> tuple[Pipeline, int]:
    """Put messages in flight, CHUNKING; return the pipeline and how many octets it has said."""
    pipeline = Pipeline(offers(*ALL))
    said = 0
    for tag in range(count):
        pipeline.add(tag, FROM_TO, BODY)
        while octets := pipeline.outgoing():
            said += len(octets)
    for reply in replies(script.encode()):
        pipeline.receive(reply)
    return pipeline, said


def results(pipeline: Pipeline) -> list[str]:
    return [type(transaction.result).__name__ for transaction in sorted(pipeline.done, key=lambda each: each.tag)]


@pytest.mark.parametrize("read", range(15))
@pytest.mark.parametrize("refused", [None, 0, 1, 2])
def test_replies_may_come_in_any_two_pieces(read: int, refused: int | None) -> None:
    """MAIL, RCPT and BDAT of four messages, RSET between them: where a read ended makes no difference."""
    came = [Reply(250, (b"2.0.0 ok",)) for _ in range(15)]
    if refused is not None:
        came[2 + 4 * refused] = Reply(554, (b"5.7.1 spam",))
    pipeline, _ = in_flight(4)
    pipeline.receive_all(deque(came[:read]))
    assert len(pipeline.done) == (read + 1) // 4
    pipeline.receive_all(deque(came[read:]))
    assert results(pipeline) == ["Refused" if tag == refused else "Receipt" for tag in range(4)]


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


@pytest.mark.parametrize("text", ["421 4.3.0 busy", "421 4.7.0 unusual rate of mail", "450 4.7.1 too many messages"])
@pytest.mark.parametrize("used", [False, True])
def test_later_to_mail_is_throttling_only_on_a_connection_that_has_carried_nothing(used: bool, text: str) -> None:
    """On one that has, it may be the session's end: a new one tells, as a new one is no worse for the message."""
    replied = "250 ok\r\n250 ok\r\n250 queued\r\n250 reset\r\n" * used + f"{text}\r\n" + "503 no\r\n" * 2
    pipeline, _ = in_flight(1 + used)
    pipeline.receive_all(deque(replies(replied.encode())))
    result = pipeline.done[-1].result
    assert isinstance(result, ConnectError if used else Throttled)
    assert getattr(result, "stale", False) is used
    assert pipeline.spent is (used and text.startswith("45"))
    assert not pipeline.room(9) or not used


@pytest.mark.parametrize("text", ["553 5.7.1 not yours", "550 5.0.0 no"])
def test_a_sender_refused_for_good_is_no_end_of_the_session(text: str) -> None:
    pipeline, _ = in_flight(2)
    replied = "250 ok\r\n250 ok\r\n250 queued\r\n250 reset\r\n" + f"{text}\r\n" + "503 no\r\n" * 2
    pipeline.receive_all(deque(replies(replied.encode())))
    assert isinstance(pipeline.done[-1].result, Refused)
    assert not pipeline.spent


@pytest.mark.parametrize("used", [False, True])
def test_a_reset_that_is_refused_for_now_says_nothing_of_the_message(used: bool) -> None:
    """The server answers everything that follows with a refusal too: it was surely not accepted."""
    first = "250 ok\r\n250 ok\r\n250 queued\r\n" if used else "553 no\r\n503 no\r\n503 no\r\n"
    pipeline, _ = in_flight(2)
    pipeline.receive_all(deque(replies((first + "452 4.5.3 enough\r\n" + "503 5.5.1 no\r\n" * 3).encode())))
    result = pipeline.done[-1].result
    assert isinstance(result, ConnectError)
    assert result.stale
    assert pipeline.spent


@pytest.mark.parametrize("behind", ["", "250 ok\r\n", "250 ok\r\n250 ok\r\n250 queued\r\n"])
def test_what_is_accepted_or_not_answered_behind_a_refused_reset_is_unknown(behind: str) -> None:
    """Another transaction may have been open still: whose recipients got it?"""
    pipeline, said = in_flight(2)
    try:
        pipeline.receive_all(deque(replies(ACCEPTED + f"452 4.5.3 enough\r\n{behind}".encode())))
    except Misfit:
        assert behind
    pipeline.lost(said, GONE)
    assert results(pipeline)[1] == "OutcomeUnknown"


@pytest.mark.parametrize("closes", [False, True])
def test_in_the_plain_dialogue_nothing_more_is_said_behind_a_refused_reset(closes: bool) -> None:
    pipeline = Pipeline(offers())
    pipeline.add(1, FROM_TO, BODY)
    pipeline.outgoing()
    pipeline.receive(replies(b"553 no\r\n")[0])
    assert pipeline.outgoing() == b""
    pipeline.add(2, FROM_TO, BODY)
    assert pipeline.outgoing() == b"RSET\r\n"
    pipeline.receive(replies(b"451 no more\r\n")[0])
    if closes:
        pipeline.lost(0, GONE)
    assert pipeline.outgoing() == b""
    error = pipeline.done[-1].result
    assert isinstance(error, ConnectError)
    assert error.stale


def test_in_a_window_each_message_behind_the_refused_mail_has_its_own_fate() -> None:
    """One is accepted all the same, one refused, one not answered: only the last is unknown."""
    pipeline, said = in_flight(5)
    turned_away = b"250 reset\r\n452 4.5.3 enough\r\n503 no\r\n503 no\r\n"
    pipeline.receive_all(deque(replies(ACCEPTED + turned_away + b"250 reset\r\n" + ACCEPTED + turned_away)))
    assert not pipeline.room(9)
    pipeline.lost(said, GONE)
    assert results(pipeline) == ["Receipt", "ConnectError", "Receipt", "ConnectError", "OutcomeUnknown"]
    stale = [transaction.tag for transaction in pipeline.done if getattr(transaction.result, "stale", False)]
    assert stale == [1, 3]


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
        "354 go\r\n250 ok\r\n250 queued\r\n",
        "250 ok\r\n354 go\r\n250 queued\r\n",
        "250 ok\r\n299 ok\r\n300 queued\r\n",
        "250 ok\r\n250 ok\r\n250 queued\r\n354 reset\r\n250 ok\r\n250 ok\r\n250 queued\r\n",
    ],
)
@pytest.mark.parametrize("at_once", [False, True])
def test_a_reply_that_does_not_fit_makes_what_was_handed_over_unknown(replied: str, at_once: bool) -> None:
    pipeline, said = in_flight(2)
    with pytest.raises(Misfit):
        if at_once:
            pipeline.receive_all(deque(replies(replied.encode())))
        for reply in replies(replied.encode()):
            pipeline.receive(reply)
    pipeline.lost(said, GONE)
    assert results(pipeline)[-1] == "OutcomeUnknown"
    assert "Refused" not in results(pipeline)
    assert "RecipientsRefused" not in results(pipeline)


CODES = {ALL: [250, 250, 250], ("PIPELINING",): [250, 250, 354]}
WRONG = [
    (words, place, code)
    for words, right in CODES.items()
    for place in range(3)
    for code in (300, 354, 399)
    if code != right[place]
]


@pytest.mark.parametrize(("words", "place", "code"), WRONG)
def test_a_3xx_is_no_yes_where_all_replies_come_at_once(words: tuple[str, ...], place: int, code: int) -> None:
    pipeline = Pipeline(offers(*words))
    pipeline.add(1, FROM_TO, BODY)
    pipeline.outgoing()
    codes = CODES[words].copy()
    codes[place] = code
    with pytest.raises(Misfit) as caught:
        pipeline.receive_all(deque(Reply(code) for code in codes))
    assert caught.value.reply.code == code
    assert not pipeline.done


def test_a_reply_to_nothing_does_not_fit() -> None:
    with pytest.raises(Misfit):
        Pipeline(offers()).receive(replies(b"250 ok\r\n")[0])


def test_data_that_is_accepted_before_it_was_sent_does_not_fit() -> None:
    with pytest.raises(Misfit):
        play(
            "C: MAIL FROM:<a@x.test>\nC: RCPT TO:<b@y.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok",
            words=("PIPELINING",),
        )


def test_handed_over_means_the_last_octet() -> None:
    for missing, kind in ((0, "OutcomeUnknown"), (1, "ConnectError")):
        pipeline, said = in_flight(1)
        pipeline.lost(said - missing, GONE)
        assert results(pipeline) == [kind]


def test_a_window_that_dies_knows_each_message() -> None:
    pipeline, said = in_flight(4, script="250 ok\r\n250 ok\r\n250 queued\r\n250 ok\r\n250 ok\r\n250 ok\r\n")
    pipeline.lost(said - 1, dataclasses_replaced(GONE))
    assert results(pipeline) == ["Receipt", "OutcomeUnknown", "OutcomeUnknown", "ConnectError"]
    by_tag = {transaction.tag: transaction.result for transaction in pipeline.done}
    assert isinstance(by_tag[1], OutcomeUnknown)
    assert by_tag[1].accepted == ["b@y.test"]
    assert isinstance(by_tag[2], OutcomeUnknown)
    assert by_tag[2].accepted == []


def dataclasses_replaced(cause: ConnectError) -> ConnectError:
    assert cause.evidence is not None
    return ConnectError(cause.message, evidence=cause.evidence._replace(text="cut"))


@pytest.mark.parametrize("replied", ["553 no\r\n", "250 ok\r\n550 nobody\r\n"])
def test_a_message_that_the_envelope_already_refused_is_refused_not_unknown(replied: str) -> None:
    pipeline, said = in_flight(1, script=replied)
    pipeline.lost(said, GONE)
    assert results(pipeline)[0] in ("Refused", "RecipientsRefused")


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
    assert results(pipeline) == ["OutcomeUnknown", "ConnectError"]


@pytest.mark.parametrize(
    ("used", "guarded", "stale"), [(False, False, False), (True, False, True), (False, True, True)]
)
@pytest.mark.parametrize("reason", ["closed", "reset"])
def test_a_connection_that_had_died_before_any_content_left_is_stale(
    used: bool, guarded: bool, stale: bool, reason: str
) -> None:
    pipeline = Pipeline(offers("PIPELINING"))
    pipeline.used = used
    pipeline.add(1, FROM_TO, BODY, guarded=guarded)
    said = len(pipeline.outgoing())
    pipeline.lost(said, ConnectError("gone", evidence=Evidence("connect", reason=reason)))
    error = pipeline.done[0].result
    assert isinstance(error, ConnectError)
    assert error.stale is stale


@pytest.mark.parametrize("reason", ["timeout", "unreachable", "unexpected-reply"])
def test_a_connection_that_ended_otherwise_is_not_stale(reason: str) -> None:
    pipeline = Pipeline(offers("PIPELINING"))
    pipeline.used = True
    pipeline.add(1, FROM_TO, BODY)
    pipeline.lost(len(pipeline.outgoing()), ConnectError("gone", evidence=Evidence("connect", reason=reason)))
    error = pipeline.done[0].result
    assert isinstance(error, ConnectError)
    assert not error.stale


def test_once_anything_was_answered_a_connection_is_not_stale() -> None:
    pipeline = Pipeline(offers("PIPELINING"))
    pipeline.used = True
    pipeline.add(1, FROM_TO, BODY)
    said = len(pipeline.outgoing())
    pipeline.receive(replies(b"250 ok\r\n")[0])
    pipeline.lost(said, GONE)
    error = pipeline.done[0].result
    assert isinstance(error, ConnectError)
    assert not error.stale


@pytest.mark.parametrize("reason", ["timeout", "unreachable", "closed", "reset"])
@pytest.mark.parametrize("answered", [False, True])
def test_a_connection_that_rested_may_be_half_open(reason: str, answered: bool) -> None:
    pipeline = Pipeline(offers("PIPELINING"))
    pipeline.used = True
    pipeline.add(1, FROM_TO, BODY, guarded=True)
    said = len(pipeline.outgoing())
    assert pipeline.wakes
    if answered:
        pipeline.receive(replies(b"250 ok\r\n")[0])
        assert not pipeline.wakes
    pipeline.lost(said, ConnectError("gone", evidence=Evidence("connect", reason=reason)))
    error = pipeline.done[0].result
    assert isinstance(error, ConnectError)
    assert error.stale is not answered


def test_silence_without_a_rest_is_never_stale() -> None:
    pipeline = Pipeline(offers("PIPELINING"))
    pipeline.used = True
    pipeline.add(1, FROM_TO, BODY)
    pipeline.lost(len(pipeline.outgoing()), ConnectTimeout("slow", evidence=Evidence("connect", reason="timeout")))
    error = pipeline.done[0].result
    assert isinstance(error, ConnectTimeout)
    assert not error.stale


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


@pytest.mark.parametrize("replied", ["553 5.7.1 no\r\n", "250 ok\r\n550 5.1.1 nobody\r\n", "553 no\r\n503 no\r\n"])
def test_what_the_first_was_refused_says_nothing_of_the_second(replied: str) -> None:
    pipeline, said = in_flight(2, script=replied)
    pipeline.lost(said, GONE)
    first, second = sorted(pipeline.done, key=lambda each: each.tag)
    assert isinstance(first.result, Refused)
    assert isinstance(second.result, OutcomeUnknown)
    assert second.result.accepted == []


ACCEPTED = b"250 ok\r\n250 ok\r\n250 queued\r\n"


SURPLUS = ["554 5.7.1 spam", "451 4.3.0 later", "354 go", "250 ok", "299 ok", "421 4.3.0 closing"]


@pytest.mark.parametrize("surplus", SURPLUS)
@pytest.mark.parametrize("words", [ALL, ("PIPELINING",), ()])
def test_a_surplus_reply_takes_an_acceptance_back(words: tuple[str, ...], surplus: str) -> None:
    """In a flight nobody can tell which reply was meant for the message. In the plain dialogue, where nothing else was
    asked, only one that says no casts a doubt.
    """
    pipeline = Pipeline(offers(*words))
    pipeline.add(1, FROM_TO, BODY)
    if words != ALL:
        for reply in replies(b"250 ok\r\n250 ok\r\n354 go\r\n"):
            pipeline.outgoing()
            pipeline.receive(reply)
    pipeline.outgoing()
    came = (ACCEPTED if words == ALL else b"250 queued\r\n") + f"{surplus}\r\n".encode()
    with pytest.raises(Misfit) as caught:
        pipeline.receive_all(deque(replies(came)))
    pipeline.doubt(GONE, caught.value.reply)
    (transaction,) = pipeline.done
    kept = not words and surplus.startswith(("2", "421"))
    assert type(transaction.result) is (Receipt if kept else OutcomeUnknown)
    if isinstance(transaction.result, OutcomeUnknown):
        assert transaction.result.accepted == ["b@y.test"]


def test_a_misfit_to_the_next_message_takes_what_came_with_it_back() -> None:
    """A surplus reply to the first message's RCPT looks so, where its content was refused."""
    pipeline, said = in_flight(2)
    with pytest.raises(Misfit) as caught:
        pipeline.receive_all(deque(replies(ACCEPTED + b"554 5.7.1 spam\r\n")))
    pipeline.doubt(GONE, caught.value.reply)
    pipeline.lost(said, GONE)
    assert results(pipeline) == ["OutcomeUnknown", "OutcomeUnknown"]


def test_a_refusal_is_never_taken_back() -> None:
    pipeline, _ = in_flight(1)
    with pytest.raises(Misfit) as caught:
        pipeline.receive_all(deque(replies(b"250 ok\r\n250 ok\r\n554 spam\r\n554 spam\r\n")))
    pipeline.doubt(GONE, caught.value.reply)
    assert results(pipeline) == ["Refused"]


def test_nothing_behind_421_is_heard() -> None:
    pipeline, _ = in_flight(2)
    came = deque(replies(b"421 closing\r\n250 ok\r\n250 ok\r\n250 queued\r\n"))
    pipeline.receive_all(came)
    assert len(came) == 3
    assert results(pipeline) == ["Throttled", "ConnectError"]


def test_room_is_for_so_many_and_no_more() -> None:
    for words, window, most in ((ALL, 1, 1), (ALL, 3, 3), (("PIPELINING",), 1, 2), (("PIPELINING",), 3, 4), ((), 3, 1)):
        pipeline = Pipeline(offers(*words))
        taken = 0
        while pipeline.room(window):
            pipeline.add(taken, FROM_TO, BODY)
            taken += 1
            while pipeline.outgoing():
                pass
            if words == ("PIPELINING",):
                pipeline.receive_all(deque(replies(b"250 ok\r\n250 ok\r\n354 go\r\n")) if taken == 1 else deque())
                while pipeline.outgoing():
                    pass
        assert taken == min(most, 2 if words == ("PIPELINING",) else most), (words, window)


def test_only_the_reply_to_a_content_accepts() -> None:
    pipeline = Pipeline(offers("PIPELINING"))
    assert not pipeline.awaits_acceptance
    pipeline.add(1, FROM_TO, BODY)
    pipeline.outgoing()
    for reply in replies(b"250 ok\r\n250 ok\r\n354 go\r\n"):
        assert not pipeline.awaits_acceptance
        pipeline.receive(reply)
    pipeline.outgoing()
    assert pipeline.awaits_acceptance
