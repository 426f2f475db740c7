"""A real PostgreSQL on loopback, which can be killed and started again with what it had written.

    with Postgres() as postgres:             # a new cluster with a database "mail"
        PostgresServer(postgres.url) …
        postgres.kill(); postgres.start()

``password`` makes it ask for one, ``certificates`` lets it speak TLS (and take nothing else by TCP); ``settings`` are
any of postgresql.conf. Where PostgreSQL is not installed, making one raises ``Unavailable``. It never runs as root: a
root's is started as the user ``postgres``, whom Debian's package makes.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from servers.daemon import Certificates, Daemon, Unavailable, directory
from servers.ports import HOST, reserved_ports

USER = "postgres"


class Postgres:
    """One cluster in a directory of its own; a context manager."""

    def __init__(
        self, *, password: str | None = None, certificates: Certificates | None = None, **settings: Any
    ) -> None:
        self._programs = _programs()
        self.directory = directory("postgres")
        (self.port,) = reserved_ports(1)
        self.password, self.certificates = password, certificates
        self.data = self.directory / "data"
        self._own(self.directory)
        self._initialise()
        lines = {"listen_addresses": HOST, "port": self.port, "unix_socket_directories": self.directory}
        lines |= {"max_connections": 200, "shared_buffers": "16MB", "fsync": "on", "logging_collector": "off"}
        lines |= {"recovery_init_sync_method": "syncfs"}  # after a kill: not each of a thousand files by itself
        kind = "host"
        if certificates is not None:
            for name in ("chain", "key"):
                copy = self.directory / f"{name}.pem"
                shutil.copy(getattr(certificates, name), copy)
                copy.chmod(0o600)
                self._own(copy)
            lines |= {"ssl": "on", "ssl_cert_file": self.directory / "chain.pem"}
            lines |= {"ssl_key_file": self.directory / "key.pem"}
            kind = "hostssl"
        with (self.data / "postgresql.conf").open("a") as config:
            config.writelines(f"{name} = '{value}'\n" for name, value in {**lines, **settings}.items())
        way = "trust" if password is None else "scram-sha-256"
        (self.data / "pg_hba.conf").write_text(f"local all all trust\n{kind} all all {HOST}/32 {way}\n")
        self.daemon: Daemon | None = None
        self.start()
        self.sql("CREATE DATABASE mail", database="postgres")
        if password is not None:
            self.sql(f"ALTER USER {USER} PASSWORD '{password}'")

    @property
    def url(self) -> str:
        """Return the address of the database, the password in it."""
        login = USER if self.password is None else f"{USER}:{self.password}"
        if self.certificates is not None:
            return f"postgresql://{login}@localhost:{self.port}/mail?ca_file={self.certificates.ca}&hostaddr={HOST}"
        return f"postgresql://{login}@{HOST}:{self.port}/mail"

    def sql(self, text: str, *, database: str = "mail") -> str:
        """Run a statement with psql by the local socket, and return what it prints."""
        line = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", USER, "-p", str(self.port)]
        line += ["-h", str(self.directory), "-d", database, "-c", text]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()

    def start(self) -> None:
        """Start it, with what is on disk; it takes statements when this returns."""
        line: list[str | Path] = [self._programs / "postgres", "-D", self.data]
        self.daemon = Daemon([*_as_user(), *line], ports=[self.port], log=self.directory / "log", cwd=self.directory)
        ready = [self._programs / "pg_isready", "-q", "-h", str(self.directory), "-p", str(self.port), "-t", "20"]
        while subprocess.run(ready, check=False).returncode != 0:  # it is there, and not ready yet
            time.sleep(0.05)

    def kill(self) -> None:
        """End it without a warning."""
        if self.daemon is not None:
            self.daemon._signal(signal.SIGKILL)
            self.stop()

    def stop(self) -> None:
        """End it; whoever is connected is cut off."""
        if self.daemon is not None:
            if self.daemon.process.poll() is None:
                self.daemon.process.send_signal(signal.SIGINT)  # by itself it would wait for its clients
            self.daemon.stop()
            self.daemon = None

    def freeze(self) -> None:
        """Let it stand still, its processes with their clients too."""
        self._every(signal.SIGSTOP)

    def thaw(self) -> None:
        self._every(signal.SIGCONT)

    def _every(self, sign: signal.Signals) -> None:
        assert self.daemon is not None
        parent = self.daemon.process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for pid in (parent, *map(int, children)):  # each child leads a group of its own
            os.kill(pid, sign)

    def _initialise(self) -> None:
        line = [self._programs / "initdb", "-D", self.data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run([*_as_user(), *line, "--no-sync", "--no-instructions"], check=True, capture_output=True)

    def _own(self, path: Path) -> None:
        if os.geteuid() == 0:
            shutil.chown(path, USER, USER)

    def __enter__(self) -> Postgres:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def _programs() -> Path:
    """Return where the newest PostgreSQL's programs lie."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[4]))
    if not found or not shutil.which("psql"):
        raise Unavailable("postgresql is not installed (.ci/install-servers fetches it)")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(USER)
        except KeyError:
            raise Unavailable(f"PostgreSQL does not run as root, and there is no user {USER}") from None
        if not shutil.which("setpriv"):
            raise Unavailable("setpriv (util-linux) is not there to start PostgreSQL as another user")
    return found[-1].parent


def _as_user() -> Sequence[str]:
    if os.geteuid() != 0:
        return ()
    return ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--pdeathsig", "INT")
