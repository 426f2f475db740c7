"""The page "Be told before it stops": its spans, its settings, its units."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import franking
from franking.account.config import parse
from franking.diagnosis import texts
from franking.health.settings import read_settings
from franking.sending.send_log import read_settings as read_log
from outbox.test_outbox import save
from servers.smtp import Fault, SmtpServer, says

PAGE = (Path(__file__).parents[2] / "docs" / "health.md").read_text("utf-8")


def block(kind: str, number: int = 0) -> str:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[number]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def test_each_step_is_a_span(spans: InMemorySpanExporter) -> None:
    assert len(block("python").strip().splitlines()) <= 24
    known: dict[str, Any] = {
        "franking": franking, "message": franking.Message(to="a@b.cz", subject="x", text="y"), "__name__": "page",
    }  # fmt: skip
    fault = Fault("rcpt", says("550 5.1.1 nobody"), connection=2)
    with SmtpServer(faults=[fault]) as server:
        save(server.port)
        exec(block("python"), known)
        names = [span.name for span in spans.get_finished_spans()]
        assert names == [f"franking.{step}" for step in ("resolve", "connect", "greet", "message", "accepted")]
        spans.clear()
        with pytest.raises(franking.Refused):
            exec(block("python"), known)
    last = spans.get_finished_spans()[-1]
    assert (last.name, last.status.status_code) == ("franking.message", trace.StatusCode.ERROR)


def test_the_settings_are_as_the_page_says() -> None:
    alerts, log = (tomllib.loads(block("toml", number)) for number in (0, 1))
    text = block("toml") + "[accounts.shop]\n[accounts.other]\n"
    settings = read_settings(parse(text.encode(), "/x/accounts.toml", {}))
    assert (settings.channels, settings.ca_file) == (("command", "webhook", "mail"), "/x/company-ca.pem")
    assert set(alerts["alerts"]) == {"command", "webhook", "webhook_form", "ca_file", "account", "to"}
    kept = read_log(log["log"], "/x")
    assert (str(kept.path), kept.recipients, kept.max_bytes, kept.keep) == ("/x/sent.jsonl", False, 10_000_000, 5)


def test_every_code_is_on_the_page() -> None:
    codes = {code for code in texts.entries("en", "health.") if "." in code}
    assert codes <= set(re.findall(r"`([a-z-]+\.[a-z-]+)`", PAGE))
