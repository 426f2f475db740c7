"""The pipeline against a model server, driven by hypothesis: whatever the order of events, no result says what is not
so.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from franking.errors import ConnectError, Evidence, FrankingError, MessageError, OutcomeUnknown, Refused
from franking.message.address import Envelope
from franking.provider import Receipt
from franking.smtp.pipeline import Pipeline
from franking.smtp.protocol import Reply, ReplyReader
from servers.dialogue import Raw, offers

WORDS = [("PIPELINING", "CHUNKING", "SIZE 100000"), ("PIPELINING", "SIZE 100000"), ("SIZE 100000",), ()]
GONE = ConnectError("gone", evidence=Evidence("connect", reason="closed"))


class ModelServer:
    """A server as RFC 5321, 2920 and 3030 have it: reads octets, keeps what it accepted, answers in order."""

    def __init__(self, decide: Any) -> None:
        self.decide = decide  # the step → a code
        self.buffer = b""
        self.out = b""
        self.accepted: list[str] = []
        self.mail = False
        self.recipients: list[bytes] = []
        self.reading = False

    def feed(self, data: bytes) -> None:
        self.buffer += data
        while self._step():
            pass

    def say(self, code: int, text: str = "ok") -> None:
        self.out += f"{code} {text}\r\n".encode()

    def _forget(self) -> None:
        self.mail, self.recipients = False, []

    def _accept(self, body: bytes) -> None:
        code = self.decide("body") if self.mail and self.recipients else 554
        if code == 250:
            self.accepted.append(body.split(b"\r\n")[0].decode())
        self.say(code)
        self._forget()

    def _step(self) -> bool:
        if self.reading:
            end = self.buffer.find(b"\r\n.\r\n") if not self.buffer.startswith(b".\r\n") else -3
            if end == -1:
                return False
            body, self.buffer = (self.buffer[: end + 2], self.buffer[end + 5 :]) if end >= 0 else (b"", self.buffer[3:])
            self.reading = False
            self._accept(body)
            return True
        line, found, rest = self.buffer.partition(b"\r\n")
        if not found:
            return False
        verb = line[:4]
        if verb == b"BDAT":
            size = int(line.split()[1])
            if len(rest) < size:
                return False
            body, self.buffer = rest[:size], rest[size:]
            self._accept(body)
            return True
        self.buffer = rest
        if verb == b"RSET":
            self._forget()
            self.say(250)
        elif verb == b"MAIL":
            code = self.decide("mail") if not self.mail else 503
            self.mail = self.mail or code == 250
            self.say(code)
        elif verb == b"RCPT":
            code = self.decide("rcpt") if self.mail else 503
            if code == 250:
                self.recipients.append(line)
            self.say(code)
        elif verb == b"DATA":
            code = self.decide("data") if self.mail and self.recipients else 554
            self.reading = code == 354
            self.say(code)
        else:
            raise AssertionError(f"the client said {line!r}")
        return True


class Conversation(RuleBasedStateMachine):
    """Client, server and two wires on which octets take their time."""

    @initialize(
        words=st.sampled_from(WORDS),
        window=st.integers(1, 4),
        codes=st.lists(st.sampled_from([0, 0, 0, 0, 450, 550]), max_size=40),
    )
    def begin(self, words: tuple[str, ...], window: int, codes: list[int]) -> None:
        self.codes = deque(codes)
        self.server = ModelServer(
            lambda step: (self.codes.popleft() if self.codes else 0) or (354 if step == "data" else 250)
        )
        self.pipeline = Pipeline(offers(*words))
        self.reader = ReplyReader()
        self.window, self.count, self.written, self.there = window, 0, 0, b""
        self.results: dict[str, Receipt | FrankingError] = {}
        self.over = False

    def collect(self) -> None:
        while self.pipeline.done:
            transaction = self.pipeline.done.popleft()
            assert transaction.tag not in self.results, "a message has two results"
            assert transaction.result is not None
            self.results[transaction.tag] = transaction.result

    def write(self) -> None:
        while octets := self.pipeline.outgoing():
            self.written += len(octets)
            self.there += octets

    @precondition(lambda self: not self.over and self.pipeline.room(self.window))
    @rule(
        recipients=st.integers(1, 3),
        size=st.sampled_from([0, 10, 70_000]),
        broken=st.sampled_from([None, None, None, -1, 1]),
    )
    def add(self, recipients: int, size: int, broken: int | None) -> None:
        self.count += 1
        tag = f"message-{self.count}"
        data = f"{tag}\r\n".encode() + b".x\r\n" * (size // 4)
        claimed = None if broken is None else max(len(data) + broken, 0)
        envelope = Envelope("a@x.test", [f"r{number}@y.test" for number in range(recipients)])
        self.pipeline.add(tag, envelope, Raw(data, chunk=20_000, claimed=claimed))
        self.write()

    @precondition(lambda self: not self.over and self.there)
    @rule(part=st.floats(0, 1))
    def arrive(self, part: float) -> None:
        size = max(1, int(len(self.there) * part))
        self.server.feed(self.there[:size])
        self.there = self.there[size:]

    @precondition(lambda self: not self.over and self.server.out)
    @rule(part=st.floats(0, 1))
    def hear(self, part: float) -> None:
        size = max(1, int(len(self.server.out) * part))
        data, self.server.out = self.server.out[:size], self.server.out[size:]
        self.reader.feed(data)
        assert self.reader.fault is None
        self.pipeline.receive_all(self.reader.replies)
        self.write()
        if self.pipeline.closing:
            self.cut()

    @precondition(lambda self: not self.over)
    @rule()
    def cut(self) -> None:
        """The connection dies: what was written and has not arrived may still arrive, or not."""
        self.pipeline.lost(self.written, GONE)
        self.over = True

    @precondition(lambda self: self.over)
    @rule()
    def rest(self) -> None:
        """Nothing happens any more."""

    @invariant()
    def honest(self) -> None:
        if not hasattr(self, "pipeline"):
            return
        self.collect()
        for tag, result in self.results.items():
            if isinstance(result, Receipt):
                assert tag in self.server.accepted
            elif not isinstance(result, OutcomeUnknown):
                assert tag not in self.server.accepted
                assert isinstance(result, Refused | ConnectError | MessageError)

    def teardown(self) -> None:
        if hasattr(self, "pipeline"):
            if not self.over:
                self.cut()
            self.server.feed(self.there)  # everything arrives in the end
            self.honest()
            assert len(self.results) == self.count, "a message has no result"


TestConversation = Conversation.TestCase
EXPLORING = settings().max_examples > 1_000
TestConversation.settings = settings(max_examples=60, stateful_step_count=30)
if EXPLORING:
    TestConversation.settings = settings(max_examples=1_000)
    pytestmark = pytest.mark.timeout(600)


def test_the_model_refuses_what_a_server_refuses() -> None:
    server = ModelServer(lambda step: 250)
    server.feed(b"RCPT TO:<a@b.test>\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nDATA\r\n")
    reader = ReplyReader()
    reader.feed(server.out)
    assert [Reply(*reply).code for reply in reader.replies] == [503, 250, 503, 554]
