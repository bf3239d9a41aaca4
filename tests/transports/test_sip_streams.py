"""SIP on connections: whole calls, and everything a peer can do wrong with one."""

import asyncio
import socket

import pytest

from trunkline.transports import sip_streams
from trunkline.transports.sip_connection import StreamLimits

from .flows import SDP, Far, World, answer, request, run

IMPATIENT = StreamLimits(
    handshake_seconds=0.2, unfinished_seconds=0.1, unread_seconds=0.1, unread_bytes=20_000
)


@pytest.fixture(autouse=True)
def checked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_streams, "CHECK_SECONDS", 0.01)


async def called(world: World, far: Far) -> str:
    """A call that is up; our tag in it."""
    far.send(request("INVITE", port=far.port))
    await far.expect("SIP/2.0 100")
    world.legs[0].answer()
    ok = await far.expect("SIP/2.0 200")
    tag = ok.split("\r\nTo: ")[1].split("\r\n")[0].partition(";tag=")[2]
    far.send(request("ACK", port=far.port, to_tag=tag))
    return tag


def test_a_call_comes_and_ends_on_one_connection() -> None:
    async def test(world: World) -> None:
        far = await world.connect()
        tag = await called(world, far)
        contact = f"sip:127.0.0.1:{world.endpoint.ports['TCP']};transport=tcp"
        far.send(request("OPTIONS", 2, port=far.port, to_tag=tag))
        assert contact in await far.expect("SIP/2.0 200")
        far.send(request("BYE", 3, port=far.port, to_tag=tag))
        await far.expect("SIP/2.0 200")
        await world.until(lambda: world.ended)
        assert world.connections == 1

    run(test)


def test_our_bye_goes_out_on_their_connection() -> None:
    async def test(world: World) -> None:
        far = await world.connect()
        await called(world, far)
        await world.until(lambda: world.legs[0].session.is_confirmed)
        world.legs[0].hangup()
        bye = await far.expect("BYE")
        assert f"Via: SIP/2.0/TCP 127.0.0.1:{world.endpoint.ports['TCP']};" in bye
        far.send(answer(bye, "200 OK"))
        await world.until(lambda: world.ended)

    run(test)


def test_it_does_not_matter_how_messages_are_cut() -> None:
    async def test(world: World) -> None:
        far = await world.connect()
        stream = b"".join(request("OPTIONS", n, port=far.port, call=f"c{n}") for n in range(1, 6))
        for start in range(0, len(stream), 97):
            far.send(stream[start : start + 97])
            await asyncio.sleep(0)
        for number in range(1, 6):
            assert f"CSeq: {number} OPTIONS" in await far.expect("SIP/2.0 200")
        far.send(stream.replace(b"z9hG4bKc", b"z9hG4bKd"))
        for _ in range(5):
            await far.read()  # 482 or 200: each is answered

    run(test)


def test_a_ping_gets_a_pong() -> None:
    async def test(world: World) -> None:
        far = await world.connect()
        far.send(b"\r\n\r\n")
        async with asyncio.timeout(5):
            assert await far.reader.readexactly(2) == b"\r\n"

    run(test)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 4000,
        bytes(range(256)) * 100,
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 99999999\r\n\r\n",
    ],
)
def test_what_is_not_sip_ends_the_connection_and_is_counted(garbage: bytes) -> None:
    async def test(world: World) -> None:
        other = await world.connect()
        far = await world.connect()
        far.send(garbage)
        await far.ended()
        await world.until(lambda: world.connections == 1)
        assert world.endpoint.counters["framing"] == 1
        other.send(request("OPTIONS", port=other.port))
        await other.expect("SIP/2.0 200")

    run(test)


@pytest.mark.parametrize("length", ["", "Content-Length: -1\r\n", "Content-Length: x\r\n"])
def test_a_request_without_a_length_is_answered_400_before_the_end(length: str) -> None:
    async def test(world: World) -> None:
        far = await world.connect()
        whole = request("OPTIONS", port=far.port, call="good")
        wrong = request("OPTIONS", port=far.port).replace(b"Content-Length: 0\r\n", length.encode())
        far.send(whole + wrong)
        text = (await far.ended()).decode()
        assert text.startswith("SIP/2.0 200")  # what was complete before is not lost
        assert "SIP/2.0 400 Wrong Content-Length" in text

    run(test)


@pytest.mark.parametrize("begun", [b"OPTIONS sip:a", request("INVITE")[:-5], b"\r"])
def test_a_message_that_is_not_finished_in_time_ends_the_connection(begun: bytes) -> None:
    async def test(world: World) -> None:
        far = await world.connect()
        far.send(begun)
        # Where the headers are whole there is somebody to tell (RFC 3261 section 18.3).
        said = await far.ended()
        assert said.startswith(b"SIP/2.0 400") if b"INVITE" in begun else said == b""
        await world.until(lambda: not world.connections)
        assert world.endpoint.counters["connection: a message was not finished in time"] == 1

    run(test, limits=IMPATIENT)


