"""Names of SIP servers: DNS with a memory, on the media loop.

`Resolver` drives `trunkline.sip.lookup` with answers of the name servers: those of the
settings, or of /etc/resolv.conf. It remembers records for as long as they say (TTL), names
that are not there for as long as their zone says, and asks each question once however many
wait for it. A name in /etc/hosts is what that says. Where no server answers, what was known
before is used on, and then the system is asked, which may know other ways.
"""

import asyncio
import contextlib
import logging
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rdtypes.IN.NAPTR
import dns.rdtypes.IN.SRV

from trunkline.sip.carrier import Located
from trunkline.sip.hop import Hop, Transport, default_port
from trunkline.sip.lookup import Answer, Lookup, Naptr, Question, Service, look_up

from .sip_gate import is_literal

__all__ = ["Resolver", "hosts_file", "name_servers"]

log = logging.getLogger(__name__)

Address = tuple[str, int]
Family = Literal["A", "AAAA"]

ASK_SECONDS = 1.5
"""How long one name server may take."""
ROUNDS = 2
"""How often all of them are asked."""
LONGEST_SECONDS = 3600.0
"""However long a record's TTL is: who moves a trunk does not want to wait for a day."""
ABSENT_SECONDS = 30.0
"""What is not there, where the zone does not say for how long; and at most ten times that."""
FAILED_SECONDS = 5.0
"""How long a question that got no answer is not asked again."""
STALE_SECONDS = 86_400.0
"""How long old records are used where no name server answers (RFC 8767)."""
MOST = 10_000
"""Questions remembered."""
HOSTS = Path("/etc/hosts")
RESOLV = Path("/etc/resolv.conf")


@dataclass(slots=True)
class _Known:
    """What is remembered of a question."""

    answer: Answer
    until: float
    learnt: float


