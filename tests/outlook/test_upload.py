"""Large attachments of Graph: a draft, its files in ranges, and what is left when it breaks off."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import franking
from franking import errors
from franking.outlook import send, upload
from outlook.messages import Tokens, check_stored, message_of, refusal, rich
from servers.graph import failure
from servers.microsoft import Microsoft
from servers.web import CUT, Reply, Request

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let pauses pass at once, and note them."""
    paused: list[float] = []
    monkeypatch.setattr(send.GraphSession, "_pause", lambda self, seconds: paused.append(seconds))
    return paused


def test_ranges_are_as_microsoft_wants_them(microsoft: Microsoft, large: franking.Account, tokens: Tokens) -> None:
    franking.send(large, message_of(10_000_000), secret=tokens)
    spans = [tuple(map(int, text.partition("/")[0].split("-"))) for text in microsoft.graph.ranges]
    assert [first for first, _ in spans] == [0, *(last + 1 for _, last in spans[:-1])]
    assert {last - first + 1 for first, last in spans[:-1]} == {upload.RANGE}
    assert upload.RANGE % (320 * 1024) == 0
    assert upload.RANGE < 4_000_000


@pytest.mark.parametrize("cuts", [[1_000_000], [0, 0, 0], [3_000_000, 400_000, 1]])
def test_a_broken_upload_goes_on_where_it_came_to(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens, patient: list[float], tmp_path: Path, cuts: list[int]
) -> None:
    microsoft.graph.cut_ranges = list(cuts)
    message = rich(tmp_path, 12_000_000)
    receipt = franking.send(large, message, secret=tokens)
    check_stored(microsoft, message, receipt)
    assert patient == [2.0**number - 1 for number in range(len(cuts))]
    assert microsoft.server.requests.count("POST /v1.0/me/messages") == 1


def test_an_upload_that_keeps_breaking_is_given_up_and_the_draft_removed(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens, patient: list[float]
) -> None:
    microsoft.graph.cut_ranges = [0] * 100
    error = refusal(large, message_of(5_000_000), tokens, microsoft)
    assert isinstance(error, errors.ConnectError)
    assert error.temporary
    assert not error.possibly_sent
    assert patient == [0.0, 1.0, 3.0, 7.0, 15.0]
    assert microsoft.graph.drafts == {}
    assert microsoft.graph.sent == []


@pytest.mark.parametrize(
    ("ending", "reply", "kind"),
    [
        ("/messages", failure(403, "ErrorAccessDenied", "No."), errors.Refused),
        ("/messages", failure(500, "ErrorInternalServerError", "Oops."), errors.Refused),
        ("/createUploadSession", failure(429, "TooManyRequests", "Slow.", {"Retry-After": "9"}), errors.Throttled),
        ("/createUploadSession", Reply(201, {"uploadUrl": "http://localhost:1/x"}), errors.ConnectError),
        ("/attachments", failure(507, "ErrorQuotaExceeded", "Full."), errors.Refused),
        ("/send", failure(400, "ErrorMessageSizeExceeded", "Too large."), errors.Refused),
        ("/send", failure(403, "ErrorSendAsDenied", "No."), errors.Refused),
    ],
)
def test_a_draft_that_is_given_up_is_removed(
    microsoft: Microsoft,
    large: franking.Account,
    tokens: Tokens,
    ending: str,
    reply: Reply,
    kind: type[errors.FrankingError],
) -> None:
    microsoft.answers = [(ending, reply)]
    message = message_of(5_000_000)
    files = [*message.attachments, franking.Attachment(data=b"small", name="small.txt")]
    error = refusal(
        large, franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=files), tokens, microsoft
    )
    assert type(error) is kind
    assert not error.possibly_sent
    assert microsoft.graph.drafts == {}
    assert microsoft.graph.sent == []


@pytest.mark.parametrize("reply", [failure(500, "ErrorInternalServerError", "Oops."), CUT, failure(503, "x", "y")])
def test_the_last_send_is_never_repeated_and_its_draft_left(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens, reply: Reply
) -> None:
    microsoft.answers = [("/send", reply)]
    assert isinstance(refusal(large, message_of(5_000_000), tokens, microsoft), errors.OutcomeUnknown)
    assert sum(request.endswith("/send") for request in microsoft.server.requests) == 1
    assert len(microsoft.graph.drafts) == 1


def test_ctrl_c_during_an_upload_removes_the_draft(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens
) -> None:
    def interrupt(step: Any) -> None:
        if step.name == "message" and step.done and step.done > 1_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        franking.send(large, message_of(5_000_000), secret=tokens, observer=interrupt)
    assert microsoft.graph.drafts == {}


def test_an_aborted_upload_ends_and_removes_its_draft(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens
) -> None:
    mailer = franking.connect(large, secret=tokens)
    under_way = threading.Event()

    def watch(step: Any) -> None:
        if step.name == "message" and step.done:
            under_way.set()

    mailer = franking.connect(large, secret=tokens, observer=watch)
    thread = threading.Thread(target=lambda: (under_way.wait(20), mailer.abort()))
    thread.start()
    with mailer, pytest.raises(franking.FrankingError) as caught:
        mailer.send(message_of(60_000_000))
    thread.join()
    assert not caught.value.possibly_sent
    assert microsoft.graph.drafts == {}


