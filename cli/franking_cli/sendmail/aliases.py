"""The aliases of local names, as in /etc/aliases."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from franking_cli.sendmail.headers import address_in

if TYPE_CHECKING:
    from collections.abc import Iterator


class Aliases:
    """Where mail for names without a domain goes: lines ``root: admin@example.com``, and ``default:`` for all other
    names.
    """

    def __init__(self, table: dict[str, list[str]], source: str) -> None:
        self._table = table
        self._source = source

    @classmethod
    def load(cls, path: str | None) -> Aliases:
        from franking.account.config import location
        from franking.errors import SettingsError

        source = path or os.path.join(os.path.dirname(location()), "aliases")  # noqa: PTH118, PTH120
        table: dict[str, list[str]] = {}
        try:
            with open(source, encoding="utf-8") as file:  # noqa: PTH123  (pathlib would cost start-up time)
                for number, line in enumerate(file, 1):
                    text = line.partition("#")[0].strip()
                    if not text:
                        continue
                    name, colon, targets = text.partition(":")
                    if not colon or not targets.strip():
                        raise SettingsError(
                            f"{source}:{number}: a line is 'name: address', such as 'root: admin@example.com'."
                        )
                    table[name.strip().lower()] = [target.strip() for target in targets.split(",") if target.strip()]
        except FileNotFoundError:
            if path is not None:
                raise SettingsError(f"{source}: there is no such aliases file.") from None
        except (OSError, UnicodeDecodeError) as problem:
            raise SettingsError(f"{source}: cannot be read: {problem}.") from None
        return cls(table, source)

    def resolve(self, recipients: list[str] | tuple[str, ...]) -> list[str]:
        """Turn every recipient into addresses; raises ``MessageError`` for a name that leads nowhere."""
        found: list[str] = []
        for word in recipients:
            for recipient in word.split(",") if '"' not in word else [word]:  # sendmail takes lists in one argument
                found.extend(self._follow(address_in(recipient), ()))
        return list(dict.fromkeys(found))

    def _follow(self, name: str, seen: tuple[str, ...]) -> Iterator[str]:
        from franking.errors import MessageError

        if "@" in name:
            yield name
            return
        targets = self._table.get(name.lower(), self._table.get("default", []))
        if not targets or name.lower() in seen:
            raise MessageError(
                f"{name} has no domain; say where its mail goes with a line '{name}: you@example.com' or 'default: you@example.com' in {self._source}.",
                field="recipient",
            )
        for target in targets:
            yield from self._follow(target, (*seen, name.lower()))

    def rewrite(self, data: bytes) -> bytes:
        """Replace names without a domain in the headers To, Cc and Bcc."""
        import re

        def replaced(match: re.Match[bytes]) -> bytes:
            text = match[2].decode("utf-8", "surrogateescape")
            if "<" in text or '"' in text or ("@" in text and "," not in text):
                return match[0]
            parts = [part.strip() for part in re.sub(r"\r?\n[ \t]+", " ", text).split(",") if part.strip()]
            addresses = [
                address
                for part in parts
                for address in ([part] if "@" in part or ":" in part or ";" in part else self.resolve([part]))
            ]
            return match[1] + b" " + ", ".join(addresses).encode("utf-8", "surrogateescape") + match[3]

        head, blank, body = re.match(rb"(?s)(.*?)(\r?\n\r?\n|\Z)(.*)", data).groups()  # type: ignore[union-attr]
        pattern = rb"(?im)^((?:to|cc|bcc)[ \t]*:)((?:[^\r\n]|\r?\n[ \t])*)(\r?$|\Z)"
        return re.sub(pattern, replaced, head) + blank + body
