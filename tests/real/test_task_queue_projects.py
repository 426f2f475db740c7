"""The example projects for task queues do what their page says: started as it says, with real brokers and databases, a
number that is confirmed twice is one message.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import franking
from real.conftest import start
from servers.postgres import Postgres
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis
from servers.shop import write_account
from servers.smtp import SmtpServer

pytestmark = pytest.mark.timeout(600)

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
LIBRARY = Path(franking.__file__).parents[1]
PATIENCE = 120.0
Run = Callable[..., AbstractContextManager[subprocess.Popen[str]]]


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with start(Redis) as made:
        yield made


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as made:
        write_account(made.port)
        yield made


class Project:
    """An example project, with what its programs find in the environment."""

    def __init__(self, name: str, log: Path, store: str, **environment: str) -> None:
        self.folder, self.log = EXAMPLES / name, log
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(LIBRARY), os.environ["PYTHONPATH"]]),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "FRANKING_STORE": store,
            "FRANKING_STORE_KEY": "the key of the example",
            **environment,
        }

    def run(self, *command: str) -> str:
        """Run a program to its end."""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", *command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr + self.tail()
        return done.stdout

    @contextlib.contextmanager
    def running(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """Have a program run meanwhile; it is ended as an administrator would end it."""
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", *command],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def until(self, reached: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < end, self.tail()
            time.sleep(0.05)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""


def test_celery_alone(redis: Redis, server: SmtpServer, tmp_path: Path) -> None:
    urls = {"BROKER_URL": redis.url, "RESULT_URL": redis.url}
    project = Project("celery", tmp_path / "log", redis.url, **urls)
    with project.running("-m", "celery", "-A", "tasks", "worker", "-c", "1", "-l", "warning"):
        first = project.run("order.py", "jana@example.com", "114")
        assert first.startswith("accepted <")
        assert project.run("order.py", "jana@example.com", "114") == first
    assert len(server.messages) == 1
    assert "QUIT" in server.wait(0).lines


def test_celery_and_django(redis: Redis, rabbitmq: RabbitMQ, server: SmtpServer, tmp_path: Path) -> None:
    project = Project("celery-django", tmp_path / "log", redis.url, BROKER_URL=rabbitmq.url)
    with (
        project.running("-m", "celery", "-A", "shop", "worker", "-c", "1", "-l", "warning"),
        project.running("manage.py", "runserver", "--noreload", "127.0.0.1:0"),
    ):
        project.until(lambda: re.search(r"http://[\d.:]+\d", project.tail()))
        found = re.search(r"http://[\d.:]+\d", project.tail())
        assert found is not None
        data = urllib.parse.urlencode({"to": "jana@example.com"}).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{found[0]}/orders/", data, timeout=PATIENCE) as answer:
            assert answer.read() == b'{"handed_over": true}'
        project.until(lambda: server.messages)
    assert server.messages[0].recipients == ["jana@example.com"]


def test_dramatiq(redis: Redis, server: SmtpServer, tmp_path: Path) -> None:
    project = Project("dramatiq", tmp_path / "log", redis.url, BROKER_URL=redis.url)
    with project.running("-m", "dramatiq", "tasks", "-p", "1", "-t", "1"):
        for _ in range(2):
            project.run("tasks.py", "jana@example.com", "115")
        project.until(lambda: project.tail().count("order-115 accepted") == 2)
    assert len(server.messages) == 1


def test_rq(redis: Redis, server: SmtpServer, tmp_path: Path) -> None:
    project = Project("rq", tmp_path / "log", redis.url, BROKER_URL=redis.url)
    jobs = [project.run("order.py", "jana@example.com", "116").strip() for _ in range(2)]
    project.run("-m", "rq.cli", "worker", "--burst", "--with-scheduler", "--url", redis.url)
    results = [project.run("-m", "rq.cli", "info", "--url", redis.url), *jobs]
    assert len(server.messages) == 1, results


def test_django_tasks(server: SmtpServer, tmp_path: Path) -> None:
    with start(Postgres) as postgres:
        place = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGDATABASE": "mail", "PGUSER": "postgres"}
        project = Project("django-tasks", tmp_path / "log", postgres.url, **place)
        project.run("manage.py", "migrate", "--no-input")
        project.run("-m", "franking_cli", "store", "init")
        for _ in range(2):
            project.run("manage.py", "order", "jana@example.com", "117")
        project.run("manage.py", "db_worker", "--batch", "--no-startup-delay", "--worker-id", "w1")
    assert len(server.messages) == 1, project.tail()
