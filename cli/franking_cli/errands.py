"""The pages that a person has to go to before a program is let in: shown together, or one after the other. What they
are, the providers say (``Errand``).
"""

from __future__ import annotations

from collections.abc import Iterable

from franking.provider import Errand
from franking_cli.console import Console

__all__ = ["show_errand", "show_errands", "walk"]


def show_errand(console: Console, number: int, errand: Errand) -> None:
    """Show what to do on a page; its address and what to type stand on lines of their own, whole, to be copied."""
    console.say(f"{number}. {console.said(errand.do)}", indent="  ", hang="     ")
    if errand.link:
        console.raw(f"     {console.style(errand.link, 'strong')}")
    for label, value in errand.values:
        console.say(f"{label}: {console.said(value)}", indent="       ", hang="         ")


def show_errands(console: Console, errands: Iterable[Errand]) -> None:
    """Show all pages at once."""
    for number, errand in enumerate(errands, 1):
        show_errand(console, number, errand)


def walk(console: Console, errands: tuple[Errand, ...]) -> None:
    """Show one page after the other, and wait until the person is done with it; the browser opens where they like."""
    from franking_cli.console import LoginScreen

    for number, errand in enumerate(errands, 1):
        console.say()
        show_errand(console, number, errand)
        key = "errand.done-or-open" if errand.link else "errand.done"
        question = console.words(key, number=number, all=len(errands))
        while console.ask(question, flag="").lower() in ("o", "open"):
            if not errand.link or not LoginScreen(console).open_url(errand.link):
                console.say(console.words("errand.no-browser"), "warn")