def test_a_body_shorter_than_its_length_is_refused_when_the_peer_is_done() -> None:
    async def test(world: World) -> None:
        far = await world.connect()
        far.send(request("OPTIONS", port=far.port).replace(b"Length: 0", b"Length: 9999"))
        far.writer.write_eof()
        assert (await far.ended()).startswith(b"SIP/2.0 400")

    run(test)


def test_a_drop_at_a_time_does_not_keep_it_open() -> None:
    async def test(world: World) -> None:
        far = await world.connect()

        async def drip() -> None:
            for byte in request("OPTIONS", port=far.port):
                far.send(bytes([byte]))
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        await far.ended()
        dripping.cancel()
        assert world.endpoint.counters["connection: a message was not finished in time"] == 1

    run(test, limits=IMPATIENT)


def test_who_connects_and_says_nothing_is_sent_away() -> None:
    async def test(world: World) -> None:
        far = await world.connect()
        await far.ended()
        assert world.endpoint.counters["connection: nothing was said"] == 1

    run(test, limits=IMPATIENT)


def test_an_idle_connection_is_closed_and_one_with_a_call_is_not() -> None:
    async def test(world: World) -> None:
        busy, idle = await world.connect(), await world.connect()
        tag = await called(world, busy)
        idle.send(request("OPTIONS", port=idle.port, call="other"))
        await idle.expect("SIP/2.0 200")
        assert await idle.ended() == b""
        busy.send(request("OPTIONS", 2, port=busy.port, to_tag=tag))
        await busy.expect("SIP/2.0 200")

    run(test, limits=StreamLimits(idle_seconds=0.1))


def test_an_address_may_open_so_many_connections_and_all_so_many() -> None:
    async def test(world: World) -> None:
        first, second = await world.connect(), await world.connect()
        await world.until(lambda: world.connections == 2)
        third = await world.connect()
        assert await third.ended() == b""
        first.close()
        await world.until(lambda: world.connections == 1)
        fourth = await world.connect()
        fourth.send(request("OPTIONS", port=fourth.port))
        await fourth.expect("SIP/2.0 200")
        assert not second.reader.at_eof()

    run(test, limits=StreamLimits(connections_per_address=2))
    run(test, limits=StreamLimits(connections=2))


def test_a_stranger_cannot_even_connect() -> None:
    async def test(world: World) -> None:
        far = await world.connect()
        assert await far.ended() == b""
        assert world.endpoint.counters["not allowed"] == 1

    run(test, allowed=("192.0.2.1",))


def test_a_peer_that_does_not_read_is_closed() -> None:
    async def test(world: World) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", world.endpoint.ports["TCP"]))
        with sock:
            number = 0
            while not world.endpoint.counters["connection: the peer does not read"]:
                number += 1
                assert number < 200_000
                try:
                    data = request("OPTIONS", call=f"x{number}")
                    await asyncio.wait_for(loop.sock_sendall(sock, data), 0.5)
                except (TimeoutError, ConnectionError):
                    await asyncio.sleep(0.01)
        await world.until(lambda: not world.connections)

    run(test, limits=IMPATIENT)


# -- out -------------------------------------------------------------------------------------


def test_calls_out_share_a_connection() -> None:
    async def test(world: World) -> None:
        async with world.server() as server:
            for number in range(3):
                world.dial(f"sip:{number}@127.0.0.1:{server.port};transport=tcp")
            far = await server.next()
            invites = [await far.expect("INVITE") for _ in range(3)]
            assert all("Via: SIP/2.0/TCP" in invite for invite in invites)
            assert all(";transport=tcp>" in invite for invite in invites)
            for invite in invites:
                far.send(answer(invite, "486 Busy Here"))
                await far.expect("ACK")
            await world.until(lambda: len(world.ended) == 3)
            assert len(server.all) == 1

    run(test)


def test_a_connection_that_dies_fails_what_waits_at_once() -> None:
    async def test(world: World) -> None:
        async with world.server() as server:
            world.dial(f"sip:a@127.0.0.1:{server.port};transport=tcp")
            far = await server.next()
            await far.expect("INVITE")
            far.writer.transport.abort()
            await world.until(lambda: world.ended)
            assert (world.ended[0].reason, world.ended[0].code) == ("error", 503)

    run(test)


def test_a_refused_connection_fails_the_call_at_once() -> None:
    async def test(world: World) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            world.dial(f"sip:a@127.0.0.1:{unused.getsockname()[1]};transport=tcp")
            await world.until(lambda: world.ended)
        assert (world.ended[0].reason, world.ended[0].code) == ("error", 503)

    run(test)