def test_a_file_that_changes_while_it_is_sent(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens, tmp_path: Path
) -> None:
    path = tmp_path / "growing.bin"
    path.write_bytes(b"x" * 5_000_000)
    message = franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=[str(path)])

    def shrink(step: Any) -> None:
        if step.name == "message" and step.status == "running":
            path.write_bytes(b"x" * 1_000)

    with pytest.raises(errors.MessageError):
        franking.send(large, message, secret=tokens, observer=shrink)
    assert microsoft.graph.drafts == {}
    assert microsoft.graph.sent == []


@pytest.mark.parametrize("claimed", [0, upload.RANGE + 1, 4_999_999])
def test_an_upload_that_never_moves_on_or_jumps_is_given_up(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens, patient: list[float], claimed: int
) -> None:
    """Graph takes each range and asks for the same one again, or for one that nobody sent."""
    usual, puts = microsoft.server.answer, list[str]()

    def answer(request: Request) -> Reply:
        if request.path.startswith("/upload/") and request.method == "PUT":
            puts.append(request.headers["Content-Range"])
            request.read()
            assert len(puts) < 20, "for ever"
            return Reply(200, {"nextExpectedRanges": [f"{claimed}-"]})
        return usual(request)

    microsoft.server.answer = answer
    files = [franking.Attachment(data=b"x" * 5_000_000, name="a.bin")]
    message = franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=files)
    error = refusal(large, message, tokens, microsoft)
    assert isinstance(error, errors.ConnectError)
    assert error.evidence.reason == "upload-protocol"
    assert puts == [f"bytes 0-{upload.RANGE - 1}/5000000"] * 6
    assert patient == [0.0, 1.0, 3.0, 7.0, 15.0]
    assert microsoft.graph.drafts == {}


@pytest.mark.parametrize("ranges", [["0"], ["0-4999999"], [], None, ["nonsense"], ["5000000-"]])
def test_where_graph_says_an_upload_came_to(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens, patient: list[float], ranges: list[str] | None
) -> None:
    """After a break: from the beginning again, or (where it expects nothing) done."""
    microsoft.graph.cut_ranges = [0]
    usual, puts = microsoft.server.answer, list[str]()

    def answer(request: Request) -> Reply:
        if request.path.startswith("/upload/"):
            if request.method == "GET":
                return Reply(200, {"nextExpectedRanges": ranges})
            puts.append(request.headers["Content-Range"].split()[1])
        return usual(request)

    microsoft.server.answer = answer
    again = bool(ranges) and ranges[0].startswith("0")
    files = [franking.Attachment(data=b"x" * 5_000_000, name="a.bin")]
    message = franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=files)
    first, last = f"0-{upload.RANGE - 1}/5000000", f"{upload.RANGE}-4999999/5000000"
    if again:
        franking.send(large, message, secret=tokens)
        assert puts == [first, first, last]
    else:  # the stand-in knows better than it says: the file is not whole
        refusal(large, message, tokens, microsoft)
        assert puts == [first]
    assert patient == [0.0]


def test_a_session_that_is_over_is_the_break_that_was_before(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens, patient: list[float]
) -> None:
    microsoft.graph.cut_ranges = [0]
    usual = microsoft.server.answer

    def answer(request: Request) -> Reply:
        if request.path.startswith("/upload/") and request.method == "GET":
            return failure(404, "uploadSessionNotFound", "Gone.")
        return usual(request)

    microsoft.server.answer = answer
    error = refusal(large, message_of(5_000_000), tokens, microsoft)
    assert isinstance(error, errors.ConnectError)
    assert isinstance(error.__cause__, errors.Refused)
    assert len(patient) == 5
    assert microsoft.graph.drafts == {}


def test_a_draft_without_a_name_is_an_answer_that_cannot_be(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens
) -> None:
    microsoft.answers = [("/messages", Reply(201, {"isDraft": True}))]
    assert refusal(large, message_of(5_000_000), tokens, microsoft).evidence.reason == "upload-protocol"


def test_a_draft_that_cannot_be_removed_is_told(microsoft: Microsoft, large: franking.Account, tokens: Tokens) -> None:
    usual = microsoft.server.answer
    microsoft.server.answer = lambda request: Reply(503) if request.method == "DELETE" else usual(request)
    microsoft.answers = [("/send", failure(403, "ErrorSendAsDenied", "No."))]
    error = refusal(large, message_of(5_000_000), tokens, microsoft)
    assert any("still in Drafts" in note for note in error.__notes__)
    assert len(microsoft.graph.drafts) == 1


def test_the_progress_of_several_files_adds_up(microsoft: Microsoft, large: franking.Account, tokens: Tokens) -> None:
    steps: list[Any] = []
    sizes = (1_000_000, 4_000_000, 2_000_000)
    files = [franking.Attachment(data=b"x" * size, name=f"{size}.bin") for size in sizes]
    message = franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=files)
    franking.send(large, message, secret=tokens, observer=steps.append)
    done = [step.done for step in steps if step.name == "message" and step.status == "running"]
    assert done == sorted(done)
    assert done[-1] == sum(sizes)
    assert max(later - one for one, later in pairwise(done)) < 200_000


def test_a_file_of_three_million_octets_is_uploaded_and_a_smaller_one_attached(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens
) -> None:
    files = [franking.Attachment(data=b"x" * size, name=f"{size}.bin") for size in (2_999_999, 3_000_000)]
    message = franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=files)
    franking.send(large, message, secret=tokens)
    asked = [request.split()[1].rpartition("/")[2] for request in microsoft.graph.requests]
    assert asked == ["messages", "attachments", "createUploadSession", "send"]
    assert [file.size for file in microsoft.graph.sent[0].files] == [2_999_999, 3_000_000]
