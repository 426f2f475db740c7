"""``franking setup``: from an address to a saved account that has sent a test message. One question at a time; what is
known is filled in.

Recommend → choose → sign in → test → save. Until the test has passed, or the person insists, everything lies in memory:
an interruption leaves nothing behind. Every question has a flag, so that it also runs without a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import unquote, urlsplit

import typer

from franking.account.account import Account
from franking.errors import SettingsError
from franking.message.address import Address
from franking_cli.command import command as framed
from franking_cli.console import Console, LoginScreen, exit_code, shell, visible
from franking_cli.signals import on_ending

if TYPE_CHECKING:
    from franking.auth.store import MemoryStore
    from franking.discovery.recommendation import Recommendation
    from franking.provider import Provider
    from franking.sending.testsend import TestReport

__all__ = ["command", "dragged"]

Value = TypeVar("Value")


def _memory() -> MemoryStore:
    from franking.auth.store import MemoryStore

    return MemoryStore()


@dataclass
class _Plan:
    """What is known so far; nothing of it is written anywhere."""

    sender: Address
    provider: Provider
    settings: dict[str, Any]
    name: str = ""
    client_file: Path | None = None
    store: MemoryStore = field(default_factory=_memory)


@dataclass(frozen=True)
class _Ways:
    """How the person wants to be asked and signed in."""

    password_stdin: bool = False
    device: bool = False
    no_browser: bool = False


@framed(settings=True)
def command(
    console: Console,
    address: Annotated[str | None, typer.Argument(help="Your mail address, with or without a name.")] = None,
    *,
    name: Annotated[str | None, typer.Option("--name", help="What to call the account.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Where the test message goes; by default to yourself.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
    ] = False,
    device: Annotated[
        bool, typer.Option("--device", help="Sign in with a code on another device (Microsoft).")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Show the address, and take the one that the browser ended at.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Recommend from the names alone; look nothing up.")
    ] = False,
    save_anyway: Annotated[
        bool, typer.Option("--save-anyway", help="Save the account even if the test fails.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Write over an account of this name.")] = False,
    default: Annotated[
        bool, typer.Option("--default", help="Make it the account that is meant when nobody names one.")
    ] = False,
    settings: dict[str, Any],
) -> int:
    """Set an account up: recommend, sign in, test, save. Nothing is written before the test has passed."""

    given = dict(settings)
    plan = _plan(console, address, given, offline=offline)
    _client(console, plan)
    _complete(console, plan)
    plan.name = _name(console, plan, name, replace=replace)
    ways = _Ways(password_stdin, device, no_browser)
    account = _account(plan)
    secret = _sign_in(console, account, plan, ways)
    recipient = _recipient(console, to, account)
    while True:
        report = _test(console, account, plan, secret, recipient)
        answer = "save" if report.ok or save_anyway else _what_now(console, plan)
        if answer not in ("again", "change"):
            break
        if answer == "change":
            _change(console, plan)
            account = _account(plan)
        secret = _sign_in(console, account, plan, _Ways(device=device, no_browser=no_browser))
    if answer == "save":
        _save(account, plan, secret, replace=replace, default=default)
    _tell(console, account, report, saved=answer == "save")
    return exit_code(report.error)


# --- questions ------------------------------------------------------------------------------------------------------------


def _asked(
    console: Console,
    question: str,
    read: Callable[[str], Value],
    *,
    given: str | None = None,
    default: str | None = None,
    flag: str,
) -> Value:
    """Take what a flag gave, else ask until the answer can be read; without a terminal the default counts, or the flag
    is named.
    """
    if given is not None:
        return read(given)
    while True:
        text = (
            default
            if default is not None and not console.interactive
            else console.ask(question, default=default, flag=flag)
        )
        try:
            return read(text or "")
        except ValueError as problem:
            if not console.interactive:
                raise
            console.say(visible(str(problem)), "warn")


def _plan(console: Console, address: str | None, given: dict[str, Any], *, offline: bool) -> _Plan:
    """Find out who sends, and by which provider."""
    import franking

    text = given.pop("sender", None)
    sender = _asked(console, "Your mail address", Address.parse, given=text or address, flag="ADDRESS")
    typed = given.get("host")
    found = franking.recommend(typed or sender.address, offline=offline)
    if not console.json_output:
        from franking_cli.commands.recommend import show

        show(console, found)
    provider = _choose(console, found, given)
    settings = {**_recommended(found, provider, sender), **given}
    if settings.pop("no_auth", False):
        settings["username"] = None
    return _Plan(sender, provider, settings)


def _choose(console: Console, found: Recommendation, given: dict[str, Any]) -> Provider:
    """Let the person choose the provider, the recommended one first; a flag chooses without a question."""
    from franking.registry import provider, providers

    wanted = given.pop("provider", None)
    # takes a name and a password, as a server that nobody knows does
    plain = next(one.name for one in providers() if not one.facts.oauth)
    if wanted is None and given.get("host") and not console.interactive:
        wanted = plain
    if wanted is not None:
        return provider(wanted)
    likeliest = found.provider or (plain if given.get("host") else None)
    choices = sorted(providers(), key=lambda one: one.name != likeliest)
    if console.interactive:
        console.say()
        for number, one in enumerate(choices, 1):
            console.say(
                f"{number}. {one.title}" + (" (recommended)" if one.name == found.provider else ""), indent="  "
            )

    def read(text: str) -> Provider:
        if text.isascii() and text.isdigit() and 0 < int(text) <= len(choices):
            return choices[int(text) - 1]
        if not text or text.isdigit():
            raise SettingsError(f"Please type a number from 1 to {len(choices)}.")
        return provider(text)

    first = None if likeliest is None else ("1" if console.interactive else likeliest)
    return _asked(console, "Which one", read, default=first, flag="--provider")


def _recommended(found: Recommendation, provider: Provider, sender: Address) -> dict[str, Any]:
    """Take the recommended settings over where a server and a login name are what the provider needs, another road to
    the same mailbox included.
    """
    if found.provider is None or provider.facts.oauth or all(one.name != "host" for one in provider.fields):
        return {}
    settings = {
        key: found.settings[key] for key in ("host", "port", "security", "username") if found.settings[key] is not None
    }
    return settings if found.kind == "address" else {"username": sender.address, **settings}


def _client(console: Console, plan: _Plan) -> None:
    """Ask for what makes this program known to the provider, where it wants that and nobody gave it yet."""
    client = plan.provider.facts.client
    if client is None or any(plan.settings.get(key) for key in client.instead):
        return
    from franking.account.config import load

    given = plan.settings.get(client.key)
    default = load().defaults_of(plan.provider).get(client.key)
    if given is None and default is not None:
        client.check(str(default))  # it stands in the settings file or the environment, and stays there
        return
    if given is None and console.interactive:
        console.say()
        for line in client.steps:
            console.say(line, indent="  ", hang="     " if line[:1].isdigit() else "  ")
        console.say(f"More: {client.page}", indent="  ")

    def read(text: str) -> str:
        value = str(dragged(text)) if client.file else text.strip()
        client.check(value)
        return value

    value = _asked(console, client.question, read, given=given, flag="--" + client.key.replace("_", "-"))
    plan.settings[client.key] = value
    plan.client_file = Path(value) if client.file else None


def dragged(text: str) -> Path:
    """Read a path as terminals paste it when a file is dropped on them: quotes, escaped blanks, ``file://``, blanks
    around it.
    """
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    elif not Path(text).exists():
        text = text.replace("\\ ", " ")
    if text.lower().startswith("file://"):
        text = unquote(urlsplit(text).path)
        if len(text) > 2 and text[0] == "/" and text[2] == ":":  # file:///C:/…
            text = text[1:]
    return Path(text).expanduser()


def _complete(console: Console, plan: _Plan) -> None:
    """Ask for the settings without which there is no account: the provider's own checks say which."""
    fields = {one.name: one for one in plan.provider.fields}
    while True:
        try:
            _account(plan, name="new")
        except SettingsError as problem:
            missing = problem.field or ""
            if missing not in fields or plan.settings.get(missing) is not None:
                raise
            field_ = fields[missing]
            plan.settings[missing] = _asked(console, field_.help.rstrip("."), field_.read, flag=field_.flag)
        else:
            break
    if _has_server(plan):
        _connection(console, plan)