def test_a_call_survives_its_connection_and_ends_on_a_new_one() -> None:
    async def test(world: World) -> None:
        async with world.server() as server:
            leg = world.dial(f"sip:a@127.0.0.1:{server.port};transport=tcp")
            far = await server.next()
            contact = f"sip:a@127.0.0.1:{server.port};transport=tcp"
            ok = answer(await far.expect("INVITE"), "200 OK", body=SDP, contact=contact)
            far.send(ok)
            await far.expect("ACK")
            far.writer.transport.abort()
            await world.until(lambda: not world.connections)
            assert not world.ended
            leg.hangup()
            far = await server.next()
            far.send(answer(await far.expect("BYE"), "200 OK"))
            await world.until(lambda: world.ended)

    run(test)


def test_a_response_whose_connection_is_gone_opens_a_new_one() -> None:
    async def test(world: World) -> None:
        async with world.server() as server:
            far = await world.connect()
            far.send(request("INVITE", port=server.port))
            await far.expect("SIP/2.0 100")
            far.writer.transport.abort()
            await world.until(lambda: not world.connections)
            world.legs[0].reject(486)
            assert "CSeq: 1 INVITE" in await (await server.next()).expect("SIP/2.0 486")

    run(test, t1_ms=20)


LONG = {"headers": {"X-Long": "y" * 1300}}


def test_a_long_request_goes_over_tcp() -> None:
    async def test(world: World) -> None:
        async with world.server() as server:
            world.dial(f"sip:a@127.0.0.1:{server.port}", **LONG)
            far = await server.next()
            far.send(answer(await far.expect("INVITE"), "486 Busy Here"))
            await world.until(lambda: world.ended)

    run(test)


def test_a_long_request_goes_over_udp_where_tcp_is_refused() -> None:
    async def test(world: World) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
            far.bind(("127.0.0.1", 0))
            far.setblocking(False)
            world.dial(f"sip:a@127.0.0.1:{far.getsockname()[1]}", **LONG)
            loop = asyncio.get_running_loop()
            data = await asyncio.wait_for(loop.sock_recv(far, 65535), 5)
            text = data.decode()
            assert text.startswith("INVITE") and len(data) > 1300
            assert "Via: SIP/2.0/UDP" in text and "transport=tcp" not in text
            refusal = answer(text, "486 Busy Here")
            await loop.sock_sendto(far, refusal, ("127.0.0.1", world.endpoint.port))
            await world.until(lambda: world.ended)
            assert world.ended[0].reason == "busy"

    run(test)


# -- keep-alive ------------------------------------------------------------------------------

PINGING = StreamLimits(ping_seconds=0.05, pong_seconds=0.1)


def test_a_connection_of_ours_is_pinged_and_closed_when_its_answers_stop() -> None:
    async def test(world: World) -> None:
        async with world.server() as server:
            world.dial(f"sip:a@127.0.0.1:{server.port};transport=tcp")
            far = await server.next()
            far.send(answer(await far.expect("INVITE"), "180 Ringing"))
            async with asyncio.timeout(5):
                for _ in range(3):
                    assert await far.reader.readexactly(4) == b"\r\n\r\n"
                    far.send(b"\r\n")
            assert world.connections == 1
            await far.ended()
            assert world.endpoint.counters["connection: no answer to a ping"] == 1

    run(test, limits=PINGING)


def test_a_server_that_never_answered_a_ping_is_left_alone() -> None:
    async def test(world: World) -> None:
        async with world.server() as server:
            world.dial(f"sip:a@127.0.0.1:{server.port};transport=tcp")
            far = await server.next()
            invite = await far.expect("INVITE")
            async with asyncio.timeout(5):
                for _ in range(3):
                    assert await far.reader.readexactly(4) == b"\r\n\r\n"
            far.send(answer(invite, "486 Busy Here"))
            await world.until(lambda: world.ended)
            assert world.ended[0].reason == "busy"

    run(test, limits=PINGING)


def test_a_server_that_answers_neither_a_request_nor_a_ping_is_left() -> None:
    async def test(world: World) -> None:
        async with world.server() as server:
            target = f"sip:a@127.0.0.1:{server.port};transport=tcp"
            world.dial(target, no_response_seconds=0.1)
            far = await server.next()
            await world.until(lambda: world.ended)
            assert world.ended[0].code == 408
            await far.ended()
            assert world.endpoint.counters["connection: no answer to a ping"] == 1
            world.dial(target)
            await (await server.next()).expect("INVITE")  # the next call has a new connection

    run(test, limits=StreamLimits(pong_seconds=0.1))


def test_closing_leaves_no_connection_and_no_task() -> None:
    async def main() -> None:
        world = World()
        far = await world.connect()
        far.send(request("OPTIONS", port=far.port))
        await far.expect("SIP/2.0 200")
        before = asyncio.all_tasks()
        await world.close()
        await far.ended()
        assert asyncio.all_tasks() <= before

    asyncio.run(main())
