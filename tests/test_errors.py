"""The tree of errors: what each says of itself without being told, and that nothing is lost on the way."""

from __future__ import annotations

import copy
import errno
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import franking
from franking import errors
from franking.diagnosis.generic import GENERIC
from franking.diagnosis.rules import diagnose
from franking.errors import Evidence, FrankingError, forget_locals

KINDS: dict[type[FrankingError], tuple[type[Exception], str | None, bool, bool]] = {
    errors.FrankingError: (Exception, None, False, False),
    errors.SettingsError: (ValueError, "settings", False, False),
    errors.MessageError: (ValueError, "message", False, False),
    errors.LoginRequired: (PermissionError, "secret", False, False),
    errors.SendError: (Exception, None, False, False),
    errors.ConnectError: (ConnectionError, None, True, False),
    errors.ConnectTimeout: (TimeoutError, None, True, False),
    errors.TLSError: (ConnectionError, None, False, False),
    errors.LoginError: (PermissionError, "login", False, False),
    errors.Refused: (Exception, None, False, False),
    errors.RecipientsRefused: (Exception, "message", False, False),
    errors.Throttled: (Exception, None, True, False),
    errors.LockLost: (Exception, "secret", True, False),
    errors.OutcomeUnknown: (TimeoutError, "accepted", False, True),
}
"""The builtin kin, the usual step, temporary, possibly sent."""


