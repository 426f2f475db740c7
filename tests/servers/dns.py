"""An authoritative name server on loopback, UDP and TCP, for tests: zones as text, and names that misbehave.

``DnsServer(zone)`` serves the records of a zone file (absolute names). Names can be told to misbehave: ``silent`` (no
answer at all), ``broken`` (SERVFAIL). An answer that does not fit into 512 octets is cut off over UDP and given whole
over TCP, as a real server does. ``resolver`` is a dnspython resolver that asks this server and nobody else; ``asked``
are the questions that came.
"""

from __future__ import annotations

import errno
import socketserver
import threading
from types import TracebackType

import dns.resolver
from dnslib import QTYPE, RCODE, RR, DNSQuestion, DNSRecord

__all__ = ["DnsServer"]


class DnsServer:
    """Serve a zone on a free port of 127.0.0.1."""

    def __init__(self, zone: str, *, silent: set[str] | None = None, broken: set[str] | None = None) -> None:
        self._records: dict[tuple[str, int], list[RR]] = {}
        self._names: set[str] = set()
        for record in RR.fromZone(zone):
            name = str(record.rname).lower()
            self._records.setdefault((name, record.rtype), []).append(record)
            labels = name.rstrip(".").split(".")
            self._names.update(".".join(labels[place:]) + "." for place in range(len(labels)))
        self.silent = {f"{name}." for name in silent or ()}
        self.broken = {f"{name}." for name in broken or ()}
        self.mute = False  # says nothing to anybody
        self.asked: list[tuple[str, str]] = []
        self.over_tcp = 0

    def _answer(self, packet: bytes, *, tcp: bool) -> bytes | None:
        request = DNSRecord.parse(packet)
        question: DNSQuestion = request.q
        name = str(question.qname).lower()
        self.asked.append((name.rstrip("."), QTYPE[question.qtype]))
        self.over_tcp += tcp
        if self.mute or name in self.silent:
            return None
        reply = request.reply()
        if name in self.broken:
            reply.header.rcode = RCODE.SERVFAIL
            return bytes(reply.pack())
        if name not in self._names:
            reply.header.rcode = RCODE.NXDOMAIN
        for _ in range(16):  # a loop of aliases ends somewhere in a real server too
            found = self._records.get((name, question.qtype), [])
            reply.add_answer(*found)
            alias = self._records.get((name, QTYPE.CNAME), [])
            if found or not alias:
                break
            reply.add_answer(*alias)
            name = str(alias[0].rdata.label).lower()
        packed = bytes(reply.pack())
        if len(packed) > 512 and not tcp:
            reply = request.reply()
            reply.header.tc = 1
            return bytes(reply.pack())
        return packed

    def __enter__(self) -> DnsServer:
        outer = self

        class Datagram(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                answer = outer._answer(self.request[0], tcp=False)
                if answer is not None:
                    self.request[1].sendto(answer, self.client_address)

        class Stream(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                length = int.from_bytes(self.rfile.read(2))
                answer = outer._answer(self.rfile.read(length), tcp=True)
                if answer is not None:
                    self.wfile.write(len(answer).to_bytes(2) + answer)

        self._tcp, self._udp = _same_port(Stream, Datagram)
        self.port = self._tcp.server_address[1]
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            for server in (self._tcp, self._udp)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in (self._tcp, self._udp):
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    @property
    def resolver(self) -> dns.resolver.Resolver:
        made = dns.resolver.Resolver(configure=False)
        made.nameservers = ["127.0.0.1"]
        made.port = self.port
        return made


def _same_port(
    stream: type[socketserver.StreamRequestHandler], datagram: type[socketserver.BaseRequestHandler]
) -> tuple[socketserver.TCPServer, socketserver.UDPServer]:
    """Return two servers on one port number, another one where somebody else's UDP socket has the first."""
    for _ in range(100):
        tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), stream)
        try:
            return tcp, socketserver.UDPServer(tcp.server_address, datagram)
        except OSError as error:
            tcp.server_close()
            if error.errno != errno.EADDRINUSE:
                raise
    raise RuntimeError("a hundred free TCP ports, and each one's number is taken for UDP")
