"""``franking relay``: an SMTP server for old programs and devices; its users, made and removed."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Annotated, Any

import typer

from franking.account.config import load
from franking.errors import SettingsError
from franking.relay.events import Event
from franking.relay.interfaces import addresses_of_interfaces
from franking.relay.relay import Relay
from franking.relay.settings import FIELDS, plain_address
from franking_cli.command import command
from franking_cli.console import Console, visible
from franking_cli.help import Group as PlainGroup
from franking_cli.options import METAVARS, PasswordStdin, password_from_stdin
from franking_cli.service import handed_sockets, served
from franking_cli.signals import on_ending

__all__ = ["app"]


class Group(PlainGroup):
    """Take ``franking relay`` with the flags of ``run`` for ``franking relay run``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "-h")):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    add_completion=False,
    help="An SMTP server on this machine, so that old programs and devices keep mailing.",
)


_USUAL = ("account", "allow", "wait")


_LISTS = frozenset(field.name for field in FIELDS if field.type == "names")


def _flags() -> list[inspect.Parameter]:
    """Make a flag of each scalar key of ``[relay]``; numbers are read by the field itself, which says better what is
    wrong with one.
    """
    found = []
    for field in FIELDS:
        metavar = "|".join(field.choices) or METAVARS.get(field.type, "TEXT")
        panel = None if field.name in _USUAL else "Rarer settings"
        option = typer.Option(field.flag, help=field.help, metavar=metavar, show_default=False, rich_help_panel=panel)
        kind: Any = str
        if field.name in _LISTS:
            kind = list[str]
        found.append(
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
            )
        )
    return found


def _run(console: Console, *, listen: list[str] | None = None, no_run: bool = False, **keys: Any) -> int:
    """Take mail over SMTP, and send it by an account, until it is stopped (Ctrl-C, SIGTERM).

    franking relay run
    franking relay run --listen 0.0.0.0:587
    """
    given: dict[str, Any] = {key: value for key, value in keys.items() if value}
    for key in given.keys() & _LISTS:  # each may hold several, as help says
        given[key] = ",".join(given[key])
    if listen:
        given["listen"] = listen
    screen = _Screen(console)
    sockets = handed_sockets()
    relay = Relay.of_settings(given, run=not no_run, observer=screen.tell, sockets=sockets)
    stop = threading.Event()
    with on_ending(lambda number, frame: stop.set()):
        relay.start()
        screen.advise(relay, by_hand=not sockets)
        with served():
            while not stop.wait(0.5):
                if not relay.alive:
                    raise SettingsError(console.words("relay.ended"), field="relay")
        relay.stop()
    return 0


_LISTEN = Annotated[
    list[str] | None, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen; may be repeated.")
]
_NO_RUN = Annotated[bool, typer.Option("--no-run", help="Only receive: franking outbox run delivers elsewhere.")]
_own = list(inspect.signature(_run, eval_str=True).parameters.values())[:1]
_own.append(inspect.Parameter("listen", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_LISTEN))
_own.append(inspect.Parameter("no_run", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_NO_RUN))
_run.__signature__ = inspect.Signature([*_own, *_flags()])  # type: ignore[attr-defined]
run: Callable[..., Any] = app.command("run", help=_run.__doc__)(command(_run))


