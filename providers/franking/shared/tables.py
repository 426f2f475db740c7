"""The tables in PostgreSQL of everything that many machines share: ``franking store init`` makes them all at once.

``{table}`` stands for the name that was chosen (``franking``), which begins the name of each. Every statement does
nothing where it was done before. What a later version adds is a further statement (``ADD COLUMN IF NOT EXISTS``); none
is ever changed.
"""

from __future__ import annotations

import re

from franking.shared import failures

__all__ = ["STATEMENTS", "check_name", "statements"]

SECRETS = """
CREATE TABLE IF NOT EXISTS {table} (
  key    text PRIMARY KEY,
  value  text,
  owner  text,
  token  bigint NOT NULL DEFAULT 0,
  until  double precision,
  lease  double precision
)
"""
"""What ``auth/postgres_store.py`` keeps: a text for each key, encrypted, and who holds the key's lock until when."""

STATEMENTS: tuple[str, ...] = (SECRETS,)
"""All that makes the tables, in order."""


def statements(table: str) -> list[str]:
    """Return what makes the tables of this name. Raises ``SettingsError`` for one that is no name."""
    check_name(table, step="settings")
    return [one.strip().format(table=table) for one in STATEMENTS]


def check_name(table: str, *, step: str) -> None:
    """Raise ``SettingsError`` for a name that would need quotes: it stands in every statement as it is."""
    if not re.fullmatch(r"([a-z_][a-z0-9_]{0,39}\.)?[a-z_][a-z0-9_]{0,39}", table):
        why = f"{table!r} cannot be the name of a table; use small letters, digits and _ (franking, or mail.franking)"
        raise failures.misfit(why, step=step)
