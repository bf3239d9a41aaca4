"""Sockets, addresses and names under an endpoint: both families, large datagrams, failover."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from trunkline.errors import UsageError
from trunkline.transports import sip_streams
from trunkline.transports.sip_carrier import Listening, way_out
from trunkline.transports.sip_connection import StreamLimits
from trunkline.transports.sip_tls import TlsProfile

from .flows import SDP, World, answer, request, run
from .name_server import NameServer


@pytest.fixture(autouse=True)
def checked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_streams, "CHECK_SECONDS", 0.01)


@pytest.fixture
def zone() -> Iterator[NameServer]:
    with NameServer().running() as server:
        yield server


class Datagrams:
    """Somebody with a UDP socket."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.socket = socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM
        )
        self.socket.bind((host, port))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]

    def __enter__(self) -> "Datagrams":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes, port: int, host: str = "127.0.0.1") -> None:
        self.socket.sendto(data, (host, port))

    async def read(self) -> tuple[str, int]:
        """A datagram, and the port it came from."""
        loop = asyncio.get_running_loop()
        data, source = await asyncio.wait_for(loop.sock_recvfrom(self.socket, 65_535), 6)
        return data.decode(), source[1]


# -- sockets ---------------------------------------------------------------------------------


def test_udp_and_tcp_listen_at_the_same_port() -> None:
    async def test(world: World) -> None:
        assert world.endpoint.ports == {"TCP": world.endpoint.port}

    run(test)


def test_tcp_may_be_off_or_elsewhere() -> None:
    async def off(world: World) -> None:
        assert world.endpoint.ports == {}

    run(off, listening=Listening(tcp=False))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    async def elsewhere(world: World) -> None:
        assert world.endpoint.ports == {"TCP": port} and world.endpoint.port != port

    run(elsewhere, listening=Listening(tcp_port=port))


def test_a_port_that_is_taken_is_said_with_advice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:

        async def main() -> None:
            with pytest.raises(UsageError, match=r"sip\.tcp_port chooses one"):
                World(listening=Listening(tcp_port=taken.getsockname()[1]))

        asyncio.run(main())


@pytest.mark.parametrize("padding", [0, 3_000, 20_000, 60_000])
def test_a_datagram_may_be_as_large_as_udp_allows(padding: int) -> None:
    async def test(world: World) -> None:
        with Datagrams() as far:
            extra = f"X-Long: {'y' * padding}\r\n"
            data = request("OPTIONS", port=far.port, transport="UDP", extra=extra)
            far.send(data, world.endpoint.port)
            text, _ = await far.read()
            assert text.startswith("SIP/2.0 200")

    run(test)


def test_a_datagram_too_large_to_send_fails_what_waits_for_it() -> None:
    async def test(world: World) -> None:
        with Datagrams() as far:
            world.dial(f"sip:a@127.0.0.1:{far.port}", headers={"X": "y" * 70_000})
            await world.until(lambda: world.ended)
            assert world.ended[0].code == 503

    run(test, listening=Listening(tcp=False))


@pytest.mark.parametrize("host", ["::1", "::"])
def test_ipv6_carries_calls_over_udp_and_tcp(host: str) -> None:
    async def test(world: World) -> None:
        with Datagrams("::1") as far:
            data = request("OPTIONS", port=far.port, transport="UDP", host="[::1]")
            far.send(data, world.endpoint.port, "::1")
            text, _ = await far.read()
            assert text.startswith("SIP/2.0 200") and "received=" not in text
            assert f"[::1]:{world.endpoint.port}" in text
            large = request("OPTIONS", 2, port=far.port, transport="UDP", host="[::1]",
                            extra=f"X: {'y' * 30_000}\r\n")  # fmt: skip
            far.send(large, world.endpoint.port, "::1")
            assert (await far.read())[0].startswith("SIP/2.0 200")
            world.dial(f"sip:a@[::1]:{far.port}")
            text, port = await far.read()
            assert text.startswith("INVITE") and port == world.endpoint.port
            assert f"Via: SIP/2.0/UDP [::1]:{world.endpoint.port}" in text
            far.send(answer(text, "486 Busy Here"), world.endpoint.port, "::1")
            await world.until(lambda: world.ended)
        reader, writer = await asyncio.open_connection("::1", world.endpoint.ports["TCP"])
        writer.write(request("OPTIONS", port=1, host="[::1]", call="tcp"))
        assert (await reader.readline()).startswith(b"SIP/2.0 200")
        writer.close()

    run(test, host=host, media_host="::1")


