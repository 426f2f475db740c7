"""Run commands of Franking's with what Windows or macOS has: ``python tests/system.py windows|macos DIRECTORY PORT``
prints a line for each.

It is neither. Whatever of ``os``, ``socket``, ``select`` and ``signal`` the system lacks is taken away from everybody
who imports them from now on, ``os.name`` or ``sys.platform`` is its own for them, and modules that it has not cannot
be imported. The standard library and the packages that know their system themselves were loaded before, with all of
it; platformdirs, which says where files are, is loaded as on macOS there. Files are Linux's all the same: ``os.major``
stays for who finds /proc.
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
    "windows": {
        os: "geteuid getuid getegid getgid getgroups fchown fchmod chown lchown fork forkpty killpg setsid getpgid "
        "setpgid statvfs mkfifo uname getloadavg sysconf register_at_fork posix_fallocate sched_getaffinity "
        "O_NOFOLLOW O_NONBLOCK O_CLOEXEC O_DIRECTORY WNOHANG wait4 pread pwrite sendfile",
        signal: "SIGHUP SIGKILL SIGQUIT SIGALRM SIGUSR1 SIGUSR2 SIGCHLD SIGPIPE setitimer alarm pthread_sigmask "
        "sigwait",
        socket: "AF_UNIX SO_PEERCRED SCM_RIGHTS fromfd sendmsg",
        select: "poll epoll",
    },
    "macos": {
        os: "posix_fallocate posix_fadvise sched_getaffinity sched_setaffinity memfd_create eventfd copy_file_range "
        "splice O_TMPFILE O_PATH O_NOATIME getrandom setresuid getresuid fdatasync",
        signal: "sigtimedwait sigwaitinfo SIGRTMIN SIGRTMAX SIGPWR SIGSTKFLT SIGPOLL",
        socket: "SO_PEERCRED TCP_CORK TCP_QUICKACK TCP_USER_TIMEOUT TCP_KEEPIDLE MSG_MORE MSG_NOSIGNAL SO_BINDTODEVICE "
        "SOCK_CLOEXEC SOCK_NONBLOCK AF_NETLINK AF_PACKET SO_DOMAIN SO_PROTOCOL",
        select: "epoll EPOLLIN",
    },
}
MODULES = {
    "windows": ("fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"),
    "macos": ("spwd",),
}


def become(system: str) -> None:
    """Take away what a system has not."""
    for module, names in LACKING[system].items():
        lesser = types.ModuleType(module.__name__)
        vars(lesser).update({name: value for name, value in vars(module).items() if name not in names.split()})
        sys.modules[module.__name__] = lesser
    sys.modules.update(dict.fromkeys(MODULES[system]))  # type: ignore[arg-type]
    if system == "windows":
        vars(sys.modules["os"])["name"] = "nt"
        return
    sys.platform = "darwin"
    for name in [name for name in sys.modules if name.partition(".")[0] == "platformdirs"]:
        del sys.modules[name]


def run(*words: str, typed: str = "") -> None:
    """Run one command, and print how it ended."""
    app = importlib.import_module("franking_cli.app")
    sys.stdin = io.TextIOWrapper(io.BytesIO(typed.encode()), "utf-8")
    print(words[0], app.run(list(words)), flush=True)


def main() -> None:
    system, place, port = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    for name in [name for name in os.environ if name.startswith(("FRANKING_", "XDG_"))]:
        del os.environ[name]
    os.environ.update(FRANKING_STORE="file", HOME=str(place))
    if system == "windows":  # whose folders only Windows can name
        os.environ.update(
            FRANKING_CONFIG=str(place / "accounts.toml"),
            FRANKING_STATE_DIR=str(place / "state"),
            FRANKING_OUTBOX=str(place / "outbox"),
        )
    become(system)
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
