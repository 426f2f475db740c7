"""Which error ends ``franking`` and ``franking-sendmail`` with which code: the first that fits, in the order of the
documentation.
"""

from __future__ import annotations

import pytest

from franking.diagnosis.diagnosis import Diagnosis
from franking.errors import (
    FrankingError,
    LoginError,
    LoginRequired,
    MessageError,
    OutcomeUnknown,
    RecipientsRefused,
    Refused,
    SettingsError,
    Throttled,
)
from franking_cli.exit_codes import exit_code
from franking_cli.sendmail import exit_codes as sysexits


def explained(error: FrankingError, *, temporary: bool) -> FrankingError:
    error.diagnosis = Diagnosis("server.trouble", {}, "", "provider", temporary)
    return error


ENDINGS = [
    (OutcomeUnknown("x"), 3, 70),
    (explained(OutcomeUnknown("x"), temporary=True), 3, 70),
    (SettingsError("x"), 2, 78),
    (explained(SettingsError("x"), temporary=True), 2, 78),
    (MessageError("x", field="to"), 2, 65),
    (MessageError("x", field="recipient"), 2, 67),
    (LoginRequired("x", repair="franking login shop"), 4, 77),
    (explained(LoginRequired("x", repair="franking login shop"), temporary=True), 4, 77),
    (LoginError("x"), 1, 77),
    (explained(LoginError("x"), temporary=True), 5, 75),
    (RecipientsRefused("x", refused={}), 1, 67),
    (explained(RecipientsRefused("x", refused={}), temporary=True), 5, 75),
    (Refused("x"), 1, 69),
    (Throttled("x"), 5, 75),
    (explained(Throttled("x"), temporary=False), 1, 69),
]


@pytest.mark.parametrize(("error", "code", "sysexit"), ENDINGS, ids=lambda value: str(getattr(value, "step", value)))
def test_the_first_that_fits(error: FrankingError, code: int, sysexit: int) -> None:
    assert exit_code(error) == code
    assert sysexits.exit_code(error) == sysexit


def test_no_error_is_0() -> None:
    assert exit_code(None) == 0


def test_a_settings_error_that_may_have_been_sent_is_unknown() -> None:
    error = SettingsError("x")
    error.possibly_sent = True
    assert (exit_code(error), sysexits.exit_code(error)) == (3, 70)


def test_the_one_line_has_the_title_once_and_no_line_break(capsys: pytest.CaptureFixture[str]) -> None:
    error = explained(Refused("no\r\nway \x1b[2J"), temporary=False)
    assert sysexits.failed(error) == 69
    line = capsys.readouterr().err
    assert error.diagnosis is not None
    title = error.diagnosis.title
    assert line == f"franking-sendmail: no way [2J ({title})\n"
    assert sysexits.failed(explained(Refused(f"It says: {title}"), temporary=True)) == 75
    assert capsys.readouterr().err == f"franking-sendmail: It says: {title}\n"
