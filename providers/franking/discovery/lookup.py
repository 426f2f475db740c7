"""What the network says about a mail domain: MX, SRV (RFC 6186, RFC 8314) and the settings that it publishes for mail
programs.

All are looked up at once, in threads, under one deadline; each look-up has a result, or the reason why there is none.
What they mean is decided in ``recommend.py``. dnspython is imported by the first look-up. Published settings come over
HTTPS only, from public addresses, bounded in size (``net/fetch.py``), and are read by a parser that refuses document
types, so that no entity is ever expanded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from franking.atomic import room
from franking.discovery.input import host_name
from franking.errors import scarcity
from franking.net.deadline import gather
from franking.net.fetch import MAX_DOCUMENT, fetch_https
from franking.smtp.services import Server

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = [
    "Fetch",
    "LookupResult",
    "LookupResults",
    "Published",
    "Resolver",
    "fetch_https",
    "look_up",
    "read_autoconfig",
    "system_resolver",
]

MAX_XML = MAX_DOCUMENT  # Mozilla's own files have 2 to 9 KiB
SERVICES = (("_submissions._tcp", "tls"), ("_submission._tcp", "starttls"))
"""RFC 8314 §5.1 and RFC 6186 §3.1, the better first."""


_TELLING = ("null", "invalid", "failed", "timeout", "no-domain", "none")
"""Problems, the most telling first."""


class Resolver(Protocol):
    """The part of ``dns.resolver.Resolver`` that is used."""

    def resolve(self, qname: str, rdtype: str, *, lifetime: float, search: bool) -> Any: ...


Fetch = Callable[[str, float], bytes]
"""Get a document over HTTPS within so many seconds, or raise ``OSError``."""


@dataclass(frozen=True, slots=True)
class Published:
    """A server for sending that a domain names itself; ``username`` as in ``Service``, ``oauth`` where only OAuth is
    offered.
    """

    server: Server
    username: str = "address"
    oauth: bool = False


_DESCRIPTORS = 8
"""A socket for each of the five look-ups, and the files that they read."""


@dataclass(frozen=True, slots=True)
class LookupResult:
    """What one look-up brought: host names or servers, the best first, or the ``problem``.

    Problems: ``none`` (there is no such record or document), ``no-domain``, ``null`` (a record says that there is no
    such service), ``timeout``, ``failed``, ``invalid``.
    """

    hosts: tuple[str, ...] = ()
    servers: tuple[Published, ...] = ()
    problem: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LookupResults:
    """What all look-ups brought: MX, the two SRV names together, and the published settings."""

    mx: LookupResult
    srv: LookupResult
    autoconfig: LookupResult


def system_resolver() -> Resolver:
    """Make a resolver from the system's settings."""
    import dns.resolver

    return dns.resolver.Resolver()


def look_up(domain: str, *, resolver: Resolver | None, fetch: Fetch | None, timeout: float) -> LookupResults:
    """Look a domain (A-labels) up: everything at once, for at most ``timeout`` seconds altogether. Never raises for the
    network.
    """
    with scarcity("resolve"):
        import dns.resolver  # noqa: F401  (not by several threads at once, each of which might fail)

        room(_DESCRIPTORS)  # an answer that nobody could ask for is no answer
    names = resolver or _SystemResolver()
    get = fetch or fetch_https
    urls = (
        f"https://autoconfig.{domain}/mail/config-v1.1.xml",
        f"https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml",
    )
    jobs: dict[str, Callable[[], LookupResult]] = {"mx": partial(_mx, names, domain, timeout)}
    for service, security in SERVICES:
        jobs[service] = partial(_srv, names, f"{service}.{domain}", security, timeout)
    for url in urls:
        jobs[url] = partial(_autoconfig, get, url, domain, timeout)
    results = dict.fromkeys(jobs, LookupResult(problem="timeout")) | gather(jobs, timeout, name="look-up")
    return LookupResults(
        mx=results["mx"],
        srv=_joined([results[service] for service, _ in SERVICES]),
        autoconfig=_joined([results[url] for url in urls]),
    )


def _joined(results: Sequence[LookupResult]) -> LookupResult:
    """Join two ways to look one thing up: all servers in order, else the most telling problem."""
    found = [result for result in results if result.servers]
    if found:
        return LookupResult(servers=sum((result.servers for result in found), ()), detail=found[0].detail)
    return min(results, key=lambda result: _TELLING.index(result.problem))


class _SystemResolver:
    """Asks the system's resolver, which is only set up when a thread asks: reading its settings can fail."""

    def resolve(self, qname: str, rdtype: str, *, lifetime: float, search: bool) -> Any:
        return system_resolver().resolve(qname, rdtype, lifetime=lifetime, search=search)