def _has_server(plan: _Plan) -> bool:
    return not plan.provider.facts.oauth and any(one.name == "host" for one in plan.provider.fields)


def _change(console: Console, plan: _Plan) -> None:
    """Ask once more for the server and what belongs to it; what was said before is filled in."""
    (host,) = [one for one in plan.provider.fields if one.name == "host"]
    before = {key: plan.settings.pop(key, None) for key in ("host", "security", "port", "username")}
    plan.settings["host"] = _asked(console, host.help.rstrip("."), host.read, default=before["host"], flag=host.flag)
    _connection(console, plan, before)


def _connection(console: Console, plan: _Plan, before: Mapping[str, Any] | None = None) -> None:
    """Ask for what is not known of a server: security, port and login name. ``before`` is what was said of it the last
    time.
    """
    from franking.discovery.recommend import recommend

    fields = {one.name: one for one in plan.provider.fields}
    found = recommend(plan.settings["host"], offline=True)
    known = found.settings if found.provider == plan.provider.name else dict(before or {})
    for key in ("security", "port"):
        if before and key == "port" and plan.settings["security"] != before["security"]:
            known = {**known, "port": None}  # the port goes with the security
        if key not in plan.settings:
            default = str(known.get(key) or _account(plan, name="new").settings[key])
            choices = f" ({', '.join(fields[key].choices)})" if fields[key].choices else ""
            plan.settings[key] = _asked(
                console, f"{key.capitalize()}{choices}", fields[key].read, default=default, flag=fields[key].flag
            )
    if "username" not in plan.settings and (
        known.get("username")
        or console.confirm("Does the server want a login?", default=True, flag="--username or --no-auth")
    ):
        plan.settings["username"] = _asked(
            console,
            "Login name",
            fields["username"].read,
            default=known.get("username") or plan.sender.address,
            flag="--username",
        )


