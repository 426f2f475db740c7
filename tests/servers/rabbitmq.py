"""RabbitMQ 3.10 of Debian, for the tests of task queues: a node of its own with its own name, ports, cookie and
directories, on 127.0.0.1 only, run as the user rabbitmq. Needs root.

    with RabbitMQ() as broker: ... broker.url
"""

from __future__ import annotations

import os
import pwd
import signal
import socket
import time
from pathlib import Path

from servers.daemon import Daemon, directory, find, needs_root
from servers.ports import HOST, reserved_ports

USER = "rabbitmq"


class RabbitMQ:
    """One running broker; a context manager. What was published persistently outlives ``kill`` and ``start``."""

    def __init__(self) -> None:
        needs_root("RabbitMQ")
        self._server = find("rabbitmq-server", under="/usr/lib/rabbitmq/bin")
        self._epmd_program = find("epmd", under="/usr/bin")
        self.port, distribution, names = reserved_ports(3)
        self.directory = directory("rabbitmq")
        owner = pwd.getpwnam(USER)
        for name in ("data", "log", "home"):
            made = self.directory / name
            made.mkdir()
            os.chown(made, owner.pw_uid, owner.pw_gid)
        config = self.directory / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.1 = {HOST}:{self.port}\nloopback_users = none\nlog.file.level = error\n")
        plugins = self.directory / "plugins"
        plugins.write_text("[].\n")
        self._names = names
        self._environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.directory / "home"),  # the cookie lies there
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(names),
            "RABBITMQ_NODENAME": f"franking{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_PID_FILE": str(self.directory / "home" / "pid"),
            "RABBITMQ_DIST_PORT": str(distribution),
            # one scheduler that does not spin: the machine is the tests'
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
            "RABBITMQ_LOGS": "-",
        }
        self.url = f"amqp://guest:guest@{HOST}:{self.port}//"
        # its own: what the server would start by itself would stay for ever
        self._epmd = self._daemon(self._epmd_program, "-port", str(names), "-address", HOST, port=names)
        try:
            self.daemon = self._started()
        except BaseException:
            self._epmd.stop()
            raise

    def _started(self) -> Daemon:
        return self._daemon(self._server, port=self.port)

    def _daemon(self, *command: str | Path, port: int) -> Daemon:
        # a change of user takes the kernel's promise back, to end it with its parent; hence again
        as_user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--pdeathsig", "TERM")
        return Daemon(
            [*as_user, *command],
            ports=[port],
            log=self.directory / f"{port}.log",
            env=self._environment,
            cwd=self.directory / "home",
            within=90,  # it has a whole virtual machine to start
        )

    def kill(self) -> None:
        """End the broker as a loss of power would."""
        os.killpg(self.daemon.process.pid, signal.SIGKILL)
        self.daemon.stop()
        while self._listens():  # the virtual machine goes after the script that started it
            time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0

    def start(self) -> None:
        """Start it again after ``kill``, with what it had."""
        self.daemon = self._started()

    def stop(self) -> None:
        self.daemon.stop()
        self._epmd.stop()

    def __enter__(self) -> RabbitMQ:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
