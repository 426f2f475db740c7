"""``franking docs``: the pages of the documentation, in the terminal. They come with the program."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from franking.errors import Evidence, SettingsError
from franking.text import suggestion
from franking_cli.command import command
from franking_cli.console import Console

__all__ = ["run", "topics"]

_PLACES = (Path(__file__).parents[1] / "manual", Path(__file__).parents[3] / "docs")  # installed, or in a checkout
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])+)\]\((?!https?:)([\w-]*)(?:\.md)?(?:#[\w-]*)?\)")
_CODE = re.compile(r"^ *```[^\n]*\n(.*?)^ *```\n", re.DOTALL | re.MULTILINE)
_NOT_FOR_READING = re.compile(r"\A---\n.*?\n---\n|<!--.*?-->\n*|!\[[^\]]*\]\([^)]*\)\n*| \{ #[\w-]+ \}", re.DOTALL)
_REFERENCE = re.compile(r"^::: (\S+)\n(?: {4}.*\n)*", re.MULTILINE)


def topics() -> dict[str, Path]:
    """Return the pages by name."""
    for place in _PLACES:
        if (place / "index.md").exists():
            return {path.stem: path for path in sorted(place.glob("*.md"))}
    return {}


def _completed(incomplete: str) -> list[str]:
    return [name for name in topics() if name.startswith(incomplete)]


@command
def run(
    console: Console,
    topic: Annotated[
        str,
        typer.Argument(
            help="A page, such as gmail, or a diagnosis, such as login.refused; without it the list of all pages.",
            autocompletion=_completed,
        ),
    ] = "index",
) -> None:
    """Show a page of the manual, here in the terminal.

    franking docs troubleshooting
    """
    pages = topics()
    name = topic.removeprefix("docs/").removesuffix(".md").lower()
    if name in pages:
        text = pages[name].read_text("utf-8")
    elif not (text := _section(pages, name)):
        raise SettingsError(
            f"docs: there is no page {topic!r}; {suggestion(name, pages, 'franking docs lists them.')}",
            evidence=Evidence("settings", reason="usage", details={"usage": ("franking", "docs")}),
        )
    text = _REFERENCE.sub(r"- `python -m pydoc \1`\n", _NOT_FOR_READING.sub("", text)).strip() + "\n"
    if console.json_output:
        console.answer({"topic": name, "text": text})
        return
    console.page(_without_links(text, name), _rendered)


def _section(pages: Mapping[str, Path], code: str) -> str:
    """Return what stands of a diagnosis, heading included; nothing where there is none of this code."""
    heading = re.compile(
        rf"^## [^\n]* \{{ #{re.escape(code.replace('.', '-'))} \}}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL
    )
    found = (heading.search(path.read_text("utf-8")) for path in pages.values())
    return next((each[0] for each in found if each), "")


def _without_links(text: str, name: str) -> str:
    """Put names of pages where links stood: in the list of all pages behind each, elsewhere at the end."""
    if name == "index":
        return _LINK.sub(r"\1 (`\2`)", text)
    linked = sorted({found[2] for found in _LINK.finditer(text)} - {"", name})
    more = ", ".join(f"`franking docs {each}`" for each in linked)
    return _LINK.sub(r"\1", text) + (more and f"\nMore: {more}")


def _rendered(text: str, width: int, *, colour: bool) -> str:
    """Lay a page out for a terminal; what can be copied, programs and commands, keeps its lines."""
    from rich.console import Console as Terminal
    from rich.markdown import Markdown
    from rich.theme import Theme

    out = io.StringIO()
    theme = Theme({"markdown.code": "bold", "markdown.h1": "bold", "markdown.h2": "bold underline"})
    terminal = Terminal(
        file=out, width=width, force_terminal=colour, no_color=not colour, legacy_windows=False, theme=theme
    )
    for place, part in enumerate(_CODE.split(text)):
        if place % 2:
            out.write("\n" + textwrap.indent(textwrap.dedent(part), "    ") + "\n")
        elif part.strip():
            terminal.print(Markdown(part, hyperlinks=False))
    return out.getvalue()
