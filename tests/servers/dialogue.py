"""A whole SMTP dialogue as a script, played without sockets and compared octet by octet.

    C: MAIL FROM:<a@b.test>        what the client must say; lines that follow each other must leave together
    C: RCPT TO:<c@d.test>
    S: 250 ok                      what the server answers
    S: 250 ok

Every line ends with CRLF. Content is written as C lines too, the empty one as a bare ``C:``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from franking.message.address import Envelope
from franking.message.parser import Parts
from franking.smtp.pipeline import Pipeline
from franking.smtp.protocol import Capabilities, Line, Reply, ReplyReader, parse_ehlo

Result = TypeVar("Result")


@dataclass(frozen=True)
class Raw:
    """Content that is given octet by octet, in chunks of a chosen size."""

    data: bytes = b"Subject: x\r\n\r\nhello\r\n"
    eight_bit: bool = False
    smtputf8: bool = False
    message_id: str = "<1@example.test>"
    chunk: int = 1 << 20
    claimed: int | None = None

    @property
    def size(self) -> int:
        return len(self.data) if self.claimed is None else self.claimed

    def chunks(self, *, bcc: bool) -> Iterator[bytes]:
        for start in range(0, len(self.data), self.chunk):
            yield self.data[start : start + self.chunk]

    def size_with_bcc(self) -> int:
        return self.size

    def parts(self) -> Parts:
        raise AssertionError("SMTP takes no message apart")


def offers(*words: str) -> Capabilities:
    """Make the capabilities of a server that offers these words."""
    return parse_ehlo(Reply(250, (b"mx.example.test", *(word.encode() for word in words))))


def turns(script: str) -> list[tuple[str, bytes]]:
    """Read a script: runs of lines of one side, joined."""
    found: list[tuple[str, bytes]] = []
    for line in script.strip().splitlines():
        line = line.strip()
        who, text = line[0], line[3:]
        assert line[1:2] == ":", line
        octets = text.encode() + b"\r\n"
        if found and found[-1][0] == who:
            found[-1] = (who, found[-1][1] + octets)
        else:
            found.append((who, octets))
    return found


def replies(octets: bytes) -> list[Reply]:
    """Read the server's octets."""
    reader = ReplyReader()
    reader.feed(octets)
    assert reader.fault is None
    return list(reader.replies)


def play(dialogue: Generator[Line | None, Reply, Result], script: str) -> Result:
    """Play a lock-step dialogue (greeting, STARTTLS, AUTH); give what it came to."""
    try:
        line = next(dialogue)
        for who, octets in turns(script):
            if who == "C":
                assert line is not None and line.data == octets, (line, octets)
            else:
                for reply in replies(octets):
                    line = dialogue.send(reply)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise AssertionError(f"the script is over, and the client still says {line!r}")


def play_messages(
    pipeline: Pipeline,
    script: str,
    jobs: Iterable[tuple[Any, Envelope, Any]],
    *,
    window: int = 1,
    guarded: Sequence[Any] = (),
) -> dict[Any, Any]:
    """Play messages through a pipeline; give tag → receipt or error. ``guarded`` names tags that come after an idle
    time.
    """
    source = iter(jobs)
    waiting = next(source, None)

    def said() -> bytes:
        nonlocal waiting
        octets = b""
        while True:
            while more := pipeline.outgoing():
                octets += more
            if waiting is None or not pipeline.room(window):
                return octets
            tag, envelope, content = waiting
            pipeline.add(tag, envelope, content, guarded=tag in guarded)
            waiting = next(source, None)

    for who, octets in turns(script):
        if who == "C":
            heard = said()
            assert heard == octets, f"\nwanted {octets!r}\nheard  {heard!r}"
        else:
            for reply in replies(octets):
                pipeline.receive(reply)
    left = said()
    assert not left, f"the script is over, and the client still says {left!r}"
    return {transaction.tag: transaction.result for transaction in pipeline.done}