def test_every_address_of_either_family_is_one_socket() -> None:
    async def test(world: World) -> None:
        with Datagrams() as far:
            far.send(request("OPTIONS", port=far.port, transport="UDP"), world.endpoint.port)
            text, _ = await far.read()
            assert text.startswith("SIP/2.0 200") and "::ffff:" not in text
            # We are told by the address of the way to them.
            assert f"<sip:127.0.0.1:{world.endpoint.port}>" in text
        far_tcp = await world.connect()
        far_tcp.send(request("OPTIONS", port=far_tcp.port, call="t"))
        assert "::ffff:" not in await far_tcp.expect("SIP/2.0 200")

    run(test, host="::")


def test_listening_everywhere_we_are_known_by_the_way_out() -> None:
    async def test(world: World) -> None:
        with Datagrams("127.0.0.2") as far:
            world.dial(f"sip:a@127.0.0.2:{far.port}")
            invite, _ = await far.read()
            assert f"Via: SIP/2.0/UDP 127.0.0.1:{world.endpoint.port}" in invite
            assert f"Contact: <sip:127.0.0.1:{world.endpoint.port}>" in invite
            assert "c=IN IP4 127.0.0.1" in invite

    run(test, host="0.0.0.0", media_host="0.0.0.0")


def test_an_advertised_address_is_told_to_everyone() -> None:
    async def test(world: World) -> None:
        with Datagrams() as far:
            world.dial(f"sip:a@127.0.0.1:{far.port}")
            invite, _ = await far.read()
            assert f"Contact: <sip:198.51.100.20:{world.endpoint.port}>" in invite
            assert "c=IN IP4 198.51.100.20" in invite

    run(test, host="0.0.0.0", media_host="0.0.0.0", advertised_host="198.51.100.20")


def test_the_way_out_of_nowhere_is_empty() -> None:
    assert way_out("127.0.0.1") == "127.0.0.1"
    assert way_out("not an address") == ""


def test_behind_a_nat_contact_is_what_the_far_end_saw() -> None:
    async def test(world: World) -> None:
        with Datagrams() as far:
            seen = ";received=198.51.100.7;rport=40123"
            for expected in (f"127.0.0.1:{world.endpoint.port}", "198.51.100.7:40123"):
                world.dial(f"sip:a@127.0.0.1:{far.port}")
                invite, _ = await far.read()
                assert f"Contact: <sip:{expected}>" in invite
                refusal = answer(invite.replace(";rport", seen), "486 Busy Here")
                far.send(refusal, world.endpoint.port)
                assert (await far.read())[0].startswith("ACK")

    run(test)


def test_a_far_end_may_speak_while_its_call_lives_and_not_after() -> None:
    async def test(world: World) -> None:
        with Datagrams() as far:
            leg = world.dial(f"sip:a@127.0.0.1:{far.port}")
            invite, _ = await far.read()
            contact = f"sip:a@127.0.0.1:{far.port}"
            far.send(answer(invite, "200 OK", body=SDP, contact=contact), world.endpoint.port)
            assert (await far.read())[0].startswith("ACK")
            far.send(request("OPTIONS", port=far.port, transport="UDP"), world.endpoint.port)
            assert (await far.read())[0].startswith("SIP/2.0 200")
            leg.hangup()
            bye, _ = await far.read()
            far.send(answer(bye, "200 OK"), world.endpoint.port)
            await world.until(lambda: world.ended)
            far.send(
                request("OPTIONS", port=far.port, transport="UDP", call="2"), world.endpoint.port
            )
            await world.until(lambda: world.endpoint.counters["not allowed"])

    run(test, allowed=("192.0.2.1",))


# -- names -----------------------------------------------------------------------------------


def with_names(test: Callable[[World], Any], zone: NameServer, **options: Any) -> None:
    listening = Listening(name_servers=[zone.address], limits=StreamLimits(handshake_seconds=1.0))
    run(test, listening=listening, **options)


