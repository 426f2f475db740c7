"""The entry point: mounts the commands, and ends with their exit code. It imports a command's file only when that
command runs.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Any

import typer

from franking_cli.help import Command, Group

__all__ = ["COMMANDS", "load", "main", "run"]

# name: what it does. Its module in ``commands/`` has a function ``run`` or, for a group of commands, ``app``.
COMMANDS = {
    "setup": "Set an account up: recommend, sign in, test, save.",
    "send-test": "Send a test message; say what is wrong and who can mend it.",
    "check": "Take the same steps up to the login; send nothing.",
    "send": "Send one message.",
    "send-many": "Send many messages from JSON lines or CSV; resumes.",
    "explain": "Say what an error of another program means, pasted or piped.",
    "recommend": "Say which provider and settings suit a host or an address.",
    "check-domain": "Say whether receivers will trust your mail: SPF, DKIM, DMARC.",
    "register": "Make an application of your own known to Google or Microsoft.",
    "login": "Sign in, or store a password.",
    "logout": "Forget a password or a sign-in.",
    "status": "Tell where each secret is, how old, and what repairs it.",
    "accounts": "List, show, add, remove, enable or disable accounts.",
    "store": "A store that several machines share: make it, look at it.",
    "settings": "Set accounts up and test them, in a browser.",
    "health": "Look whether mail can be sent; tell what changed.",
    "outbox": "What waits to be sent, what became of it; deliver it.",
    "relay": "An SMTP server for old programs and devices.",
    "docs": "Show a page of the manual, here in the terminal.",
    "help": "Show the help of a command.",
    "version": "Show the version, that of Python, and the extras.",
}

# under which heading ``franking --help`` shows them; one that is not named here stands under the last
_PANELS = {
    "Start": ("setup", "register", "recommend", "settings"),
    "Send": ("send-test", "check", "send", "send-many", "outbox", "relay"),
    "Accounts and sign-in": ("accounts", "login", "logout", "status", "store"),
    "Checks": ("explain", "check-domain", "health"),
    "More": (),
}


class _Commands(Group):
    """Know all commands by name and help, and load only the one that is asked for: ``franking --help`` imports none of
    them.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = load(args[0])
        gc.enable()
        return super().resolve_command(ctx, args)

    def panels(self) -> dict[str, list[str]]:
        """Return all commands by heading."""
        panels = {heading: [name for name in COMMANDS if name in names] for heading, names in _PANELS.items()}
        *_, last = panels
        panels[last] = [name for name in COMMANDS if not any(name in names for names in _PANELS.values())]
        return panels


def load(name: str) -> Any:
    """Import one command and make it ready to run."""
    module = import_module(f"franking_cli.commands.{name.replace('-', '_')}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False)
        app.command(name, help=module.run.__doc__)(module.run)
    app.rich_markup_mode = None
    app.info.cls = getattr(module, "Group", Group)
    for registered in app.registered_commands:
        registered.cls = Command
        callback: Any = registered.callback
        callback.sign()
    loaded = typer.main.get_command(app)
    loaded.name = name
    return loaded


def _version(value: bool) -> None:
    if value:
        from franking_cli.commands.version import told

        typer.echo(told())
        raise typer.Exit


def build() -> Any:
    """Make the command group, its commands still unloaded."""
    app = typer.Typer(name="franking", cls=_Commands, rich_markup_mode=None, no_args_is_help=True)

    @app.callback(
        help="franking setup you@example.com\n\nSend mail through the mailbox that you already have.",
        epilog="More of one command: franking help send-test. The manual: franking docs.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    def root(
        version: bool = typer.Option(
            False,
            "--version",
            callback=_version,
            is_eager=True,
            help="Show the version, that of Python and the extras, and exit.",
        ),
    ) -> None: ...

    group = typer.main.get_command(app)
    assert isinstance(group, Group)
    for name, help_text in COMMANDS.items():
        group.commands[name] = Command(name=name, help=help_text, rich_markup_mode=None)
    return group


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code. Usage errors end here, as text or, with ``--json``, as one
    object.
    """
    try:
        return int(build().main(args=arguments, prog_name="franking", standalone_mode=False) or 0)
    except (KeyboardInterrupt, EOFError, typer.Abort):
        return 130
    except Exception as error:  # noqa: BLE001  (the end of the line: a usage error, or a mistake of ours)
        from franking_cli.command import internal_error, usage_error

        if hasattr(error, "exit_code") and hasattr(error, "format_message"):
            usage_error(error, arguments)
            return 2
        internal_error(error, arguments)
        return 3 if getattr(error, "possibly_sent", False) else 1
