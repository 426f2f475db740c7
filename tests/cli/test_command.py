"""How every command begins and ends: usage errors, mistakes of ours, interruptions, unreadable files, the log."""

from __future__ import annotations

import json
import logging
import signal
import threading
from typing import Any

import pytest

from commandline import franking
from franking.errors import OutcomeUnknown
from franking_cli.signals import interrupt, on_ending
from reports import report


def replaced(monkeypatch: pytest.MonkeyPatch, raised: BaseException) -> None:
    """Let ``franking status`` raise this."""

    def broken(*_: Any, **__: Any) -> Any:
        raise raised

    monkeypatch.setattr("franking_cli.commands.status.load", broken)


def test_json_is_one_object_on_every_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    for raised, code, outcome in (
        (ZeroDivisionError("oops"), 1, "failed"),
        (KeyboardInterrupt(), 130, "failed"),
        (EOFError(), 130, "failed"),
        (OutcomeUnknown("x"), 3, "unknown"),
        (PermissionError(13, "Permission denied", "/x"), 2, "failed"),
    ):
        replaced(monkeypatch, raised)
        done = franking("status", "--json")
        assert (done.code, done.err, len(done.out.splitlines())) == (code, "", 1)
        told = json.loads(done.out)
        assert (told["ok"], told["outcome"]) == (False, outcome)


def test_a_usage_error_is_one_object_too() -> None:
    for words in (["send-test", "--no-such", "--json"], ["nonsense", "--json"], ["accounts", "--json"], ["--json"]):
        done = franking(*words)
        assert (done.code, done.err, len(done.out.splitlines())) == (2, "", 1), words
    assert report(franking("check", "--no-such", "--json").out)["outcome"] == "failed"
    assert "hints" not in json.loads(franking("send", "--no-such", "--json").out)


def test_no_command_shows_the_help() -> None:
    done = franking()
    assert (done.code, "Usage: franking" in done.err + done.out) == (2, True)


def test_a_file_that_cannot_be_read_is_wrong_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(monkeypatch, PermissionError(13, "Permission denied", "/etc/franking/accounts.toml"))
    done = franking("status")
    assert done.code == 2
    assert "✗ /etc/franking/accounts.toml: Permission denied." in done.err
    assert "Next: franking status --help" in done.err


def test_an_error_of_the_system_without_a_file_is_a_mistake_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(monkeypatch, OSError(5, "Input/output error"))
    done = franking("status")
    assert done.code == 1
    assert "OSError: [Errno 5] Input/output error" in done.err
    assert "Traceback" not in done.err


def test_a_traceback_comes_only_when_asked_for_and_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    token = "ya29.canary-0123456789-0123456789-0123456789"
    replaced(monkeypatch, ZeroDivisionError(f"Authorization: Bearer {token}"))
    for flag in ("-v", "-vv", "--verbose"):
        done = franking("status", flag)
        assert "Traceback (most recent call last)" in done.err
        assert '\n  File "' in done.err, "indented as Python does"
        assert token not in done.err


def test_a_mistake_of_ours_after_the_hand_over_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    mistake = ZeroDivisionError("oops")
    mistake.possibly_sent = True  # type: ignore[attr-defined]
    replaced(monkeypatch, mistake)
    assert franking("status").code == 3


@pytest.mark.parametrize(("sent", "code", "words"), [(False, 130, "nothing more was done"), (True, 3, "not known")])
def test_an_interruption_says_whether_it_may_have_been_sent(
    monkeypatch: pytest.MonkeyPatch, sent: bool, code: int, words: str
) -> None:
    broken = KeyboardInterrupt()
    broken.possibly_sent = sent  # type: ignore[attr-defined]
    replaced(monkeypatch, broken)
    done = franking("status")
    assert done.code == code
    assert words in " ".join(done.err.split())


@pytest.mark.parametrize(("flag", "heard"), [((), []), (("-v",), ["info"]), (("-vv",), ["info", "debug"])])
def test_verbosity(monkeypatch: pytest.MonkeyPatch, flag: tuple[str, ...], heard: list[str]) -> None:
    logger = logging.getLogger("franking")
    level, handlers = logger.level, list(logger.handlers)

    def load() -> Any:
        logging.getLogger("franking.test").info("info \x1b[2J")
        logging.getLogger("franking.test").debug("debug")
        raise EOFError

    monkeypatch.setattr("franking_cli.commands.status.load", load)
    done = franking("status", *flag)
    assert [word for word in ("info", "debug") if f"franking.test: {word}" in done.err] == heard
    assert "\x1b" not in done.err
    assert (logger.level, logger.handlers) == (level, handlers), "only while the command runs"


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def handlers() -> Any:
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    yield names
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


def test_every_signal_that_ends_a_program_is_caught_and_given_back(handlers: list[str]) -> None:
    def own(number: int, frame: Any) -> None: ...

    for name in handlers:
        signal.signal(getattr(signal, name), own)
    with on_ending(interrupt):
        assert {signal.getsignal(getattr(signal, name)) for name in handlers} == {interrupt}
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert {signal.getsignal(getattr(signal, name)) for name in handlers} == {own}


def test_what_nohup_ignores_stays_ignored(handlers: list[str]) -> None:
    for name in handlers:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    with on_ending(interrupt):
        assert {signal.getsignal(getattr(signal, name)) for name in handlers} == {signal.SIG_IGN}
        for name in handlers:
            signal.raise_signal(getattr(signal, name))
    assert {signal.getsignal(getattr(signal, name)) for name in handlers} == {signal.SIG_IGN}


def test_outside_the_main_thread_no_handler_is_touched(handlers: list[str]) -> None:
    seen: list[Any] = []

    def act() -> None:
        with on_ending(interrupt):
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    assert seen == [before]
