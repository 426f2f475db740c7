"""Messages played through a pipeline without sockets, octet by octet."""

from __future__ import annotations

from typing import Any

from franking.errors import ConnectError, Evidence
from franking.message.address import Envelope
from franking.smtp.pipeline import Pipeline
from servers.dialogue import Raw, offers, play_messages

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


def large(lines: int = 820) -> Raw:
    return Raw((b"x" * 78 + b"\r\n") * lines, chunk=4096)
