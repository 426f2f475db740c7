"""What a domain's SPF record permits, with all that it includes: followed as a receiver would (RFC 7208), a level of
includes at a time, and whether the servers of one sender are in it. Nothing is judged and nothing worded here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from franking.discovery.trust.questions import Answer, Questions
from franking.discovery.trust.spf_record import Network, Record, Term, is_spf, parse

__all__ = ["MAX_LOOKUPS", "MAX_VOIDS", "Spf", "follow", "permits"]

MAX_LOOKUPS, MAX_VOIDS = 10, 2
"""RFC 7208 §4.6.4."""

_ASKING = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
"""Terms that cost a look-up."""


@dataclass
class Spf:
    """What was found at ``domain``. ``texts`` are the records there; exactly one can be followed, as ``record``.

    ``problem``: ``missing``, ``multiple``, ``syntax`` (``where`` is the wrong term, or the name of a broken include),
    ``lookups``, ``void-lookups``, or nothing. ``open`` are the terms of the domain's own record that permit everybody,
    ``end`` the qualifier that the whole ends with. ``permitted`` are the names of the records that are included so that
    they permit; ``networks`` and ``hosts`` what else is permitted. ``understood``: no term depends on more than DNS
    said. ``unanswered``: a name could not be asked for.
    """

    domain: str
    texts: tuple[str, ...] = ()
    record: Record | None = None
    problem: str = ""
    where: str = ""
    lookups: int = 0
    voids: int = 0
    open: list[str] = field(default_factory=list)
    end: str = ""
    ptr: bool = False
    permitted: set[str] = field(default_factory=set)
    networks: list[Network] = field(default_factory=list)
    hosts: list[tuple[str, Term]] = field(default_factory=list)
    understood: bool = True
    unanswered: bool = False

    def broken(self, problem: str, where: str = "") -> None:
        """Note a problem; the first is the one that is told."""
        if not self.problem:
            self.problem, self.where = problem, where


@dataclass(frozen=True, slots=True)
class _Node:
    """A record to look at. ``above`` are the names on the way to it; ``permits``: what it permits is permitted;
    ``own``: the term of the domain's own record that led here; ``last``: how the whole ends is decided here.
    """

    name: str
    record: Record
    above: tuple[str, ...] = ()
    permits: bool = True
    own: str = ""
    last: bool = True


def follow(domain: str, answer: Answer, questions: Questions) -> Spf:
    """Follow the record in the TXT records of a domain."""
    spf = Spf(domain, tuple(text for text in answer.values if is_spf(text)))
    if answer.unknown:
        spf.unanswered, spf.understood = True, False
    elif not spf.texts:
        spf.problem = "missing"
    elif len(spf.texts) > 1:
        spf.problem = "multiple"
    else:
        spf.record = parse(spf.texts[0])
        level = [_Node(domain, spf.record)]
        while level and not spf.problem:
            level = _walk_level(spf, level, questions)
        if not spf.problem and spf.lookups > MAX_LOOKUPS:
            spf.problem = "lookups"
        if not spf.problem and spf.voids > MAX_VOIDS:
            spf.problem = "void-lookups"
    return spf


def _walk_level(spf: Spf, level: list[_Node], questions: Questions) -> list[_Node]:
    """Look at the records of one level, and return those that they name."""
    asked: list[tuple[_Node, Term]] = []
    for node in level:
        if node.record.problem:
            spf.broken("syntax", node.record.problem)
            return []
        if node.last:
            spf.end = node.record.end
        for term in _terms(node.record):
            if term.name in _ASKING:
                spf.lookups += 1
                if spf.lookups <= MAX_LOOKUPS:
                    asked.append((node, term))
            _note(spf, node, term)
    if spf.lookups > MAX_LOOKUPS:
        return []
    answers = _answers(asked, questions)
    below: list[_Node] = []
    for node, term in asked:
        if not term.macro:
            below += _after(spf, node, term, answers.get(term.domain or node.name))
    _hosts(spf, asked, questions)
    return below


def _terms(record: Record) -> Iterator[Term]:
    yield from record.terms
    if record.redirect is not None:
        yield record.redirect


def _note(spf: Spf, node: _Node, term: Term) -> None:
    """Note what a term says by itself."""
    permits = node.permits and term.qualifier == "+"
    if term.name == "ptr":
        spf.ptr = spf.ptr or node.last
    if term.macro or term.name in ("ptr", "exists") or (term.qualifier != "+" and term.name != "all"):
        spf.understood = False
    if not permits:
        return
    if term.network is not None:
        spf.networks.append(term.network)
    everybody = term.name == "all" or (term.network is not None and term.network.prefixlen == 0)
    if everybody or (term.name in ("a", "mx") and 0 in (term.four, term.six)):
        spf.open.append(node.own or term.text)


def _answers(asked: list[tuple[_Node, Term]], questions: Questions) -> dict[str, Answer]:
    """Ask for the records that are included."""
    names = list(dict.fromkeys(term.domain for _, term in asked if _includes(term) and not term.macro))
    return dict(zip(names, questions.texts(*names), strict=True))


def _includes(term: Term) -> bool:
    return term.name in ("include", "redirect")


def _after(spf: Spf, node: _Node, term: Term, answer: Answer | None) -> Iterator[_Node]:
    """Return the record that an include or a redirect leads to."""
    if not _includes(term) or answer is None:
        return
    if term.domain in (*node.above, node.name):
        spf.broken("lookups", term.domain)  # round and round
        return
    if answer.unknown:
        spf.unanswered, spf.understood = True, False
        return
    texts = [text for text in answer.values if is_spf(text)]
    if len(texts) != 1:  # "none" and "permerror" of an include are an error of the whole (§5.2)
        spf.broken("syntax", term.text)
        return
    permits = node.permits and term.qualifier == "+"
    if permits:
        spf.permitted.add(term.domain)
    redirected = term.name == "redirect"
    yield _Node(
        term.domain,
        parse(texts[0]),
        (*node.above, node.name),
        permits,
        node.own or ("" if redirected else term.text),
        node.last and redirected,
    )


def _hosts(spf: Spf, asked: list[tuple[_Node, Term]], questions: Questions) -> None:
    """Find out which hosts an ``a`` or ``mx`` names, and whether there is anything at those names."""
    mine = [(node, term, term.domain or node.name) for node, term in asked if not term.macro]
    first = {"a": "A", "mx": "MX"}
    kinds = [(name, first[term.name]) for _, term, name in mine if term.name in first]
    answers = dict(zip(kinds, questions.ask(*kinds), strict=True))
    again = [(name, "AAAA") for name, kind in kinds if kind == "A" and answers[name, kind].void]
    answers |= dict(zip(again, questions.ask(*again), strict=True))
    for node, term, name in mine:
        if term.name not in first:
            continue
        answer = answers[name, first[term.name]]
        if term.name == "a" and answer.void:
            answer = answers[name, "AAAA"]
        if answer.unknown:
            spf.understood = False
            spf.unanswered = spf.unanswered or answer.problem != "unasked"
        spf.voids += answer.void
        if node.permits and term.qualifier == "+" and not answer.unknown:
            spf.hosts += [(host, term) for host in (answer.values if term.name == "mx" else (name,)) if host]


def permits(spf: Spf, names: frozenset[str], include: str, questions: Questions) -> bool | None:
    """Return whether a record permits the servers of a sender, whom the SPF records of ``names`` permit, and of these
    ``include`` in any case: by including one of them, or by naming all of their networks. None where that is not
    certain.
    """
    if spf.permitted & names:
        return True
    theirs = follow(include, questions.texts(include)[0], questions)
    if theirs.unanswered:
        return None
    _addresses(spf, questions)
    ours, sent = _merged(spf.networks), _merged(theirs.networks)
    inside = [any(_covers(one, other) for one in ours) for other in sent]
    if sent and all(inside):
        return True
    if any(inside) or any(_covers(one, other) for one in sent for other in ours):
        return None  # some of them
    return False if spf.understood else None


def _merged(networks: Iterable[Network]) -> list[Network]:
    every = list(networks)
    four = [network for network in every if isinstance(network, ipaddress.IPv4Network)]
    six = [network for network in every if isinstance(network, ipaddress.IPv6Network)]
    return [*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six)]


def _covers(one: Network, other: Network) -> bool:
    return (
        one.version == other.version
        and one.network_address <= other.network_address  # type: ignore[operator]
        and other.broadcast_address <= one.broadcast_address  # type: ignore[operator]
    )


def _addresses(spf: Spf, questions: Questions) -> None:
    """Ask for the addresses of the hosts that are permitted, and add their networks."""
    hosts = list(dict.fromkeys(spf.hosts))
    kinds = [(host, kind) for host, _ in hosts for kind in ("A", "AAAA")]
    answers = dict(zip(kinds, questions.ask(*kinds), strict=True))
    for host, term in hosts:
        for kind, length in (("A", term.four), ("AAAA", term.six)):
            answer = answers[host, kind]
            spf.understood = spf.understood and not answer.unknown
            spf.networks += [ipaddress.ip_network(f"{address}/{length}", strict=False) for address in answer.values]
    spf.hosts = []