def _name(console: Console, plan: _Plan, given: str | None, *, replace: bool) -> str:
    from franking.account.config import load

    taken = load().names

    def read(text: str) -> str:
        if text in taken and not replace:
            raise SettingsError(
                f"There is an account {text!r} already; choose another name, or replace it with --replace.",
                field="name",
            )
        return _account(plan, name=text).name

    local, _, domain = plan.sender.address.rpartition("@")
    shared = plan.provider.facts.mail_domains
    stem = local if domain.lower() in shared else domain.partition(".")[0]
    stem = "".join(char for char in stem if char.isalnum() or char in "-_.") or "mail"
    free = next(name for number in range(1, 1000) if (name := stem if number == 1 else f"{stem}-{number}") not in taken)
    return _asked(console, "Name of the account", read, given=given, default=free, flag="--name")


def _recipient(console: Console, to: str | None, account: Account) -> str:
    return _asked(
        console, "Send the test message to", Address.parse, given=to, default=account.sender.address, flag="--to"
    ).address


def _what_now(console: Console, plan: _Plan) -> str:
    """Ask what to do after a test that failed; without a terminal nothing is saved."""
    if not console.interactive:
        return "quit"

    server = _has_server(plan)
    answers = ("again", "change", "save", "quit") if server else ("again", "save", "quit")
    ways = "Try again with another password, change the settings" if server else "Sign in and try again"

    def read(text: str) -> str:
        for answer in answers:
            if text and answer.startswith(text.lower()):
                return answer
        raise SettingsError(f"Please answer {', '.join(answers[:-1])} or {answers[-1]}.")

    console.say()
    console.say(f"{ways}, save it anyway, or quit?")
    return _asked(console, f"What now ({'/'.join(answers)})", read, default="quit", flag="--save-anyway")


# --- acts -----------------------------------------------------------------------------------------------------------------


def _account(plan: _Plan, *, name: str | None = None) -> Account:
    from franking.account.config import load
    from franking.account.url import write_url
    from franking_cli.options import words

    given = {key: value for key, value in plan.settings.items() if value is not None}
    made = load().build(
        name=name if name is not None else plan.name, provider=plan.provider.name, sender=plan.sender, **plan.settings
    )
    return made.referred_to_as(
        write_url(made), words({"provider": plan.provider.name, "sender": str(plan.sender), **given})
    )


