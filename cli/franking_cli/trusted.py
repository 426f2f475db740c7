"""What a person sees of a check of a domain: what is fine, what makes receivers distrust mail, who can do what about
it, and the records to publish, which go to stdout. It prints through the console, and decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from franking_cli.console import Console, visible

if TYPE_CHECKING:
    from franking.discovery.domain_check import Deliverability, Finding

__all__ = ["show_check", "show_distrust"]

_SYMBOLS = {"ok": ("✓", "good"), "hint": ("·", None), "warning": ("!", "warn"), "unknown": ("?", "warn")}


def show_check(console: Console, found: Deliverability) -> None:
    """Show everything that was found."""
    style = "good" if found.verdict == "good" else "warn"
    symbol = {"good": "✓", "warning": "!", "unknown": "?"}[found.verdict]
    about = {"domain": visible(found.domain), "via": visible(found.via or "")}
    console.say(f"{symbol} {console.words(f'check-domain.{found.verdict}', **about)}", style, hang="  ")
    key = "judged" if found.via else "not-judged"
    if not found.findings:
        key = "of-a-service"
    console.say(console.words(f"check-domain.{key}", **about), indent="  ")
    for finding in found.findings:
        _show(console, finding)


def show_distrust(console: Console, found: Deliverability | None) -> None:
    """Show beside a message that was sent why receivers may distrust it, if there is a reason."""
    if found is None or not found.warnings:
        return
    console.say("\n" + console.words("check-domain.distrusted"), "warn")
    for finding in found.warnings:
        _show(console, finding)


def _show(console: Console, finding: Finding) -> None:
    symbol, style = _SYMBOLS[finding.level]
    console.say()
    console.say(f"{symbol} {console.spoken(finding.say(console.language))}", style, indent="  ", hang="    ")
    for advice in finding.advice(console.language):
        console.say(f"→ {console.spoken(advice.text)}", indent="    ", hang="      ")
    if finding.record is not None:
        console.data(f"      {visible(str(finding.record))}")
