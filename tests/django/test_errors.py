"""Errors of the mail backend as application code catches them today (``except (SMTPException, OSError)``), over real
sockets; and they stay Franking's.
"""

from __future__ import annotations

import os
import pickle
import smtplib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.test.utils import override_settings

import franking
from franking.django.errors import as_smtplib
from servers.django_mail import CLASSIC, Use, at, connection, gmail, letter
from servers.google import Google
from servers.smtp import Fault, SmtpServer, hangs_up, says, silence

pytestmark = CLASSIC

Start = Callable[..., SmtpServer]

FAILURES: dict[str, tuple[dict[str, Any], dict[str, Any], type[Exception], type[Exception], int]] = {
    # what the server does, what the account has, Franking's error, smtplib's, the reply code
    "recipient": (
        {"refused": {"to0@example.com": "550 5.1.1 nobody here"}},
        {},
        franking.RecipientsRefused,
        smtplib.SMTPRecipientsRefused,
        550,
    ),
    "sender": (
        {"refused": {"info@novak.cz": "553 5.7.1 not yours"}},
        {},
        franking.Refused,
        smtplib.SMTPResponseException,
        553,
    ),
    "content": (
        {"faults": [Fault("body", says("554 5.7.1 spam"))]},
        {},
        franking.Refused,
        smtplib.SMTPResponseException,
        554,
    ),
    "later": (
        {"faults": [Fault("mail", says("451 4.7.1 too fast"), nth=None)]},
        {},
        franking.Refused,
        smtplib.SMTPResponseException,
        451,
    ),
    "password": (
        {"users": {"jan": "right"}},
        {"username": "jan", "password": "wrong"},
        franking.LoginError,
        smtplib.SMTPAuthenticationError,
        535,
    ),
    "nobody": ({}, {"port": 1}, franking.ConnectError, smtplib.SMTPServerDisconnected, -1),
    "silent": (
        {"faults": [Fault("connect", silence)]},
        {"timeout": 0.2},
        franking.ConnectTimeout,
        smtplib.SMTPServerDisconnected,
        -1,
    ),
    "unknown": (
        {"faults": [Fault("body", hangs_up, executed=True)]},
        {},
        franking.OutcomeUnknown,
        smtplib.SMTPServerDisconnected,
        -1,
    ),
    "encryption": ({}, {"security": "starttls"}, franking.TLSError, smtplib.SMTPException, -1),
    "secret": ({}, {"username": "jan"}, franking.SettingsError, smtplib.SMTPException, -1),
    "switched off": ({}, {"enabled": False}, franking.SettingsError, smtplib.SMTPException, -1),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_it_is_caught_as_ever(use: Use, smtp_server: Start, failure: str) -> None:
    server, account, ours, theirs, code = FAILURES[failure]
    use(at(smtp_server(**server), **account))
    try:
        letter().send()
    except (smtplib.SMTPException, OSError) as caught:
        error: Any = caught
    assert isinstance(error, smtplib.SMTPException)
    assert isinstance(error, ours) and isinstance(error, theirs)
    assert error.diagnosis is not None
    again = pickle.loads(pickle.dumps(error))
    for each in (error, again):
        assert type(each).__name__ == ours.__name__ or issubclass(type(each), ours)
        assert (each.step, each.temporary, each.possibly_sent) == (error.step, error.temporary, error.possibly_sent)
        assert each.diagnosis == error.diagnosis
        assert str(each) == each.message
        if theirs is smtplib.SMTPRecipientsRefused:
            assert each.recipients == {"to0@example.com": (code, b"5.1.1 nobody here")}
            assert each.refused == {"to0@example.com": {"reply": "550 5.1.1 nobody here", "temporary": False}}
        elif issubclass(theirs, smtplib.SMTPResponseException):
            assert each.smtp_code == code
            assert isinstance(each.smtp_error, bytes) and each.smtp_error
    # where it comes from can be seen: the frames of the error itself, and none of a copy's
    assert error.__traceback__ is not None
    assert error.__cause__ is None or error.__cause__.__traceback__ is not None


def test_opening_too(use: Use, smtp_server: Start) -> None:
    use(at(smtp_server(users={"jan": "right"}), username="jan", password="wrong"))
    backend = connection()
    with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
        backend.open()
    assert isinstance(caught.value, franking.LoginError)
    with pytest.raises(smtplib.SMTPAuthenticationError), connection():
        pass


def test_a_wrong_address_is_a_value_error_as_django_s_is(use: Use, server: SmtpServer) -> None:
    use(at(server))
    for kind in (ValueError, smtplib.SMTPException, franking.MessageError):
        with pytest.raises(kind):
            letter(to=["jan@@example.com"]).send()


def test_a_sign_in_that_is_missing(use: Use, google: Google, tmp_path: Path) -> None:
    use(gmail(google, tmp_path))
    with pytest.raises(smtplib.SMTPException) as caught:
        letter().send()
    assert isinstance(caught.value, franking.LoginRequired) and caught.value.repair


def test_the_words_of_an_api_are_no_reply_code() -> None:
    evidence = franking.errors.Evidence("http", code=403, text="no")
    with pytest.raises(smtplib.SMTPResponseException) as caught, as_smtplib():
        raise franking.Refused("Refused.", evidence=evidence)
    assert (caught.value.smtp_code, caught.value.smtp_error) == (-1, b"no")


def test_every_error_of_franking_has_its_kin() -> None:
    waiting, seen = [franking.FrankingError], set()
    while waiting:
        kind = waiting.pop()
        waiting += [each for each in kind.__subclasses__() if not issubclass(each, smtplib.SMTPException)]
        if kind is not franking.FrankingError and kind.__module__.startswith("franking."):
            seen.add(kind)
            with pytest.raises(smtplib.SMTPException) as caught, as_smtplib():
                raise kind("words")
            assert type(caught.value).__bases__[0] is kind
    assert franking.OutcomeUnknown in seen and len(seen) >= 12


@pytest.mark.process
def test_franking_itself_never_imports_smtplib() -> None:
    code = (
        "import sys, franking; [getattr(franking, name) for name in franking.__all__]; print('smtplib' in sys.modules)"
    )
    paths = os.pathsep.join([os.environ["PYTHONPATH"], *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.stdout == "False\n"


def test_fail_silently_is_as_it_was(use: Use, smtp_server: Start) -> None:
    server = smtp_server(refused={"to0@example.com": "550 5.1.1 nobody here"})
    with override_settings(DEFAULT_FROM_EMAIL="Shop <shop@example.com>"):
        use(at(server))
        assert mail.EmailMessage("s", "b", to=["to0@example.com"]).send(fail_silently=True) == 0