def _sign_in(console: Console, account: Account, plan: _Plan, ways: _Ways) -> str | None:
    """Sign in (the grant goes to the store in memory), or take a password; None where neither is needed."""
    from franking.auth.sources import Sources, keyed_by_settings
    from franking.auth.store import save_grant
    from franking.provider import SupportsLogin, needs_secret
    from franking_cli.commands.login import told_of
    from franking_cli.options import password_from_stdin

    provider = plan.provider
    console.account = account.referred_to_as("", ())  # nothing is saved yet: no command could name it
    if isinstance(provider, SupportsLogin) and provider.needs_login(account):
        screen = LoginScreen(console, no_browser=ways.no_browser, device=ways.device)
        grant = provider.login(account, screen)
        save_grant(plan.store, account.name, grant)
        if not console.json_output:
            console.say(f"✓ Signed in as {told_of(grant, provider.who(grant))}.", "good")
        return None
    if not needs_secret(account, provider) or keyed_by_settings(account):
        return None
    if ways.password_stdin:
        return password_from_stdin()
    import os

    if Sources(account, plan.store, os.environ).password() is not None:
        return None  # from a command, a file or the environment
    what = (
        "Client secret" if provider.facts.oauth else f"Password of {visible(account.get('username') or account.name)}"
    )
    while not (password := console.ask(what, hidden=True, flag="--password-stdin")):
        console.say("Nothing was typed.", "warn")
    return password


def _test(console: Console, account: Account, plan: _Plan, secret: str | None, to: str) -> TestReport:
    from franking.sending.testsend import send_test

    if not console.json_output:
        console.say()
        console.say(f"Sending a test message to {visible(to)}", "strong")
    report = send_test(account, to, secret=secret, observer=console.step, store=plan.store)
    if plan.client_file is not None:  # a download is open to others, and the copy that is kept will not be
        report = replaced(report, hints=tuple(hint for hint in report.hints if hint.code != "file.open-to-others"))
    if not console.json_output:
        console.result(report, sent=f"The test message was accepted; look into the inbox of {visible(to)}.")
    return report


def _save(account: Account, plan: _Plan, secret: str | None, *, replace: bool, default: bool) -> None:
    """Write secret, client file and settings, the settings last; all of it or nothing."""
    from franking.account.config import config_path
    from franking.account.editing import save
    from franking.atomic import make_private, write_whole
    from franking.auth.store import open_store, save_password

    store = open_store()
    if secret:
        save_password(plan.store, account.name, secret)
    kept = plan.store.load(account.name)
    client, target = plan.provider.facts.client, None
    with _uninterrupted():
        before = store.load(account.name) if kept else None
        try:
            if kept:
                with store.lock(account.name):
                    store.save(account.name, kept)
            if client is not None and plan.client_file is not None:
                target = config_path().parent / f"{account.name}.client.json"
                make_private(target.parent)
                write_whole(target, plan.client_file.read_bytes())
                account = account.replace(**{client.key: str(target)})
            save(account, replace=replace, default=default)
        except BaseException:
            if target is not None and not replace:
                target.unlink(missing_ok=True)
            if kept and before is None:
                store.delete(account.name)
            elif kept and before is not None:
                store.save(account.name, before)
            raise


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and its like back for the few milliseconds of writing; they count afterwards."""
    pending: list[int] = []
    with on_ending(lambda number, frame: pending.append(number)):
        yield
    if pending:
        raise KeyboardInterrupt


def _tell(console: Console, account: Account, report: TestReport, *, saved: bool) -> None:
    from franking.account.config import config_path

    if console.json_output:
        told: Mapping[str, Any] = {**report.as_dict(), "saved": saved}
        console.answer(told)
        return
    console.say()
    if saved:
        console.say(f"✓ The account {visible(account.name)} is saved in {config_path()}.", "good")
        console.say(f"Next: {shell('franking', 'send', account.name, '--to', account.sender.address)}", indent="  ")
    else:
        console.say("Nothing was saved.", "warn")
