"""A real Redis on loopback, which can be killed and started again with what it had written.

    with Redis() as redis:                   # durable: every write is on disk before it is answered
        RedisServer(redis.url) …
        redis.kill(); redis.start()

``durable=False`` keeps nothing on disk; ``password``, ``certificates`` (TLS only, then ``rediss://``) and ``settings``
(any directive of redis.conf) make others. Where redis-server is not installed, making one raises ``Unavailable``.
"""

from __future__ import annotations

import signal
import time
from typing import Any

from servers.daemon import Certificates, Daemon, directory, find
from servers.ports import HOST, reserved_ports

_READY = b"Ready to accept connections"


class Redis:
    """One Redis server with a directory of its own; a context manager."""

    def __init__(
        self,
        *,
        durable: bool = True,
        password: str | None = None,
        certificates: Certificates | None = None,
        **settings: Any,
    ) -> None:
        self._program = find("redis-server", under="/usr/bin")
        self.directory = directory("redis")
        (self.port,) = reserved_ports(1)
        self.password, self.certificates = password, certificates
        port = f"--port {self.port}"
        if certificates is not None:
            port = (
                f"--port 0 --tls-port {self.port} --tls-cert-file {certificates.chain} --tls-key-file "
                f"{certificates.key} --tls-ca-cert-file {certificates.ca} --tls-auth-clients no"
            )
        kept = "--appendonly yes --appendfsync always" if durable else "--appendonly no"
        self._options = f"--bind {HOST} {port} --dir {self.directory} --save  {kept}".split(" ")
        if password is not None:
            self._options += ["--requirepass", password]
        for name, value in settings.items():
            self._options += [f"--{name.replace('_', '-')}", *str(value).split()]
        self.daemon: Daemon | None = None
        self.start()

    @property
    def url(self) -> str:
        """Return the address, the password in it."""
        login = f":{self.password}@" if self.password else ""
        if self.certificates is not None:
            return f"rediss://{login}localhost:{self.port}/0?ca_file={self.certificates.ca}"
        return f"redis://{login}{HOST}:{self.port}/0"

    def start(self) -> None:
        """Start it, with what is on disk; it answers when this returns."""
        log = self.directory / "log"
        before = log.read_bytes().count(_READY) if log.exists() else 0
        self.daemon = Daemon([self._program, *self._options], ports=[self.port], log=log, cwd=self.directory)
        end = time.monotonic() + 30
        while log.read_bytes().count(_READY) == before:  # its port is open before it has read what is on disk
            assert time.monotonic() < end, self.daemon.tail()
            time.sleep(0.005)

    def kill(self) -> None:
        """End it without a warning."""
        if self.daemon is not None:
            self.daemon._signal(signal.SIGKILL)
            self.stop()

    def stop(self) -> None:
        """End it."""
        if self.daemon is not None:
            self.daemon.stop()
            self.daemon = None

    def freeze(self) -> None:
        """Let it stand still: it takes connections and says nothing."""
        assert self.daemon is not None
        self.daemon._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.daemon is not None
        self.daemon._signal(signal.SIGCONT)

    def __enter__(self) -> Redis:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
