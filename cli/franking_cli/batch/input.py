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
from typing import Any

from franking.errors import MessageError
from franking.message.message import Message

__all__ = ["Letter", "Templates", "letters"]

_KEYS = (
    "to", "subject", "text", "html", "cc", "bcc", "reply_to", "attachments", "headers", "sender", "message_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Letter:
    """One message of the input: where it stands, what identifies it, and its parameters."""

    line: int
    id: Any
    sha256: str
    parameters: dict[str, Any] = field(repr=False)

    def message(self, *, message_id: str | None = None) -> Message:
        """Make the message; ``message_id`` is the one of an earlier attempt."""
        given = dict(self.parameters)
        if message_id:
            given["message_id"] = message_id
        try:
            return Message(**given)
        except MessageError as error:
            raise MessageError(f"line {self.line}: {error}", field=error.field, evidence=error.evidence) from None


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
        from jinja2 import StrictUndefined, TemplateError, meta
        from jinja2.sandbox import SandboxedEnvironment

        plain = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        escaped = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=True)
        sources = {"to": self.to, "subject": self.subject, "text": self.text, "html": self.html}
        sources.update({f"attach-{number}": text for number, text in enumerate(self.attach)})
        compiled = {}
        for name, source in sources.items():
            if source is None:
                continue
            environment = escaped if name == "html" else plain
            try:
                missing = meta.find_undeclared_variables(environment.parse(source)) - set(columns)
                compiled[name] = environment.from_string(source)
            except TemplateError as problem:
                raise MessageError(f"{name} template: {problem}", field=name) from None
            if missing:
                names = ", ".join(sorted(missing))
                raise MessageError(
                    f"{name} template: the file has no column {names}; its columns are {', '.join(columns)}.",
                    field=name,
                )

        def render(row: dict[str, str]) -> dict[str, Any]:
            done = {name: template.render(row) for name, template in compiled.items()}
            attachments = [value for name, value in done.items() if name.startswith("attach-") and value]
            made: dict[str, Any] = {
                "to": done["to"],
                "subject": done["subject"],
                "text": done.get("text"),
                "html": done.get("html"),
            }
            return {**made, "attachments": attachments}

        return render


def letters(path: Path, templates: Templates | None) -> Iterator[Letter]:
    """Read a file of messages: CSV where there are templates, JSON lines otherwise. Errors name the line.

    Paths of attachments are relative to the directory of the file.
    """
    return _csv(path, templates) if templates is not None else _json_lines(path)


def _json_lines(path: Path) -> Iterator[Letter]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = raw.rstrip(b"\r\n")
            if line.strip(b"\xef\xbb\xbf \t"):
                yield _json_line(number, line, path.parent)


def _json_line(number: int, line: bytes, directory: Path) -> Letter:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise MessageError(f"line {number}: this is not JSON ({problem}).", field="line") from None
    if not isinstance(value, dict):
        raise MessageError(
            f'line {number}: a message is a JSON object: {{"to": …, "subject": …, "text": …}}.', field="line"
        )
    identity = value.pop("id", None)
    unknown = [key for key in value if key not in _KEYS]
    if unknown:
        import difflib

        near = difflib.get_close_matches(unknown[0], _KEYS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_KEYS)} and id."
        raise MessageError(f"line {number}: {unknown[0]!r} is not known; {hint}", field=unknown[0])
    if "attachments" in value:
        value["attachments"] = _beside(directory, value["attachments"], number)
    return Letter(number, identity, hashlib.sha256(line).hexdigest(), value)


def _beside(directory: Path, paths: object, number: int) -> list[str]:
    """Take the paths of attachments as relative to the directory of the input file, wherever the command is run."""
    given = [paths] if isinstance(paths, str) else paths
    if not isinstance(given, list) or not all(isinstance(path, str) for path in given):
        raise MessageError(f'line {number}: attachments are paths: ["invoice.pdf", …].', field="attachments")
    return [str(directory / path) for path in given]


def _csv(path: Path, templates: Templates) -> Iterator[Letter]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            sample = file.read(8192)
            file.seek(0)
            first_line = sample.partition("\n")[0]
            reader = csv.reader(file, delimiter=max(",;\t", key=first_line.count), strict=True)
            columns = [column.strip() for column in next(reader, [])]
        except (csv.Error, UnicodeDecodeError) as problem:
            raise MessageError(f"line 1: this is not CSV in UTF-8 ({problem}).", field="line") from None
        if len(set(columns)) != len(columns):
            raise MessageError("line 1: two columns have the same name.", field="line")
        render = templates.compile(columns)
        while True:
            number = reader.line_num + 1
            try:
                row = next(reader, None)
            except (csv.Error, UnicodeDecodeError) as problem:
                raise MessageError(f"line {number}: this is not CSV in UTF-8 ({problem}).", field="line") from None
            if row is None:
                return
            if not row:
                continue
            if len(row) != len(columns):
                raise MessageError(
                    f"line {number}: {len(row)} columns where the first line names {len(columns)}.", field="line"
                )
            values = dict(zip(columns, row, strict=True))
            digest = hashlib.sha256(json.dumps(row, ensure_ascii=False).encode()).hexdigest()
            parameters = _rendered(render, values, number)
            parameters["attachments"] = _beside(path.parent, parameters["attachments"], number)
            yield Letter(number, values.get("id"), digest, parameters)


def _rendered(
    render: Callable[[dict[str, str]], dict[str, Any]], values: dict[str, str], number: int
) -> dict[str, Any]:
    from jinja2 import TemplateError

    try:
        return render(values)
    except TemplateError as problem:
        raise MessageError(f"line {number}: a template cannot be filled in: {problem}.", field="template") from None
