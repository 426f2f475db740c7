"""The tables in PostgreSQL of everything that many machines share: ``franking store init`` makes them all at once.

``{table}`` stands for the name that was chosen (``franking``), which begins the name of each. Every statement does
nothing where it was done before. What a later version adds is a further statement (``ADD COLUMN IF NOT EXISTS``); none
is ever changed.
"""

from __future__ import annotations

import re

from franking.shared import failures

__all__ = ["STATEMENTS", "check_name", "columns", "made_by", "statements"]

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

JOURNAL = (
    """
CREATE TABLE IF NOT EXISTS {table}_journal (
  key         text PRIMARY KEY,
  state       text NOT NULL,
  owner       text NOT NULL,
  until       float8 NOT NULL,
  lease       float8 NOT NULL,
  digest      text NOT NULL,
  message_id  text NOT NULL,
  date        text NOT NULL,
  outcome     text NOT NULL,
  changed     float8 NOT NULL
)
""",
    "CREATE INDEX IF NOT EXISTS {index}_journal_changed ON {table}_journal (changed)",
)
"""What ``sending/postgres_journal.py`` keeps of each message. Moments are seconds since 1970."""

LIMITS = (
    """
CREATE TABLE IF NOT EXISTS {table}_limits (
  mailbox  text PRIMARY KEY,
  now      float8 NOT NULL,
  pause    float8 NOT NULL DEFAULT 0,
  span     float8 NOT NULL DEFAULT 0,
  minute   float8 NOT NULL DEFAULT 0,
  day      float8 NOT NULL DEFAULT 0,
  people   float8 NOT NULL DEFAULT 0
)
""",
    "CREATE TABLE IF NOT EXISTS {table}_sent (mailbox text NOT NULL, at float8 NOT NULL)",
    "CREATE INDEX IF NOT EXISTS {index}_sent_at ON {table}_sent (mailbox, at)",
    """
CREATE TABLE IF NOT EXISTS {table}_days (
  mailbox     text NOT NULL,
  quarter     bigint NOT NULL,
  messages    bigint NOT NULL,
  recipients  bigint NOT NULL,
  PRIMARY KEY (mailbox, quarter)
)
""",
    """
CREATE TABLE IF NOT EXISTS {table}_connections (
  owner    text PRIMARY KEY,
  mailbox  text NOT NULL,
  until    float8 NOT NULL
)
""",
    "CREATE INDEX IF NOT EXISTS {index}_connections_of ON {table}_connections (mailbox)",
)
"""What ``sending/postgres_limits.py`` counts: when each message of the last minute went, how many in each quarter of an
hour, and who has a connection until when.
"""

STATEMENTS: tuple[str, ...] = (SECRETS, *JOURNAL, *LIMITS)
"""All that makes the tables, in order."""


def statements(table: str) -> list[str]:
    """Return what makes the tables of this name. Raises ``SettingsError`` for one that is no name."""
    check_name(table, step="settings")
    index = table.rpartition(".")[2]  # an index lies where its table does
    return [one.strip().format(table=table, index=index) for one in STATEMENTS]


def made_by(statement: str, table: str) -> str:
    """Return the name of what a statement makes, with the schema in which it lies."""
    found = re.search(r"IF NOT EXISTS (?:\w+\.)?(\w+)", statement)
    assert found is not None
    schema, dot, _ = table.rpartition(".")
    return f"{schema}{dot}{found[1]}"


def columns(table: str) -> dict[str, list[str]]:
    """Return the names of all tables, and of the columns of each."""
    found = {}
    for one in statements(table):
        if one.startswith("CREATE TABLE"):
            inside = one.partition("(")[2]
            found[made_by(one, table)] = re.findall(r"(?:^|,)\s*([a-z_]+) +(?=text|bigint|float8|double)", inside)
    return found


def check_name(table: str, *, step: str) -> None:
    """Raise ``SettingsError`` for a name that would need quotes: it stands in every statement as it is."""
    if not re.fullmatch(r"([a-z_][a-z0-9_]{0,39}\.)?[a-z_][a-z0-9_]{0,39}", table):
        why = f"{table!r} cannot be the name of a table; use small letters, digits and _ (franking, or mail.franking)"
        raise failures.misfit(why, step=step)
