"""How every command begins and ends: its flags, its log, its errors as exit codes, and with ``--json`` one object. It
prints through the console only.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from franking.errors import Evidence, FrankingError, SettingsError, discreet
from franking.redaction import redacted
from franking_cli.console import Console
from franking_cli.exit_codes import exit_code
from franking_cli.help import EVERY
from franking_cli.logs import logging_to_stderr
from franking_cli.screen import show_diagnosis, show_error, show_go_on
from franking_cli.signals import interrupt, on_ending
from franking_cli.words import asked_language, languages

__all__ = ["account_names", "command", "internal_error", "usage_error"]


def _checked_language(value: str | None) -> str | None:
    """Refuse a language that nobody wrote."""
    if value is not None and asked_language(value, {}) is None:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(languages())}")
    return value


Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help="Say more; twice for the dialogue with the server.",
        rich_help_panel=EVERY,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.", rich_help_panel=EVERY)]

Language = Annotated[
    str | None,
    typer.Option(
        "--language",
        metavar="cs|en",
        help="Language of what a person reads; by default FRANKING_LANGUAGE, else the locale's.",
        callback=_checked_language,
        rich_help_panel=EVERY,
    ),
]

_ADDED = [
    inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
    inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=0, annotation=Verbose),
    inspect.Parameter("json_output", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json),
    inspect.Parameter("language", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Language),
]


def command(
    function: Callable[..., Any] | None = None, *, settings: bool = False, reports: bool = False
) -> Callable[..., Any]:
    """Make a function a command: it gets a ``Console`` first, flags ``-v`` and ``--json``, and its errors become exit
    codes.

    With ``reports`` its JSON is a test report on every ending. With ``settings`` it also gets every key of every
    provider as a flag, collected in a dict ``settings``. It returns an exit code or None. An argument that names an
    account is completed with the saved names. What the docstring and the options' panels show is told in ``help.py``.
    """
    if function is None:
        return functools.partial(command, settings=settings, reports=reports)
    signature = inspect.signature(function, eval_str=True)
    own = [_completed(parameter) for name, parameter in signature.parameters.items() if name not in _GIVEN]
    keys: list[str] = []

    def sign() -> None:
        """Write down the signature that Typer reads; again whenever the command is loaded, for a provider may have been
        registered meanwhile.
        """
        every = [*(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own), *_ADDED]
        if settings:
            from franking_cli.options import parameters

            flags = parameters(own={parameter.name for parameter in own})
            keys[:] = flags
            every.extend(flags.values())
        run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in every}

    @functools.wraps(function)
    def run(*, context: typer.Context, verbose: int = 0, json_output: bool = False, **values: Any) -> None:
        language = values.pop("language", None)
        console = Console(
            json_output=json_output, verbose=verbose, reports=reports, path=context.command_path, language=language
        )
        console.typed = _typed(context)
        if settings:
            flags = {key: values.pop(key) for key in keys}
            values["settings"] = {key: value for key, value in flags.items() if value is not None}
        raise typer.Exit(_guarded(console, lambda: function(console, **values)))

    del run.__wrapped__
    run.sign = sign  # type: ignore[attr-defined]
    sign()
    return run


def _typed(context: typer.Context) -> frozenset[str]:
    """Return the options that were typed, by all of their names."""
    given = (each for each in context.command.params if _source(context, each) == "COMMANDLINE")
    return frozenset(name for each in given for name in each.opts)


def _source(context: typer.Context, parameter: Any) -> str:
    found = context.get_parameter_source(parameter.name)
    return found.name if found is not None else ""


_GIVEN = ("console", "settings")


def _completed(parameter: inspect.Parameter) -> inspect.Parameter:
    for extra in getattr(parameter.annotation, "__metadata__", ()):
        if parameter.name in ("account", "name") and hasattr(extra, "autocompletion") and not extra.param_decls:
            extra.autocompletion = account_names
    return parameter


def account_names(incomplete: str) -> list[str]:
    """Complete the names of saved accounts; a settings file that cannot be read completes nothing."""
    from franking.account.config import load

    try:
        return [name for name in load().names if name.startswith(incomplete)]
    except SettingsError:
        return []


def _guarded(console: Console, act: Callable[[], Any]) -> int:
    with logging_to_stderr(console.verbose):
        try:
            with on_ending(interrupt), discreet:
                return int(act() or 0)
        except FrankingError as raised:
            error = raised
        except (KeyboardInterrupt, EOFError, typer.Abort) as broken:
            return _interrupted(console, broken)
        except OSError as problem:
            error = _of_a_path(problem)
        show_error(console, error)
    show_go_on(console)
    return exit_code(error)


def _of_a_path(problem: OSError) -> SettingsError:
    """Return what to tell somebody whose file cannot be read, or whose folder was removed; raise what is neither."""
    if problem.filename is not None:
        return SettingsError(f"{problem.filename}: {problem.strerror}.", evidence=file_named(problem.filename))
    try:
        Path.cwd()
    except FileNotFoundError:
        return SettingsError(
            "The folder that you are in was removed.", evidence=Evidence("settings", reason="no-directory")
        )
    raise problem


def file_named(path: object) -> Evidence:
    """Return what was seen of a file that somebody named and that cannot be read."""
    directory = ""
    with suppress(OSError):  # it may have been removed meanwhile
        directory = str(Path.cwd())
    return Evidence("settings", reason="file", details={"path": str(path), "directory": directory})


def _interrupted(console: Console, broken: BaseException) -> int:
    """Say that somebody broke in, and whether the message may have been accepted all the same."""
    from franking.sending.explain import explain
    from franking.sending.testsend import interrupted

    error = interrupted(broken)
    console.about |= getattr(broken, "about", {})
    if console.json_output:
        show_error(console, error)
    elif error.possibly_sent:
        console.say()
        show_diagnosis(console, explain(error))
    else:
        console.say(console.words("screen.interrupted"), "warn")
    show_go_on(console)
    return 3 if error.possibly_sent else 130


def usage_error(error: Any, arguments: list[str]) -> None:
    """Show a wrong option or a missing one, and the next command; with ``--json`` as one object."""
    sentence = str(error.format_message()).strip()
    if type(error).__name__ == "NoArgsIsHelpError":
        if "--json" not in arguments:
            Console().raw(sentence)
            return
        sentence = "No command was given."
    context = getattr(error, "ctx", None)
    _failed(sentence, "usage", getattr(context, "command_path", "franking"), arguments)


def internal_error(error: BaseException, arguments: list[str]) -> None:
    """Show a mistake of ours: no traceback unless asked for, for nobody can mend it with one; with ``--json`` as one
    object.
    """
    import traceback

    if any(word.startswith("-v") or word == "--verbose" for word in arguments):
        lines = "".join(traceback.format_exception(error)).splitlines()
        Console().raw("\n".join(f"{line[: len(line) - len(line.lstrip())]}{redacted(line)}" for line in lines))
    _failed(f"{type(error).__name__}: {error}", "bug", "franking", arguments)


def _failed(sentence: str, reason: str, path: str, arguments: list[str]) -> None:
    evidence = Evidence("settings", reason=reason, details={"usage": (*path.split(), "--help")})
    word = "".join(arguments[:1])
    given = "".join(arguments[at + 1] for at, word in enumerate(arguments[:-1]) if word == "--language")
    console = Console(
        language=given, json_output="--json" in arguments, reports=word in ("send-test", "check", "send"), path=path
    )
    console.without_hints = word == "send"
    show_error(console, SettingsError(redacted(sentence, limit=500), evidence=evidence))
