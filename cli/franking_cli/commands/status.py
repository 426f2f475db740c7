"""``franking status``: where each account's secret is, how old it is, until when it holds, and the command that repairs
it.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from franking.account.account import Account
from franking.account.config import load, resolve
from franking.account.repair import repair_command
from franking.auth.sources import secret_for
from franking.auth.status import SecretState, state_of
from franking.auth.store import OpenedStore, open_store
from franking.auth.token import TokenSecret
from franking.discovery.recommend import server_settings
from franking.errors import FrankingError, SettingsError
from franking.provider import Provider
from franking.registry import provider
from franking_cli.command import command
from franking_cli.console import Console, visible
from franking_cli.exit_codes import exit_code

__all__ = ["age", "broken_row", "inspect_secret", "run", "state_row"]

_WORST_FIRST = (3, 130, 2, 4, 5, 1, 0)


@command
def run(
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

    franking status --verify

    Exit code 4 when somebody has to sign in, 2 when a password is missing or a setting is wrong.
    """
    names = load().names if account is None else (account,)
    rows: list[dict[str, Any]] = []
    codes = [0]
    for name in names:
        try:
            found = resolve(name)
        except SettingsError as problem:
            if account is not None:
                raise
            rows.append(broken_row(name, problem))
            codes.append(2)
            continue
        state, code = inspect_secret(found, verify=verify)
        rows.append(state_row(found, state))
        if found.enabled:
            codes.append(code)
    if console.json_output:
        console.answer(rows)
    else:
        _show_all(console, rows)
    return min(codes, key=_WORST_FIRST.index)


def inspect_secret(account: Account, *, verify: bool = False) -> tuple[SecretState, int]:
    """Look at an account's secret, or with ``verify`` use it; return its state and the exit code that belongs to it."""
    kind, store = provider(account.provider), open_store()
    state = state_of(account, kind, store, os.environ)
    state = _that_can_work(account, kind, state)
    if not state.ok:
        return state, 4 if state.kind == "grant" else 2
    if not verify or not account.enabled or state.kind == "none":
        return state, 0
    try:
        _use(account, kind, store)
    except FrankingError as error:
        return _failed(state, account, kind, error), exit_code(error)
    return state_of(account, kind, store, os.environ), 0


def _that_can_work(account: Account, kind: Provider, state: SecretState) -> SecretState:
    """Return the state, of an account that lacks what comes before its secret as one that is not ready: a login name
    where the server is known to want one, an application of one's own where it signs in with one.
    """
    client = kind.facts.client
    unknown = client is not None and not any(account.get(key) for key in (client.key, *client.instead))
    if state.kind == "grant" and unknown and not state.ok:
        problem = f"nobody has signed in yet, and before that {kind.title} wants to know the program"
        return replace(state, problem=problem, repair=repair_command("register", kind.name, account.sender.address))
    if state.kind == "none" and kind.facts.login_key in account.settings and not kind.facts.oauth:
        return _that_may_log_in(account, state)
    return state


def _that_may_log_in(account: Account, state: SecretState) -> SecretState:
    known = server_settings(str(account.get("host") or ""), account.sender.address)
    if not known or known.get("username", "") is None:
        return state
    words = ("accounts", "add", account.name, "--update", "--username", known.get("username") or "NAME")
    problem = "it has no login name, and this server wants one"
    return replace(state, ok=False, problem=problem, repair=repair_command(*words))


def _use(account: Account, kind: Provider, store: OpenedStore) -> None:
    """Renew the token, or log in with the password; raises what sending would raise."""
    from franking.sending.connect import connect

    secret = secret_for(account, kind, store, os.environ)
    if isinstance(secret, TokenSecret):
        grant = secret.grant
        secret.get(renew_after=grant.access_token if grant else None)
        return
    with connect(account) as mailer:
        mailer.check()


def _failed(state: SecretState, account: Account, kind: Provider, error: FrankingError) -> SecretState:
    from franking.sending.explain import explain

    diagnosis = explain(error, account, kind)
    repair = getattr(error, "repair", None)
    if repair is None:
        repair = next((command for command in diagnosis.commands if "franking" in command), None)
    problem = str(error)
    if diagnosis.title not in problem:
        problem = f"{diagnosis.title}: {problem}"
    return replace(state, ok=False, problem=problem, repair=repair)


# --- JSON -------------------------------------------------------------------------------------------------------------


