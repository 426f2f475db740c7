"""The shape of ``send-test --json``, ``check --json`` and ``send --json``, checked key by key and type by type, and
what goes together.
"""

from __future__ import annotations

import json
import re
from typing import Any

OUTCOMES = {"sent", "failed", "unknown", "login-required", "checked"}
STEPS = ("settings", "secret", "resolve", "connect", "tls", "greet", "login", "message", "accepted")
TEXT, MAYBE_TEXT, NUMBER, YES_NO, TEXTS = str, (str, type(None)), (int, float), bool, [str]

REPORT: dict[str, Any] = {
    "ok": YES_NO,
    "outcome": OUTCOMES,
    "account": MAYBE_TEXT,
    "provider": MAYBE_TEXT,
    "route": MAYBE_TEXT,
    "from": MAYBE_TEXT,
    "to": TEXTS,
    "message_id": MAYBE_TEXT,
    "steps": [{"name": set(STEPS), "status": {"ok", "failed", "warning", "skipped"}, "ms": NUMBER, "detail": TEXT}],
    "possibly_sent": YES_NO,
    "receipt": (
        {
            "message_id": TEXT,
            "account": TEXT,
            "route": TEXT,
            "reply": TEXT,
            "provider_id": MAYBE_TEXT,
            "accepted": TEXTS,
            "refused": dict,
            "bytes": int,
            "ms": NUMBER,
        },
        type(None),
    ),
    "diagnosis": (
        {
            "code": TEXT,
            "title": TEXT,
            "cause": TEXT,
            "remedies": TEXTS,
            "who": {"you", "admin", "provider"},
            "temporary": YES_NO,
            "raw": TEXT,
        },
        type(None),
    ),
    "hints": [{"code": TEXT, "text": TEXT}],
    "deliverability": (
        {
            "verdict": {"good", "warning", "unknown"},
            "domain": TEXT,
            "account": MAYBE_TEXT,
            "via": MAYBE_TEXT,
            "findings": [
                {
                    "code": TEXT,
                    "level": {"ok", "hint", "warning", "unknown"},
                    "text": TEXT,
                    "remedies": TEXTS,
                    "record": ({"name": TEXT, "type": TEXT, "value": TEXT}, type(None)),
                }
            ],
        },
        type(None),
    ),
}


def fits(value: Any, shape: Any, where: str = "report") -> None:
    """Compare a value with a shape: a type, alternatives in a tuple, choices in a set, a list of one shape, or an
    object with exactly these keys in this order.
    """
    if isinstance(shape, dict):
        assert isinstance(value, dict), f"{where}: {value!r} is no object"
        assert list(value) == list(shape), f"{where}: keys {list(value)}"
        for key, inner in shape.items():
            fits(value[key], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), f"{where}: {value!r} is no list"
        for number, inner in enumerate(value):
            fits(inner, shape[0], f"{where}[{number}]")
    elif isinstance(shape, set):
        assert value in shape, f"{where}: {value!r} is not one of {sorted(shape)}"
    elif isinstance(shape, tuple) and any(isinstance(one, dict) for one in shape):
        if value is not None:
            fits(value, shape[0], where)
    else:
        wanted = shape if isinstance(shape, tuple) else (shape,)
        assert type(value) in wanted, f"{where}: {value!r} is a {type(value).__name__}"


def report(out: str, *, hints: bool = True) -> dict[str, Any]:
    """Read the one object that stands on stdout, and check that it holds together."""
    assert out.endswith("\n")
    assert len(out.splitlines()) == 1, out
    told: dict[str, Any] = json.loads(out)
    fits(told, REPORT if hints else {key: shape for key, shape in REPORT.items() if key != "hints"})
    assert told["ok"] == (told["outcome"] in ("sent", "checked"))
    assert told["ok"] == (told["diagnosis"] is None)
    assert (told["receipt"] is not None) == (told["outcome"] == "sent")
    assert (told["message_id"] is not None) >= (told["outcome"] in ("sent", "unknown"))
    assert told["possibly_sent"] == (told["outcome"] == "unknown")
    names = [step["name"] for step in told["steps"]]
    assert len(names) == len(set(names)), names
    failed = [step["name"] for step in told["steps"] if step["status"] == "failed"]
    if told["ok"]:
        assert not failed
    elif names:
        assert failed in ([], [names[-1]]), told["steps"]
    if told["diagnosis"]:
        words = told["diagnosis"]
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)?", words["code"])
        assert words["title"], words
        assert words["cause"], words
        assert words["remedies"], words
        for text in (words["title"], words["cause"], words["raw"], *words["remedies"]):
            assert text.isprintable(), text
    for answer in (told["receipt"] or {}).get("refused", {}).values():
        fits(answer, {"reply": TEXT, "temporary": YES_NO}, "refused")
    return told
