"""Run commands of Franking's with what Windows has: ``python tests/windows.py DIRECTORY PORT`` prints a line for each.

It is no Windows. Whatever of ``os``, ``socket``, ``select`` and ``signal`` Windows lacks is taken away from everybody
who imports them from now on, ``os.name`` is ``nt`` for them, and modules that Windows has not cannot be imported. The
standard library and the packages that know their system themselves were loaded before, with all of it. Files are
Linux's all the same: ``os.major`` stays for who finds /proc.
"""

import asyncio  # noqa: F401
import concurrent.futures  # noqa: F401
import email.policy  # noqa: F401
import http.client  # noqa: F401
import importlib
import io
import logging.handlers  # noqa: F401
import multiprocessing  # noqa: F401
import os
import pathlib
import select
import shutil  # noqa: F401
import signal
import socket
import sqlite3  # noqa: F401
import ssl  # noqa: F401
import subprocess  # noqa: F401
import sys
import tempfile  # noqa: F401
import types
import urllib.request  # noqa: F401
import uuid  # noqa: F401
import webbrowser  # noqa: F401

import dns.resolver  # noqa: F401
import filelock  # noqa: F401
import platformdirs  # noqa: F401
import tomlkit  # noqa: F401
import typer  # noqa: F401

LACKING = {
    os: "geteuid getuid getegid getgid getgroups fchown fchmod chown lchown fork forkpty killpg setsid getpgid setpgid "
    "statvfs mkfifo uname getloadavg sysconf register_at_fork posix_fallocate sched_getaffinity "
    "O_NOFOLLOW O_NONBLOCK O_CLOEXEC O_DIRECTORY WNOHANG wait4 pread pwrite sendfile",
    signal: "SIGHUP SIGKILL SIGQUIT SIGALRM SIGUSR1 SIGUSR2 SIGCHLD SIGPIPE setitimer alarm pthread_sigmask sigwait",
    socket: "AF_UNIX SO_PEERCRED SCM_RIGHTS fromfd sendmsg",
    select: "poll epoll",
}
MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty")


def become_windows() -> None:
    for module, names in LACKING.items():
        lesser = types.ModuleType(module.__name__)
        vars(lesser).update({name: value for name, value in vars(module).items() if name not in names.split()})
        sys.modules[module.__name__] = lesser
    vars(sys.modules["os"])["name"] = "nt"
    sys.modules.update(dict.fromkeys(MODULES))  # type: ignore[arg-type]


def run(*words: str, typed: str = "") -> None:
    """Run one command, and print how it ended."""
    app = importlib.import_module("franking_cli.app")
    sys.stdin = io.TextIOWrapper(io.BytesIO(typed.encode()), "utf-8")
    print(words[0], app.run(list(words)), flush=True)


def main() -> None:
    place, port = pathlib.Path(sys.argv[1]), sys.argv[2]
    os.environ.update(
        FRANKING_CONFIG=str(place / "accounts.toml"),
        FRANKING_STATE_DIR=str(place / "state"),
        FRANKING_OUTBOX=str(place / "outbox"),
        FRANKING_STORE="file",
    )
    become_windows()
    server = ("--provider", "smtp", "--host", "127.0.0.1", "--port", port, "--security", "none", "--allow-plain-login")
    run("accounts", "add", "shop", *server, "--from", "Jan <jan@example.com>", "--username", "jan")
    run("login", "shop", "--password-stdin", typed="geheim\n")
    run("status", "shop")
    run("send-test", "shop", "--to", "you@example.com", "--no-domain-check")
    run("send", "shop", "--to", "you@example.com", "--subject", "at once", typed="Good morning\n")
    run("send", "shop", "--queue", "--to", "you@example.com", "--subject", "by the outbox", typed="Good morning\n")
    run("outbox", "run", "--once")
    run("health", "shop")


if __name__ == "__main__":
    main()
