"""What it means when a shared server fails: every failure of Redis and PostgreSQL becomes one of these errors.

Two kinds: the server cannot do it now (a temporary ``SendError``), or somebody has to mend a setting
(``SettingsError``). No library's exception comes out of here, nor its frames, which hold the server's password; where
the server's or the library's words repeat it, ``hidden`` takes it out.
"""

from __future__ import annotations

from ipaddress import ip_address

from franking.errors import Evidence, FrankingError, SendError, SettingsError
from franking.redaction import Redactor, redacted

__all__ = [
    "away",
    "busy",
    "extra_missing",
    "loopback",
    "may_have_happened",
    "misfit",
    "no_rights",
    "no_table",
    "other_table",
    "refused",
    "unfit",
]


def _clean(words: str, hidden: Redactor | None) -> str:
    """Return somebody's words as a part of our sentence: without their secrets, and without their full stop."""
    return redacted(words, hidden).rstrip(" .")


def away(server: str, why: str, *, step: str, unknown: bool, hidden: Redactor | None = None) -> SendError:
    """Return the error of a server that cannot be reached or does not answer; ``unknown`` where what was asked for had
    left and may have been done.
    """
    why = _clean(why, hidden)
    return SendError(
        f"The shared store {server} cannot be reached: {why}; try again.",
        step=step,
        temporary=True,
        evidence=Evidence("store", text=why, reason="server-away", details={"server": server, "unknown": unknown}),
    )


def busy(server: str, words: str, *, step: str, hidden: Redactor | None = None) -> SendError:
    """Return the error of a server that answered, and surely did nothing: it starts, is full, or is another's copy."""
    words = _clean(words, hidden)
    return SendError(
        f"The shared store {server} cannot do it now: {words}; try again.",
        step=step,
        temporary=True,
        evidence=Evidence("store", text=words, reason="server-busy", details={"server": server, "unknown": False}),
    )


def refused(server: str, words: str, *, step: str, hidden: Redactor | None = None) -> SettingsError:
    """Return the error of a server that does not let us in, or not do this."""
    words = _clean(words, hidden)
    return SettingsError(
        f"The shared store {server} refuses this: {words}. See that FRANKING_STORE names the right server, user and "
        "password.",
        step=step,
        field="FRANKING_STORE",
        evidence=Evidence("store", text=words, reason="server-refused", details={"server": server}),
    )


def no_rights(server: str, words: str, *, step: str, hidden: Redactor | None = None) -> SettingsError:
    """Return the error of a server that let us in, as somebody who may not do this."""
    words = _clean(words, hidden)
    return SettingsError(
        f"The user in the address of the shared store {server} may not do what Franking has to: {words}.",
        step=step,
        field="FRANKING_STORE",
        evidence=Evidence("store", text=words, reason="no-rights", details={"server": server}),
    )


def unfit(server: str, why: str, *, step: str, hidden: Redactor | None = None) -> SettingsError:
    """Return the error of a server of a kind that cannot be the store."""
    why = _clean(why, hidden)
    return SettingsError(
        f"{server} cannot be the shared store: {why}.",
        step=step,
        field="FRANKING_STORE",
        evidence=Evidence("store", text=why, reason="unfit", details={"server": server}),
    )


def no_table(server: str, words: str, *, step: str, hidden: Redactor | None = None) -> SettingsError:
    """Return the error of a database without our tables, or not with all of them."""
    words = _clean(words, hidden)
    return SettingsError(
        f"The shared store {server} has no tables of Franking's yet ({words}); run: franking store init",
        step=step,
        field="FRANKING_STORE",
        repair="franking store init",
        evidence=Evidence("store", text=words, reason="no-table", details={"server": server}),
    )


def other_table(server: str, words: str, *, step: str, hidden: Redactor | None = None) -> SettingsError:
    """Return the error of a database in which a table of that name is another program's."""
    words = _clean(words, hidden)
    return SettingsError(
        f"The shared store {server} has a table with the name of one of Franking's that is not as Franking's is: "
        f"{words}.",
        step=step,
        field="FRANKING_STORE",
        evidence=Evidence("store", text=words, reason="other-table", details={"server": server}),
    )


def misfit(why: str, *, step: str, server: str = "", hidden: Redactor | None = None) -> SettingsError:
    """Return the error of an address or a certificate that cannot be used as it stands."""
    why = _clean(why, hidden)
    return SettingsError(
        f"FRANKING_STORE: {why}.",
        step=step,
        field="FRANKING_STORE",
        evidence=Evidence("store", text=why, reason="bad-address", details={"server": server}),
    )


def extra_missing(package: str, extra: str, *, step: str) -> SettingsError:
    """Return the error of a package that is not installed."""
    return SettingsError(
        f"{package} is not installed; run: pip install 'franking[{extra}]'",
        step=step,
        field="FRANKING_STORE",
        evidence=Evidence("settings", reason="extra-missing", details={"extra": extra}),
    )


def may_have_happened(problem: FrankingError) -> bool:
    """Return whether what was asked for may have been done all the same: it had left when the server was lost."""
    return problem.evidence is not None and bool(problem.evidence.details.get("unknown"))


def loopback(host: str) -> bool:
    """Return whether a host, or the path of a socket, is on this machine."""
    if not host or host == "localhost" or host.startswith(("/", "@")):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # 127.example too is a name, and anybody's
        return False
