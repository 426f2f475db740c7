"""Franking sends mail through the mailbox that you already have: SMTP, Gmail, Outlook.

    import franking

    message = franking.Message(to=["jana@example.cz"], subject="Faktura", text="Dobrý den …")
    with franking.connect("shop") as mailer:
        receipt = mailer.send(message)

Public names are resolved when they are first used, so that ``import franking`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from franking import errors as errors  # at once: where no file can be opened any more, that is still told as ours

if TYPE_CHECKING:
    from franking.account.account import Account as Account
    from franking.diagnosis.diagnosis import Diagnosis as Diagnosis
    from franking.discovery.recommend import recommend as recommend
    from franking.discovery.recommendation import Recommendation as Recommendation
    from franking.errors import ConnectError as ConnectError
    from franking.errors import ConnectTimeout as ConnectTimeout
    from franking.errors import FrankingError as FrankingError
    from franking.errors import LoginError as LoginError
    from franking.errors import LoginRequired as LoginRequired
    from franking.errors import MessageError as MessageError
    from franking.errors import OutcomeUnknown as OutcomeUnknown
    from franking.errors import RecipientsRefused as RecipientsRefused
    from franking.errors import Refused as Refused
    from franking.errors import SendError as SendError
    from franking.errors import SettingsError as SettingsError
    from franking.errors import Throttled as Throttled
    from franking.errors import TLSError as TLSError
    from franking.message.address import Address as Address
    from franking.message.address import Envelope as Envelope
    from franking.message.attachment import Attachment as Attachment
    from franking.message.message import Message as Message
    from franking.outbox.entry import OutboxEntry as OutboxEntry
    from franking.outbox.outbox import Outbox as Outbox
    from franking.provider import Receipt as Receipt
    from franking.provider import Step as Step
    from franking.sending.connect import connect as connect
    from franking.sending.connect import send as send
    from franking.sending.mailer import Mailer as Mailer
    from franking.sending.queue import SendResult as SendResult
    from franking.sending.testsend import TestReport as TestReport
    from franking.sending.testsend import send_test as send_test

__version__ = "0.2.0"

_HOMES = {
    "Account": "account.account",
    "Address": "message.address",
    "Attachment": "message.attachment",
    "ConnectError": "errors",
    "ConnectTimeout": "errors",
    "Diagnosis": "diagnosis.diagnosis",
    "Envelope": "message.address",
    "FrankingError": "errors",
    "LoginError": "errors",
    "LoginRequired": "errors",
    "Mailer": "sending.mailer",
    "Message": "message.message",
    "MessageError": "errors",
    "Outbox": "outbox.outbox",
    "OutboxEntry": "outbox.entry",
    "OutcomeUnknown": "errors",
    "Receipt": "provider",
    "RecipientsRefused": "errors",
    "Recommendation": "discovery.recommendation",
    "Refused": "errors",
    "SendError": "errors",
    "SendResult": "sending.queue",
    "SettingsError": "errors",
    "Step": "provider",
    "TLSError": "errors",
    "TestReport": "sending.testsend",
    "Throttled": "errors",
    "connect": "sending.connect",
    "recommend": "discovery.recommend",
    "send": "sending.connect",
    "send_test": "sending.testsend",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604  (names resolved by __getattr__)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'franking' has no attribute {name!r}")
    if home == "errors":  # is here: what catches an error must not need a file to be opened
        return getattr(errors, name)
    try:
        from importlib import import_module

        value = getattr(import_module(f"franking.{home}"), name)
    except (ImportError, MemoryError, OSError) as problem:
        if (error := errors.exhausted(problem, "settings")) is None:
            raise
        error.explained_by(_explain)
        raise error from problem
    globals()[name] = value
    return value


def _explain(error: FrankingError) -> None:
    from franking.sending.explain import explain  # when there is room again

    explain(error)


def _explained_alone(error: FrankingError) -> Diagnosis:
    from franking.diagnosis.generic import GENERIC
    from franking.diagnosis.rules import diagnose

    return diagnose(error, GENERIC, {})


errors.SettingsError.explained_alone = errors.MessageError.explained_alone = _explained_alone  # nothing was tried yet


def __dir__() -> list[str]:
    return sorted(__all__)
