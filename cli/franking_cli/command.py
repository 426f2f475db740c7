"""The frame that every command runs in: its flags, its log, and its ending (an exit code, and with ``--json`` one
object). It prints through the console only.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from franking_cli.console import Console, exit_code

__all__ = ["account_names", "command", "internal_error", "usage_error"]

Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, show_default=False, help="Say more; twice for the dialogue with the server."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]


def command(
    function: Callable[..., Any] | None = None, *, answers: bool = True, settings: bool = False, reports: bool = False
) -> Callable[..., Any]:
    """Make a function a command: it gets a ``Console`` first, flags ``-v`` and ``--json``, and its errors become exit
    codes.

    With ``reports`` its JSON is a test report on every ending. With ``settings`` it also gets every key of every
    provider as a flag, collected in a dict ``settings``. It returns an exit code or None. An argument that names an
    account is completed with the saved names.
    """
    if function is None:
        return functools.partial(command, answers=answers, settings=settings, reports=reports)
    signature = inspect.signature(function, eval_str=True)
    own = [
        _completed(parameter) for name, parameter in signature.parameters.items() if name not in ("console", "settings")
    ]
    added = [
        inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=0, annotation=Verbose),
    ]
    if answers:
        added.append(inspect.Parameter("json_output", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json))
    keys: list[str] = []

    def sign() -> None:
        """Write down the signature that Typer reads; again whenever the command is loaded, for a provider may have been
        registered meanwhile.
        """
        every = [*(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own), *added]
        if settings:
            from franking_cli.options import parameters

            flags = parameters(taken={parameter.name for parameter in own})
            keys[:] = flags
            every.extend(flags.values())
        run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in every}

    @functools.wraps(function)
    def run(**values: Any) -> None:
        context = values.pop("context")
        console = Console(
            json_output=values.pop("json_output", False),
            verbose=values.pop("verbose", 0),
            reports=reports,
            path=context.command_path,
        )
        if settings:
            from franking_cli.options import collect

            values["settings"] = collect({key: values.pop(key) for key in keys})
        raise typer.Exit(_guarded(console, lambda: function(console, **values)))

    del run.__wrapped__
    run.sign = sign  # type: ignore[attr-defined]
    sign()
    return run


def _completed(parameter: inspect.Parameter) -> inspect.Parameter:
    for extra in getattr(parameter.annotation, "__metadata__", ()):
        if parameter.name in ("account", "name") and hasattr(extra, "autocompletion") and not extra.param_decls:
            extra.autocompletion = account_names
    return parameter


def account_names(incomplete: str) -> list[str]:
    """Complete the names of saved accounts; a settings file that cannot be read completes nothing."""
    from franking.account.config import load
    from franking.errors import SettingsError

    try:
        return [name for name in load().names if name.startswith(incomplete)]
    except SettingsError:
        return []


def _guarded(console: Console, act: Callable[[], Any]) -> int:
    from franking.errors import FrankingError
    from franking_cli.signals import interrupt, on_ending

    with _logging(console.verbose):
        try:
            with on_ending(interrupt):
                return int(act() or 0)
        except FrankingError as error:
            console.error(error)
            return exit_code(error)
        except (KeyboardInterrupt, EOFError, typer.Abort) as broken:
            return _interrupted(console, broken)
        except OSError as problem:
            if problem.filename is None:
                raise
            from franking.errors import SettingsError

            unreadable = SettingsError(f"{problem.filename}: {problem.strerror}.")
            console.error(unreadable)
            return exit_code(unreadable)


def _interrupted(console: Console, broken: BaseException) -> int:
    """Say that somebody broke in, and whether the message may have been accepted all the same."""
    from franking.sending.testsend import interrupted

    error = interrupted(broken)
    console.about |= getattr(broken, "about", {})
    if console.json_output:
        console.error(error)
    elif error.possibly_sent:
        from franking.sending.explain import explain

        console.say()
        console.diagnosis(explain(error))
    else:
        console.say("Interrupted; nothing more was done.", "warn")
    return 3 if error.possibly_sent else 130


@contextmanager
def _logging(verbose: int) -> Iterator[None]:
    """Show what the library logs on stderr while a command runs: what it does (-v), or everything with the dialogue
    (-vv).
    """
    if not verbose:
        yield
        return
    logger = logging.getLogger("franking")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacted("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    # a logger below this one may be louder for a reason of its own
    handler.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(handler.level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Redacted(logging.Formatter):
    """Look at each line once more before a person sees it: no tokens, no one-time addresses, no control characters."""

    def format(self, record: logging.LogRecord) -> str:
        from franking.redaction import redacted

        return redacted(super().format(record))


def usage_error(error: Any, arguments: list[str]) -> None:
    """Show a wrong option or a missing one, and the next command; with ``--json`` as one object."""
    sentence = str(error.format_message()).strip()
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "franking"
    if type(error).__name__ == "NoArgsIsHelpError" and "--json" not in arguments:
        Console().raw(sentence)
        return
    if type(error).__name__ == "NoArgsIsHelpError":
        sentence = "No command was given."
    _failed(sentence, "usage", path, arguments)


def internal_error(error: BaseException, arguments: list[str]) -> None:
    """Show a mistake of ours: no traceback unless asked for, for nobody can mend it with one; with ``--json`` as one
    object.
    """
    import traceback

    from franking.redaction import redacted

    if any(word.startswith("-v") or word == "--verbose" for word in arguments):
        lines = "".join(traceback.format_exception(error)).splitlines()
        Console().raw("\n".join(f"{line[: len(line) - len(line.lstrip())]}{redacted(line)}" for line in lines))
    _failed(f"{type(error).__name__}: {error}", "bug", "franking", arguments)


def _failed(sentence: str, reason: str, path: str, arguments: list[str]) -> None:
    from franking.errors import Evidence, SettingsError
    from franking.redaction import redacted

    told = redacted(sentence, limit=500)
    error = SettingsError(
        told, evidence=Evidence("settings", reason=reason, details={"usage": (*path.split(), "--help")})
    )
    reports = bool({"send-test", "check", "send"} & set(arguments[:1]))
    console = Console(json_output="--json" in arguments, reports=reports, path=path)
    console.without_hints = arguments[:1] == ["send"]
    console.error(error)
