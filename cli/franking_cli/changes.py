"""What a person may do when a sign-in or a test has failed during ``franking setup``: try again, change any answer,
save, or quit. Whatever is not changed stays as it was answered.
"""

from __future__ import annotations

from collections.abc import Callable

from franking.discovery.recommend import better_provider
from franking.errors import SettingsError
from franking_cli.console import Console, visible
from franking_cli.draft import Draft
from franking_cli.mailbox import ask_provider, ask_sender
from franking_cli.questions import (
    NONE,
    ask,
    ask_client,
    ask_field,
    ask_login,
    ask_name,
    ask_password,
    ask_recipient,
    ask_required,
    ask_server,
)

__all__ = ["ask_what_next", "change", "settle"]


def ask_what_next(console: Console, draft: Draft, *, secret_refused: bool) -> str:
    """Ask what to do after a failure: ``again``, ``change``, ``save`` or ``quit``; without a terminal nothing is
    saved. ``secret_refused``: the password, or the sign-in, was.
    """
    if not console.interactive:
        return "quit"
    again = "change.again"
    if secret_refused:
        again = "change.again-password"
        if draft.signs_in(draft.account()):
            again = "change.again-sign-in"
    ways = {
        "again": console.words(again),
        "change": console.words("change.change"),
        "save": console.words("change.save"),
        "quit": console.words("change.quit"),
    }
    console.say(f"\n{console.words('change.what-now')}?", "strong")
    for number, label in enumerate(ways.values(), 1):
        console.say(f"{number}. {label}", indent="  ", hang="     ")

    def read(text: str) -> str:
        for number, word in enumerate(ways, 1):
            if text == str(number) or (text and word.startswith(text.lower())):
                return word
        raise SettingsError(console.words("setup.number", most=len(ways)))

    return ask(console, console.words("change.what-now"), read, default="1", flag="--save-anyway")


def settle(console: Console, draft: Draft) -> None:
    """Ask for whatever is missing now: nothing, where all is known."""
    if draft.kind is None:
        ask_provider(console, draft)
    before = draft.known.get("host")
    ask_client(console, draft)
    ask_required(console, draft)
    if draft.has_server and before is None and better_provider(draft.known["host"]) is not None:
        _lead_to_its_provider(console, draft)
        return
    if draft.has_server:
        ask_server(console, draft)
    if not draft.name:
        ask_name(console, draft, None, replace=False)


def _lead_to_its_provider(console: Console, draft: Draft) -> None:
    """Go on with the provider of a server that was typed where a plain one was asked for: a password would be refused
    there.
    """
    draft.chosen = False
    ask_provider(console, draft)
    if draft.provider.facts.oauth:
        draft.settings.pop("host")
    settle(console, draft)


def change(console: Console, draft: Draft, *, replace: bool) -> None:
    """Show all answers, and let the person change any of them, until none is to be changed any more."""
    while True:
        answers = _answers(console, draft, replace=replace)
        console.say("\n" + console.words("change.answered"), "strong")
        for number, (label, (value, _)) in enumerate(answers.items(), 1):
            console.say(f"{number:>2}. {label:<12} {visible(value)}".rstrip(), indent="  ", hang=" " * 19)

        def read(text: str, answers: _Answers = answers) -> Callable[[], None] | None:
            if text in (console.words("change.done"), "done"):
                return None
            for number, (label, (_, act)) in enumerate(answers.items(), 1):
                if text in (str(number), label):
                    return act
            key = text.strip().lstrip("-").replace("-", "_")
            if key in draft.fields:
                return lambda: _change_setting(console, draft, key)
            raise SettingsError(console.words("change.number", most=len(answers)))

        act = ask(console, console.words("change.which"), read, default=console.words("change.done"), flag="")
        if act is None:
            return
        try:
            act()
        except SettingsError as problem:  # of two settings that do not go together
            console.say(console.spoken(console.said(str(problem))), "warn")
        settle(console, draft)


_Answers = dict[str, tuple[str, Callable[[], None]]]


