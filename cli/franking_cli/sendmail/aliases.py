"""The aliases of local names, as in /etc/aliases."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from franking.account.config import location
from franking.errors import MessageError, SettingsError
from franking_cli.sendmail.headers import address_in, listed


class Aliases:
    """Where mail for names without a domain goes: lines ``root: admin@example.com``, and ``default:`` for all other
    names.
    """

    def __init__(self, table: dict[str, list[str]], source: str) -> None:
        self._table = table
        self._source = source

    @classmethod
    def load(cls, path: str | None) -> Aliases:
        """Read a file of aliases, by default the one beside the settings, if there is one. Raises ``SettingsError``."""
        source = path or os.path.join(os.path.dirname(location()), "aliases")  # noqa: PTH118, PTH120
        table: dict[str, list[str]] = {}
        try:
            with open(source, encoding="utf-8") as file:  # noqa: PTH123  (pathlib would cost start-up time)
                for number, line in enumerate(file, 1):
                    text = line.partition("#")[0].strip()
                    if not text:
                        continue
                    name, _, targets = text.partition(":")
                    if not targets.strip():
                        raise SettingsError(
                            f"{source}:{number}: a line is 'name: address', such as 'root: admin@example.com'."
                        )
                    table[name.strip().lower()] = listed(targets)
        except FileNotFoundError:
            if path is not None:
                raise SettingsError(f"{source}: there is no such aliases file.") from None
        except (OSError, UnicodeDecodeError) as problem:
            raise SettingsError(f"{source}: cannot be read: {problem}.") from None
        return cls(table, source)

    def resolve(self, recipients: Iterable[str]) -> list[str]:
        """Return the addresses of all recipients, each once; raises ``MessageError`` for a name that leads nowhere."""
        found: dict[str, None] = {}
        for word in recipients:
            for part in listed(word):  # sendmail takes lists in one argument
                found.update(dict.fromkeys(self._follow(address_in(part), ())))
        return list(found)

    def _follow(self, address: str, seen: tuple[str, ...]) -> Iterator[str]:
        name = self._local(address)
        if name is None:
            yield address
            return
        lower = name.lower()
        targets = self._table.get(lower, self._table.get("default"))
        if not targets or lower in seen:
            raise MessageError(
                f"{name} has no domain; say where its mail goes with a line '{name}: you@example.com' or "
                f"'default: you@example.com' in {self._source}.",
                field="recipient",
            )
        for target in targets:
            yield from self._follow(address_in(target), (*seen, lower))

    def _local(self, address: str) -> str | None:
        """Return the name that an address of this machine stands for; None for any other address.

        ``root@HOST`` counts where root has an alias, and any name at a host where no mail can go where there is a
        ``default``: a machine may be called as its company's mail domain is, and then ``jan@DOMAIN`` is not its own.
        """
        name, at, host = address.rpartition("@")
        if not at:
            return address
        host = host.lower().rstrip(".")
        if not self._table or host not in _hosts():
            return None
        nowhere = "." not in host or host == _NOWHERE
        return name if name.lower() in self._table or (nowhere and "default" in self._table) else None


_NOWHERE = "localhost.localdomain"


def _hosts() -> set[str]:
    """Return the names of this machine, without asking anybody."""
    from socket import gethostname

    own = gethostname().lower()
    return {"localhost", _NOWHERE, own, own.partition(".")[0]}
