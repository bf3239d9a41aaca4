"""SIP over WebSockets, spoken by another library: calls, and what a peer can do wrong."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from trunkline.errors import ConfigError, UsageError
from trunkline.transports import sip_streams
from trunkline.transports.sip_carrier import Listening
from trunkline.transports.sip_connection import StreamLimits

from . import flows
from .flows import World, answer, request

NOBODY = "df7jal23ls0d.invalid"
"""Pages have no address they could be reached at (RFC 7118 section 5)."""
SIP = [Subprotocol("sip")]


@pytest.fixture(autouse=True)
def checked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_streams, "CHECK_SECONDS", 0.01)


def run(test: Callable[[World], Any], limits: StreamLimits | None = None, **options: Any) -> None:
    async def main(world: World) -> None:
        await world.endpoint.open()
        await test(world)

    listening = Listening(
        websocket=True,
        websocket_origins=["https://phone.example.com"],
        limits=limits or StreamLimits(),
        tls_port=0,
        **options.pop("listening", {}),
    )
    flows.run(main, listening=listening, **options)


@asynccontextmanager
async def page(world: World, **options: Any) -> AsyncIterator[ClientConnection]:
    options.setdefault("subprotocols", SIP)
    scheme = "wss" if options.get("ssl") else "ws"
    async with connect(f"{scheme}://localhost:{world.endpoint.ports['WS']}", **options) as made:
        yield made


def said(method: str, number: int = 1, transport: str = "WS", **options: Any) -> str:
    return request(method, number, host=NOBODY, transport=transport, **options).decode()


async def expect(peer: ClientConnection, start: str) -> str:
    async with asyncio.timeout(5):
        while True:
            text = await peer.recv()
            assert isinstance(text, str)
            if text.startswith(start):
                return text


async def called(world: World, peer: ClientConnection) -> str:
    """A call that is up; our tag in it."""
    await peer.send(said("INVITE"))
    await expect(peer, "SIP/2.0 100")
    world.legs[0].answer()
    ok = await expect(peer, "SIP/2.0 200")
    assert f"Contact: <sip:127.0.0.1:{world.endpoint.ports['WS']};transport=ws>" in ok
    assert ";received=127.0.0.1" in ok
    tag = ok.split("\r\nTo: ")[1].split("\r\n")[0].partition(";tag=")[2]
    await peer.send(said("ACK", to_tag=tag))
    await world.until(lambda: world.legs[0].session.is_confirmed)
    return tag


def test_a_call_comes_and_they_hang_up() -> None:
    async def test(world: World) -> None:
        async with page(world) as peer:
            assert peer.subprotocol == "sip"
            tag = await called(world, peer)
            await peer.send(said("BYE", 2, to_tag=tag))
            await expect(peer, "SIP/2.0 200")
            await world.until(lambda: world.ended)
            assert world.connections == 1
        await world.until(lambda: not world.connections)

    run(test)


def test_our_bye_goes_where_they_can_hear_it() -> None:
    async def test(world: World) -> None:
        async with page(world) as peer:
            await called(world, peer)
            world.legs[0].hangup()
            bye = await expect(peer, "BYE")
            assert bye.startswith(f"BYE sip:far@{NOBODY}:5060;transport=ws SIP/2.0")
            assert f"Via: SIP/2.0/WS 127.0.0.1:{world.endpoint.ports['WS']};" in bye
            await peer.send(answer(bye, "200 OK").decode())
            await world.until(lambda: world.ended)

    run(test)


def test_a_call_whose_page_is_gone_can_be_ended() -> None:
    async def test(world: World) -> None:
        async with page(world) as peer:
            await called(world, peer)
            peer.transport.abort()
            await world.until(lambda: not world.connections)
        world.legs[0].hangup()
        await world.until(lambda: world.ended)

    run(test)


def test_what_is_said_may_be_bytes_and_a_body_that_is_no_text_is_sent_as_bytes() -> None:
    async def test(world: World) -> None:
        async with page(world) as peer:
            await peer.send(said("OPTIONS").encode())
            await expect(peer, "SIP/2.0 200")
            await peer.send(said("OPTIONS", 2).encode().replace(b"sip:far@", b"sip:f\xe9r@"))
            async with asyncio.timeout(5):
                assert b"sip:f\xe9r@" in bytes(await peer.recv())  # type: ignore[arg-type]

    run(test)


def test_pings_of_sip_are_answered_and_nonsense_is_counted() -> None:
    async def test(world: World) -> None:
        async with page(world) as peer:
            await peer.send("\r\n\r\n")
            assert await peer.recv() == "\r\n"
            for nonsense in (
                "\r\n",
                "",
                "hello",
                b"\x00\xff" * 100,
                "INVITE sip:x SIP/2.0\r\n\r\n",
            ):
                await peer.send(nonsense)
            await peer.send(said("OPTIONS"))
            await expect(peer, "SIP/2.0 200")

    run(test)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"subprotocols": None}, 400),
        ({"subprotocols": [Subprotocol("xmpp")]}, 400),
        ({"origin": "https://evil.example"}, 403),
    ],
)
def test_who_may_not_open_one_is_told(options: dict[str, Any], status: int) -> None:
    async def test(world: World) -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with page(world, **options):
                pass
        assert refused.value.response.status_code == status

    run(test)


def test_pages_of_a_site_that_is_named_may() -> None:
    async def test(world: World) -> None:
        chosen = [Subprotocol("xmpp"), *SIP]
        async with page(world, origin="https://phone.example.com", subprotocols=chosen) as peer:
            await peer.send(said("OPTIONS"))
            await expect(peer, "SIP/2.0 200")

    run(test)


def test_an_address_is_no_password_where_it_may_be_a_proxys() -> None:
    async def test(world: World) -> None:
        async with page(world) as peer:
            await peer.send(said("INVITE"))
            await expect(peer, "SIP/2.0 401")
        far = await world.connect()
        far.send(request("INVITE", port=far.port, call="other"))
        await far.expect("SIP/2.0 100")
        assert len(world.legs) == 1

    run(test, allowed=["127.0.0.0/8"], accounts={"alice": "secret"})


def test_addresses_alone_let_nobody_in() -> None:
    async def test(world: World) -> None:
        with pytest.raises(ConnectionClosed):
            async with page(world) as peer:
                await peer.recv()
        assert world.endpoint.counters["not allowed"] == 1

    run(test, allowed=["127.0.0.0/8"])


def test_who_says_nothing_is_not_kept() -> None:
    async def test(world: World) -> None:
        async with page(world) as peer:
            async with asyncio.timeout(5):
                with pytest.raises(ConnectionClosed, match="nothing was said"):
                    await peer.recv()
        assert not world.connections

    run(test, StreamLimits(unfinished_seconds=0.05, handshake_seconds=0.05))


def test_an_idle_one_is_closed_unless_it_has_a_call() -> None:
    async def test(world: World) -> None:
        async with page(world) as idle, page(world) as busy:
            await called(world, busy)
            await idle.send(said("OPTIONS"))
            await expect(idle, "SIP/2.0 200")
            async with asyncio.timeout(5):
                with pytest.raises(ConnectionClosed, match="idle"):
                    await idle.recv()
            await asyncio.sleep(0.1)
            assert world.connections == 1

    run(test, StreamLimits(idle_seconds=0.3))


def test_nobody_is_called_over_one() -> None:
    async def test(world: World) -> None:
        with pytest.raises(UsageError, match="opened to us"):
            world.dial("sip:bob@example.com;transport=ws")

    run(test)


def test_a_port_that_is_taken_is_named() -> None:
    async def test(world: World) -> None:
        taken = Listening(websocket=True, websocket_port=world.endpoint.ports["WS"], port=0)
        other = World(listening=taken)
        with pytest.raises(ConfigError, match=r"sip\.websocket_port"):
            await other.endpoint.open()
        await other.close()

    run(test)


def test_over_tls_with_the_nodes_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    file = tmp_path / "node.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(file))
    context = ssl.create_default_context()
    authority.configure_trust(context)

    async def test(world: World) -> None:
        async with page(world, ssl=context) as peer:
            await peer.send(said("INVITE", transport="WSS"))
            await expect(peer, "SIP/2.0 100")
            world.legs[0].answer()
            ok = await expect(peer, "SIP/2.0 200")
            tag = ok.split("\r\nTo: ")[1].split("\r\n")[0].partition(";tag=")[2]
            await peer.send(said("ACK", to_tag=tag, transport="WSS"))
            await world.until(lambda: world.legs[0].session.is_confirmed)
            world.legs[0].hangup()
            assert "Via: SIP/2.0/WSS " in await expect(peer, "BYE")

    run(test, listening={"tls_certificate": str(file)})
