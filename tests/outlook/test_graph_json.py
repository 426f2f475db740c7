"""A message as Graph wants it: base64, JSON, and what of it JSON cannot carry."""

from __future__ import annotations

import base64
import json
from email import message_from_bytes, policy
from email.utils import formatdate
from typing import Any

import pytest

from franking.outlook import graph_json


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 57, 1_000])
def test_base64_streams(cut: int) -> None:
    data = bytes(range(256)) * 5
    chunks = [data[at : at + cut] for at in range(0, len(data), cut)]
    assert b"".join(graph_json.base64_of(chunks)) == base64.b64encode(data)
    assert graph_json.base64_length(len(data)) == len(base64.b64encode(data))


def parts(**more: Any) -> Any:
    from franking.message.parser import Parts

    headers = tuple(more.pop("headers", (("To", "Jana <jana@example.cz>"), ("Subject", "č"))))
    return Parts(headers, more.pop("text", "y"), more.pop("html", None), tuple(more.pop("attachments", ())))


def test_the_message_resource_has_what_the_message_has_and_nothing_else() -> None:
    assert graph_json.message_json(parts(), "<1@x>") == {
        "subject": "č",
        "body": {"contentType": "text", "content": "y"},
        "internetMessageId": "<1@x>",
        "toRecipients": [{"emailAddress": {"address": "jana@example.cz", "name": "Jana"}}],
    }
    headers = [
        ("From", "jan@contoso.com"),
        ("Reply-To", "a@b.cz, c@d.cz"),
        ("Importance", " High "),
        *((f"X-{number}", str(number)) for number in range(6)),
    ]
    made = graph_json.message_json(parts(headers=headers, html="<p>y</p>"), "<1@x>")
    assert made["body"] == {"contentType": "html", "content": "<p>y</p>"}
    assert made["from"] == {"emailAddress": {"address": "jan@contoso.com"}}
    assert [one["emailAddress"]["address"] for one in made["replyTo"]] == ["a@b.cz", "c@d.cz"]
    assert made["importance"] == "high"
    assert [one["name"] for one in made["internetMessageHeaders"]] == [f"X-{number}" for number in range(5)]
    assert "toRecipients" not in made
    assert "importance" not in graph_json.message_json(parts(headers=[("Importance", "very")]), "<1@x>")


def test_what_json_cannot_carry() -> None:
    now = 1_790_000_000.0

    def lost(*headers: tuple[str, str]) -> tuple[str, ...]:
        return graph_json.lost_headers(parts(headers=headers), now)

    assert lost(("To", "a@b.cz"), ("X-One", "1"), ("MIME-Version", "1.0")) == ()
    assert lost(("References", "<a@b>"), ("References", "<c@d>"), ("In-Reply-To", "<a@b>")) == (
        "References",
        "In-Reply-To",
    )
    assert lost(*((f"X-{number}", "1") for number in range(7))) == ("X-5", "X-6")
    for seconds, told in ((0, ()), (599, ()), (-599, ()), (600, ("Date",)), (-3_600, ("Date",))):
        assert lost(("Date", formatdate(now + seconds))) == told
    assert lost(("Date", "yesterday")) == ("Date",)


def test_a_drafts_mime_has_the_header_as_it_was_and_the_bodies_without_files() -> None:
    header = (
        b"Subject: =?utf-8?q?x?=\r\n y\r\nContent-Type: multipart/mixed;\r\n boundary=b\r\nMime-Version: 1.0\r\nX-A: 1"
    )
    made = message_from_bytes(graph_json.draft_mime(header, parts(html="<p>č</p>\n")), policy=policy.default)
    assert made.keys() == ["Subject", "X-A", "MIME-Version", "Content-Type"]
    assert made["X-A"] == "1"
    assert [(part.get_content_type(), part.get_content()) for part in made.iter_parts()] == [
        ("text/plain", "y"),
        ("text/html", "<p>č</p>\r\n"),
    ]
    alone = message_from_bytes(graph_json.draft_mime(header, parts(text=None)), policy=policy.default)
    assert (alone.get_content_type(), alone.get_content()) == ("text/plain", "")


def test_a_files_description() -> None:
    from franking.message.parser import Part

    def described(**more: Any) -> dict[str, Any]:
        settings = {"name": "a.txt", "cid": None, "inline": False, **more}
        return graph_json.file_json(Part(content_type="text/plain", size=3, open=lambda: iter([b"abc"]), **settings))

    assert described() == {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": "a.txt",
        "contentType": "text/plain",
        "isInline": False,
    }
    assert (
        described(name=None, cid="logo", inline=True)["name"] == described(name=None, cid="logo")["contentId"] == "logo"
    )
    assert described(name=None)["name"] == "attachment"


def test_a_request_knows_its_length_before_it_is_read() -> None:
    from franking.message.parser import Part

    files = [
        Part("text/plain", f"{size}.txt", None, False, size, lambda size=size: iter([b"a" * size]))
        for size in (1, 2, 3)
    ]
    segments = graph_json.Segments(graph_json.json_segments(parts(attachments=files), "<1@x>", save=False))
    for _ in range(2):
        made = b"".join(segments)
        assert len(made) == segments.length
    read = json.loads(made)
    assert read["saveToSentItems"] is False
    assert [base64.b64decode(one["contentBytes"]) for one in read["message"]["attachments"]] == [b"a", b"aa", b"aaa"]
