"""The test-send: the very path that sending uses, watched step by step, and told as one report. Nothing here sends by
another way.
"""

from __future__ import annotations

import contextlib
import os
import platform
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.account.account import Account
from franking.auth.secret import Secret
from franking.auth.store import SecretStore
from franking.diagnosis.diagnosis import Diagnosis, Hint
from franking.diagnosis.texts import said
from franking.errors import Evidence, FrankingError, LoginRequired, OutcomeUnknown, SettingsError, discreet
from franking.message.address import Address
from franking.message.message import Message
from franking.provider import Observer, Provider, Receipt, Step, SupportsHints, destination_of, silent
from franking.redaction import veiled
from franking.sending.beside import Beside
from franking.sending.connect import account_for, explained
from franking.sending.explain import better_for, explain, in_commands
from franking.sending.mailer import Mailer
from franking.text import visible

if TYPE_CHECKING:
    from franking.discovery.domain_check import Deliverability
    from franking.discovery.lookup import Resolver

__all__ = ["TestReport", "check", "compose", "hints_for", "interrupted", "send_test", "send_watched", "subject_of"]


@dataclass(frozen=True, slots=True)
class TestReport:
    """How a test went; ``as_dict`` is the JSON of ``franking send-test --json``.

    ``outcome`` is ``sent``, ``failed``, ``unknown``, ``login-required`` or ``checked``. ``steps`` are the finished
    steps in order, times in milliseconds. ``receipt`` is None on failure, ``diagnosis`` None on success.
    ``deliverability`` is whether receivers will trust what was sent, None where that was not checked. ``error`` is what
    was raised, for those who want to look closer; it is not in the JSON.
    """

    __test__ = False  # pytest: the name begins with Test, but this is none

    ok: bool
    outcome: str
    account: str | None
    provider: str | None = None
    route: str | None = None
    sender: str | None = None
    to: tuple[str, ...] = ()
    message_id: str | None = None
    steps: tuple[Step, ...] = ()
    possibly_sent: bool = False
    receipt: Receipt | None = None
    diagnosis: Diagnosis | None = None
    hints: tuple[Hint, ...] = ()
    deliverability: Deliverability | None = None
    error: FrankingError | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """Return what a person wants to read: the verdict, the steps, and what to do."""
        lines = [f"{self.outcome}: {self._verdict()}"]
        lines += [f"  {step.status:<8} {step.name:<9} {visible(step.detail)}".rstrip() for step in self.steps]
        if self.receipt is not None:
            lines += [f"{one} was refused: {visible(why['reply'])}" for one, why in self.receipt.refused.items()]
            lines += self.receipt.warnings
        if self.diagnosis is not None:
            lines += str(self.diagnosis).splitlines()[1:]
        elif self.ok:  # a password that was taken is right
            lines += [hint.text for hint in self.hints if not hint.code.startswith("secret.")]
            lines += self._distrust()
        return "\n".join(lines)

    def _distrust(self) -> Iterator[str]:
        """Return why receivers may distrust what was sent."""
        for finding in self.deliverability.warnings if self.deliverability else ():
            yield finding.text
            yield from (f"  {remedy}" for remedy in finding.remedies)
            if finding.record is not None:
                yield f"  {finding.record}"

    def _verdict(self) -> str:
        if self.diagnosis is not None:
            return self.diagnosis.title
        if self.receipt is None:
            return f"ready to send with the account {self.account}"
        return f"{', '.join(self.receipt.accepted)} ({visible(self.receipt.reply)})"

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, ready for JSON."""
        return {
            "ok": self.ok,
            "outcome": self.outcome,
            "account": self.account,
            "provider": self.provider,
            "route": self.route,
            "from": self.sender,
            "to": list(self.to),
            "message_id": self.message_id,
            "steps": [
                {"name": step.name, "status": step.status, "ms": round(step.ms, 1), "detail": step.detail}
                for step in self.steps
            ],
            "possibly_sent": self.possibly_sent,
            "receipt": self.receipt.as_dict() if self.receipt else None,
            "diagnosis": self.diagnosis.as_dict() if self.diagnosis else None,
            "hints": [{"code": hint.code, "text": hint.text} for hint in self.hints],
            "deliverability": self.deliverability.as_dict() if self.deliverability else None,
        }

    @classmethod
    def of_error(cls, error: FrankingError, account: str | None = None, **known: Any) -> TestReport:
        """Make the report of a failure that came before there was an account to test with, or from outside; ``known``
        are further attributes.
        """
        return cls(
            ok=False,
            outcome=_outcome(error, None),
            account=account,
            possibly_sent=error.possibly_sent,
            diagnosis=explain(error),
            error=error,
            **known,
        )


def send_test(
    account: str | Account | None = None,
    to: str | None = None,
    *,
    secret: str | Secret | None = None,
    observer: Observer | None = None,
    store: SecretStore | None = None,
    made: Callable[[Mailer], object] | None = None,
    language: str = "en",
    domain_check: bool = True,
    resolver: Resolver | None = None,
) -> TestReport:
    """Send a short test message to ``to`` (by default to the account's own address) by the path that sending uses.

        report = franking.send_test("shop", to="me@example.cz")
        print(report)

    Never raises for a delivery failure: the report says. Raises ``SettingsError`` for an account that does not exist or
    cannot be read. ``language`` is the one that the message is written in, such as ``cs``. ``made`` is told the mailer
    before it is used, so that its ``abort`` can be called; the other options are as in ``connect``.

    Beside the send DNS is asked for at most three seconds whether receivers will trust mail from the From's domain
    (``report.deliverability``), by a ``dns.resolver.Resolver``, by default the system's. ``domain_check=False`` asks
    nobody.
    """
    secret = veiled(secret)
    with explained():
        given: Any = to
        if not (given is None or isinstance(given, str)):
            raise TypeError(f"to is one address, as text, not {type(given).__name__}; the account comes first.")
        chosen = _chosen(account, to)
        address = Address.parse(to) if to else chosen.sender
        message = compose(chosen, address, language=language)
    options = {"store": store, "falls_over": False}  # it proves this account, not another
    with discreet:
        beside = Beside(chosen, resolver) if domain_check and chosen.enabled else None
        return _watch(chosen, message, None, (address.address,), secret, observer, options, made, beside)


def _chosen(account: str | Account | None, to: str | None) -> Account:
    """Find the account that is meant; an address alone is where the test should go, which is told."""
    try:
        return account_for(account)
    except SettingsError as problem:
        if to is None and isinstance(account, str) and "@" in account and "://" not in account:
            problem.message += f'. To send a test to an address, name it: send_test("ACCOUNT", to="{account}")'
        raise


def check(
    account: str | Account | None = None,
    *,
    secret: str | Secret | None = None,
    observer: Observer | None = None,
    store: SecretStore | None = None,
) -> TestReport:
    """Take the same steps up to the login and send nothing."""
    secret = veiled(secret)
    with explained():
        chosen = account_for(account)
    with discreet:
        return _watch(chosen, None, None, (), secret, observer, {"store": store})


def send_watched(
    account: str | Account | None,
    message: Any,
    *,
    envelope: Any = None,
    secret: str | Secret | None = None,
    observer: Observer | None = None,
    store: SecretStore | None = None,
) -> TestReport:
    """Send any message and report in the same form; what ``franking send`` shows."""
    secret = veiled(secret)
    with explained():
        chosen = account_for(account)
    with discreet:
        return _watch(chosen, message, envelope, (), secret, observer, {"store": store}, testing=False)


def compose(
    account: Account, to: Address, *, now: Callable[[], datetime] | None = None, language: str = "en"
) -> Message:
    """Compose the test message: short, multipart, Auto-Submitted; it says which account, route, host and program sent
    it and when, in a language that texts are there for.
    """
    from html import escape

    from franking import __version__
    from franking.registry import provider

    found = provider(account.provider)
    moment = (now or (lambda: datetime.now(UTC)))().astimezone()
    destination = destination_of(account, found)
    english = (
        ("Account", account.name),
        ("From", str(account.sender)),
        ("Route", found.route(account)),
        ("Server", destination.place if destination.host else found.title),
        ("Sent", moment.strftime("%Y-%m-%d %H:%M:%S %z")),
        ("Program", f"Franking {__version__}, Python {platform.python_version()}"),
    )
    rows = [(said(key, language), value) for key, value in english]
    opening = said("This is a test message. Since you can read it, sending works.", language)
    ending = said("Nobody needs to answer it.", language)
    width = max(len(key) for key, _ in rows) + 2
    lines = "".join(f"{key + ':':<{width}}{value}\n" for key, value in rows)
    text = f"{opening}\n\n{lines}\n{ending}\n"
    cells = "".join(f'<tr><td style="padding-right:1em">{key}</td><td>{escape(value)}</td></tr>' for key, value in rows)
    html = f"<p>{opening}</p><table>{cells}</table><p>{ending}</p>"
    return Message(
        to=[to],
        subject=subject_of(account.name, language),
        text=text,
        html=html,
        headers={"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"},
    )


def subject_of(name: str | None, language: str = "en") -> str:
    """Return the subject of the test messages of an account, by which one finds them."""
    return f"{said('Test message from Franking', language)} ({name})"


def hints_for(account: Account, secret: str | None = None) -> tuple[Hint, ...]:
    """Look for what seems wrong in an account's settings (and password), and for a better way to send; nothing is
    changed.
    """
    from franking.registry import provider

    found = provider(account.provider)
    seen = [*_open_files(account, found)]
    if isinstance(found, SupportsHints):
        seen = [*found.hints(account, secret), *seen]
    words = in_commands(account)
    hints = [replace(hint, values={**hint.values, **words}) for hint in seen]
    better = better_for(account)
    if better is not None:
        values = {"recommended": better.name, "recommended_title": better.title, "address": account.sender.address}
        if better.facts.app_password is not None:
            values |= {"app_password": better.name}
        hints.append(Hint("provider.better-way", values))
    return tuple(hints)


def _open_files(account: Account, provider: Provider) -> Iterator[Hint]:
    """Point at files with secrets that other users of this computer may read; containers mount them so, so it is no
    error. Windows has no modes.
    """
    if os.name != "posix":
        return
    for field_ in provider.fields:
        if field_.private and (path := account.get(field_.name)):
            with contextlib.suppress(OSError):  # that it is missing is told where it is used
                mode = stat.S_IMODE(Path(path).expanduser().stat().st_mode)
                if mode & 0o077:
                    yield Hint("file.open-to-others", {"key": field_.name, "path": path, "mode": f"{mode:04o}"})


def _watch(
    account: Account,
    message: Any,
    envelope: Any,
    to: tuple[str, ...],
    secret: str | Secret | None,
    observer: Observer | None,
    options: dict[str, Any],
    made: Callable[[Mailer], object] | None = None,
    beside: Beside | None = None,
    *,
    testing: bool = True,
) -> TestReport:
    """Go the way of a message, or without one up to the login, and keep what was seen. ``to`` is for a message that
    cannot even be composed; ``testing``: it is a test, so that none is advised.
    """
    steps: list[Step] = []
    latest = "settings"  # the name of the last step, finished or not

    def watch(step: Step) -> None:
        nonlocal latest
        latest = step.name
        if step.status != "running":
            steps.append(step)
        (observer or silent)(step)

    started = time.perf_counter()
    mailer = Mailer(account, secret=secret, observer=watch, **options)
    if message is None or account.enabled:  # else composing it fails, at this step
        detail = f"{mailer.provider.title}, {destination_of(account, mailer.provider)}"
        watch(Step("settings", "ok", (time.perf_counter() - started) * 1000, detail))
    about: dict[str, Any] = {
        "account": account.name,
        "provider": account.provider,
        "route": mailer.route,
        "sender": str(account.sender),
        "to": to,
        "message_id": None,
    }
    receipt: Receipt | None = None
    error: FrankingError | None = None
    deliverability: Deliverability | None = None
    if made is not None:
        made(mailer)
    try:
        with mailer:
            if message is None:
                mailer.check()
            else:
                with mailer.explained():
                    prepared = mailer.prepare(message, envelope=envelope)
                about |= {"to": prepared.envelope.recipients, "message_id": prepared.content.message_id}
                receipt = mailer.send(prepared)
        if beside is not None:
            deliverability = beside.result()
    except FrankingError as caught:
        error = caught
    except KeyboardInterrupt as broken:
        _note(broken, about, latest)
        raise
    hints = hints_for(account, mailer.password())
    if error is not None:
        diagnosis = explain(error, account, mailer.provider).with_hints(hints)
        known: dict[str, Any] = {"testing": testing}
        if about["to"]:
            known["to"] = about["to"][0]
        diagnosis = replace(diagnosis, values={**diagnosis.values, **known})
        error.diagnosis = diagnosis
    return TestReport(
        **about,
        ok=error is None,
        outcome=_outcome(error, receipt),
        steps=tuple(steps),
        possibly_sent=error is not None and error.possibly_sent,
        receipt=receipt,
        diagnosis=error.diagnosis if error else None,
        hints=hints,
        deliverability=deliverability,
        error=error,
    )


def interrupted(broken: BaseException) -> FrankingError:
    """Make the error of an interruption (Ctrl-C): it says whether the message may have been accepted all the same."""
    details: dict[str, Any] = {"evidence": Evidence("", reason="interrupted"), "step": getattr(broken, "step", None)}
    if getattr(broken, "possibly_sent", False):
        return OutcomeUnknown("Interrupted after the message was handed over; it may have been accepted.", **details)
    return FrankingError("Interrupted; nothing was sent.", **details)


def _note(broken: Any, about: dict[str, Any], step: str) -> None:
    """Write on an interruption what it interrupted; the mailer has written whether the message may have been
    accepted.
    """
    broken.step, broken.about = step, about
    if not hasattr(broken, "possibly_sent"):  # while the connection was being closed
        broken.possibly_sent = step == "accepted"


def _outcome(error: FrankingError | None, receipt: Receipt | None) -> str:
    if error is None:
        return "sent" if receipt else "checked"
    if isinstance(error, OutcomeUnknown) or error.possibly_sent:
        return "unknown"
    return "login-required" if isinstance(error, LoginRequired) else "failed"