def test_the_second_server_gets_the_call_when_the_first_says_503(zone: NameServer) -> None:
    async def test(world: World) -> None:
        with Datagrams() as first, Datagrams() as second:
            zone.add(
                "_sip._udp.trunk.example", "SRV",
                f"10 1 {first.port} one.example.", f"20 1 {second.port} two.example.",
            )  # fmt: skip
            zone.add("one.example", "A", "127.0.0.1")
            zone.add("two.example", "A", "127.0.0.1")
            world.dial("sip:a@trunk.example")
            invite, _ = await first.read()
            assert invite.startswith("INVITE sip:a@trunk.example SIP/2.0")
            first.send(answer(invite, "503 Service Unavailable"), world.endpoint.port)
            assert (await first.read())[0].startswith("ACK")
            # One host at two ports is two servers: the second one is asked.
            invite, _ = await second.read()
            second.send(answer(invite, "486 Busy Here"), world.endpoint.port)
            await world.until(lambda: world.ended)
            assert world.ended[0].reason == "busy"

    with_names(test, zone)


def test_naptr_may_choose_tcp(zone: NameServer) -> None:
    async def test(world: World) -> None:
        async with world.server() as server:
            zone.add("trunk.example", "NAPTR", '1 1 "s" "SIP+D2T" "" _sip._tcp.trunk.example.')
            zone.add("_sip._tcp.trunk.example", "SRV", f"1 1 {server.port} one.example.")
            zone.add("one.example", "A", "127.0.0.1")
            world.dial("sip:a@trunk.example")
            invite = await (await server.next()).expect("INVITE")
            assert "Via: SIP/2.0/TCP" in invite and ";transport=tcp>" in invite

    with_names(test, zone)


def test_a_name_that_leads_nowhere_fails_the_call(zone: NameServer) -> None:
    async def test(world: World) -> None:
        world.dial("sip:a@gone.example")
        await world.until(lambda: world.ended)
        assert world.ended[0].code == 503

    with_names(test, zone)


def test_a_trunk_by_name_is_verified_by_it_and_in_the_dialog_too(
    zone: NameServer, tmp_path: Path
) -> None:
    """Its Contact is a bare address: the connection for the BYE still asks for its name."""
    authority = trustme.CA()
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("trunk.example").configure_cert(context)
    asked_for: list[str | None] = []
    context.sni_callback = lambda tls, name, _: asked_for.append(name)

    async def test(world: World) -> None:
        world.endpoint.profiles["carrier"] = TlsProfile(ca=str(ca))
        async with world.server(context) as server:
            zone.add("_sips._tcp.trunk.example", "SRV", f"1 1 {server.port} host.example.")
            zone.add("host.example", "A", "127.0.0.1")
            leg = world.dial(
                "sip:a@trunk.example", trunk="carrier", server="sip:trunk.example;transport=tls"
            )
            far = await server.next()
            contact = f"sip:a@127.0.0.1:{server.port};transport=tls"
            invite = await far.expect("INVITE")
            far.send(answer(invite, "200 OK", body=SDP, contact=contact))
            await far.expect("ACK")
            far.writer.transport.abort()
            await world.until(lambda: not world.connections)
            leg.hangup()
            far = await server.next()
            far.send(answer(await far.expect("BYE"), "200 OK"))
            await world.until(lambda: world.ended)
        assert asked_for == ["trunk.example", "trunk.example"]

    with_names(test, zone)


def test_a_server_whose_tls_does_not_hold_is_passed_over(zone: NameServer, tmp_path: Path) -> None:
    authority = trustme.CA()
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))

    def presenting(issuer: trustme.CA) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer.issue_cert("trunk.example").configure_cert(context)
        return context

    async def test(world: World) -> None:
        async with (
            world.server(presenting(trustme.CA())) as false,
            world.server(presenting(authority)) as true,
        ):
            zone.add(
                "_sips._tcp.trunk.example", "SRV",
                f"1 1 {false.port} one.example.", f"2 1 {true.port} two.example.",
            )  # fmt: skip
            zone.add("one.example", "A", "127.0.0.1")
            zone.add("two.example", "A", "127.0.0.1")
            world.dial("sip:a@trunk.example;transport=tls")
            await (await true.next()).expect("INVITE")

    with_names(test, zone, tls=TlsProfile(ca=str(ca)))


def test_hanging_up_during_the_lookup_ends_the_call(zone: NameServer) -> None:
    async def test(world: World) -> None:
        zone.mode = "silent"
        leg = world.dial("sip:a@trunk.example")
        leg.hangup()
        await world.until(lambda: world.ended)
        await world.until(lambda: not world.endpoint.agent.live["sessions"])

    with_names(test, zone)
