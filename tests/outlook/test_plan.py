"""Which way a message goes by Graph, decided before anything is sent."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

import franking
from franking import errors
from franking.message.prepare import prepare
from franking.outlook import graph_json
from franking.outlook.plan import plan
from outlook.messages import Make, Tokens, check_stored, message_of, planned, rich
from servers.microsoft import Microsoft

pytestmark = pytest.mark.timeout(60)


def test_the_way_is_told_in_words(account: Make) -> None:
    assert str(planned(account(), message_of(1_000))) == "one request, the message as it is (MIME)"
    assert str(planned(account(), message_of(3_200_000))) == "one request, the message taken apart (JSON)"
    told = str(planned(account(large_attachments=True), message_of(40_000_000)))
    assert told.startswith("a draft and 1 uploads, then the send; Exchange refuses more than 35 MiB")


@pytest.mark.parametrize(
    ("size", "headers"),
    [(5_000_000, {}), (3_200_000, {"In-Reply-To": "<a@b>"}), (3_200_000, {f"X-{n}": "1" for n in range(6)})],
)
def test_what_needs_a_permission_names_the_command(
    microsoft: Microsoft, account: Make, tokens: Tokens, size: int, headers: dict[str, str]
) -> None:
    with pytest.raises(errors.MessageError, match="franking login office --large-attachments") as caught:
        franking.send(account(), message_of(size, headers=headers), secret=tokens)
    assert caught.value.diagnosis is not None
    assert caught.value.diagnosis.code == "microsoft.upload-needed"
    assert microsoft.graph.requests == []


def test_what_no_mailbox_takes_is_refused_before(
    microsoft: Microsoft, account: Make, tokens: Tokens, tmp_path: Path
) -> None:
    path = tmp_path / "huge.bin"
    with path.open("wb") as file:
        file.truncate(160 * 1024 * 1024)
    message = franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=[str(path)])
    with pytest.raises(errors.MessageError, match="at most 150 MiB"):
        franking.send(account(large_attachments=True), message, secret=tokens)
    assert microsoft.graph.requests == []


def test_without_a_copy_in_sent_items(microsoft: Microsoft, account: Make, tokens: Tokens, tmp_path: Path) -> None:
    message = rich(tmp_path, 1_000)
    receipt = franking.send(account(save_to_sent=False), message, secret=tokens)
    stored = check_stored(microsoft, message, receipt, text=False)
    assert (stored.way, stored.saved) == ("json", False)
    for wrong, words, code in (
        (message_of(1_000, headers={"References": "<a@b>"}), "References", "microsoft.not-in-json"),
        (message_of(5_000_000), "about 3 MB", "message.too-large"),
    ):
        with pytest.raises(errors.MessageError, match=words) as caught:
            franking.send(account(save_to_sent=False, large_attachments=True), wrong, secret=tokens)
        assert caught.value.diagnosis is not None
        assert caught.value.diagnosis.code == code
    assert len(microsoft.graph.requests) == 1


def test_a_date_of_another_day_is_a_header_that_json_loses(account: Make) -> None:
    with pytest.raises(errors.MessageError, match="Date"):
        planned(account(save_to_sent=False), message_of(1_000, headers={"Date": formatdate(time.time() - 86_400)}))


def test_a_signed_message_goes_unchanged_or_not_at_all(account: Make) -> None:
    def signed(size: int) -> bytes:
        body = b"x" * 76 + b"\r\n"
        return (
            b"From: jan@contoso.com\r\nTo: jana@example.cz\r\nMIME-Version: 1.0\r\n"
            b'Content-Type: multipart/signed; boundary="b"; protocol="application/pkcs7-signature"\r\n\r\n'
            b"--b\r\nContent-Type: text/plain\r\n\r\n" + body * (size // 78) + b"\r\n"
            b"--b\r\nContent-Type: application/pkcs7-signature\r\n\r\nMIIB\r\n--b--\r\n"
        )

    assert planned(account(), signed(10_000)).way == "mime"
    with pytest.raises(errors.MessageError, match="signed"):
        planned(account(large_attachments=True), signed(4_000_000))


# -- exact limits ------------------------------------------------------------------------------------------------------


def exactly(octets: int) -> bytes:
    """Compose a message of so many octets, a short text and a file."""
    head = (
        b"From: jan@contoso.com\r\nTo: jana@example.cz\r\nSubject: x\r\nMessage-ID: <1@contoso.com>\r\n"
        b"Date: " + formatdate().encode() + b"\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\ny\r\n--b\r\n'
        b'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="a.bin"\r\n\r\n'
    )
    rest = octets - len(head) - len(b"\r\n--b--\r\n")
    return head + b"x" * (rest % 78) + (b"\r\n" + b"y" * 76) * (rest // 78) + b"\r\n--b--\r\n"


@pytest.mark.parametrize(("octets", "way"), [(2_999_999, "mime"), (3_000_000, "mime"), (3_000_001, "json")])
def test_three_million_octets_go_as_they_are_and_one_more_does_not(account: Make, octets: int, way: str) -> None:
    assert len(exactly(octets)) == octets
    assert planned(account(), exactly(octets)).way == way


@pytest.mark.parametrize(("octets", "way"), [(4_000_000, "json"), (4_000_001, "draft")])
def test_a_request_of_four_million_octets_goes_and_one_more_does_not(account: Make, octets: int, way: str) -> None:
    file = franking.Attachment(data=b"x" * 2_900_001, name="a.bin")

    def message(text: str) -> franking.Message:
        return franking.Message(to=["jana@example.cz"], subject="x", text=text, attachments=[file])

    def length(text: str) -> int:
        content = prepare(message(text), sender=account().sender).content
        return graph_json.Segments(graph_json.json_segments(content.parts(), content.message_id, save=True)).length

    text = "y" * (octets - length(""))
    assert planned(account(large_attachments=True), message(text)).way == way


def test_the_largest_message_goes_and_one_octet_more_does_not(account: Make) -> None:
    class Sized:
        def __init__(self, content: Any, size: int) -> None:
            self._content, self._size = content, size

        def __getattr__(self, name: str) -> Any:
            return getattr(self._content, name)

        def size_with_bcc(self) -> int:
            return self._size

    settings = account(large_attachments=True)
    content: Any = prepare(message_of(5_000_000), sender=settings.sender).content
    assert plan(settings, Sized(content, 157_286_400)).way == "draft"
    with pytest.raises(errors.MessageError, match="at most 150 MiB"):
        plan(settings, Sized(content, 157_286_401))
    usual = 35 * 1024 * 1024
    assert plan(settings, Sized(content, usual)).warnings == ()
    assert len(plan(settings, Sized(content, usual + 1)).warnings) == 1


def test_a_text_too_long_for_a_draft_is_told(account: Make) -> None:
    message = franking.Message(
        to=["jana@example.cz"],
        subject="x",
        text="y" * 3_000_000,
        attachments=[franking.Attachment(data=b"x" * 3_500_000, name="a.bin")],
    )
    with pytest.raises(errors.MessageError, match="attach it as a file"):
        planned(account(large_attachments=True), message)


def test_two_texts_go_as_a_draft_where_that_is_allowed(account: Make) -> None:
    message = message_of(3_200_000, html="<p>y</p>")
    assert planned(account(), message).way == "json"
    chosen = planned(account(large_attachments=True), message)
    assert (chosen.way, chosen.as_mime, chosen.warnings) == ("draft", True, ())
    assert chosen.total == sum(file.size for file in chosen.files) < chosen.size
