"""The input of ``send-many``: JSON lines, or CSV with templates, read lazily and checked before anything is sent. It
sends nothing.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from franking.errors import MessageError
from franking.message.message import Message
from franking.text import nearest

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["InputLine", "Templates", "read_input"]

_KEYS = (
    "to", "subject", "text", "html", "cc", "bcc", "reply_to", "attachments", "headers", "sender", "message_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class InputLine:
    """One message of the input: the number of its line, what identifies it, and its parameters."""

    number: int
    id: Any
    sha256: str
    parameters: dict[str, Any] = field(repr=False)

    def message(self, *, message_id: str | None = None) -> Message:
        """Make the message; ``message_id`` is the one of an earlier attempt."""
        parameters = dict(self.parameters)
        if message_id:
            parameters["message_id"] = message_id
        try:
            return Message(**parameters)
        except MessageError as error:
            raise MessageError(f"line {self.number}: {error}", field=error.field, evidence=error.evidence) from None


@dataclass(frozen=True, slots=True)
class Templates:
    """The templates of a CSV run: Jinja2, sandboxed; a column is a variable, HTML is escaped."""

    to: str = "{{ to }}"
    subject: str = "{{ subject }}"
    text: str | None = None
    html: str | None = None
    attach: tuple[str, ...] = ()

    def compile(self, columns: list[str]) -> Callable[[dict[str, str]], dict[str, Any]]:
        """Make the function from a row to a message's parameters; a column that a template needs and the file lacks is
        an error here.
        """
        sources = {"to": self.to, "subject": self.subject, "text": self.text, "html": self.html}
        fields = {name: _template(name, source, columns) for name, source in sources.items() if source is not None}
        attach = [_template(f"attach-{number}", source, columns) for number, source in enumerate(self.attach)]

        def render(row: dict[str, str]) -> dict[str, Any]:
            rendered: dict[str, Any] = {name: template.render(row) for name, template in fields.items()}
            rendered["attachments"] = [path for template in attach if (path := template.render(row))]
            return rendered

        return render


def _template(name: str, source: str, columns: list[str]) -> Template:
    from jinja2 import StrictUndefined, TemplateError, meta
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=name == "html")
    try:
        missing = meta.find_undeclared_variables(environment.parse(source)) - set(columns)
        template = environment.from_string(source)
    except TemplateError as problem:
        raise MessageError(f"{name} template: {problem}", field=name) from None
    if missing:
        raise MessageError(
            f"{name} template: the file has no column {', '.join(sorted(missing))}; "
            f"its columns are {', '.join(columns)}.",
            field=name,
        )
    return template


def read_input(path: Path, templates: Templates | None) -> Iterator[InputLine]:
    """Read a file of messages: CSV where there are templates, JSON lines otherwise. Errors name the line.

    Paths of attachments are relative to the directory of the file.
    """
    return _json_lines(path) if templates is None else _csv_lines(path, templates)


def _json_lines(path: Path) -> Iterator[InputLine]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = raw.rstrip(b"\r\n")
            if line.strip(b"\xef\xbb\xbf \t"):
                yield _json_line(number, line, path.parent)


def _json_line(number: int, line: bytes, directory: Path) -> InputLine:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise MessageError(f"line {number}: this is not JSON ({problem}).", field="line") from None
    if not isinstance(value, dict):
        raise MessageError(
            f'line {number}: a message is a JSON object: {{"to": …, "subject": …, "text": …}}.', field="line"
        )
    identity = value.pop("id", None)
    for key in value:
        if key not in _KEYS:
            hint = f"known are {', '.join(_KEYS)} and id."
            if near := nearest(key, _KEYS):
                hint = f"did you mean {near}?"
            raise MessageError(f"line {number}: {key!r} is not known; {hint}", field=key)
    if "attachments" in value:
        value["attachments"] = _beside(directory, value["attachments"], number)
    return InputLine(number, identity, hashlib.sha256(line).hexdigest(), value)


def _beside(directory: Path, paths: object, number: int) -> list[str]:
    """Take the paths of attachments as relative to the directory of the input file, wherever the command is run."""
    if isinstance(paths, str):
        paths = [paths]
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise MessageError(f'line {number}: attachments are paths: ["invoice.pdf", …].', field="attachments")
    return [str(directory / path) for path in paths]


def _csv_lines(path: Path, templates: Templates) -> Iterator[InputLine]:
    from jinja2 import TemplateError

    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = _rows(file)
        _, header = next(rows, (1, []))
        columns = [column.strip() for column in header]
        if len(set(columns)) != len(columns):
            raise MessageError("line 1: two columns have the same name.", field="line")
        render = templates.compile(columns)
        for number, row in rows:
            if not row:
                continue
            if len(row) != len(columns):
                raise MessageError(
                    f"line {number}: {len(row)} columns where the first line names {len(columns)}.", field="line"
                )
            values = dict(zip(columns, row, strict=True))
            try:
                parameters = render(values)
            except TemplateError as problem:
                raise MessageError(
                    f"line {number}: a template cannot be filled in: {problem}.", field="template"
                ) from None
            parameters["attachments"] = _beside(path.parent, parameters["attachments"], number)
            digest = hashlib.sha256(json.dumps(row, ensure_ascii=False).encode()).hexdigest()
            yield InputLine(number, values.get("id"), digest, parameters)


def _rows(file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Read the rows of a CSV file, each with the number of its first line; the first one shows what separates them."""
    number = 1
    try:
        sample = file.read(8192)
        file.seek(0)
        delimiter = max(",;\t", key=sample.partition("\n")[0].count)
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        for row in reader:
            yield number, row
            number = reader.line_num + 1
    except (csv.Error, UnicodeDecodeError) as problem:
        raise MessageError(f"line {number}: this is not CSV in UTF-8 ({problem}).", field="line") from None
