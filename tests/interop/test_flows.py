"""SIP over TCP and TLS with real programs: baresip, sipp, openssl."""

import os
import socket
import ssl
import struct
import subprocess
import time
from pathlib import Path

import pytest
import trustme
from tests.transports.name_server import NameServer

from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.errors import DialError
from trunkline.settings import Outbound, Sip

from .conftest import Start
from .kit import RunningNode, until
from .programs import Baresip, Sipp, free_sip_port
from .test_sipp import dial_many, ends


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class Papers:
    """The files of an authority and of one certificate for 127.0.0.1."""

    def __init__(self, authority: trustme.CA, folder: Path) -> None:
        issued = authority.issue_cert("127.0.0.1", "localhost", common_name="127.0.0.1")
        self.ca = folder / "ca.pem"
        self.certificate = folder / "node.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        issued.private_key_and_cert_chain_pem.write_to_path(str(self.certificate))

    def sip(self, **more: object) -> Sip:
        return Sip(
            t1_ms=100,
            tls_port=0,
            tls_certificate=str(self.certificate),
            tls_ca=str(self.ca),
            **more,  # type: ignore[arg-type]
        )


@pytest.fixture
def papers(authority: trustme.CA, tmp_path: Path) -> Papers:
    return Papers(authority, tmp_path)


def packets(node: RunningNode) -> float:
    legs = list(node.endpoint.legs.values())
    return node.on_media(legs[0].statistics).get("received", 0.0) if legs else 0.0


@pytest.mark.program("baresip")
@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_baresip_calls_and_hangs_up(
    start: Start, tmp_path: Path, papers: Papers, transport: str
) -> None:
    node = start(sip=papers.sip())
    port = node.node.ports.sip_tls if transport == "tls" else node.node.ports.sip_tcp
    phone = Baresip(
        tmp_path / "b", transport=transport, certificate=papers.certificate, authority=papers.ca
    )
    with phone():
        phone.command("dial", f"sip:100@127.0.0.1:{port};transport={transport}")
        until(lambda: packets(node) > 25, what=phone.output)
        (leg,) = node.endpoint.legs.values()
        assert leg.session.source is not None
        assert leg.session.source.transport == transport.upper()
        phone.command("hangup")
        node.assert_clean()
    assert ends(node) == [("hangup", "them")]


@pytest.mark.program("baresip")
@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("who", ["us", "them"])
def test_baresip_is_called(
    start: Start, tmp_path: Path, papers: Papers, transport: str, who: str
) -> None:
    node = start(sip=papers.sip())
    phone = Baresip(
        tmp_path / "b",
        answer="auto",
        transport=transport,
        certificate=papers.certificate,
        authority=papers.ca,
    )
    with phone():
        port = phone.port + (transport == "tls")
        target = f"sip:bare@127.0.0.1:{port};transport={transport}"
        call = node.run(node.board.dial(target, app=echo))
        until(lambda: packets(node) > 25, what=phone.output)
        if who == "us":
            node.run(call.hangup())
        else:
            phone.command("hangup")
        node.assert_clean()
    assert ends(node) == [("hangup", who)]


@pytest.mark.program("sipp")
@pytest.mark.parametrize("mode", ["t1", "tn"])
def test_callers_over_tcp(start: Start, tmp_path: Path, mode: str) -> None:
    node = start(sip=Sip())
    sipp = Sipp("uac_plain", tmp_path / "s", node_port=node.node.ports.sip_tcp, calls=60, rate=60)
    sipp.over_tcp(mode).run()
    node.assert_clean()
    assert ends(node) == [("hangup", "them")] * 60


@pytest.mark.program("sipp")
def test_callees_over_tcp(start: Start, tmp_path: Path) -> None:
    node = start(sip=Sip())
    sipp = Sipp("uas_answer", tmp_path / "s", calls=50).over_tcp()
    with sipp() as process:
        sipp.wait_bound()
        answered = node.run(dial_many(node, sipp.port, 50, transport="tcp"))
        assert all(isinstance(call, Call) for call in answered), answered
        assert node.on_media(lambda: len(node.endpoint._carrier.streams)) == 1
        for call in answered:
            assert isinstance(call, Call)
            node.run(call.hangup())
        sipp.finish(process)
    node.assert_clean()
    assert ends(node) == [("hangup", "us")] * 50


# -- certificates ----------------------------------------------------------------------------


@pytest.mark.program("baresip")
def test_a_callee_whose_certificate_is_of_nobody_we_know_is_not_called(
    start: Start, tmp_path: Path, papers: Papers
) -> None:
    (tmp_path / "other").mkdir()
    others = Papers(trustme.CA(), tmp_path / "other")
    node = start(sip=papers.sip())
    phone = Baresip(
        tmp_path / "b",
        answer="auto",
        transport="tls",
        certificate=others.certificate,
        authority=others.ca,
    )
    with phone():
        target = f"sip:bare@127.0.0.1:{phone.port + 1};transport=tls"
        with pytest.raises(DialError) as failed:
            node.run(node.board.dial(target))
        assert failed.value.code == 503
        counters = node.on_media(lambda: dict(node.endpoint.counters))
        assert counters["connection: the certificate is not good"] == 1
        node.assert_clean()