class _Screen:
    """Show what happens: listening and messages on stdout, the rest on stderr. Called from the relay's thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()

    def tell(self, event: Event) -> None:
        with self._lock:
            if self._console.json_output:
                self._console.answer(event.as_dict())
            else:
                self._show(event)

    def _show(self, event: Event) -> None:
        console, values = self._console, event.values
        match event.name:
            case "listening":
                # the first word is what scripts wait for, in every language
                console.data(f"listening  {values['address']}  {self._security(values['tls'])}")
                if values["fingerprint"]:
                    console.say(console.words("relay.fingerprint", fingerprint=values["fingerprint"]))
            case "message":
                to = visible(", ".join(values["to"][:3]))
                if len(values["to"]) > 3:
                    more = console.words("outbox.more", number=len(values["to"]) - 3)
                    to += console.spoken(more, wrapped=False)
                outcome = console.said(values["outcome"], "states")
                who = (visible(str(word)) for word in (values["user"] or values["client"], values["from"]))
                console.data("  ".join((outcome, *who, to, visible(str(values["reply"])))))
            case "refused":
                said = {key: visible(str(values[key])) for key in ("stage", "client", "reply")}
                console.say(console.words("relay.refused", **said), "warn")
            case "login-failed":
                wrong = console.words("relay.wrong-login", user=repr(values["user"]), client=values["client"])
                hint = console.said(values["hint"] or "")
                console.say(console.spoken("; ".join(filter(None, (wrong, hint)))), "warn")
            case "warning":
                console.say(console.spoken(console.said(values["text"])), "warn")
            case _:
                pass

    def _security(self, tls: str) -> str:
        return _TLS.get(tls) or self._console.words("relay.no-encryption")

    def advise(self, relay: Relay, *, by_hand: bool) -> None:
        """Say what to type into the device or program, and to a person at a terminal what else can be done."""
        if self._console.json_output:
            return
        places = list(zip(relay.settings.listen, relay.addresses, strict=True))
        # programs on this machine may use what is for devices elsewhere, not the other way round
        listen, (_, port) = next((place for place in places if not place[0].loopback), places[0])
        local = listen.loopback
        words = self._console.words
        where = words("relay.at-local") if local else self._reached(listen.host)
        logins = [words("relay.no-login")] * bool(relay.settings.allow) + list(relay.settings.users)
        login = ", ".join(logins)
        login = login.replace(", ", words("relay.or"), 1)
        security = self._security(listen.tls)
        with self._lock:
            say = self._console.say
            say(words("relay.type"), "strong")
            for key, value in (("server", where), ("port", port), ("security", security), ("login", login)):
                say(words(f"relay.{key}", value=value), indent="  ")
            if by_hand and local:
                say(words("relay.elsewhere"), "faint")
            if by_hand:
                say(words("relay.ends"), "faint")

    def _reached(self, host: str) -> str:
        """Return what a device elsewhere calls this machine."""
        if not plain_address(host).is_unspecified:
            return host
        found = [each for each in addresses_of_interfaces() if not each.startswith("127.")]
        if not found:
            return self._console.words("relay.at-any")
        return self._console.words("relay.at-one-of", addresses=", ".join(found[:4]))


_TLS = {"starttls": "STARTTLS", "implicit": "SSL/TLS"}


# --- users ------------------------------------------------------------------------------------------------------------

_Name = Annotated[str, typer.Argument(metavar="NAME", help="What the device logs in as.")]


@app.command("add-user")
@command
def add_user(
    console: Console,
    name: _Name,
    *,
    account: Annotated[
        str | None, typer.Option("--account", metavar="NAME", help="The account that sends for it.")
    ] = None,
    sender: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="ADDRESS", help="What it may send from (@novak.cz: a domain); may be repeated."),
    ] = None,
    on_blocked: Annotated[
        str | None,
        typer.Option("--on-blocked", metavar="refuse|hold", help="Refuse, or keep, what cannot be sent just now."),
    ] = None,
    password_stdin: PasswordStdin = False,
) -> None:
    """Make a user, with a password of its own that is shown once.

    franking relay add-user printer --from scanner@novak.cz
    """
    from franking.relay.devices import add_user as make_user
    from franking.relay.devices import users_of

    if on_blocked not in (None, "refuse", "hold"):
        raise typer.BadParameter("say refuse or hold", param_hint="--on-blocked")
    given = password_from_stdin() if password_stdin else None
    password = make_user(name, account=account, senders=sender or (), on_blocked=on_blocked, password=given)
    config = load()
    table = config.sections.get("relay", {})
    user = users_of(table)[name]
    by = user.account or table.get("account") or config.chosen
    senders = list(user.senders)
    if not senders and by in config.tables:
        senders = [config.account(str(by)).sender.address]
    if console.json_output:
        console.answer({"name": name, "password": password, "account": by, "from": senders})
        return
    console.data(f"name      {name}")
    console.data(f"password  {console.words('relay.given') if given else password}")
    may = visible(", ".join(senders)) or console.words("relay.nothing-yet")
    console.say(console.words("relay.made-given" if given else "relay.made", name=visible(name), senders=may))
    if senders and "listen" not in table:
        _place(console)


def _place(console: Console) -> None:
    """Have the relay listen for other machines where a person says that the device is one; else tell what comes next.
    Nothing is opened to a network without having been asked for.
    """
    words = console.words
    if not console.interactive:
        console.say(words("relay.next-elsewhere", command="franking relay run --listen 0.0.0.0:587"), "faint")
        return
    if console.confirm(words("relay.is-elsewhere")):
        from franking.relay.devices import listen_elsewhere

        console.say(words("relay.listens", address=listen_elsewhere()))
    console.say(words("relay.next", command="franking relay"), "faint")


@app.command("users")
@command
def users(console: Console) -> None:
    """List the users; their passwords are not known here.

    franking relay users
    """
    from franking.relay.devices import users_of

    found = users_of(load().sections.get("relay", {}))
    if console.json_output:
        console.answer([
            {"name": user.name, "account": user.account, "from": list(user.senders), "on_blocked": user.on_blocked}
            for user in found.values()
        ])  # fmt: skip
        return
    for user in found.values():
        console.data(f"{user.name:<20}  {user.account or '-':<16}  {', '.join(user.senders) or '-'}")
    if not found:
        console.say(console.words("relay.no-users"))


@app.command("remove-user")
@command
def remove_user(console: Console, name: _Name) -> None:
    """Remove a user; a relay that runs ends its sessions.

    franking relay remove-user printer
    """
    from franking.relay.devices import remove_user as take_user

    take_user(name)
    if console.json_output:
        console.answer({"name": name, "removed": True})
    else:
        console.say(console.words("relay.removed", name=visible(name)), "good")
