"""Where health begins: a look at every account and at what belongs to none; what changed is told.

    for entry in look(): print(entry.account, entry.level)

One look at a time in a state directory: who comes second finds what the first has seen, and changes are told once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from franking.account.config import Config, load
from franking.atomic import locked, make_private
from franking.auth.store import open_store, state_directory
from franking.errors import Evidence, FrankingError, SettingsError, discreet
from franking.health.accounts import Look, look_at
from franking.health.alerts import Told
from franking.health.finding import Entry, Finding, worst
from franking.health.machine import relay, shared_store, untold
from franking.health.memory import Check, Memory
from franking.health.outbox import OutboxLook, look_at_box, look_at_outbox
from franking.health.settings import read_settings
from franking.outbox.entry import read_diagnosis
from franking.outbox.stamp import Stamps
from franking.sending import last_failures

if TYPE_CHECKING:
    from franking.outbox.store import Store

__all__ = ["Health", "glance", "look"]

LOCK_SECONDS = 900.0
"""Twenty looks in a row may each wait for a mailbox that does not answer."""
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Health:
    """What was found: an entry for each account, then one for what belongs to none; and the outbox in numbers."""

    entries: tuple[Entry, ...]
    outbox: OutboxLook

    @property
    def level(self) -> str:
        return worst([entry.level for entry in self.entries])

    @property
    def untold(self) -> bool:
        """Return whether an alert could not be told."""
        return any(one.code == "alert.untold" and one.level != "ok" for one in self.entries[-1].findings)


def look(
    names: Sequence[str] = (),
    *,
    verify: bool = False,
    tell: bool = False,
    language: str = "en",
    clock: Callable[[], float] = time.time,
    environ: Mapping[str, str] | None = None,
) -> Health:
    """Look at accounts (all of the settings file without ``names``): renew, log in, remember what was seen.

    A mailbox is asked once in 24 hours, with ``verify`` now. ``tell``: what changed is told as ``[alerts]`` says, in
    ``language``. Raises ``SettingsError`` for an unknown account, for settings without any, and for wrong ``[alerts]``.
    """
    with discreet:  # passwords are tried, and a webhook's address is a secret
        return _look(names, verify, tell, language, clock, os.environ if environ is None else environ)


def _look(
    names: Sequence[str],
    verify: bool,
    tell: bool,
    language: str,
    clock: Callable[[], float],
    environ: Mapping[str, str],
) -> Health:
    config = load(environ)
    wanted = _wanted(names, config)
    alerts = read_settings(config) if tell or "alerts" in config.sections else None
    state = state_directory(environ)
    with _alone(state):
        memory, told, now = Memory(state), Told(state), clock()
        outbox = look_at_outbox(environ, clock)
        seen = Seen(config, environ, memory, outbox, now).look(verify=verify, asks=True)
        with ThreadPoolExecutor(min(AT_ONCE, len(wanted))) as pool:
            looked = list(pool.map(partial(look_at, look=seen), wanted))
        entries = [_since(entry, memory, now) for entry, _ in looked]
        writing = _Writing(state)
        for entry, check in looked:
            if check is not None and entry.account is not None:
                memory.keep(entry.account, check)
                with writing:
                    _note(state, entry.account, check, clock)
        with writing:  # before anybody is told, so that a full disk is told as well
            memory.save(entries, config.names)
        findings = (*outbox.findings, *relay(config, state, now), *shared_store(environ))
        entries.append(_since(_machine(config, writing.among(findings), told, now), memory, now))
        if tell and alerts is not None:
            with writing:
                told.tell(entries, alerts, language=language)
        with writing:
            memory.save(entries, config.names)
        entries[-1] = _since(_machine(config, writing.among(findings), told, now), memory, now)
    return Health(tuple(entries), outbox)


def glance(
    names: Sequence[str],
    config: Config,
    box: Store,
    *,
    clock: Callable[[], float] = time.time,
    environ: Mapping[str, str] | None = None,
) -> Health:
    """Return what is known without asking anybody or writing anything, for a service that is asked often and has its
    own settings and outbox.
    """
    environ = os.environ if environ is None else environ
    state = state_directory(environ)
    memory, told, now = Memory(state), Told(state), clock()
    outbox = look_at_box(box)
    seen = Seen(config, environ, memory, outbox, now)
    entries = [look_at(name, seen.look(verify=False, asks=False))[0] for name in names]
    findings = (*outbox.findings, *relay(config, state, now))
    entries.append(_machine(config, findings, told, now))
    return Health(tuple(_since(entry, memory, now) for entry in entries), outbox)


def _wanted(names: Sequence[str], config: Config) -> tuple[str, ...]:
    for name in names:
        if name not in config.tables:
            raise config.no_account(name)
    if not names and not config.names:
        from franking.account.repair import repair_command

        raise SettingsError(
            f"There is no account in {config.location}; add one with: {repair_command('setup')}",
            field="account",
            evidence=Evidence("settings", reason="no-account", details={"path": config.location}),
        )
    return tuple(dict.fromkeys(names)) or config.names


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known before anybody is asked."""

    config: Config
    environ: Mapping[str, str]
    memory: Memory
    outbox: OutboxLook
    now: float

    def look(self, *, verify: bool, asks: bool) -> Look:
        """Return what each account's look begins with."""
        state = state_directory(self.environ)
        return Look(
            config=self.config,
            environ=self.environ,
            store=open_store(self.environ),
            state=state,
            memory=self.memory,
            failures=last_failures.read(state / last_failures.FILE),
            held=self.outbox.held,
            stamp=Stamps(self.environ),
            now=self.now,
            verify=verify,
            asks=asks,
        )


class _Writing:
    """A context in which something is written down. What cannot be, as on a full disk, is one more thing that is found:
    all the rest was seen, and is said.
    """

    def __init__(self, state: Path) -> None:
        self._state, self._unkept = state, ""

    def __enter__(self) -> None:
        """Nothing is done before."""

    def __exit__(self, kind: object, problem: object, trace: object) -> bool:
        if isinstance(problem, FrankingError):
            self._unkept = problem.message.rstrip(".")
            return True
        if isinstance(problem, OSError):
            self._unkept = f"{self._state}: {problem.strerror or problem}"
            return True
        return False

    def among(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Return findings, with what could not be written among them."""
        if not self._unkept:
            return findings
        disk = Finding("outbox.disk", "critical", {"unkept": self._unkept})
        return (*(one for one in findings if one.code != disk.code), disk)


def _note(state: Path, account: str, check: Check, clock: Callable[[], float]) -> None:
    """Let the next send that is accepted tell that what was refused no longer is."""
    found = read_diagnosis(check.diagnosis)
    if check.outcome == "refused" and found is not None:
        last_failures.note(state / last_failures.FILE, account, found, looked=True, clock=clock)


def _machine(config: Config, findings: tuple[Finding, ...], told: Told, now: float) -> Entry:
    if "alerts" in config.sections:
        findings = (*findings, untold(told.untold))
    return Entry(None, None, None, now, findings)


def _since(entry: Entry, memory: Memory, now: float) -> Entry:
    return replace(entry, findings=tuple(one.began(memory.since(entry.account, one, now)) for one in entry.findings))


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Hold the look's lock."""
    try:
        make_private(state)
    except OSError as problem:
        from franking.atomic import not_made

        raise not_made(state, "made", problem) from problem
    with locked(state / ".health-look.lock", "The look at all accounts", LOCK_SECONDS):
        yield
