"""What the browser is shown: the templates, filled whole or as a stream, and what of a report they need. Jinja2 writes
every value as text: nothing from a server is HTML.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.errors import Evidence, SettingsError
from franking.sending.testsend import subject_of
from franking.text import escaped

if TYPE_CHECKING:
    from franking.diagnosis.diagnosis import Remedy
    from franking.sending.testsend import TestReport
    from franking.web.words import Words

__all__ = ["NOW", "Look", "colour", "fields_named", "for_support", "look", "result", "static"]

NOW = "\x00"
"""Stands in a template where the browser should get what there is so far."""

_COLOURS = {"sent": "green", "failed": "red", "login-required": "red", "unknown": "grey"}
_PLACES = {"secret": "password", "username": "username", "host": "host", "port": "port"}
_OF_CODE: Mapping[str, tuple[str, ...]] = {
    "account.disabled": ("enabled",),
    "settings.host-not-allowed": ("host",),
    "secret.elsewhere": ("password",),
    "secret.missing": ("password",),
    "login.refused": ("password",),
    "login.missing": ("authentication",),
    "relay.denied": ("authentication",),
    "sender.not-owned": ("from", "username"),
    "tls.wrong-port": ("security", "port"),
    "tls.starttls-not-offered": ("security", "port"),
    "tls.required": ("security", "port"),
}
_OF_SUBJECT: Mapping[str, tuple[str, ...]] = {
    "dns": ("host",),
    "connect": ("host", "port"),
    "greet": ("host", "port"),
    "tls": ("host",),
    "sender": ("from",),
    "recipient": ("to",),
    "login": ("password",),
}
"""The fields that a failure speaks of, by its code or by what that begins with."""


class Look:
    """The templates of one page; those in ``folder`` replace ours one by one."""

    def __init__(self, folder: str | Path | None = None) -> None:
        try:
            import jinja2
        except ImportError as problem:
            raise SettingsError(
                "The settings page needs more packages. Install them with: pip install 'franking[web]'",
                evidence=Evidence(
                    "settings", text=str(problem)[:200], reason="extra-missing", details={"extra": "web"}
                ),
            ) from None
        loaders: list[jinja2.BaseLoader] = [jinja2.PackageLoader("franking.web")]
        if folder is not None:
            loaders.insert(0, jinja2.FileSystemLoader(folder))
        self._templates = jinja2.Environment(
            loader=jinja2.ChoiceLoader(loaders),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        self._templates.filters["marked"] = _marked
        self._templates.filters["linked"] = _linked

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        """Return a whole page."""
        return self._templates.get_template(template).render(context)

    def line(self, template: str, context: Mapping[str, Any]) -> str:
        """Return a part of a page on one line, for the script that reads a stream line by line."""
        return self.render(template, context).strip().replace("\r", "").replace("\n", "&#10;") + "\n"

    def stream(self, template: str, context: Mapping[str, Any]) -> Iterator[str]:
        """Return a page in pieces: each is everything up to a ``NOW``, or to the end."""
        waiting: list[str] = []
        for piece in self._templates.get_template(template).generate(context):
            waiting.append(piece)
            if NOW in piece:
                yield "".join(waiting).replace(NOW, "")
                waiting.clear()
        yield "".join(waiting)


@cache
def look(folder: str | Path | None) -> Look:
    """Return the templates, read once for all pages that have the same."""
    return Look(folder)


@cache
def static(name: str) -> str:
    """Return a file that browsers load: the style sheet, the script."""
    return (files("franking.web") / "static" / name).read_text("utf-8")


def _marked(remedy: Remedy) -> Any:
    """Return advice in which each command is marked as one."""
    from markupsafe import Markup, escape

    text = escape(remedy.text)  # what came from a server was made visible where it was filled in
    for command in remedy.commands:
        shown = escape(f"`{command}`")
        marked = str(text).replace(str(shown), f"<code>{escape(command)}</code>")
        text = Markup(marked)  # noqa: S704 (text and command are escaped)
    return text


@lru_cache(maxsize=256)
def _linked(line: str) -> Any:
    """Return a line of a provider's steps, the same each time, in which addresses are links."""
    from jinja2.utils import urlize
    from markupsafe import Markup

    return Markup(urlize(line, target="_blank", rel="noopener noreferrer"))  # noqa: S704  (it escapes)


def colour(report: TestReport) -> str:
    """Return what a result looks like; yellow where it was sent and receivers may distrust it."""
    found = _COLOURS.get(report.outcome, "red")
    return "yellow" if found == "green" and _distrusted(report) else found


def _distrusted(report: TestReport) -> bool:
    return report.deliverability is not None and report.deliverability.verdict == "warning"


def fields_named(report: TestReport) -> list[str]:
    """Return the fields that a failed test speaks of, the likeliest first."""
    if report.ok or report.diagnosis is None:
        return []
    code = report.diagnosis.code
    hints = [hint.code for hint in report.diagnosis.values.get("hints", ())]
    places = [_PLACES.get(hint.partition(".")[0], "") for hint in hints]
    places += _OF_CODE.get(code) or _OF_SUBJECT.get(code.partition(".")[0], ())
    return list(dict.fromkeys(place for place in places if place))


def result(report: TestReport, say: Words) -> dict[str, Any]:
    """Return what the template of a result needs."""
    shown: dict[str, Any] = {
        "report": report,
        "colour": colour(report),
        "told": report.diagnosis.text(say.language) if report.diagnosis else None,
        "subject": subject_of(report.account, say.language),
        "fields": fields_named(report),
        "hints": [
            hint.remedy(say.language)
            for hint in report.hints
            # a password that was taken is right; what a failure leads with is not said twice
            if not (report.ok and hint.code.startswith("secret."))
            and not (report.diagnosis and hint in report.diagnosis.values.get("hints", ()))
        ],
    }
    return {**shown, "support": for_support(report, say)}


def for_support(report: TestReport, say: Words) -> str:
    """Return everything about a result as text without secrets, to be sent to somebody who helps."""
    from franking import __version__

    lines = [say(f"result.{report.outcome}")]
    if report.diagnosis:
        told = report.diagnosis.text(say.language)
        lines = [told.title, told.cause, *(f"{n}. {remedy.text}" for n, remedy in enumerate(told.remedies, 1))]
        lines.append(f"{say('result.code')}: {report.diagnosis.code}")
        if report.diagnosis.raw:
            lines.append(f"{say('result.said')}: {escaped(report.diagnosis.raw)}")
    lines += ["", f"{say('field.from')}: {report.sender}", f"{say('result.to')}: {', '.join(report.to)}"]
    lines += [f"Message-ID: {report.message_id}"] * bool(report.message_id)
    lines += [f"{step.status:8} {step.name:9} {escaped(step.detail)}".rstrip() for step in report.steps]
    lines.append(f"Franking {__version__}, Python {platform.python_version()}, {platform.system()}")
    return "\n".join(lines)
