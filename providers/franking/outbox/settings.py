"""What ``[outbox]`` in accounts.toml says. It reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from franking.account.fields import Field, unknown_key
from franking.errors import SettingsError
from franking.message.address import Address

__all__ = ["OutboxSettings", "read_settings"]

DAY = 86400.0

FIELDS = (
    Field("keep_days", "float", 30.0, minimum=0, help="Days that a finished message is kept."),
    Field("give_up", "seconds", 5 * DAY, minimum=1, help="Seconds that a message is tried."),
    Field("keep_subjects", "bool", True, help="Whether subjects are kept for the lists."),
    Field("notify", help="Who is told, once a day, of mail that was refused, failed or is unknown."),
)


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """How long messages are kept (seconds) and tried (seconds), whether subjects are kept, who is told of failures."""

    keep: float = 30 * DAY
    give_up: float = 5 * DAY
    keep_subjects: bool = True
    notify: Address | None = None


def read_settings(table: Mapping[str, Any]) -> OutboxSettings:
    """Return what a table says. Raises ``SettingsError`` that names the key."""
    fields = {field.name: field for field in FIELDS}
    found = {name: field.default for name, field in fields.items()}
    for key, value in table.items():
        if key not in fields:
            raise SettingsError(unknown_key(key, "[outbox]", fields), field=key)
        found[key] = fields[key].read(value)
    notify = None if found["notify"] is None else Address.parse(found["notify"])
    return OutboxSettings(found["keep_days"] * DAY, found["give_up"], found["keep_subjects"], notify)
