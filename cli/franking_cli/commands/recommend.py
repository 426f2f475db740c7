"""``franking recommend``: which provider and settings suit a host, an address or a domain, with the evidence. Saves
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from franking_cli.command import command as framed
from franking_cli.console import Console, shell, visible

if TYPE_CHECKING:
    from franking.discovery.probe import Probed
    from franking.discovery.recommendation import Recommendation

__all__ = ["command", "show"]


@framed
def command(
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
) -> int:
    """Say which provider and settings suit a host or an address, with the evidence."""
    import franking

    found = franking.recommend(what, offline=offline, timeout=timeout)
    tried = _probe(found, ca_file, timeout) if probe else None
    if console.json_output:
        console.answer({**found.as_dict(), **_as_dict(tried)})
        return 0
    show(console, found)
    if tried is not None:
        _show_probe(console, tried)
    if found.command:
        console.say()
        console.say(f"Next: {found.command}")
    elif not probe and found.kind == "host":
        console.say()
        console.say(f"Next: {shell('franking', 'recommend', '--probe', what)}")
    elif address := _address(found):
        console.say()
        console.say("Your mailbox provider's help names its outgoing (SMTP) server. With that:")
        console.say(f"Next: {shell('franking', 'setup', address, '--host', 'SERVER')}")
    return 0


def _address(found: Recommendation) -> str | None:
    from franking.errors import MessageError
    from franking.message.address import Address

    try:
        return Address.parse(found.input).address if found.kind == "address" else None
    except MessageError:
        return None


def _probe(found: Recommendation, ca_file: str | None, timeout: float) -> list[Probed]:
    """Try the host that was typed, or the one that is recommended for an address."""
    from franking.discovery.probe import probe_ports
    from franking.errors import SettingsError

    host = found.input if found.kind == "host" else found.settings["host"]
    if host is None and found.kind == "domain":
        host = found.input  # a bare name that nobody knows may well be a server
    if host is None:
        raise SettingsError(
            "There is no server to try: none is known for this address. Give the server's name.", field="host"
        )
    return probe_ports(host, ca_file=ca_file, timeout=timeout)


def _as_dict(tried: list[Probed] | None) -> dict[str, Any]:
    from franking.discovery.probe import advice

    return {} if tried is None else {"probe": [one.as_dict() for one in tried], "advice": advice(tried)}


def show(console: Console, found: Recommendation) -> None:
    """Show a recommendation: the settings on stdout, the reasons for the eye."""
    if found.provider is None:
        console.say("? No recommendation", "warn")
    else:
        console.say(f"✓ {visible(found.title)} ({found.confidence})", "good")
    console.say(visible(found.reason), indent="  ")
    for warning in found.warnings:
        console.say(f"! {visible(warning)}", "warn", hang="  ")
    if found.provider is not None:
        console.say()
        for key, value in {"provider": found.provider, **found.settings}.items():
            if value is not None:
                console.data(f"  {key:<9} {visible(str(value))}")
    if found.evidence:
        console.say()
        console.say("What was seen:", "faint")
        for clue in found.evidence:
            console.say(f"{clue.source:<11}{visible(clue.detail)}", "faint", indent="  ", hang=" " * 13)


def _show_probe(console: Console, tried: list[Probed]) -> None:
    from franking.discovery.probe import advice
    from franking.discovery.recommendation import phrase

    console.say()
    for one in tried:
        sign, style = ("✓", "good") if one.usable else ("✗", "bad")
        words = [phrase("security", one.security) if one.answers else "", one.tls, one.problem]
        if one.usable:
            words += [
                f"login {', '.join(one.auth)}" if one.auth else "no login",
                f"up to {one.size:,} octets" if one.size else "",
            ]
        console.say(f"{sign} {one.port:<5} {visible('; '.join(word for word in words if word))}", style, hang=" " * 8)
    console.say(visible(advice(tried)), "strong")
