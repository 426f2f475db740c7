"""``franking status``: where each account's secret is, how old it is, until when it holds, and the command that repairs
it.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from franking_cli.command import command as framed
from franking_cli.console import Console, exit_code, visible

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.auth.status import SecretState

__all__ = ["command", "look", "row", "sentence"]

_WORST_FIRST = (3, 130, 2, 4, 5, 1, 0)


@framed
def command(
    console: Console,
    account: Annotated[
        str | None, typer.Argument(help="A saved account's name, or an account URL; all saved accounts without.")
    ] = None,
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Really renew each sign-in, and really log in with each password.")
    ] = False,
) -> int:
    """Tell where each account's secret is, how old it is, and what repairs it.

    Exit code 4 when somebody has to sign in, 2 when a password is missing or a setting is wrong.
    """
    from franking.account.config import load, resolve

    config = load()
    rows: list[dict[str, Any]] = []
    codes = [0]
    for name in [account] if account is not None else config.names:
        try:
            found: Account | None = resolve(name)
            problem = None
        except _settings_error() as error:
            if account is not None:
                raise
            found, problem = None, error
        if found is None:
            rows.append(broken(name, problem))
            codes.append(2)
            continue
        state, code = look(found, verify=verify)
        rows.append(row(found, state))
        codes.append(code if found.enabled else 0)
    if console.json_output:
        console.answer(rows)
    else:
        _show(console, rows, asked=account is not None)
    return min(codes, key=_WORST_FIRST.index)


def look(account: Account, *, verify: bool = False) -> tuple[SecretState, int]:
    """Look at an account's secret, or with ``verify`` use it; give its state and the exit code that belongs to it."""
    from dataclasses import replace

    from franking.auth.status import state_of
    from franking.auth.store import open_store
    from franking.errors import FrankingError
    from franking.registry import provider
    from franking.sending.explain import explain

    kind, store = provider(account.provider), open_store()
    state = state_of(account, kind, store, os.environ)
    if not state.ok:
        return state, 4 if state.kind == "grant" else 2
    if not verify or not account.enabled or state.kind == "none":
        return state, 0
    try:
        _use(account, kind, store)
    except FrankingError as error:
        diagnosis = explain(error, account, kind)
        repair = getattr(error, "repair", None)
        if repair is None:
            repair = next((command for command in diagnosis.commands if "franking" in command), None)
        problem = str(error) if diagnosis.title in str(error) else f"{diagnosis.title}: {error}"
        return replace(state, ok=False, problem=problem, repair=repair), exit_code(error)
    return state_of(account, kind, store, os.environ), 0


def _use(account: Account, kind: Any, store: Any) -> None:
    """Renew the token, or log in with the password; raises what sending would raise."""
    from franking.auth.sources import secret_for
    from franking.auth.token import TokenSecret
    from franking.sending.mailer import connect

    secret = secret_for(account, kind, store, os.environ)
    if isinstance(secret, TokenSecret):
        grant = secret.grant
        secret.get(renew_after=grant.access_token if grant else None)
        return
    with connect(account) as mailer:
        mailer.check()


def row(account: Account, state: SecretState) -> dict[str, Any]:
    """Return what ``status --json`` and ``accounts list --json`` tell of an account."""
    from franking.registry import provider

    ends = state.details.get("refresh_expires_at") or state.details.get("credential_expires_at") or 0.0
    return {
        "name": account.name,
        "provider": account.provider,
        "route": provider(account.provider).route(account),
        "ok": state.ok,
        "source": state.source,
        "expires_at": moment(state.expires_at),
        "repair": state.repair,
        "from": str(account.sender),
        "enabled": account.enabled,
        "kind": state.kind,
        "store": state.store,
        "saved_at": moment(state.saved_at),
        "refreshed_at": moment(state.refreshed_at),
        "sign_in_ends_at": moment(float(ends)),
        "who": state.who,
        "tenant": state.details.get("tenant"),
        "testing": bool(state.details.get("testing")),
        "scopes": list(state.scopes),
        "problem": state.problem,
    }


def broken(name: str, problem: Exception | None) -> dict[str, Any]:
    """Return the same of an account whose settings cannot be read."""
    from franking.account.repair import repair_command

    keys = (
        "provider",
        "route",
        "source",
        "expires_at",
        "from",
        "enabled",
        "kind",
        "store",
        "saved_at",
        "refreshed_at",
        "sign_in_ends_at",
        "who",
        "tenant",
        "testing",
    )
    repair = repair_command("accounts", "show", name)
    return {"name": name, "ok": False, "repair": repair, **dict.fromkeys(keys), "scopes": [], "problem": str(problem)}


def moment(seconds: float) -> str | None:
    """Write a time as JSON has it: 2026-11-21T19:28:00Z; None for 0."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


def sentence(found: dict[str, Any], now: float | None = None) -> str:
    """Say in words how an account's secret stands."""
    now = time.time() if now is None else now
    if found["problem"]:
        return str(found["problem"])
    if found["kind"] == "none":
        return "needs no password"
    sources = {
        "environment": "from the environment",
        "store": f"stored ({found['store']})",
    }
    where = sources.get(found["source"], f"by {found['source']}")
    since = f", {age(found['saved_at'], now)}" if found["saved_at"] else ""
    if found["source"] == "settings":
        return "signs in with the key that the settings name"
    if found["kind"] == "password":
        return f"password {where}{since}"
    why = " (the consent screen is in Testing)" if found.get("testing") else ""
    ends = f"; this sign-in ends {age(found['sign_in_ends_at'], now)}{why}" if found["sign_in_ends_at"] else ""
    scopes = f"; may: {' '.join(found['scopes'])}" if found["scopes"] else ""
    token = f"; token until {found['expires_at']}" if found["expires_at"] else ""
    tenant = f" of the directory {found['tenant']}" if found.get("tenant") else ""
    return f"signed in as {found['who'] or 'somebody'}{tenant}, {where}{since}{ends}{token}{scopes}"


def age(written: str, now: float) -> str:
    """Say how long ago, or in what time, a moment is: ``3 days ago``, ``in 2 hours``."""
    seconds = now - datetime.fromisoformat(written).timestamp()
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        count = int(abs(seconds) // size)
        if count:
            words = f"{count} {unit}{'s' if count > 1 else ''}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "just now"


def _show(console: Console, rows: list[dict[str, Any]], *, asked: bool) -> None:
    if not rows and not asked:
        console.say("There are no accounts yet. Add one with: franking setup")
        return
    for found in rows:
        sign = "✓" if found["ok"] else "✗"
        off = "" if found["enabled"] in (True, None) else " (switched off)"
        console.data(
            f"{sign} {visible(found['name'])}{off}: {visible(found['route'] or '?')}, {visible(sentence(found))}"
        )
        if found["repair"]:
            console.data(f"    repair: {visible(found['repair'])}")


def _settings_error() -> type[Exception]:
    from franking.errors import SettingsError

    return SettingsError
