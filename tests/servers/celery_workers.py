"""Real Celery workers in processes of their own, which can be killed at any moment.

with Workers(4, broker=redis.url, store=redis.url) as workers:
    workers.send.delay("shop", message, key="order-114")
    workers.kill(0)
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import franking
from servers.daemon import GUARD, directory

HERE = Path(__file__).parents[1]


@contextlib.contextmanager
def working_here(app: Any) -> Iterator[None]:
    """Let a worker work in a thread of this process; it leaves the root logger as it was."""
    from celery.contrib.testing.worker import start_worker
    from celery.worker import state

    root = logging.getLogger()
    level, handlers = root.level, root.handlers.copy()
    try:
        with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=60):
            yield
            state.should_terminate = 0
            for _ in range(2):  # it looks up once it heard something, and listens a last time: two seconds each
                app.control.broadcast("ping")
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


def _given_path() -> list[str]:
    """Return the path that this program was started with: a benchmark has none."""
    given = os.environ.get("PYTHONPATH")
    return [given] if given else []


LIBRARY = Path(franking.__file__).parents[1]


class Workers:
    """``number`` workers with ``processes`` each: what they say stands in ``log``. Each has a state directory of its
    own, as on a machine of its own.
    """

    def __init__(
        self,
        number: int,
        *,
        broker: str,
        store: str,
        processes: int = 1,
        results: str | None = None,
        lease: float = 60.0,
        pauses: list[float] | None = None,
        options: dict[str, Any] | None = None,
        app: str = "servers.mail_app",
        folder: Path = HERE,
        **environment: str,
    ) -> None:
        self.directory = directory("celery")
        self.log = self.directory / "log"
        self.processes, self._app, self._folder = processes, app, folder
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(LIBRARY), str(folder), str(HERE), *_given_path()]),
            "BROKER": broker,
            "FRANKING_STORE": store,
            "FRANKING_STORE_KEY": "the key of the tests",
            "LEASE": str(lease),
            "PAUSES": json.dumps(pauses),
            "OPTIONS": json.dumps(options or {}),
            **environment,
        }
        if results is not None:
            self.environment["RESULTS"] = results
        self._workers: list[subprocess.Popen[bytes]] = [self._started(place) for place in range(number)]

    def _started(self, place: int) -> subprocess.Popen[bytes]:
        state = self.directory / f"state{place}"
        state.mkdir(exist_ok=True)
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "warning"]
        command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", self._app, "worker", "-c", str(self.processes)]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*GUARD, *command, *quiet, "-n", f"w{place}@here"],
                cwd=self._folder,
                env={**self.environment, "FRANKING_STATE_DIR": str(state)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def children(self, place: int) -> list[int]:
        """Return the processes that send, of a worker."""
        pid = self._workers[place].pid
        with contextlib.suppress(OSError):
            return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
        return []

    def wait(self, seconds: float = 120) -> None:
        """Wait until every worker has its processes. One that ended (Celery does, where its first process is killed
        before it is up) is started again, as a supervisor would.
        """
        until = time.monotonic() + seconds
        while not all(len(self.children(place)) >= self.processes for place in range(len(self._workers))):
            assert time.monotonic() < until, self.tail()
            for place, worker in enumerate(self._workers):
                if worker.poll() is not None:
                    self._workers[place] = self._started(place)
            time.sleep(0.05)

    def kill(self, place: int, *, whole: bool) -> bool:
        """Kill -9 a process that sends, or a worker with all that is its own, which another one then follows. Return
        whether there was something to kill.
        """
        worker, children = self._workers[place], self.children(place)
        if not children:
            return False
        for pid in [worker.pid, *children] if whole else children[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if whole:
            worker.wait()
            self._workers[place] = self._started(place)
        return True

    def tail(self) -> str:
        """Return the end of what the workers said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def stop(self) -> None:
        """End them all, as an administrator would."""
        for worker in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)
        for worker in self._workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
