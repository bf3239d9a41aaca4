"""SIP over TLS: who is believed, what is shown, and handshakes that come to nothing."""

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from trunkline.errors import UsageError
from trunkline.transports import sip_streams
from trunkline.transports.sip_carrier import Listening
from trunkline.transports.sip_connection import StreamLimits
from trunkline.transports.sip_tls import ServerTls, TlsProfile, client_context

from .flows import Server, World, answer, request, run


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class Papers:
    """Files of an authority, and certificates it issued."""

    def __init__(self, authority: trustme.CA, folder: Path) -> None:
        self.authority, self.folder = authority, folder
        self.ca = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca)
        self.node = self.issue("node", "127.0.0.1")

    def issue(self, file: str, *names: str) -> str:
        issued = self.authority.issue_cert(*names)
        path = self.folder / f"{file}.pem"
        path.unlink(missing_ok=True)
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        return str(path)

    def listening(self, **more: Any) -> Listening:
        return Listening(tls_port=0, tls_certificate=self.node, tls_ca=self.ca, **more)

    def server(self, *names: str, verify: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*names).configure_cert(context)
        if verify:
            context.verify_mode = ssl.CERT_REQUIRED
            self.authority.configure_trust(context)
        return context

    def client(self, *names: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if names:
            self.authority.issue_cert(*names).configure_cert(context)
        return context


@pytest.fixture
def papers(authority: trustme.CA, tmp_path: Path) -> Papers:
    return Papers(authority, tmp_path)


async def refused(world: World, there: Server, **options: Any) -> None:
    """A call that comes to nothing because of TLS, soon."""
    before = len(world.ended)
    world.dial(f"sip:a@127.0.0.1:{there.port};transport=tls", **options)
    await world.until(lambda: len(world.ended) > before)
    assert (world.ended[-1].reason, world.ended[-1].code) == ("error", 503)


async def busy(world: World, there: Server, **options: Any) -> str:
    """A call that reaches its server, which is busy; the INVITE it got."""
    before = len(world.ended)
    world.dial(f"sip:a@127.0.0.1:{there.port};transport=tls", **options)
    far = await there.next()
    invite = await far.expect("INVITE")
    far.send(answer(invite, "486 Busy Here"))
    await world.until(lambda: len(world.ended) > before)
    assert world.ended[-1].reason == "busy"
    return invite


# -- in --------------------------------------------------------------------------------------


def test_requests_come_in_over_tls_and_are_told_our_tls_port(papers: Papers) -> None:
    async def test(world: World) -> None:
        far = await world.connect("TLS", ssl=papers.client())
        far.send(request("OPTIONS", port=far.port, transport="TLS"))
        text = await far.expect("SIP/2.0 200")
        assert f"<sip:127.0.0.1:{world.endpoint.ports['TLS']};transport=tls>" in text
        tls = far.writer.get_extra_info("ssl_object")
        assert tls.version() in ("TLSv1.2", "TLSv1.3")
        assert tls.selected_alpn_protocol() is None

    run(test, listening=papers.listening())


def test_no_tls_port_without_a_certificate() -> None:
    async def test(world: World) -> None:
        assert set(world.endpoint.ports) == {"TCP"}

    run(test)


def test_old_versions_of_tls_are_refused(papers: Papers) -> None:
    async def test(world: World) -> None:
        context = papers.client()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            context.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await world.connect("TLS", ssl=context)
        await world.until(lambda: not world.connections)

    run(test, listening=papers.listening())


def test_who_has_no_certificate_is_refused_where_one_is_asked_for(papers: Papers) -> None:
    async def test(world: World) -> None:
        far = await world.connect("TLS", ssl=papers.client())
        far.send(request("OPTIONS", port=far.port, transport="TLS"))
        with contextlib.suppress(ssl.SSLError):
            assert await far.ended() == b""
        far = await world.connect("TLS", ssl=papers.client("peer.example"))
        far.send(request("OPTIONS", port=far.port, transport="TLS"))
        await far.expect("SIP/2.0 200")

    run(test, listening=papers.listening(tls_verify_clients=True))


def test_a_handshake_that_hangs_is_ended_and_counts_while_it_lasts(papers: Papers) -> None:
    async def test(world: World) -> None:
        port = world.endpoint.ports["TLS"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01\x02\x00")  # the beginning of a greeting
        await world.until(lambda: world.connections == 1)
        _, second = await asyncio.open_connection("127.0.0.1", port)
        third, other = await asyncio.open_connection("127.0.0.1", port)
        assert await third.read() == b""  # one too many
        async with asyncio.timeout(5):
            await reader.read()
        await world.until(lambda: not world.connections)
        for one in (writer, second, other):
            one.close()

    limits = StreamLimits(handshake_seconds=0.2, connections_per_address=2)
    run(test, listening=papers.listening(limits=limits))


@pytest.mark.parametrize("garbage", [b"OPTIONS sip:a SIP/2.0\r\n\r\n", b"\x00" * 300, b"\x16\x03"])
def test_what_is_no_handshake_ends_the_connection(papers: Papers, garbage: bytes) -> None:
    async def test(world: World) -> None:
        port = world.endpoint.ports["TLS"]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await world.until(lambda: world.connections == 1)
        writer.write(garbage)
        writer.write_eof()
        await world.until(lambda: not world.connections)
        writer.close()

    run(test, listening=papers.listening(limits=StreamLimits(handshake_seconds=0.5)))


def test_a_renewed_certificate_is_shown_without_ending_anything(papers: Papers) -> None:
    async def test(world: World) -> None:
        def serial(far: Any) -> object:
            return far.writer.get_extra_info("peercert")["serialNumber"]

        old = await world.connect("TLS", ssl=papers.client())
        papers.issue("node", "127.0.0.1")
        new = await world.connect("TLS", ssl=papers.client())
        assert serial(new) != serial(old)
        Path(papers.node).write_text("half a certif")
        third = await world.connect("TLS", ssl=papers.client())
        assert serial(third) == serial(new)
        for far in (old, new, third):
            far.send(request("OPTIONS", port=far.port, transport="TLS", call=str(far.port)))
            await far.expect("SIP/2.0 200")

    run(test, listening=papers.listening())


@pytest.mark.parametrize("content", ["", "no certificate", None])
def test_a_certificate_that_cannot_be_used_is_said_at_the_start(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "x.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=r"x\.pem cannot be used"):
        ServerTls(str(file))

    async def main() -> None:
        with pytest.raises(UsageError):
            World(listening=Listening(tls_port=0, tls_certificate=str(file)))

    asyncio.run(main())


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(
    papers: Papers, tmp_path: Path
) -> None:
    key = load_pem_private_key(Path(papers.node).read_bytes(), None)
    locked = tmp_path / "locked.pem"
    secret = BestAvailableEncryption(b"secret")
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    with pytest.raises(UsageError):
        ServerTls(papers.node, str(locked))


# -- out -------------------------------------------------------------------------------------


def test_a_server_must_show_a_certificate_for_its_name(papers: Papers) -> None:
    async def test(world: World) -> None:
        async with world.server(papers.server("127.0.0.1")) as good:
            invite = await busy(world, good)
            assert "Via: SIP/2.0/TLS" in invite
        async with world.server(papers.server("other.example")) as wrong:
            await refused(world, wrong)
            assert world.endpoint.counters["connection: the certificate is not good"] == 1
            world.endpoint.profiles["lax"] = TlsProfile(verify=False)
            await busy(
                world, wrong, trunk="lax", server=f"sip:127.0.0.1:{wrong.port};transport=tls"
            )
            await refused(world, wrong)  # what one trunk permits holds for no other

    run(test, tls=TlsProfile(ca=papers.ca))


def test_an_authority_nobody_knows_is_not_believed(papers: Papers) -> None:
    async def test(world: World) -> None:
        async with world.server(papers.server("127.0.0.1")) as server:
            await refused(world, server)  # by the system's authorities
            world.endpoint.profiles["pinned"] = TlsProfile(ca=papers.ca)
            address = f"sip:127.0.0.1:{server.port};transport=tls"
            await busy(world, server, trunk="pinned", server=address)

    run(test)


def test_a_trunk_may_say_whose_certificate_is_expected(papers: Papers) -> None:
    async def test(world: World) -> None:
        context = papers.server("trunk.example")
        named: list[str | None] = []
        context.sni_callback = lambda tls, name, _: named.append(name)
        async with world.server(context) as server:
            profile = TlsProfile(ca=papers.ca, server_name="trunk.example")
            world.endpoint.profiles["carrier"] = profile
            address = f"sip:127.0.0.1:{server.port};transport=tls"
            await busy(world, server, trunk="carrier", server=address)
            assert named == ["trunk.example"]

    run(test)


def test_we_show_a_certificate_where_one_is_asked_for(papers: Papers) -> None:
    async def test(world: World) -> None:
        async with world.server(papers.server("127.0.0.1", verify=True)) as server:
            await busy(world, server)
            far = server.all[0]
            shown = far.writer.get_extra_info("peercert")
            assert ("IP Address", "127.0.0.1") in shown["subjectAltName"]

    run(test, tls=TlsProfile(ca=papers.ca, certificate=papers.node))


def test_trunks_with_other_settings_have_other_connections(papers: Papers) -> None:
    async def test(world: World) -> None:
        async with world.server(papers.server("127.0.0.1")) as server:
            for trunk in ("one", "two", "one"):
                world.endpoint.profiles[trunk] = TlsProfile(ca=papers.ca)
                address = f"sip:127.0.0.1:{server.port};transport=tls"
                world.dial(f"sip:a@127.0.0.1:{server.port}", trunk=trunk, server=address)
            await world.until(lambda: len(server.all) == 2)
            first = await server.next()
            assert await first.expect("INVITE")
            assert world.connections == 2

    run(test)


def test_a_server_that_hangs_in_the_handshake_is_given_up(papers: Papers) -> None:
    async def test(world: World) -> None:
        async with world.server() as mute:  # it takes connections, and speaks no TLS
            await refused(world, mute)
            assert world.endpoint.counters["connection: no answer in time"] == 1
            assert world.connections == 0

    limits = StreamLimits(handshake_seconds=0.2)
    run(test, listening=Listening(limits=limits))


@pytest.mark.parametrize("garbage", [b"SIP/2.0 400 TLS?\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28"])
def test_a_server_that_breaks_the_handshake_fails_the_call(garbage: bytes) -> None:
    async def test(world: World) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            port = listener.getsockname()[1]
            world.dial(f"sip:a@127.0.0.1:{port};transport=tls")
            loop = asyncio.get_running_loop()
            connection, _ = await asyncio.wait_for(loop.sock_accept(listener), 5)
            with connection:
                await loop.sock_recv(connection, 4096)
                await loop.sock_sendall(connection, garbage)
            await world.until(lambda: world.ended)
            assert world.ended[0].code == 503

    run(test)


def test_files_that_cannot_be_used_fail_the_trunk_and_not_the_node(papers: Papers) -> None:
    async def test(world: World) -> None:
        async with world.server(papers.server("127.0.0.1")) as server:
            world.endpoint.profiles["broken"] = TlsProfile(ca="/nowhere/ca.pem")
            address = f"sip:127.0.0.1:{server.port};transport=tls"
            await refused(world, server, trunk="broken", server=address)
            await busy(world, server)

    run(test, tls=TlsProfile(ca=papers.ca))


def test_a_client_context_says_what_it_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    file.write_text("nothing")
    for profile in (TlsProfile(ca=str(file)), TlsProfile(certificate=str(file))):
        with pytest.raises(UsageError, match="TLS cannot be used"):
            client_context(profile)


def test_connections_out_verify_unless_they_are_told_not_to(papers: Papers) -> None:
    context = client_context(TlsProfile(ca=papers.ca))
    assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert client_context(TlsProfile(verify=False)).verify_mode is ssl.CERT_NONE


@pytest.fixture(autouse=True)
def checked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_streams, "CHECK_SECONDS", 0.01)
