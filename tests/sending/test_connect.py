"""Where an application begins: what is swapped or misspelt gets a sentence, and an error that nobody catches ends in
title, cause and remedies.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import re
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import franking
import franking.aio
from franking.diagnosis import texts
from franking.errors import Evidence, FrankingError
from servers.ports import closed_port
from servers.smtp import SmtpServer

MESSAGE = franking.Message(to=["a@example.com"], subject="x", text="x")


def account(port: int, **settings: Any) -> franking.Account:
    given: dict[str, Any] = {"host": "127.0.0.1", "security": "none", "timeout": 10, **settings}
    return franking.Account(name="t", provider="smtp", sender="jan@example.com", port=port, **given)


ACCOUNT = account(25)
UNTYPED: Any = franking

# -- swapped and misspelt ----------------------------------------------------------------------------------------------

SWAPPED: dict[str, tuple[Callable[[], Any], str]] = {
    "send": (lambda: UNTYPED.send(MESSAGE, "shop"), "not Message; it comes first, then the message"),
    "send, octets": (lambda: UNTYPED.send(b"x", "shop"), "not bytes; it comes first"),
    "connect": (lambda: UNTYPED.connect(MESSAGE), "An account is a name, an account URL or an Account, not Message"),
    "send_test": (lambda: UNTYPED.send_test("me@example.cz", to=ACCOUNT), "to is one address, as text, not Account"),
    "send_test, all": (lambda: UNTYPED.send_test(MESSAGE, "me@example.cz"), "not Message"),
    "recommend": (lambda: UNTYPED.recommend(ACCOUNT), "as text, not Account"),
    "put_many": (lambda: next(UNTYPED.Outbox().put_many([MESSAGE], "shop")), "not list"),
    "aio.send": (lambda: asyncio.run(UNTYPED.aio.send(MESSAGE, "shop")), "it comes first, then the message"),
}


@pytest.mark.parametrize("name", SWAPPED)
def test_what_is_swapped_gets_a_sentence(name: str) -> None:
    call, words = SWAPPED[name]
    with pytest.raises(TypeError, match=re.escape(words)):
        call()


def test_a_message_that_is_an_accounts_name_gets_a_sentence() -> None:
    with pytest.raises(franking.MessageError, match="A message is a Message, an EmailMessage or bytes, not str"):
        UNTYPED.send(ACCOUNT, "shop")


def test_an_address_in_the_accounts_place_is_told_where_it_goes() -> None:
    with pytest.raises(franking.SettingsError, match=r'send_test\("ACCOUNT", to="me@example.cz"\)'):
        franking.send_test("me@example.cz")
    with pytest.raises(franking.SettingsError) as caught:
        franking.send_test("shop")
    assert "send_test" not in str(caught.value)


CALLS: list[Any] = [franking.connect, franking.send, franking.send_test, franking.recommend]
CALLS += [franking.aio.connect, franking.aio.send, franking.aio.send_test]
KINDS: list[Any] = [franking.Message, franking.Account, franking.Attachment, franking.Envelope, franking.Outbox]
KINDS += [franking.Mailer, franking.aio.AsyncMailer]


@pytest.mark.parametrize("function", [*CALLS, franking.Mailer, franking.aio.AsyncMailer])
def test_a_misspelt_option_is_an_error_and_seen_by_type_checkers(function: Any) -> None:
    kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    with pytest.raises(TypeError, match="secrt"):
        function("shop", MESSAGE, secrt="x")


@pytest.mark.parametrize("function", [*CALLS, *KINDS])
def test_help_begins_with_an_example(function: Any) -> None:
    """Behind the first sentence; what stands there is Python."""
    first, _, rest = (inspect.getdoc(function) or "").partition("\n\n")
    example = re.match(r"(?: {4}.*\n?)+", rest)
    assert first.endswith((".", ":")) and example, inspect.getdoc(function)
    words = textwrap.dedent(example[0])
    compile(words, "help", "exec", flags=0x2000)  # PyCF_ALLOW_TOP_LEVEL_AWAIT
    assert ("connect(" if function.__name__.endswith("Mailer") else f"{function.__name__}(") in words


# -- what nobody catches -----------------------------------------------------------------------------------------------


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.fixture
def refused() -> FrankingError:
    with pytest.raises(franking.ConnectError) as caught:
        franking.send(account(closed_port()), MESSAGE)
    return caught.value


def test_a_traceback_ends_in_title_cause_and_remedies_once(refused: FrankingError) -> None:
    diagnosis = refused.diagnosis
    assert diagnosis is not None and diagnosis.remedies
    end = f"{refused}\n{diagnosis.title}\n{diagnosis.cause}\n1. {diagnosis.remedies[0]}\n"
    assert end in told(refused) and told(refused).count(diagnosis.title) == 1
    assert told(refused).rstrip().endswith(diagnosis.remedies[-1])


@pytest.mark.parametrize("way", ["pickle", "copy", "twice"])
def test_it_stands_there_once_wherever_the_error_has_been(refused: FrankingError, way: str) -> None:
    refused.add_note("of the application")
    assert told(refused).count("of the application") == 1
    again = {
        "pickle": lambda: pickle.loads(pickle.dumps(refused)),
        "copy": lambda: copy.copy(refused),
        "twice": lambda: pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(refused)))),
    }[way]()
    again.add_note("another")
    assert refused.diagnosis is not None
    for words in (refused.diagnosis.title, "of the application", "another"):
        assert told(again).count(words) == 1
    assert told(refused).count(refused.diagnosis.title) == 1


def test_an_error_without_a_diagnosis_has_no_notes_but_those_of_others() -> None:
    error = FrankingError("x")
    assert not hasattr(error, "__notes__")
    error.add_note("mine")
    assert error.__notes__ == ["mine"]
    error.__notes__ = ["other"]
    assert error.__notes__ == ["other"]


def test_a_sentence_that_the_cause_repeats_is_told_once() -> None:
    with pytest.raises(franking.SettingsError) as caught:
        franking.connect("nobody")
    assert told(caught.value).count("There is no account 'nobody'") == 1


def test_nothing_is_composed_for_an_error_that_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    entry = texts.entry
    monkeypatch.setattr(texts, "entry", lambda code, language="en": read.append(code) or entry(code, language))
    with pytest.raises(franking.SettingsError) as caught:
        franking.connect("nobody")
    with pytest.raises(franking.ConnectError):
        franking.send(account(closed_port()), MESSAGE)
    assert read == []
    told(caught.value)
    assert set(read) == {"settings.no-account"}


EDGES: dict[str, Callable[[], Any]] = {
    "connect": lambda: franking.connect("nobody"),
    "connect, a number": lambda: franking.connect(ACCOUNT, window=0),
    "send": lambda: franking.send("nobody", MESSAGE),
    "send, a URL": lambda: franking.send("smtp://127.0.0.1", MESSAGE),
    "send, a message": lambda: franking.send(ACCOUNT, b"x"),
    "send_test": lambda: franking.send_test("nobody"),
    "send_test, an address": lambda: franking.send_test(ACCOUNT, to="a b"),
    "queue": lambda: franking.connect(ACCOUNT).queue(MESSAGE),
    "queue, a key": lambda: franking.connect(ACCOUNT.replace(name="s").referred_to_as("s")).queue(MESSAGE, key=" "),
    "put_many": lambda: next(franking.Outbox().put_many("nobody", [MESSAGE])),
    "recommend": lambda: franking.recommend(" "),
    "check": lambda: franking.connect(account(closed_port())).check(),
    "aio.send": lambda: asyncio.run(franking.aio.send("nobody", MESSAGE)),
    "aio.connect": lambda: asyncio.run(franking.aio.connect("nobody").check()),
}


@pytest.mark.parametrize("name", EDGES)
def test_every_way_in_explains_its_errors(name: str) -> None:
    with pytest.raises(FrankingError) as caught:
        EDGES[name]()
    assert caught.value.diagnosis is not None
    assert caught.value.diagnosis.title in caught.value.__notes__[0]


def test_an_error_that_is_explained_with_more_keeps_that() -> None:
    error = FrankingError("x", evidence=Evidence("smtp"))
    known = franking.Diagnosis("login.refused")
    error.diagnosis = known
    error.explained_by(lambda one: setattr(one, "diagnosis", franking.Diagnosis("outcome.unknown")))
    assert error.diagnosis is known


def test_a_diagnosis_that_cannot_be_made_now_is_made_later() -> None:
    error = FrankingError("x")
    problems: list[BaseException] = [OSError(24, "Too many open files"), MemoryError()]

    def look(one: FrankingError) -> None:
        if problems:
            raise problems.pop()
        one.diagnosis = franking.Diagnosis("machine.exhausted")

    error.explained_by(look)
    assert error.diagnosis is None and not hasattr(error, "__notes__")
    assert "x\nThis computer" in told(error)
    again = pickle.loads(pickle.dumps(error))
    assert again.diagnosis == franking.Diagnosis("machine.exhausted")


def test_a_mistake_in_explaining_is_no_scarcity() -> None:
    error = FrankingError("x")
    error.explained_by(lambda one: open("/nowhere/at-all").close())
    with pytest.raises(FileNotFoundError):
        _ = error.diagnosis


@pytest.mark.process
def test_pythons_own_printer_tells_it(smtp_server: Callable[..., SmtpServer]) -> None:
    server = smtp_server(users={"jan": "right"})
    made = "name='t', provider='smtp', sender='jan@example.com', host='127.0.0.1', security='none', username='jan'"
    lines = (
        "import franking",
        f"account = franking.Account({made}, port={server.port}, allow_plain_login=True)",
        "franking.send(account, franking.Message(to='a@example.com', text='x'), secret='canary-wrong')",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert re.search(r"LoginError: .*\nThe server refused the login\n.*\n1\. ", done.stderr)
    assert done.stderr.count("\nThe server refused the login") == 1
    assert "canary" not in done.stderr.replace("secret='canary-wrong'", "")
