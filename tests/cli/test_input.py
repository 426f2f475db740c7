"""The input of ``send-many``: JSON lines and CSV, read lazily, each mistake with the number of its line."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from franking.errors import MessageError
from franking_cli.batch.input import InputLine, Templates, read_input

LETTER = Templates(subject="{{ name }}", text="Dear {{ name }}", html="<p>{{ name }}</p>", attach=("{{ file }}",))


def csv(path: Path, text: str, templates: Templates = LETTER) -> list[InputLine]:
    path.write_text(text, encoding="utf-8", newline="")
    return list(read_input(path, templates))


def test_a_json_line_is_known_by_its_number_and_its_octets(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    first = json.dumps({"id": 7, "to": "a@b.cz", "text": "č"}, ensure_ascii=False).encode()
    path.write_bytes(b"\n" + first + b"\r\n  \n" + b'{"to": "c@d.cz"}')
    lines = list(read_input(path, None))
    assert [(line.number, line.id) for line in lines] == [(2, 7), (4, None)]
    assert lines[0].sha256 == sha256(first).hexdigest(), "how the line ends does not count"
    assert lines[0].parameters == {"to": "a@b.cz", "text": "č"}
    assert lines[1].message(message_id="<old@x>").message_id == "<old@x>"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 1: this is not JSON"),
        ("[" * 100_000, "line 1: this is not JSON"),
        ("[]", "line 1: a message is a JSON object"),
        ('{"Subject": "x"}', "line 1: 'Subject' is not known; did you mean subject?"),
        ('{"zzz": "x"}', "line 1: 'zzz' is not known; known are to, subject"),
        ('{"attachments": 1}', "line 1: attachments are paths"),
        ('{"attachments": [1]}', "line 1: attachments are paths"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_no_message_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(line)
    with pytest.raises(MessageError) as raised:
        list(read_input(path, None))
    assert words in str(raised.value)


def test_a_row_of_several_lines_has_the_number_of_its_first(tmp_path: Path) -> None:
    lines = csv(tmp_path / "x.csv", '\ufeffto;name;file;id\n\na@b.cz;"two\nlines";;1\nc@d.cz;x;y.pdf;2\n')
    assert [(line.number, line.id) for line in lines] == [(3, "1"), (5, "2")]
    assert lines[0].parameters == {
        "to": "a@b.cz",
        "subject": "two\nlines",
        "text": "Dear two\nlines",
        "html": "<p>two\nlines</p>",
        "attachments": [],
    }
    assert lines[1].parameters["attachments"] == [str(tmp_path / "y.pdf")]
    assert lines[1].sha256 == sha256(b'["c@d.cz", "x", "y.pdf", "2"]').hexdigest()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_first_line_shows_what_separates(tmp_path: Path, delimiter: str) -> None:
    rows = [["to", " name ", "file"], ["a@b.cz", "<b>,;", ""]]
    quoted = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    (line,) = csv(tmp_path / "x.csv", quoted)
    assert line.parameters["html"] == "<p>&lt;b&gt;,;</p>", "escaped"
    assert line.parameters["text"] == "Dear <b>,;", "as it is"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("to,to\n", "line 1: two columns have the same name"),
        ("to\na@b.cz\n", "subject template: the file has no column name; its columns are to."),
        ("to,name,file\na@b.cz,x\n", "line 2: 2 columns where the first line names 3"),
        ('to,name,file\na@b.cz,x,\n"a"b,x,\n', "line 3: this is not CSV in UTF-8"),
        ("", "the file has no column"),
    ],
)
def test_what_is_no_csv_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(MessageError) as raised:
        csv(tmp_path / "x.csv", text)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("templates", "words"),
    [
        (Templates(text="{{ name", subject=""), "text template: "),
        (Templates(text="{{ name.x.y }}", subject=""), "line 2: a template cannot be filled in"),
        (Templates(text="{{ name.__class__.__mro__ }}", subject=""), "line 2: a template cannot be filled in"),
    ],
)
def test_templates_are_checked_and_sandboxed(tmp_path: Path, templates: Templates, words: str) -> None:
    with pytest.raises(MessageError) as raised:
        csv(tmp_path / "x.csv", "to,name\na@b.cz,x\n", templates)
    assert words in str(raised.value)