class Resolver:
    """Looks hops up; see the module. Media thread only.

    ``servers``: name servers, instead of the system's; ``hosts``: another hosts file.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        speaks: Collection[Transport],
        families: Sequence[Family] = ("A",),
        servers: Sequence[Address] = (),
        hosts: Path = HOSTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._speaks, self._families = speaks, families
        self._given = tuple(servers)
        self._servers: tuple[Address, ...] = self._given
        self._read_servers_at = -1e9
        self._hosts_path = hosts
        self._hosts: dict[str, list[str]] = {}
        self._read_hosts_at = -1e9
        self._clock = clock
        self._known: dict[Question, _Known] = {}
        self._asking: dict[Question, asyncio.Task[Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.counters: Counter[str] = Counter()
        """Questions asked, answered from memory, failed."""

    def locate(self, hop: Hop, key: str, then: Located) -> None:
        """Look a hop up; calls back at once where everything is remembered."""
        in_hosts = self._in_hosts(hop)
        if in_hosts is not None:
            then(in_hosts, self._clock())
            return
        # The same of several equal servers for all requests of a call.
        lookup = look_up(hop, self._speaks, self._families, random.Random(key))
        try:
            questions = next(lookup)
            while (answers := self._remembered(questions)) is not None:
                questions = lookup.send(answers)
        except StopIteration as done:
            then(done.value, self._clock())
            return
        self._start(self._finish(lookup, questions, hop, then))

    async def _finish(
        self, lookup: Lookup, questions: list[Question], hop: Hop, then: Located
    ) -> None:
        targets: list[Hop] = []
        try:
            while True:
                answers = await asyncio.gather(*(self._ask_once(one) for one in questions))
                questions = lookup.send(answers)
        except StopIteration as done:
            targets = done.value
        if not targets:
            targets = await self._ask_system(hop)
        if not targets:
            log.warning("%s leads nowhere: no name server knows an address", hop.host)
        then(targets, self._clock())

    def close(self) -> None:
        """Nobody waits for answers any more."""
        for task in (*self._tasks, *self._asking.values()):
            task.cancel()

    # -- memory ----------------------------------------------------------------------------

    def _remembered(self, questions: Sequence[Question]) -> list[Answer] | None:
        now = self._clock()
        answers = []
        for question in questions:
            known = self._known.get(question)
            if known is None or known.until <= now:
                return None
            answers.append(known.answer)
        self.counters["remembered"] += len(answers)
        return answers

    def _remember(self, question: Question, answer: Answer, seconds: float) -> Answer:
        now = self._clock()
        if len(self._known) >= MOST:
            living = [(one, known) for one, known in self._known.items() if known.until > now]
            self._known = dict(living[-MOST // 2 :])
        self._known[question] = _Known(answer, now + seconds, now)
        return answer

    async def _ask_once(self, question: Question) -> Answer:
        known = self._known.get(question)
        if known is not None and known.until > self._clock():
            return known.answer
        task = self._asking.get(question)
        if task is None:
            task = self._loop.create_task(self._ask(question))
            self._asking[question] = task
            task.add_done_callback(lambda _: self._asking.pop(question, None))
        return await asyncio.shield(task)

    # -- name servers ----------------------------------------------------------------------

    async def _ask(self, question: Question) -> Answer:
        self.counters["asked"] += 1
        try:
            query = dns.message.make_query(question.name, question.type)
        except (dns.exception.DNSException, UnicodeError):
            return self._remember(question, (), ABSENT_SECONDS)  # no name at all
        for _ in range(ROUNDS):
            for server in self._name_servers():
                response = await self._query(query, server)
                if response is not None:
                    answer, seconds = read_answer(response, question)
                    return self._remember(question, answer, seconds)
        self.counters["unanswered"] += 1
        known = self._known.get(question)
        if known is not None and self._clock() - known.learnt < STALE_SECONDS:
            known.until = self._clock() + FAILED_SECONDS
            return known.answer
        return self._remember(question, (), FAILED_SECONDS)

    async def _query(
        self, query: dns.message.QueryMessage, server: Address
    ) -> dns.message.Message | None:
        """One server's answer, if it is one."""
        host, port = server
        try:
            async with asyncio.timeout(ASK_SECONDS):
                response, _ = await dns.asyncquery.udp_with_fallback(
                    query, host, timeout=ASK_SECONDS, port=port, ignore_unexpected=True
                )
        except (OSError, TimeoutError, dns.exception.DNSException, EOFError, ValueError) as error:
            log.debug("name server %s: %s", host, error)
            return None
        if response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return response
        return None

    def _name_servers(self) -> tuple[Address, ...]:
        if not self._given and self._clock() - self._read_servers_at > 30:
            self._read_servers_at = self._clock()
            self._servers = tuple(name_servers(_read(RESOLV)))
        return self._servers

    # -- other sources ---------------------------------------------------------------------

    def _in_hosts(self, hop: Hop) -> list[Hop] | None:
        """The targets of a name that the hosts file has; None: it has not."""
        if self._clock() - self._read_hosts_at > 5:
            self._read_hosts_at = self._clock()
            self._hosts = hosts_file(_read(self._hosts_path))
        addresses = self._hosts.get(hop.host.lower().rstrip("."))
        if addresses is None:
            return None
        return self._targets(hop, addresses)

    async def _ask_system(self, hop: Hop) -> list[Hop]:
        """What the system makes of a name: search domains, multicast DNS, and the like."""
        if self._given:
            return []
        addresses: list[str] = []
        with contextlib.suppress(OSError, TimeoutError, UnicodeError):
            async with asyncio.timeout(ASK_SECONDS * ROUNDS):
                found = await self._loop.getaddrinfo(hop.host, None, type=socket.SOCK_DGRAM)
                addresses = [str(one[4][0]) for one in found]
        return self._targets(hop, addresses)

    def _targets(self, hop: Hop, addresses: Sequence[str]) -> list[Hop]:
        port = hop.port or default_port(hop.transport)
        return [
            Hop(address, port, hop.transport, 0, hop.profile, hop.name or hop.host)
            for family in self._families
            for address in addresses
            if (":" in address) is (family == "AAAA")
        ]

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def read_answer(response: dns.message.Message, question: Question) -> tuple[Answer, float]:
    """The records of an answer, and for how many seconds they hold."""
    assert isinstance(response, dns.message.QueryMessage)
    try:
        chain = response.resolve_chaining()  # CNAME records lead to them
    except dns.exception.DNSException:
        return (), ABSENT_SECONDS
    if chain.answer is None:
        has_zone = any(one.rdtype == dns.rdatatype.SOA for one in response.authority)
        seconds = float(chain.minimum_ttl) if has_zone else ABSENT_SECONDS
        return (), min(max(seconds, 1.0), ABSENT_SECONDS * 10)
    records: list[Any] = []
    for data in chain.answer:
        if isinstance(data, dns.rdtypes.IN.NAPTR.NAPTR):
            records.append(
                Naptr(
                    data.order,
                    data.preference,
                    data.flags.decode("ascii", "replace"),
                    data.service.decode("ascii", "replace"),
                    data.replacement.to_text(omit_final_dot=True),
                )
            )
        elif isinstance(data, dns.rdtypes.IN.SRV.SRV):
            target = data.target.to_text(omit_final_dot=True)
            records.append(Service(data.priority, data.weight, data.port, target))
        else:
            records.append(data.to_text())
    return records, min(max(float(chain.minimum_ttl), 1.0), LONGEST_SECONDS)


def hosts_file(text: str) -> dict[str, list[str]]:
    """Names and their addresses, as hosts(5) has them; localhost is always there."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if is_literal(address):
            for name in names:
                found.setdefault(name.lower().rstrip("."), []).append(address)
    found.setdefault("localhost", ["127.0.0.1", "::1"])
    return found


def name_servers(text: str) -> list[Address]:
    """The name servers of resolv.conf(5)."""
    found = []
    for line in text.splitlines():
        word, _, address = line.partition("#")[0].strip().partition(" ")
        if word == "nameserver" and is_literal(address.strip()):
            found.append((address.strip(), 53))
    return found or [("127.0.0.1", 53)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