def _records(resolver: Resolver, name: str, kind: str, seconds: float) -> list[Any] | LookupResult:
    import dns.exception
    import dns.resolver

    try:
        return list(resolver.resolve(f"{name}.", kind, lifetime=seconds, search=False))
    except dns.resolver.NXDOMAIN:
        return LookupResult(problem="no-domain")
    except dns.resolver.NoAnswer:
        return LookupResult(problem="none")
    except dns.exception.Timeout:
        return LookupResult(problem="timeout")
    # SERVFAIL, loops, answers that make no sense, no network
    except (dns.exception.DNSException, OSError, ValueError) as problem:
        return LookupResult(problem="failed", detail=type(problem).__name__)


def _mx(resolver: Resolver, domain: str, seconds: float) -> LookupResult:
    records = _records(resolver, domain, "MX", seconds)
    if isinstance(records, LookupResult):
        return records
    hosts = tuple(_target(record.exchange) for record in sorted(records, key=lambda record: record.preference))
    if not any(hosts):
        return LookupResult(problem="null")  # RFC 7505
    return LookupResult(hosts=tuple(dict.fromkeys(host for host in hosts if host)))


def _srv(resolver: Resolver, name: str, security: str, seconds: float) -> LookupResult:
    records = _records(resolver, name, "SRV", seconds)
    if isinstance(records, LookupResult):
        # no service, no such name: only MX can tell that a domain does not exist
        return LookupResult(problem="none") if records.problem == "no-domain" else records
    ordered = sorted(records, key=lambda record: (record.priority, -record.weight))
    named = [(host, record.port) for record in ordered if (host := _target(record.target)) and record.port]
    if not named:
        return LookupResult(problem="null")  # a target of "." means: not here (RFC 2782)
    return LookupResult(servers=tuple(Published(Server(host, port, security)) for host, port in named))


def _target(name: Any) -> str:
    """Return the host name in a record: normalised, empty for the root and for what can be none."""
    return (host_name(name.to_text(omit_final_dot=True)) or ("",))[0]


def _autoconfig(fetch: Fetch, url: str, domain: str, seconds: float) -> LookupResult:
    from http.client import HTTPException

    try:
        document = fetch(url, seconds)
    except (OSError, HTTPException, ValueError) as problem:
        if isinstance(getattr(problem, "reason", problem), TimeoutError):  # urllib wraps it
            return LookupResult(problem="timeout")
        # hardly any domain has one: no such host, no such page, a certificate of somebody else
        return LookupResult(problem="none")
    servers = read_autoconfig(document, domain) if len(document) <= MAX_XML else ()
    if not servers:
        return LookupResult(problem="invalid", detail=url)
    return LookupResult(servers=servers, detail=url)


def read_autoconfig(document: bytes, domain: str) -> tuple[Published, ...]:
    """Read the servers for sending out of Mozilla's ``clientConfig`` format, in the order given; nothing where it is
    not one.

    https://wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat
    """
    root = _parse(document)
    if root is None or root.tag != "clientConfig":
        return ()
    found = (_outgoing(entry, domain) for entry in root.iter("outgoingServer") if entry.get("type") == "smtp")
    return tuple(published for published in found if published)


_SECURITY = {"SSL": "tls", "STARTTLS": "starttls", "plain": "none"}
_USERNAME = {"": "none", "%EMAILADDRESS%": "address", "%EMAILLOCALPART%": "local-part"}


def _outgoing(entry: Element, domain: str) -> Published | None:
    words = {key: (entry.findtext(key) or "").strip() for key in ("hostname", "port", "socketType", "username")}
    host = host_name(words["hostname"].replace("%EMAILDOMAIN%", domain))
    security = _SECURITY.get(words["socketType"])
    if host is None or "." not in host[0] or security is None or not re.fullmatch("[0-9]{1,5}", words["port"]):
        return None
    port = int(words["port"])
    if not 0 < port < 65536:
        return None
    ways = {(way.text or "").strip() for way in entry.findall("authentication")}
    username = _USERNAME.get(words["username"], "own")
    return Published(Server(host[0], port, security), username, oauth=ways == {"OAuth2"})


def _parse(document: bytes) -> Element | None:
    from xml.etree.ElementTree import TreeBuilder
    from xml.parsers import expat

    class Refused(Exception):
        """A document type was declared: entities could follow."""

    def refuse(*_: Any) -> None:
        raise Refused

    parser, tree = expat.ParserCreate("utf-8"), TreeBuilder()
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = tree.start, tree.end, tree.data
    try:
        parser.Parse(document, True)
        return tree.close()
    except (expat.ExpatError, Refused, AssertionError):
        return None