def state_row(account: Account, state: SecretState) -> dict[str, Any]:
    """Return what ``status --json`` and ``accounts list --json`` tell of an account."""
    ends = state.details.get("refresh_expires_at") or state.details.get("credential_expires_at") or 0.0
    return {
        "name": account.name,
        "provider": account.provider,
        "route": provider(account.provider).route(account),
        "ok": state.ok,
        "source": state.source,
        "expires_at": _iso(state.expires_at),
        "repair": state.repair,
        "from": str(account.sender),
        "enabled": account.enabled,
        "kind": state.kind,
        "store": state.store,
        "store_wanted": state.store_wanted,
        "saved_at": _iso(state.saved_at),
        "refreshed_at": _iso(state.refreshed_at),
        "sign_in_ends_at": _iso(float(ends)),
        "who": state.who,
        "tenant": state.details.get("tenant"),
        "testing": bool(state.details.get("testing")),
        "scopes": list(state.scopes),
        "problem": state.problem,
    }


_UNKNOWN = """provider route source expires_at from enabled kind store store_wanted saved_at refreshed_at
sign_in_ends_at who tenant testing"""


def broken_row(name: str, problem: SettingsError) -> dict[str, Any]:
    """Return the same of an account whose settings cannot be read."""
    repair = repair_command("accounts", "show", name)
    row = {"name": name, "ok": False, "repair": repair, **dict.fromkeys(_UNKNOWN.split())}
    return {**row, "scopes": [], "problem": str(problem)}


def _iso(seconds: float) -> str | None:
    """Write a time as JSON has it: 2026-11-21T19:28:00Z; None for 0."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


# --- words ------------------------------------------------------------------------------------------------------------


def _show_all(console: Console, rows: list[dict[str, Any]]) -> None:
    if not rows:
        console.say(console.words("status.none"))
    for row in rows:
        _show(console, row)


def _show(console: Console, row: dict[str, Any]) -> None:
    symbol = "✓" if row["ok"] else "✗"
    name = row["name"]
    if row["enabled"] is False:
        name += console.words("status.switched-off")
    described = console.spoken(_described(console, row, time.time()), wrapped=False)
    console.data(f"{symbol} {visible(name)}: {visible(row['route'] or '?')}, {described}")
    if row["store_wanted"]:
        encrypts = repair_command("accounts", "show", row["name"])
        plain = console.words("status.plain-file", wanted=row["store_wanted"], command=visible(encrypts))
        console.data(f"    {console.spoken(plain, wrapped=False)}")
    if row["repair"]:
        console.data(f"    {console.words('status.repair', command=visible(row['repair']))}")


def _described(console: Console, row: dict[str, Any], now: float) -> str:
    """Return in words how an account's secret stands."""
    say = console.words
    if row["problem"]:
        return console.said(str(row["problem"]))
    if row["kind"] == "none":
        return say("status.no-password")
    if row["source"] == "settings":
        return say("status.by-key")
    where = _where(console, row, now)
    if row["kind"] == "password":
        return say("status.password", where=where)
    return say("status.signed-in", who=_who(console, row), where=where) + _may(console, row, now)


def _where(console: Console, row: dict[str, Any], now: float) -> str:
    say, source = console.words, row["source"]
    where = say("status.by-setting", setting=source)
    if source in ("environment", "store"):
        where = say(f"status.by-{source}", store=row["store"])
    if row["saved_at"]:
        where += f", {age(console, row['saved_at'], now)}"
    return where


def _who(console: Console, row: dict[str, Any]) -> str:
    who = str(row["who"] or console.words("status.somebody"))
    if row["tenant"]:
        who += console.words("status.directory", tenant=row["tenant"])
    return who


def _may(console: Console, row: dict[str, Any], now: float) -> str:
    """Return for how long a sign-in holds, and what it allows."""
    say, text = console.words, ""
    if row["sign_in_ends_at"]:
        text += say("status.ends", when=age(console, row["sign_in_ends_at"], now))
        if row["testing"]:
            text += say("status.testing")
    if row["expires_at"]:
        text += say("status.token", until=row["expires_at"])
    if row["scopes"]:
        text += say("status.may", scopes=" ".join(row["scopes"]))
    return text


def age(console: Console, written: str, now: float) -> str:
    """Return how long ago, or in what time, a moment is: ``3 days ago``, ``in 2 hours``."""
    seconds = now - datetime.fromisoformat(written).timestamp()
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if count := int(abs(seconds) // size):
            return console.counted(f"age.{unit}-ago" if seconds > 0 else f"age.in-{unit}", count)
    return console.words("age.now")
