"""Start and stop other people's daemons for tests: directories, free ports, certificates, process groups. Knows no
server in particular.

A daemon runs in its own session and dies with the tests, however they end: it is stopped by its owner, at exit, and by
the kernel when the process that started it is killed. Every server listens on 127.0.0.1 only.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme

from servers.ports import HOST

# setpriv: the kernel ends the daemon when its parent is killed; prlimit: Postfix closes every possible descriptor,
# which takes seconds at a million
GUARD = (
    ("setpriv", "--pdeathsig", "TERM", "prlimit", "--nofile=4096:4096")
    if shutil.which("setpriv") and shutil.which("prlimit")
    else ()
)
UNPACKED = Path(os.environ.get("FRANKING_SERVERS") or "/var/tmp/franking-servers")
START = 20.0  # seconds until a daemon must answer; they need less than one


class Unavailable(Exception):
    """A reason why a server cannot run on this machine."""


def find(program: str, *, under: str = "/usr/sbin") -> Path:
    """Find a server's program: unpacked below ``$FRANKING_SERVERS`` (see .ci/install-servers) or installed. Raises
    ``Unavailable``.
    """
    for root in (UNPACKED, Path("/")):
        path = root / under.lstrip("/") / program
        if path.is_file():
            return path
    raise Unavailable(f"{program} is not installed (.ci/install-servers fetches it)")


def needs_root(server: str) -> None:
    """Raise ``Unavailable`` unless this process may start a daemon that changes users."""
    if os.geteuid() != 0:
        raise Unavailable(f"{server} changes users, so only root can start it")


def directory(name: str) -> Path:
    """Make an empty directory that a daemon's unprivileged processes can enter (pytest's own are closed to them), with
    a short path.
    """
    path = Path(tempfile.mkdtemp(prefix=f"franking-{name}-"))
    path.chmod(0o755)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def in_use(ports: Iterable[int]) -> bool:
    """Return whether a server on one of these ports still holds a connection, or has yet to read what came by one that
    has ended (Linux).
    """
    wanted = {f"{port:04X}" for port in ports}
    over = ("06", "0A")  # TIME_WAIT, LISTEN
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].partition(":")[2] in wanted and line.split()[3] not in over for line in lines)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of PEM files: the CA to trust, and a certificate with its key for ``localhost`` and 127.0.0.1."""

    ca: Path
    chain: Path
    key: Path

    @classmethod
    def make(cls, where: Path) -> Certificates:
        where.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", HOST, "::1")
        made = cls(where / "ca.pem", where / "chain.pem", where / "key.pem")
        authority.cert_pem.write_to_path(str(made.ca))
        made.chain.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        made.key.touch(mode=0o600)
        issued.private_key_pem.write_to_path(str(made.key))
        return made

    def context(self) -> ssl.SSLContext:
        """Make the context of a server that shows this certificate."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.chain, self.key)
        return made


class Daemon:
    """One running server with everything it forked; a context manager."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        ports: Iterable[int],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        within: float = START,
    ) -> None:
        """Start ``command`` in the foreground and wait until every port answers. Raises ``RuntimeError`` with the end
        of the log.
        """
        self._within = within
        self.log = log
        line = [*GUARD, *map(str, command)]
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=env, cwd=cwd
            )
        atexit.register(self.stop)
        try:
            for port in ports:
                self._await(port)
        except BaseException:
            self.stop()
            raise

    def _await(self, port: int) -> None:
        deadline = time.monotonic() + self._within
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.process.args!r} ended with {self.process.returncode}:\n{self.tail()}")
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.process.args!r} does not listen on port {port}:\n{self.tail()}")
            time.sleep(0.02)

    def tail(self, lines: int = 30) -> str:
        """Return the end of the daemon's log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def stop(self) -> None:
        """End the daemon and all its processes; harmless when done before."""
        atexit.unregister(self.stop)
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self._signal(signal.SIGKILL)  # what its owner left behind
        self.process.wait(5)

    def _signal(self, sign: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, sign)

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