def _answers(console: Console, draft: Draft, *, replace: bool) -> _Answers:
    """Return what was answered, by its label: its value now, and what asks for it anew."""

    def label(key: str) -> str:
        return console.words(f"answer.{key}")

    answers: _Answers = {
        label("address"): (str(draft.sender), lambda: ask_sender(console, draft)),
        label("mailbox"): (draft.provider.title, lambda: _change_provider(console, draft)),
        **_client_answers(console, draft),
    }
    for key in _setting_keys(draft):
        answers.setdefault(label("host") if key == "host" else key, _setting(console, draft, key))
    answers |= _secret_answers(console, draft, label)
    answers.setdefault("ca_file", _setting(console, draft, "ca_file"))
    answers[label("name")] = (draft.name, lambda: ask_name(console, draft, None, replace=replace, again=True))
    answers[label("test-to")] = (draft.to or draft.address, lambda: ask_recipient(console, draft, again=True))
    return answers


def _client_answers(console: Console, draft: Draft) -> _Answers:
    """Return what makes the program known to the provider, where that is asked for."""
    client = draft.provider.facts.client
    if client is None:
        return {}
    known = str(draft.known.get(client.key, ""))
    beside = {key: _setting(console, draft, key) for key in client.beside}
    return {client.key: (known, lambda: ask_client(console, draft, again=True)), **beside}


def _setting_keys(draft: Draft) -> list[str]:
    """Return the server's settings, and what else was said; the login has an answer of its own."""
    server = [key for key in ("host", "security", "port") if draft.has_server]
    return server + [key for key in draft.settings if key in draft.fields and key not in (*server, "username")]


def _secret_answers(console: Console, draft: Draft, label: Callable[[str], str]) -> _Answers:
    """Return the login name, and the way to sign in or the password."""
    answers: _Answers = {}
    if draft.has_server:
        login = draft.known.get("username")
        shown = login or console.words("screen.none")
        answers[label("login")] = (shown, lambda: ask_login(console, draft, login or draft.address))
    if draft.signs_in(draft.account()):
        answers[label("sign-in")] = (label(draft.way), lambda: _change_way(console, draft))
    elif draft.password is not None:
        answers[label("password")] = (label("not-shown"), lambda: ask_password(console, draft, draft.account()))
    return answers


_WAYS = ("browser", "paste", "code")


def _setting(console: Console, draft: Draft, key: str) -> tuple[str, Callable[[], None]]:
    value = draft.account().get(key)
    if isinstance(value, tuple):
        value = ", ".join(value)
    return str(value or ""), lambda: _change_setting(console, draft, key)


def _change_setting(console: Console, draft: Draft, key: str) -> None:
    """Ask for one setting anew; the port follows the security, and the security the port, where they were usual."""
    before, _ = _setting(console, draft, key)
    if key in ("host", "security", "port"):
        ask_field(console, draft, draft.fields[key], before)
    else:
        _ask_optional(console, draft, key, before)
    if str(draft.settings[key] or "") == before:
        return
    if key == "host":
        draft.recommended.clear()
    other = {"security": "port", "port": "security"}.get(key)
    if other and draft.has_server:
        _ask_what_follows(console, draft, other)


def _ask_what_follows(console: Console, draft: Draft, key: str) -> None:
    usual = draft.account().replace(**{key: None}).settings[key]
    if draft.known.get(key) != usual:
        ask_field(console, draft, draft.fields[key], str(usual))


def _ask_optional(console: Console, draft: Draft, key: str, before: str) -> None:
    """Ask for a setting that may be left out."""
    wanted = draft.fields[key]

    def read(text: str) -> object:
        return None if text in ("", NONE) else wanted.read(text)

    question = f"{console.said(wanted.help).partition(';')[0].rstrip('.')} {console.words('change.or-none', none=NONE)}"
    draft.settings[key] = ask(console, question, read, default=before or None, flag=wanted.flag)


def _change_provider(console: Console, draft: Draft) -> None:
    """Choose another kind of mailbox; what the new one has no setting for is left out."""
    draft.recommended.clear()
    for key in ("host", "port", "security", "username"):
        draft.settings.pop(key, None)
    ask_provider(console, draft, again=True)
    draft.settings = {key: value for key, value in draft.settings.items() if key in draft.fields}
    draft.password = None


def _change_way(console: Console, draft: Draft) -> None:
    def read(text: str) -> str:
        if text not in _WAYS:
            raise SettingsError(console.words("change.one-of", ways=", ".join(_WAYS)))
        return text

    question = console.words("change.way", ways=", ".join(_WAYS))
    draft.way = ask(console, question, read, default=draft.way, flag="--no-browser or --device")
