"""What an application holds: a relay in a thread of its own, with a runner of the outbox inside.

with franking.relay.Relay("shop") as relay:
    host, port = relay.addresses[0]
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.account.config import load
from franking.account.environment import state_folder
from franking.errors import FrankingError, SettingsError
from franking.relay.acceptance import Acceptance
from franking.relay.access import Access
from franking.relay.events import Event, Observer
from franking.relay.intake import Intake, Outcomes
from franking.relay.server import Server
from franking.relay.settings import read_settings
from franking.relay.watching import HEALTH, Places, handed_listen, settings_state

if TYPE_CHECKING:
    import socket

    from franking.outbox.store import Store
    from franking.relay.monitor import Monitor
    from franking.relay.settings import Listen, RelaySettings

__all__ = ["Relay"]

ASK_SECONDS = 0.1
"""How often the outbox is asked what became of messages whose runner is another process."""
REREAD_SECONDS = 1.0
AGAIN_SECONDS = 5.0
_log = logging.getLogger("franking.relay")


class Relay:
    """Receive mail over SMTP, put it into the outbox, and send it by an account.

    ``account`` sends what no user and no route decides (default: the settings', else the default account). ``listen``,
    ``allow``, ``users`` and ``wait`` are those of ``[relay]`` in accounts.toml; here nothing of it is read. ``users``
    are tables by name, as there. ``outbox`` is an ``Outbox`` (default: the default one). With ``run=False`` it only
    receives. ``observer`` is told each ``Event``, in the relay's thread.
    """

    def __init__(
        self,
        account: str | None = None,
        *,
        listen: Sequence[str | Mapping[str, Any]] = ("127.0.0.1:0",),
        allow: Sequence[str] | None = None,
        users: Mapping[str, Mapping[str, Any]] | None = None,
        wait: float = 4,
        outbox: Store | None = None,
        run: bool = True,
        observer: Observer | None = None,
    ) -> None:
        """Raises ``SettingsError`` for settings that are wrong, or by which strangers could send."""
        given = {"account": account, "listen": list(listen), "allow": allow, "users": users, "wait": wait}
        self._set_up(given, own=False, outbox=outbox, run=run, observer=observer)

    @classmethod
    def of_settings(
        cls,
        given: Mapping[str, Any],
        *,
        run: bool = True,
        observer: Observer | None = None,
        sockets: Sequence[tuple[str, socket.socket]] = (),
    ) -> Relay:
        """Make the relay that ``[relay]`` in accounts.toml describes, with ``given`` instead of what stands there; it
        re-reads the file when that changes. ``sockets``: listening ones by name (``smtp``, ``smtps``, ``health``).
        """
        made = cls.__new__(cls)
        made._sockets = list(sockets)
        mail = [handed_listen(name, sock) for name, sock in sockets if name != HEALTH]
        made._set_up({**given, "listen": mail} if mail else given, own=True, outbox=None, run=run, observer=observer)
        return made

    _sockets: Sequence[tuple[str, socket.socket]] = ()

    def _set_up(
        self, given: Mapping[str, Any], *, own: bool, outbox: Store | None, run: bool, observer: Observer | None
    ) -> None:
        self._given, self._own, self._run = dict(given), own, run
        self._outbox = None if outbox is None else outbox.directory
        self._observer = observer
        self._seen = settings_state()
        self._access = self._read()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self.addresses: list[tuple[str, int]] = []
        self.health_address: tuple[str, int] | None = None

    @property
    def settings(self) -> RelaySettings:
        return self._access.settings

    def _read(self) -> Access:
        config = load(os.environ)
        table = config.sections.get("relay", {}) if self._own else {}
        settings = read_settings(table, self._given, os.path.dirname(config.location))  # noqa: PTH120
        return Access(settings, config)

    # -- beginning and ending ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen; return when clients can connect. Raises what kept it from that."""
        self._thread = threading.Thread(target=self._serve, name="franking-relay", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            self._thread = None
            raise self._failure

    def stop(self) -> None:
        """Take no new clients, finish what is under way (at most 30 seconds), and end."""
        self._stop.set()
        self._awake.set()
        loop, thread = self._loop, self._thread
        if loop is not None and thread is not None:
            with suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(self._ending.set)
            thread.join()
        self._thread = None

    def __enter__(self) -> Relay:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Return whether it serves."""
        return self._thread is not None and self._thread.is_alive()

    # -- the thread --------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as problem:  # noqa: BLE001  (told to who started it)
            self._failure = problem
            if self._ready.is_set():
                _log.exception("The relay has ended.")
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        self._outcomes = Outcomes(self._loop)
        self._intake = intake = Intake(self._outbox, self._loop)
        intake.start()
        self._acceptance = acceptance = Acceptance(self._access, intake, self._outcomes, woken=self._awake.set)
        runner = threading.Thread(target=self._deliver, name="franking-relay-runner", daemon=True)
        self._server = server = Server(
            acceptance, self._tell if self._observer else None, Path(state_folder(os.environ))
        )
        monitor = None
        try:
            await server.listen(self._handed_over())
            self.addresses = [place for _, place in server.addresses]
            self._refuse_circles(self._access)
            monitor = await self._monitored()
            await server.serve()
            if self._run:
                runner.start()
            watch = self._loop.create_task(self._watch(acceptance))
            self._ready.set()
            await self._ending.wait()
            watch.cancel()
        finally:
            if monitor is not None:
                monitor.stop()
            await server.stop()
            intake.stop()
            self._stop.set()
            self._awake.set()
            if runner.ident is not None:
                await self._loop.run_in_executor(None, runner.join)
            acceptance.close()
            if self._ready.is_set():
                self._tell(Event("stopped"))

    async def _monitored(self) -> Monitor | None:
        """Answer monitoring, where somebody wants it."""
        handed = next((sock for name, sock in self._sockets if name == HEALTH), None)
        if handed is None and self.settings.health is None:
            return None
        from franking.relay.monitor import Monitor  # and all of health, which takes a fifth of the start

        monitor = Monitor(self._acceptance, self._server)
        self.health_address = await monitor.start(self.settings.health, handed)
        return monitor

    def _tell(self, event: Event) -> None:
        try:
            if self._observer is not None:
                self._observer(event)
        except Exception:  # noqa: BLE001  (who watches must not stop the mail)
            _log.exception("The observer failed.")

    def _handed_over(self) -> list[tuple[Listen, socket.socket]]:
        """Return the sockets that were handed over, with what is said on each; the settings were made of them."""
        mail = [sock for name, sock in self._sockets if name != HEALTH]
        return list(zip(self.settings.listen, mail, strict=True)) if mail else []

    def _refuse_circles(self, access: Access) -> None:
        """Refuse an account that would send to this relay itself. Raises ``SettingsError``."""
        for name in access.accounts():
            account = access.account(name)
            host, port = str(account.get("host") or ""), account.get("port")
            if Places(self.addresses).have(host, port):
                raise SettingsError(
                    f"relay: the account {name!r} sends to {host}:{port}, where this relay itself listens: "
                    "mail would go in a circle. Give the account its provider's server, or the relay another port.",
                    field="host",
                )

    def _deliver(self) -> None:
        """Run the outbox until the relay ends; what stops it for a while must not stop it for good."""
        from franking.outbox.outbox import Outbox  # and all that sends: clients need not wait for it

        box = Outbox(self._outbox)
        while not self._stop.is_set():
            try:
                box.run(self._stop, attempted=self._outcomes.tell, awake=self._awake)
            except Exception as problem:  # noqa: BLE001  (whatever it is: mail must go on)
                _log.exception("The relay's runner ended; it begins again.")
                self._tell(Event("warning", {"text": f"the outbox's runner ended and begins again: {problem}"}))
                self._stop.wait(AGAIN_SECONDS)
        box.close()

    async def _watch(self, acceptance: Acceptance) -> None:
        """Take new settings; ask what became of messages where the runner is another process."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(ASK_SECONDS)
            if not self._run and (ids := self._outcomes.awaited):
                for entry in acceptance.found(ids):
                    self._outcomes.tell(entry)
            if time.monotonic() - last >= REREAD_SECONDS:
                last = time.monotonic()
                self._reread(acceptance)

    def _reread(self, acceptance: Acceptance) -> None:
        seen = settings_state()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            access = self._read()
            self._refuse_circles(access)
        except FrankingError as problem:
            self._tell(
                Event("warning", {"text": f"the settings have changed and are wrong; the old ones stay. {problem}"})
            )
            return
        now, before = access.settings, self._access.settings
        if (now.listen, now.health) != (before.listen, before.health):
            self._tell(Event("warning", {"text": "other listen addresses count when the relay is started again"}))
        self._access = access
        acceptance.renew(access)
