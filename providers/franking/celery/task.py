"""The task as Celery sees it: how it is published, acknowledged, and comes back. The only file that knows Celery.

A task that comes back is published again before the message that it came by is acknowledged, so that a worker which
dies between the two leaves two of it, never none; the journal lets one of them send.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from celery.exceptions import Reject, SoftTimeLimitExceeded

from celery import signals
from franking.account.fields import WRONG_VALUE
from franking.account.url import read_url
from franking.celery.delivery import Deliveries, Later, Letter, given_up
from franking.celery.forgetful import Forgetful
from franking.celery.waits import GIVE_UP, Pauses, Wait, nap
from franking.errors import Evidence, FrankingError, SettingsError, discreet
from franking.message.address import Envelope
from franking.outbox.holds import PAUSES
from franking.sending.connect import explained
from franking.sending.mailers import KEPT
from franking.sending.shared_stores import open_journal
from franking.shared.afterwards import tell_all

if TYPE_CHECKING:
    from celery import Celery
    from franking.sending.journal import Journal

__all__ = ["ALLOWED", "allowed_by", "mail_task", "published", "shown"]

ALLOWED = {"redis": 3600.0, "sqs": 1800.0, "amqp": 900.0}
"""For how many seconds a broker leaves a message with a worker that does not acknowledge it, by the kind of its driver:
``visibility_timeout`` (where the application says nothing else), and RabbitMQ's ``consumer_timeout``.
"""

_OURS: Mapping[str, Any] = {
    "acks_late": True,
    "reject_on_worker_lost": True,
    "acks_on_failure_or_timeout": False,  # a time limit is no reason to lose a message
    "max_retries": None,
}
"""What makes a task survive its worker. It is not for anybody to change."""


def mail_task(
    app: Celery,
    *,
    name: str = "franking.send",
    journal: Journal | Literal[False] | None = None,
    pauses: Sequence[float] | None = None,
    give_up: float | None = None,
    longest_countdown: float | None = None,
    journal_lease: float = 60.0,
    **options: Any,
) -> Any:
    """Make a task that sends a message once: ``send.delay(account, message, key=None, envelope=None)``.

        send = mail_task(app)
        send.delay("shop", message.as_bytes("info@novak.cz"), key="order-114")

    ``account`` is a name or an account URL; None is the one that ``[routes]`` names for the From, or the default.
    ``message`` is ready bytes, ``key`` names the message (by default its Message-ID, else the task's id), ``envelope``
    another sender and other recipients. The task's result is ``{"outcome": "accepted" | "refused" | "failed" |
    "unknown", "message_id", "reply", "refused", "diagnosis"}``; only what surely did not go comes back.

    ``journal`` is where it is written down what became of each message: by default the shared store (FRANKING_STORE);
    False does without, and a message may then be sent twice. ``journal_lease`` is for how many seconds a worker that
    died keeps its message from others. ``pauses`` (seconds after the first, second … failure) and ``give_up`` (seconds
    from the first delivery, 5 days) are the outbox's, unless given; ``longest_countdown`` is how long the broker waits
    for an acknowledgement, where it was set up otherwise than its transport's options say. All else are Celery's
    options of a task. Raises ``SettingsError``.
    """
    with explained():
        for option, value in _OURS.items():
            if options.pop(option, value) != value:
                raise SettingsError(
                    f"{option}: leave it out; it is {value!r}, or a worker that dies would take its message along.",
                    field=option,
                    evidence=WRONG_VALUE,
                )
        usual = _positive("pauses", PAUSES if pauses is None else pauses)
        until = _positive("give_up", [GIVE_UP if give_up is None else give_up])[0]
        allowed = None if longest_countdown is None else _positive("longest_countdown", [longest_countdown])[0]
        lease = _positive("journal_lease", [journal_lease])[0]
        deliveries = Deliveries(_journal(journal, lease), Pauses(usual, until))

    class MailTask(app.Task):  # type: ignore[misc]  # the application's own, such as Django's
        """Publish letters in a form that every serialiser carries; their content stays out of logs and events."""

        def apply_async(self, args: Any = None, kwargs: Any = None, **more: Any) -> Any:
            places, names = published(*(args or ()), **(kwargs or {}))
            return super().apply_async(places, names, **{**shown(places, names), **more})

    def send(
        self: Any,
        account: str | None,
        message: bytes,
        *,
        key: str | None = None,
        envelope: Any = None,
        wait: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        letter = Letter(account, message, key, _read_envelope(envelope))
        found: dict[str, Any] | Later
        begun = Wait.read(wait, deliveries.clock())
        try:
            found = deliveries.deliver(letter, begun.as_dict(), self.request.id or "")
        except SoftTimeLimitExceeded:  # the journal knows whether anything left
            found = deliveries.broken_off(letter, begun.as_dict(), self.request.id or "")
        if not isinstance(found, Later):
            return found
        if self.request.called_directly or self.request.is_eager:  # nobody would wait
            return given_up(found)
        patience = found.wait.until - deliveries.clock()
        seconds = nap(patience, allowed or allowed_by(app), looks=found.wait.stamp is not None)
        raise _again(self, found.letter, found.wait.as_dict(), seconds, found.error)

    send.__doc__ = "Send a message once with an account of Franking."
    _confirm_publishing(app)
    signals.worker_process_shutdown.connect(_close, weak=False)
    signals.worker_shutdown.connect(_close, weak=False)
    return app.task(**{"shared": False, **options}, **_OURS, base=MailTask, bind=True, name=name)(send)


def _again(
    task: Any, letter: Letter, wait: Mapping[str, Any] | None, seconds: float, error: FrankingError | None = None
) -> BaseException:
    """Publish a task once more, for later; return what to raise then. Where it cannot be published, the message that it
    came by is not acknowledged.
    """
    names = {"key": letter.key, "envelope": letter.envelope, "wait": wait}
    try:
        places = (letter.account, letter.message)
        retry: BaseException = task.retry(places, names, exc=error, countdown=seconds, throw=False)
    except Reject as unpublished:
        retry = Reject(unpublished.reason, requeue=True)
    except SoftTimeLimitExceeded as late:
        retry = Reject(late, requeue=True)
    return retry


def published(
    account: str | None,
    message: Any,
    *,
    key: str | None = None,
    envelope: Any = None,
    wait: Mapping[str, Any] | None = None,
) -> tuple[tuple[str | None, bytes], dict[str, Any]]:
    """Return the arguments of a task as every serialiser carries them; what is wrong is said to who publishes. Raises
    ``SettingsError`` for an account URL that is none, or that holds a password: it would lie in the broker, and stand
    in events and logs.
    """
    if not (account is None or isinstance(account, str)):
        raise TypeError(f"A worker finds an account by its name or URL, not by {type(account).__name__}.")
    if not isinstance(message, bytes | bytearray | memoryview):
        raise TypeError(f"A task carries ready bytes: message.as_bytes(sender), not {type(message).__name__}.")
    if not (key is None or isinstance(key, str)):
        raise TypeError(f"A key is a text that names the message, not {type(key).__name__}.")
    if wait is None and account is not None and "://" in account:
        with explained(), discreet:
            read_url(account)
    meant = _read_envelope(envelope)
    written = None if meant is None else {"sender": meant.sender, "recipients": list(meant.recipients)}
    names = {"key": key, "envelope": written, "wait": None if wait is None else dict(wait)}
    return (account, bytes(message)), names


def shown(places: tuple[str | None, bytes], names: Mapping[str, Any]) -> dict[str, str]:
    """Return what logs and events show of a task's arguments: nothing of a message's content."""
    return {
        "argsrepr": f"({places[0]!r}, <{len(places[1])} bytes>)",
        "kwargsrepr": repr({"key": names["key"]}),
    }


def _read_envelope(found: Any) -> Envelope | None:
    """Return the envelope that was published. Raises ``MessageError``."""
    if isinstance(found, Mapping):
        if not {"sender", "recipients"} <= found.keys():
            raise TypeError("envelope: it has to have a sender and recipients.")
        return Envelope(found["sender"], found["recipients"])
    if not (found is None or isinstance(found, Envelope)):
        raise TypeError(f"envelope: give franking.Envelope(sender, recipients), not {type(found).__name__}.")
    return found


def _journal(chosen: Journal | Literal[False] | None, lease: float) -> Journal:
    if chosen is False:
        return Forgetful()
    if isinstance(chosen, bool | str):  # it would be noticed by the first task only
        raise TypeError(f"journal: give what open_journal() returns, or False, not {chosen!r}.")
    if chosen is not None:
        return chosen
    found = open_journal(lease=lease)
    if found is None:
        raise SettingsError(
            "Workers have to know what each has sent: set FRANKING_STORE to redis://… or postgresql://…, or say "
            "journal=False: then a message may be sent twice.",
            field="journal",
            evidence=Evidence("settings", reason="no-shared-store"),
        )
    return found


def _positive(name: str, numbers: Sequence[float]) -> tuple[float, ...]:
    try:
        seconds = tuple(map(float, numbers))
    except (TypeError, ValueError):
        seconds = ()
    if not seconds or not all(0 < number < math.inf for number in seconds):
        raise SettingsError(f"{name}: {numbers!r} are no seconds above 0.", field=name, evidence=WRONG_VALUE)
    return seconds


def allowed_by(app: Celery) -> float | None:
    """Return for how long this application's broker waits for an acknowledgement, None where it does so for ever."""
    said = (app.conf.broker_transport_options or {}).get("visibility_timeout")
    if said is not None:
        return float(said)
    with app.connection_for_read() as connection:  # which connects to nothing yet
        return ALLOWED.get(connection.transport.driver_type)


def _confirm_publishing(app: Celery) -> None:
    """Have RabbitMQ say that it has a message, before a task is acknowledged that goes on as another; without, one that
    is published while the broker ends is lost.
    """

    def configured(sender: Any, source: Any, **more: Any) -> None:
        source.broker_transport_options = {"confirm_publish": True, **(source.broker_transport_options or {})}

    if app.configured:
        configured(app, app.conf)
    else:
        app.on_after_configure.connect(configured, weak=False)


def _close(**more: Any) -> None:
    """Say good-bye to the mail servers, and what became of the last message: such a process ends by ``os._exit``."""
    KEPT.close()
    tell_all()
