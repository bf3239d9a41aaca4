"""Names looked up with a real name server on loopback: memory, failures, order."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import dns.message
import pytest

from trunkline.sip.hop import Hop
from trunkline.transports import resolver as resolver_module
from trunkline.transports.resolver import Resolver, hosts_file, name_servers

from .name_server import NameServer

OPEN = Hop("trunk.example", 0, any_transport=True)


@pytest.fixture
def zone() -> Iterator[NameServer]:
    with NameServer().running() as server:
        server.add("trunk.example", "NAPTR", '10 10 "s" "SIP+D2U" "" _sip._udp.trunk.example.')
        server.add("_sip._udp.trunk.example", "SRV", "10 5 5060 a.example.", "20 5 5070 b.example.")
        server.add("a.example", "A", "192.0.2.1")
        server.add("b.example", "A", "192.0.2.2")
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "ASK_SECONDS", 0.1)


class Asker:
    """A resolver with a clock of its own, and what it found."""

    def __init__(self, *servers: tuple[str, int], hosts: Path = Path("/nowhere")) -> None:
        self.now = 1000.0
        self.resolver = Resolver(
            asyncio.get_running_loop(),
            speaks=("UDP", "TCP", "TLS"),
            families=("A",),
            servers=servers,
            hosts=hosts,
            clock=lambda: self.now,
        )

    async def find(self, hop: Hop = OPEN, key: str = "call") -> list[tuple[str, str, int]]:
        found: asyncio.Future[list[Hop]] = asyncio.get_running_loop().create_future()
        self.resolver.locate(hop, key, lambda targets, now: found.set_result(list(targets)))
        self.was_remembered = found.done()
        async with asyncio.timeout(5):
            return [(hop.transport, hop.host, hop.port) for hop in await found]


def run(test: Callable[[Asker], Awaitable[None]], *servers: tuple[str, int], **more: Path) -> None:
    async def main() -> None:
        asker = Asker(*servers, **more)
        try:
            await test(asker)
        finally:
            asker.resolver.close()

    asyncio.run(main())


BOTH = [("UDP", "192.0.2.1", 5060), ("UDP", "192.0.2.2", 5070)]


def test_naptr_srv_and_addresses_are_followed_and_remembered(zone: NameServer) -> None:
    async def test(asker: Asker) -> None:
        assert await asker.find() == BOTH
        assert not asker.was_remembered
        assert await asker.find() == BOTH
        assert asker.was_remembered
        assert set(zone.asked.values()) == {1}

    run(test, zone.address)


def test_what_has_expired_is_asked_again(zone: NameServer) -> None:
    async def test(asker: Asker) -> None:
        zone.add("a.example", "A", "192.0.2.1", ttl=20)
        await asker.find()
        zone.add("a.example", "A", "192.0.2.77")
        asker.now += 19
        assert await asker.find() == BOTH
        asker.now += 2
        assert (await asker.find())[0] == ("UDP", "192.0.2.77", 5060)
        assert zone.asked["trunk.example", "NAPTR"] == 1

    run(test, zone.address)


def test_a_long_ttl_is_believed_for_an_hour(zone: NameServer) -> None:
    async def test(asker: Asker) -> None:
        zone.add("a.example", "A", "192.0.2.1", ttl=86_400)
        await asker.find(Hop("a.example", 5060))
        asker.now += 3601
        await asker.find(Hop("a.example", 5060))
        assert zone.asked["a.example", "A"] == 2

    run(test, zone.address)


def test_a_name_that_is_not_there_is_not_asked_for_again_for_as_long_as_its_zone_says(
    zone: NameServer,
) -> None:
    async def test(asker: Asker) -> None:
        hop = Hop("gone.example", 5060)
        assert await asker.find(hop) == []
        assert await asker.find(hop) == []
        assert zone.asked["gone.example", "A"] == 1
        asker.now += 61
        zone.add("gone.example", "A", "192.0.2.3")
        assert await asker.find(hop) == [("UDP", "192.0.2.3", 5060)]

    run(test, zone.address)


def test_a_hundred_calls_at_once_ask_once(zone: NameServer) -> None:
    async def test(asker: Asker) -> None:
        found = await asyncio.gather(*(asker.find() for _ in range(100)))
        assert found == [BOTH] * 100
        assert set(zone.asked.values()) == {1}

    run(test, zone.address)


@pytest.mark.parametrize("mode", ["silent", "servfail", "garbage"])
def test_where_one_name_server_fails_the_next_is_asked(zone: NameServer, mode: str) -> None:
    async def test(asker: Asker) -> None:
        assert await asker.find() == BOTH

    with NameServer().running() as broken:
        broken.mode = mode
        run(test, broken.address, zone.address)


@pytest.mark.parametrize("mode", ["silent", "servfail", "garbage"])
def test_where_none_answers_old_records_are_used_on(zone: NameServer, mode: str) -> None:
    async def test(asker: Asker) -> None:
        await asker.find()
        asker.now += 4000
        zone.mode = mode
        assert await asker.find() == BOTH
        asked = sum(zone.asked.values())
        assert await asker.find() == BOTH  # without waiting for it again
        assert asker.was_remembered and sum(zone.asked.values()) == asked

    run(test, zone.address)


def test_where_none_ever_answered_a_name_leads_nowhere_soon(zone: NameServer) -> None:
    async def test(asker: Asker) -> None:
        zone.mode = "silent"
        assert await asker.find(Hop("a.example", 5060)) == []
        assert await asker.find(Hop("a.example", 5060)) == []
        zone.mode = "answer"
        asker.now += 6
        assert await asker.find(Hop("a.example", 5060)) == [("UDP", "192.0.2.1", 5060)]

    run(test, zone.address)


def test_an_answer_too_long_for_a_datagram_comes_over_tcp(zone: NameServer) -> None:
    async def test(asker: Asker) -> None:
        zone.mode = "truncate"
        assert await asker.find() == BOTH

    run(test, zone.address)


def test_aliases_are_followed(zone: NameServer) -> None:
    async def test(asker: Asker) -> None:
        zone.add("alias.example", "CNAME", "a.example.", ttl=10)
        assert await asker.find(Hop("alias.example", 5060)) == [("UDP", "192.0.2.1", 5060)]

    run(test, zone.address)


def test_requests_of_one_call_go_to_the_same_of_equal_servers(zone: NameServer) -> None:
    async def test(asker: Asker) -> None:
        names = [f"n{number}.example" for number in range(8)]
        zone.add("_sip._udp.many.example", "SRV", *(f"10 10 5060 {name}." for name in names))
        for number, name in enumerate(names):
            zone.add(name, "A", f"192.0.2.{number + 10}")
        hop = Hop("many.example", 0)
        firsts = set()
        for number in range(40):
            order = await asker.find(hop, f"call{number}")
            assert await asker.find(hop, f"call{number}") == order
            firsts.add(order[0])
        assert len(firsts) > 4

    run(test, zone.address)


def test_a_name_in_the_hosts_file_is_what_that_says(zone: NameServer, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.50 pbx.example pbx # ours\n2001:db8::1 pbx\nnonsense x\n")

    async def test(asker: Asker) -> None:
        assert await asker.find(Hop("PBX", 0, "TLS")) == [("TLS", "192.0.2.50", 5061)]
        assert asker.was_remembered
        assert await asker.find(Hop("localhost", 5070)) == [("UDP", "127.0.0.1", 5070)]
        assert not zone.asked

    run(test, zone.address, hosts=hosts)


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example", ".".join(["abcdefgh"] * 40), "ü"])
def test_what_is_no_name_leads_nowhere(zone: NameServer, name: str) -> None:
    async def test(asker: Asker) -> None:
        assert await asker.find(Hop(name, 5060)) == []

    run(test, zone.address)


def test_closing_ends_what_is_asked(zone: NameServer) -> None:
    async def test(asker: Asker) -> None:
        zone.mode = "silent"
        told: list[object] = []
        asker.resolver.locate(OPEN, "", lambda targets, now: told.append(targets))
        await asyncio.sleep(0.02)
        asker.resolver.close()
        await asyncio.sleep(0.3)
        assert not told

    run(test, zone.address)


def test_memory_is_bounded(zone: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "MOST", 50)

    async def test(asker: Asker) -> None:
        for number in range(120):
            await asker.find(Hop(f"q{number}.example", 5060))
        assert len(asker.resolver._known) <= 51

    run(test, zone.address)


# -- files -----------------------------------------------------------------------------------


def test_name_servers_are_read_as_the_system_reads_them() -> None:
    text = (
        "# x\nnameserver 192.0.2.53\nsearch example\nnameserver 2001:db8::53 # six\nnameserver x\n"
    )
    assert name_servers(text) == [("192.0.2.53", 53), ("2001:db8::53", 53)]
    assert name_servers("") == [("127.0.0.1", 53)]


def test_localhost_is_always_known() -> None:
    assert hosts_file("")["localhost"] == ["127.0.0.1", "::1"]


def test_hosts_files_may_be_anything() -> None:
    rng = random.Random(4)
    for _ in range(200):
        text = "".join(rng.choice("ab.:# \t\n01\\\x00é") for _ in range(rng.randrange(80)))
        assert "localhost" in hosts_file(text)
        assert name_servers(text)


def test_no_answer_is_made_of_a_question_without_records() -> None:
    query = dns.message.make_query("a.example", "A")
    response = dns.message.make_response(query)
    question = resolver_module.Question("a.example", "A")
    assert resolver_module.read_answer(response, question) == ((), 30.0)