def test_every_error_is_here() -> None:
    assert {kind.__name__ for kind in KINDS} == set(errors.__all__) - {"Evidence", "discreet"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_error_says_of_itself(kind: type[FrankingError]) -> None:
    kin, step, temporary, possibly_sent = KINDS[kind]
    plain = kind("It did not work.")
    assert isinstance(plain, kin) and isinstance(plain, FrankingError)
    assert (str(plain), plain.message) == ("It did not work.",) * 2
    assert (plain.step, plain.temporary, plain.possibly_sent) == (step, temporary, possibly_sent)
    assert plain.evidence is plain.explained() is None
    other = kind("x", step="resolve", temporary=not temporary, possibly_sent=not possibly_sent)
    assert (other.step, other.temporary, other.possibly_sent) == ("resolve", not temporary, not possibly_sent)
    assert kind("x").step == step, "one error says nothing of the next"
    with pytest.raises(TypeError):
        kind("x", stepp="misspelt")  # type: ignore[call-arg]


OWN: list[FrankingError] = [
    errors.SettingsError("x", field="host", repair="chmod 600 x"),
    errors.MessageError("x", field="to"),
    errors.LoginRequired("x", repair="franking login shop"),
    errors.ConnectError("x", stale=True),
    errors.LoginError("x", token_refused=True, step="secret"),
    errors.RecipientsRefused("x", refused={"a@b.cz": {"reply": "550", "temporary": False}}),
    errors.Throttled("x", retry_after=7.0),
    errors.OutcomeUnknown("x", accepted=("a@b.cz",), evidence=Evidence("smtp", code=421, text="bye")),
]


@pytest.mark.parametrize("error", OWN, ids=lambda error: type(error).__name__)
def test_nothing_is_lost_in_another_process_or_a_copy(error: FrankingError) -> None:
    error.add_note("seen by a person")
    own = {**vars(error), "_notes": ["seen by a person"]}
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert (type(again), str(again), vars(again)) == (type(error), str(error), own)
        assert again.__notes__[-1] == "seen by a person"
        assert again.explained() is None


def test_lists_of_one_error_are_not_shared() -> None:
    told = {"a@b.cz": {"reply": "550", "temporary": False}}
    error = errors.RecipientsRefused("x", refused=told)
    told.clear()
    assert list(error.refused) == ["a@b.cz"]
    assert errors.OutcomeUnknown("x").accepted is not errors.OutcomeUnknown("x").accepted


@pytest.mark.parametrize(
    ("seen", "raw"),
    [
        (Evidence("smtp", code=550, enhanced="5.1.1", text="no such user"), "550 5.1.1 no such user"),
        (Evidence("oauth", text="expired", reason="invalid_grant"), "expired"),
        (Evidence("connect", reason="refused"), "refused"),
        (Evidence("http", code=503), "503"),
        (Evidence("dns"), ""),
    ],
)
def test_the_other_sides_words(seen: Evidence, raw: str) -> None:
    assert seen.raw == raw


def test_the_variables_of_finished_frames_are_forgotten_and_lines_stay() -> None:
    def inner() -> None:
        token = "canary"  # noqa: F841
        raise KeyError("inner")

    def outer() -> None:
        token = "canary"  # noqa: F841
        try:
            inner()
        except KeyError as problem:
            raise franking.SettingsError("outer") from problem

    def resting() -> Any:
        kept = "resting"
        try:
            yield outer()
        except FrankingError:
            yield kept

    generator = resting()
    assert next(generator) == "resting"
    try:
        outer()
    except FrankingError as error:
        forget_locals(error)
        frames = []
        link: BaseException | None = error
        while link is not None:
            trace = link.__traceback__
            while trace is not None:
                frames.append(trace.tb_frame)
                trace = trace.tb_next
            link = link.__cause__
        assert [frame.f_code.co_name for frame in frames][-3:] == ["outer", "outer", "inner"]
        assert not any("canary" in frame.f_locals.values() for frame in frames if frame is not sys._getframe())
    assert list(generator) == []


def test_whatever_comes_out_has_left_its_variables_behind() -> None:
    class Strike(BaseException):
        pass

    def inner() -> None:
        token = "canary"  # noqa: F841
        raise Strike

    def of_a_library() -> None:
        password = "canary"  # noqa: F841
        try:
            inner()
        except Strike:
            raise KeyError("what") from None  # whose context stays, unseen

    def ours() -> None:
        with errors.discreet:
            of_a_library()

    with pytest.raises(KeyError) as caught:
        ours()
    links = (caught.value, caught.value.__context__)
    names = []
    for link in links:
        trace = link.__traceback__ if link else None
        while trace is not None:
            if trace.tb_frame is not sys._getframe():
                names.append(trace.tb_frame.f_code.co_name)
                assert "canary" not in repr(trace.tb_frame.f_locals)
            trace = trace.tb_next
    assert names == ["ours", "of_a_library", "of_a_library", "inner"]


def test_what_the_caller_was_handling_keeps_its_variables() -> None:
    def of_the_application() -> None:
        order = 114  # noqa: F841
        raise KeyError("stock")

    def ours() -> None:
        with errors.discreet:
            raise FrankingError("no")

    try:
        of_the_application()
    except KeyError as problem:
        with pytest.raises(FrankingError):
            ours()
        trace = problem.__traceback__
    assert trace is not None and trace.tb_next is not None
    assert trace.tb_next.tb_frame.f_locals == {"order": 114}


def test_the_frame_of_a_generator_that_has_ended_stays_and_is_empty() -> None:
    def generator() -> Any:
        token = "canary"  # noqa: F841
        yield 1
        raise KeyError("x")

    def ours() -> None:
        with errors.discreet:
            list(generator())

    with pytest.raises(KeyError) as caught:
        ours()
    trace = caught.value.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    assert trace is not None
    assert (trace.tb_frame.f_code.co_name, trace.tb_frame.f_locals) == ("generator", {})


@pytest.mark.parametrize(
    ("act", "code", "advice"),
    [
        (lambda: franking.Message(to=["jana"]), "message.invalid", "Correct the field to"),
        (lambda: franking.Account(name="s", provider="smtpp", sender="a@b.cz"), "settings.invalid", "provider"),
        (lambda: franking.Outbox().list(state="bogus"), "settings.value", "another value for state"),
        (lambda: franking.Outbox().resolve("x", "burn"), "settings.value", "another value for decision"),
    ],
)
def test_what_is_wrong_before_there_is_a_mailer_ends_in_its_diagnosis_too(
    act: Callable[[], Any], code: str, advice: str
) -> None:
    with pytest.raises(FrankingError) as caught:
        act()
    error = caught.value
    assert error.diagnosis is not None and error.diagnosis.code == code
    told = "".join(traceback.format_exception(error)).partition(f"{error}\n")[2].splitlines()
    assert told[0] == error.diagnosis.title and any(advice in line for line in told[1:]), told
    assert error.explained() is None, "who knows the account may say more"
    error.diagnosis = other = diagnose(error, GENERIC, {"account": "shop"})
    assert error.diagnosis is error.explained() is other


def test_where_no_file_can_be_opened_an_error_is_told_without_its_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_files(error: FrankingError) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(errors.MessageError, "explained_alone", out_of_files)
    error = errors.MessageError("x")
    assert error.diagnosis is None and not hasattr(error, "__notes__")