@pytest.mark.program("baresip")
def test_without_verification_it_is_called(start: Start, tmp_path: Path, papers: Papers) -> None:
    (tmp_path / "other").mkdir()
    others = Papers(trustme.CA(), tmp_path / "other")
    node = start(sip=papers.sip(tls_verify=False))
    phone = Baresip(tmp_path / "b", answer="auto", transport="tls", certificate=others.certificate)
    with phone():
        target = f"sip:bare@127.0.0.1:{phone.port + 1};transport=tls"
        call = node.run(node.board.dial(target, app=echo))
        until(lambda: packets(node) > 10, what=phone.output)
        node.run(call.hangup())
        node.assert_clean()


# -- garbage, and peers that die -----------------------------------------------------------------


def options(port: int, call: str = "x") -> bytes:
    return (
        f"OPTIONS sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK{call}\r\n"
        f"From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:100@127.0.0.1>\r\nCall-ID: {call}\r\n"
        "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def over_openssl(port: int, papers: Papers, data: bytes) -> bytes:
    """What comes back over TLS."""
    command = [
        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(papers.ca),
        "-quiet", "-no_ign_eof", "-verify_return_error",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(data)
        process.stdin.flush()
        os.set_blocking(process.stdout.fileno(), False)
        deadline, got = time.monotonic() + 3, b""
        while time.monotonic() < deadline and process.poll() is None and b"\r\n\r\n" not in got:
            got += process.stdout.read() or b""
            time.sleep(0.01)
        process.kill()
        process.wait()
        return got + (process.stdout.read() or b"")


@pytest.mark.program("openssl")
def test_openssl_sends_sip_and_garbage_and_halves(start: Start, papers: Papers) -> None:
    node = start(sip=papers.sip())
    port = node.node.ports.sip_tls
    assert over_openssl(port, papers, options(port)).startswith(b"SIP/2.0 200")
    # What ends with its sender, in the middle of a message.
    assert over_openssl(port, papers, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    wrong = options(port, "y").replace(b"Content-Length: 0", b"Content-Length: none")
    assert over_openssl(port, papers, wrong).startswith(b"SIP/2.0 400")
    with subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(options(port, "half")[:50])
        process.stdin.flush()
        until(lambda: connections(node) == 1)
        process.kill()
    until(lambda: connections(node) == 0)
    assert over_openssl(port, papers, options(port, "z")).startswith(b"SIP/2.0 200")
    node.assert_clean()


def connections(node: RunningNode) -> int:
    return node.on_media(lambda: len(node.endpoint._carrier.streams))


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_peer_that_dies_in_the_handshake_leaves_nothing(
    start: Start, papers: Papers, cut: int
) -> None:
    node = start(sip=papers.sip())
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context(cafile=papers.ca).wrap_bio(
        incoming, outgoing, server_hostname="127.0.0.1"
    )
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", node.node.ports.sip_tls)) as peer:
            peer.sendall(hello[:cut])
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: connections(node) == 0)
    node.assert_clean()


@pytest.mark.program("sipp")
def test_callees_that_are_killed_in_the_call_cost_nobody_else(start: Start, tmp_path: Path) -> None:
    node = start(sip=Sip(t1_ms=50))
    dying = Sipp("uas_answer", tmp_path / "d", calls=20).over_tcp()
    with dying() as process:
        dying.wait_bound()
        answered = node.run(dial_many(node, dying.port, 10, transport="tcp"))
        assert all(isinstance(call, Call) for call in answered), answered
        process.kill()
        process.wait()
        until(lambda: connections(node) == 0)
        assert not node.ended  # the audio may well go on
        for call in answered:
            assert isinstance(call, Call)
            node.run(call.hangup())
    node.assert_clean()
    assert len(node.ended) == 10


# -- names -----------------------------------------------------------------------------------


@pytest.mark.program("sipp")
def test_calls_go_to_the_second_server_where_the_first_is_dead(
    start: Start, tmp_path: Path
) -> None:
    sipp = Sipp("uas_answer", tmp_path / "s", calls=10)
    dead = free_sip_port()
    with NameServer().running() as zone, sipp() as process:
        sipp.wait_bound()
        zone.add(
            "_sip._udp.trunk.example", "SRV",
            f"10 1 {dead} first.example.", f"20 1 {sipp.port} second.example.",
        )  # fmt: skip
        zone.add("first.example", "A", "127.0.0.1")
        zone.add("second.example", "A", "127.0.0.1")
        sip = Sip(name_servers=(f"127.0.0.1:{zone.port}",))
        node = start(sip=sip, outbound=Outbound(allowed_prefixes=("bob",)))
        target = "sip:bob@trunk.example"
        first = node.run(node.board.dial(target, timeout=15))
        assert node.on_media(lambda: node.endpoint.agent.counters["next target"]) == 1
        calls = [first, *(node.run(node.board.dial(target, timeout=3)) for _ in range(9))]
        # The others knew that it is dead.
        assert node.on_media(lambda: node.endpoint.agent.counters["next target"]) == 1
        for call in calls:
            node.run(call.hangup())
        sipp.finish(process)
        node.assert_clean()
    assert ends(node) == [("hangup", "us")] * 10
