"""The roads of an alert: a command, a webhook, mail by an account that is not the sick one. Each raises a
``FrankingError`` where it did not arrive; nothing secret is in its words, and the webhook's address is a secret.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.account.config import load
from franking.account.environment import secret_names
from franking.diagnosis import texts
from franking.errors import FrankingError, SendError, SettingsError
from franking.health import webhook
from franking.health.change import Change, payload
from franking.message.message import Message
from franking.sending.mailer import Mailer

if TYPE_CHECKING:
    from franking.health.settings import AlertSettings

__all__ = ["channel"]

COMMAND_SECONDS = 30.0
WEBHOOK_SECONDS = 10.0

Tell = Callable[[Sequence[Change]], None]


def channel(name: str, settings: AlertSettings, sick: Collection[str], language: str) -> Tell:
    """Return what tells changes over a channel; ``sick`` are the accounts that no mail is to go by."""
    if name == "command":
        return lambda changes: _run(settings.command, changes)
    if name == "webhook":
        return lambda changes: _post(settings, changes, language)
    return lambda changes: _mail(settings, changes, sick, language)


# --- a command --------------------------------------------------------------------------------------------------------


def _run(command: Sequence[str], changes: Sequence[Change]) -> None:
    environ = dict(os.environ)
    for name in secret_names(environ):
        del environ[name]
    program = Path(command[0]).name
    try:
        # the owner of the settings wrote the command, and no shell reads it
        started = subprocess.Popen(  # noqa: S603
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environ,
            start_new_session=True,
        )
    except OSError as problem:
        raise SendError(f"{program} could not be started: {problem.strerror}.") from None
    with started:
        try:
            started.communicate(json.dumps(payload(changes)).encode(), timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            _end(started)
            raise SendError(f"{program} did not end within {COMMAND_SECONDS:g} seconds.") from None
    if started.returncode:
        raise SendError(f"{program} ended with exit code {started.returncode}.")


def _end(started: subprocess.Popen[bytes]) -> None:
    """End a program and what it started."""
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(started.pid, signal.SIGKILL)
        else:
            started.kill()
    started.wait()


# --- a webhook --------------------------------------------------------------------------------------------------------


def _post(settings: AlertSettings, changes: Sequence[Change], language: str) -> None:
    assert settings.webhook is not None
    body = json.dumps(_form(settings.webhook_form, changes, language)).encode()
    webhook.post(settings.webhook, body, ca_file=settings.ca_file, seconds=WEBHOOK_SECONDS)


def _form(form: str, changes: Sequence[Change], language: str) -> dict[str, Any]:
    if form == "slack":
        text = "\n\n".join([_title(language), *(_words(change, language) for change in changes)])
        return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    if form == "teams":
        blocks = [{"type": "TextBlock", "text": _title(language), "weight": "Bolder", "wrap": True}]
        blocks += [{"type": "TextBlock", "text": _words(change, language), "wrap": True} for change in changes]
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": blocks,
        }
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        return {"type": "message", "attachments": [attachment]}
    return payload(changes)


# --- mail -------------------------------------------------------------------------------------------------------------


def _mail(settings: AlertSettings, changes: Sequence[Change], sick: Collection[str], language: str) -> None:
    """Send changes by the account that is named, or, where it is sick itself, by the first other one that works."""
    config = load()
    about = {change.account for change in changes}
    names = [settings.account, *(name for name in config.names if name != settings.account)]
    letter = _letter(settings, changes, language)
    last: FrankingError | None = None
    for name in names:
        if name is None or name in sick or name in about:
            continue
        try:
            account = config.account(name)
            if not account.enabled:
                continue
            with Mailer(account, falls_over=False) as mailer:
                mailer.send(letter)
        except FrankingError as problem:
            last = problem
        else:
            return
    raise last or SettingsError("No other account is there that could send it.", field="account")


def _letter(settings: AlertSettings, changes: Sequence[Change], language: str) -> Message:
    text = "\n\n".join(_words(change, language) for change in changes)
    return Message(
        to=str(settings.to),
        subject=_title(language),
        text=text + "\n",
        headers={"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"},
    )


def _title(language: str) -> str:
    return _say("title", language, host=socket.gethostname())


def _words(change: Change, language: str) -> str:
    who = change.account or _say("machine", language)
    level, was = (_say(word, language) for word in (change.level, change.was))
    head = _say("change", language, account=who, level=level, was=was, code=change.code)
    return "\n".join([head, change.text, *(f"- {remedy}" for remedy in change.remedies)])


def _say(key: str, language: str, **values: Any) -> str:
    words = texts.entries(language, "health.").get("alert") or texts.entries("en", "health.")["alert"]
    return texts.fill(words[key], values) or ""
