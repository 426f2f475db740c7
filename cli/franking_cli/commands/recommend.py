"""``franking recommend``: which provider and settings suit a host, an address or a domain, with the evidence. Saves
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from franking.discovery.recommend import recommend
from franking.discovery.recommendation import Recommendation, phrase
from franking.errors import MessageError, SettingsError
from franking.message.address import Address
from franking.text import size_in_words
from franking_cli.command import command
from franking_cli.console import Console, shell, visible

if TYPE_CHECKING:
    from franking.discovery.probe import Probed

__all__ = ["run", "show"]


@command
def run(
    console: Console,
    what: Annotated[str, typer.Argument(metavar="HOST-OR-ADDRESS", help="A mail address, a mail server, or a domain.")],
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Answer from the name alone; look nothing up.")] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Also try the server's ports: which answer, how they are secured.")
    ] = False,
    ca_file: Annotated[str | None, typer.Option("--ca-file", help="Extra CA certificates (PEM), for --probe.")] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds for all look-ups together, and for all ports.")
    ] = 10.0,
) -> None:
    """Say which provider and settings suit a host or an address, with the evidence.

    franking recommend you@example.com
    """
    language = "en" if console.json_output else console.language
    found = recommend(what, offline=offline, timeout=timeout, language=language)
    if not probe:
        results, conclusion = [], ""
    else:
        from franking.discovery.probe import advice, filled_in, probe_ports

        results = probe_ports(_host(console, found), ca_file=ca_file, timeout=timeout)
        conclusion = advice(results, language=language)
        found = filled_in(found, results, language=language)
    if console.json_output:
        answer = found.as_dict()
        if probe:
            answer |= {"probe": [result.as_dict() for result in results], "advice": conclusion}
        console.answer(answer)
        return
    show(console, found)
    if probe:
        _show_probed(console, found, results, conclusion)
    _show_next(console, found, what, probed=probe)


def _host(console: Console, found: Recommendation) -> str:
    """Return the host to try: the one that was typed, or that is recommended for an address."""
    if found.kind == "host":
        return found.input
    host = found.settings["host"]
    if host is None and found.kind == "domain":
        host = found.input  # a bare name that nobody knows may well be a server
    if host is None:
        raise SettingsError(console.words("recommend.no-server"), field="host")
    return str(host)


def _show_next(console: Console, found: Recommendation, what: str, *, probed: bool) -> None:
    if found.command:
        lines = [console.words("screen.following", command=found.command)]
    elif found.kind == "host" and not probed:
        probes = shell("franking", "recommend", "--probe", what)
        lines = [console.words("screen.following", command=probes)]
    elif address := _address(found):
        following = shell("franking", "setup", address, "--host", "SERVER")
        lines = [console.words("recommend.by-help"), console.words("screen.following", command=following)]
    else:
        return
    for line in ("", *lines):
        console.say(line)


def _address(found: Recommendation) -> str | None:
    if found.kind != "address":
        return None
    try:
        return Address.parse(found.input).address
    except MessageError:
        return None


def show(console: Console, found: Recommendation, *, brief: bool = False) -> None:
    """Show a recommendation: the reasons for the eye, and unless ``brief`` the settings on stdout and the evidence."""
    if found.provider is None:
        console.say(f"? {console.words('recommend.none')}", "warn")
    else:
        console.say(f"✓ {visible(found.title)} ({console.said(found.confidence)})", "good")
    console.say(console.spoken(found.reason), indent="  ")
    for warning in found.warnings:
        console.say(f"! {console.spoken(warning)}", "warn", hang="  ")
    if not brief:
        _show_settings(console, found)


def _show_settings(console: Console, found: Recommendation) -> None:
    if found.provider is not None:
        console.say()
        for key, value in {"provider": found.provider, **found.settings}.items():
            if value is not None:
                console.data(f"  {key:<9} {visible(str(value))}")
    if found.evidence:
        console.say("\n" + console.words("recommend.seen"), "faint")
        for clue in found.evidence:
            console.say(
                f"{console.said(clue.source):<11}{console.spoken(clue.detail)}", "faint", indent="  ", hang=" " * 13
            )


def _show_probed(console: Console, found: Recommendation, results: Iterable[Probed], conclusion: str) -> None:
    console.say()
    for result in results:
        _show_port(console, result)
    if found.why != "probe":  # else it stands above as the reason
        console.say(console.spoken(conclusion), "strong")


def _show_port(console: Console, result: Probed) -> None:
    words = [console.said(result.tls, "details"), console.said(result.problem)]
    if result.answers:
        words.insert(0, phrase("security", result.security, language=console.language))
    symbol, style = "✗", "bad"
    if result.usable:
        symbol, style = "✓", "good"
        login = "recommend.login" if result.auth else "recommend.no-login"
        words.append(console.words(login, ways=", ".join(result.auth)))
        if result.size:
            words.append(console.words("recommend.size", size=size_in_words(result.size)))
    console.say(f"{symbol} {result.port:<5} {console.spoken('; '.join(filter(None, words)))}", style, hang=" " * 8)
