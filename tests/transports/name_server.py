"""An authoritative name server on loopback, for tests: real datagrams, made-up zones."""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

ZONE = "example."


class NameServer:
    """Answers from its records; change them, or have it be silent, while it runs."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.mode = "answer"
        """Or: silent, servfail, garbage, truncate (TCP has the whole answer)."""
        self.soa_minimum = 60
        self._udp, self._tcp = _same_port()
        self.port: int = self._udp.getsockname()[1]
        self._closed = False

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def add(self, name: str, kind: str, *values: str, ttl: int = 300) -> None:
        """Records of a name, in the form of a zone file."""
        self.records[name, kind] = (ttl, list(values))

    @contextlib.contextmanager
    def running(self) -> Iterator["NameServer"]:
        threads = [
            threading.Thread(target=self._serve_udp), threading.Thread(target=self._serve_tcp)
        ]  # fmt: skip
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._closed = True
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
                waker.sendto(b"", self.address)
            self._tcp.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(5)
            self._udp.close()
            self._tcp.close()

    def _serve_udp(self) -> None:
        while True:
            data, source = self._udp.recvfrom(65535)
            if self._closed:
                return
            if self.mode == "garbage":
                self._udp.sendto(b"\x00" * 40, source)
            elif self.mode != "silent":
                self._udp.sendto(self._answer(data, over_udp=True), source)

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                length = int.from_bytes(connection.recv(2), "big")
                answer = self._answer(connection.recv(length), over_udp=False)
                connection.sendall(len(answer).to_bytes(2, "big") + answer)

    def _answer(self, data: bytes, *, over_udp: bool) -> bytes:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if self.mode == "servfail":
            response.set_rcode(dns.rcode.SERVFAIL)
        elif self.mode == "truncate" and over_udp:
            response.flags |= dns.flags.TC
        else:
            self._fill(response, name, kind)
        return response.to_wire()

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        while (alias := self.records.get((name, "CNAME"))) and kind != "CNAME":
            response.answer.append(_rrset(name, alias[0], "CNAME", alias[1]))
            name = alias[1][0].rstrip(".")
        found = self.records.get((name, kind))
        if found is not None:
            response.answer.append(_rrset(name, found[0], kind, found[1]))
            return
        if not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if self.soa_minimum:
            text = f"ns.{ZONE} admin.{ZONE} 1 3600 600 86400 {self.soa_minimum}"
            response.authority.append(_rrset(ZONE, self.soa_minimum, "SOA", [text]))


def _same_port() -> tuple[socket.socket, socket.socket]:
    """A UDP and a listening TCP socket at a port that is free for both."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        try:
            return udp, socket.create_server(udp.getsockname(), backlog=8)
        except OSError:
            udp.close()


def _rrset(name: str, ttl: int, kind: str, values: list[str]) -> dns.rrset.RRset:
    absolute = dns.name.from_text(name)
    return dns.rrset.from_text_list(absolute, ttl, "IN", kind, values)
