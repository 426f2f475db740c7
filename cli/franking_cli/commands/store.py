"""``franking store``: the store that several machines share, made and looked at. What lies in it, ``status`` tells."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from franking.auth.named_store import named_store
from franking.errors import Evidence, SettingsError
from franking.shared.opening import server_at, shared_place
from franking.shared.postgres_server import PostgresServer
from franking.shared.tables import statements
from franking_cli.command import command
from franking_cli.console import Console
from franking_cli.screen import show_hints

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="A store that several machines share: make it, look at it.\n\nfranking store check",
)


@app.command("init")
@command
def init(
    console: Console,
    *,
    sql: Annotated[
        bool, typer.Option("--sql", help="Only print what makes the tables, for whoever may make them.")
    ] = False,
) -> None:
    """Make the tables in PostgreSQL; where they are there already, nothing changes. Redis needs none.

    franking store init
    """
    if sql:
        console.data("\n\n".join(f"{one};" for one in statements("franking")))
        return
    place = shared_place(os.environ)
    if place is None:
        raise _no_store()
    server = server_at(place)
    made = isinstance(server, PostgresServer)
    if isinstance(server, PostgresServer):
        server.make_tables()
    if console.json_output:
        console.answer({"ok": True, "store": server.where, "tables": made})
    else:
        console.say(f"✓ {console.words('shared.made' if made else 'shared.no-tables', store=server.where)}", "good")


@app.command("check")
@command
def check(console: Console) -> None:
    """See that the store answers, that the key fits, that locks can be taken, and that nothing in it gets lost.

    franking store check
    """
    store = named_store(os.environ)
    if store is None:
        raise _no_store()
    found = store.concerns()
    if console.json_output:
        warnings = [hint.as_dict() for hint in found]
        console.answer({"ok": True, "store": store.rows.where, "warnings": warnings})
        return
    console.say(f"✓ {console.words('shared.answers', store=store.rows.where)}", "good")
    show_hints(console, (hint.say(console.language) for hint in found))


def _no_store() -> SettingsError:
    why = "FRANKING_STORE names no shared store; set it to an address such as redis://host/0 or postgresql://host/mail"
    return SettingsError(
        f"{why}.",
        field="FRANKING_STORE",
        evidence=Evidence("store", text=why, reason="bad-address"),
    )
