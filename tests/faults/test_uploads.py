"""Messages that take several requests (Graph's draft, Gmail's resumable upload): every fault at every one of them, and
what the server has done by then.

The server keeps a record, as a real one would: a request that is answered wrongly was carried out all the same, one
that is refused was not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import franking
from faults.test_http import FAULTS, PATIENCE, TIMEOUT, UNKNOWN
from franking.auth.secret import Password
from franking.errors import FrankingError
from servers.rawweb import RawServer, Wire, reply
from servers.web import Authority

pytestmark = pytest.mark.matrix

TOKEN = "canary-access-token"
KINDS = (
    "nothing comes",
    "closed",
    "reset",
    "half the body, closed",
    "truncated JSON",
    "null",
    "a hotel's page",
    "a proxy's page",
    "a body that drips for ever",
    "a bad chunk",
    "an endless answer",
    "307 to another host",
    "308 to another host",
    "500",
    "503 with a time",
    "429 for ever",
)
NOT_CARRIED_OUT = ("a proxy's page", "503 with a time", "429 for ever", "307 to another host", "308 to another host")
STAGES = {
    "graph": {
        "draft": "POST /v1.0/me/messages ",
        "attachment": "POST .*/attachments ",
        "session": "POST .*/createUploadSession ",
        "first range": "PUT .*bytes 0-",
        "last range": "PUT .*bytes [1-9]",
        "send": "POST .*/send ",
    },
    "gmail": {
        "start": "POST ",
        "first chunk": "PUT .*bytes 0-",
        "last chunk": "PUT .*bytes [1-9]",
        "question": r"PUT .*bytes \*/",
    },
}
FINAL = ("send", "last chunk")
NEAR = (*FINAL, "question")
CELLS = [(provider, stage, kind) for provider, stages in STAGES.items() for stage in stages for kind in KINDS]


class Record:
    """What a server did, and how it answers where nothing is wrong."""

    def __init__(self) -> None:
        self.url = ""
        self.done = self.deleted = self.at = self.drafts = 0

    def answer(self, head: str) -> bytes:
        method, path = head.split()[:2]
        span = re.search(r"(?i)content-range: bytes (?:(\d+)-(\d+)|\*)/(\d+)", head)
        if span:
            return self._gmail(span) if "/gmail" in path else self._range(span)
        if method == "GET":
            return reply(200, {"nextExpectedRanges": [f"{self.at}-"] if self.at < self.size else []})
        if method == "DELETE":
            self.deleted += 1
            return reply(204)
        if path.endswith("/send"):
            self.done += 1
            return reply(202)
        if path.endswith("/messages"):
            self.drafts += 1
            return reply(201, {"id": "d1"})
        if path.endswith("/createUploadSession"):
            return reply(201, {"uploadUrl": f"{self.url}/up"})
        if "uploadType=resumable" in path:
            return reply(200, b"", f"Location: {self.url}/gmail/up")
        return reply(201, {"id": "a1"})

    size = 1 << 40

    def _took(self, span: re.Match[str]) -> bool:
        self.size = int(span[3])
        if span[1] is not None and int(span[1]) == self.at:
            self.at = int(span[2]) + 1
        return self.at == self.size

    def _range(self, span: re.Match[str]) -> bytes:
        return reply(201) if self._took(span) else reply(200, {"nextExpectedRanges": [f"{self.at}-"]})

    def _gmail(self, span: re.Match[str]) -> bytes:
        if self._took(span):
            self.done = 1
            return reply(200, {"id": "m1"})
        return reply(308, b"", *([f"Range: bytes=0-{self.at - 1}"] if self.at else []))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


# octets of a file that makes two ranges for Graph, two chunks for Gmail
LARGE = {"graph": 3_400_000, "gmail": 6_500_000}


def carried_out(record: Record, act: Wire) -> Wire:
    def done(request: Any) -> None:
        record.answer(request.head)
        act(request)

    return done


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("provider", "stage", "kind"), CELLS)
def test_the_report_agrees_with_the_record(provider: str, stage: str, kind: str, authority: Authority) -> None:
    make, *verdicts = FAULTS[kind]
    record = Record()
    with (
        RawServer(authority, otherwise=record.answer) as server,
        RawServer(authority, otherwise=lambda head: reply(200)) as other,
    ):
        record.url = server.url
        act = make(other.url)
        server.acts = [act if kind in NOT_CARRIED_OUT else carried_out(record, act)]
        server.faulty = _at(STAGES[provider][stage])
        if stage == "question":  # it is asked after a break
            server.acts.insert(0, FAULTS["closed"][0](""))
            first = _at(STAGES[provider]["last chunk"])
            server.faulty = lambda head: (first if len(server.acts) == 2 else _at(STAGES[provider]["question"]))(head)
        wait = 1.0 if verdicts[2] == TIMEOUT else PATIENCE
        given: dict[str, Any] = {"name": "shop", "ca_file": authority.ca_file, "timeout": wait, "final_timeout": wait}
        if provider == "gmail":
            account = franking.Account(provider="gmail", sender="me@gmail.com", api_endpoint=server.url, **given)
        else:
            account = franking.Account(
                provider="outlook",
                sender="me@contoso.com",
                client_id="c",
                graph_endpoint=server.url,
                large_attachments=True,
                **given,
            )
        message = franking.Message(
            to=["jana@example.cz"],
            subject="x",
            text="y",
            attachments=[franking.Attachment(data=b"s" * size, name="a.bin") for size in (1000, LARGE[provider])],
        )
        error: FrankingError | None = None
        try:
            with franking.connect(account, secret=Password(TOKEN)) as mailer:
                mailer.send(message)
        except FrankingError as problem:
            error = problem
        asked = [request.head.split("\r\n")[0] for request in server.requests]
        assert server.acts == [], "the fault did not happen"
        assert other.requests == []
    assert len(asked) < 20
    if error is None:
        assert record.done == 1
    elif error.possibly_sent:
        assert stage in NEAR
    else:
        assert record.done == 0
        # a draft that is given up is removed, if its name is known
        assert record.deleted == record.drafts or stage == "draft"
        assert (type(error).__name__, error.step) != ("OutcomeUnknown", "accepted")
    assert len([line for line in asked if "/send " in line and "uploadType" not in line]) <= 1
    if stage == "send":  # never repeated, and judged like a message of one request
        assert ("" if error is None else type(error).__name__) == verdicts[1][0]
    if error is not None:
        assert TOKEN not in f"{error} {error.evidence} {error.diagnosis}"
    assert error is None or verdicts[0] == UNKNOWN or not error.possibly_sent or stage == "question"


def _at(pattern: str) -> Callable[[str], bool]:
    """Match the request line and the range that is sent."""

    def matches(head: str) -> bool:
        line, _, rest = head.partition(" HTTP/1.1")
        span = re.search(r"(?i)content-range: (bytes [^\r]*)", rest)
        return re.match(pattern, f"{line} {span[1] if span else ''}") is not None

    return matches
