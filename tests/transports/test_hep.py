"""The HEP exporter: never waits, whatever the collector does."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from trunkline.errors import UsageError
from trunkline.media.rtcp import Goodbye, ReceiverReport, ReportBlock, RtcpCompound
from trunkline.media.rtcp_xr import ExtendedReport, VoipMetrics
from trunkline.sip.hop import Hop
from trunkline.transports import hep as module
from trunkline.transports.hep import Collector, HepExporter
from trunkline.transports.hep_reports import rtcp_json
from trunkline.wire.hep import HepPacket, HepPayload

FAR = Hop("127.0.0.1", 5070)
NEAR = ("127.0.0.1", 5060)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


@pytest.fixture
def exporter(listening: socket.socket) -> Iterator[HepExporter]:
    made = HepExporter(
        Collector("udp", "127.0.0.1", listening.getsockname()[1]), agent=7, password="pw"
    )
    made.local = NEAR
    made.start()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("udp:192.0.2.1:9060", ("udp", "192.0.2.1", 9060)),
        ("tcp:[::1]:9061", ("tcp", "::1", 9061)),
        ("udp:homer.example.com:9060", ("udp", "homer.example.com", 9060)),
    ],
)
def test_a_collector_is_read(text: str, found: tuple[str, str, int]) -> None:
    assert Collector.parse(text) == found


@pytest.mark.parametrize(
    "text", ["", "udp", "sctp:a:1", "udp:a", "udp::9060", "udp:a:0", "tcp:a:x"]
)
def test_what_is_no_collector_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Collector.parse(text)


def test_messages_go_with_their_addresses_in_their_direction(
    exporter: HepExporter, listening: socket.socket
) -> None:
    exporter.sip(False, b"INVITE sip:x SIP/2.0\r\n\r\n", FAR, time.monotonic())
    exporter.sip(True, b"SIP/2.0 200 OK\r\n\r\n", FAR._replace(transport="TLS"), time.monotonic())
    came = HepPacket.parse(listening.recv(65_535))
    assert (came.source, came.destination, came.protocol) == (FAR.address, NEAR, 17)
    assert (came.kind, came.agent, came.key) == (HepPayload.SIP, 7, "pw")
    assert abs(came.time - time.time()) < 5
    left = HepPacket.parse(listening.recv(65_535))
    assert (left.source, left.destination, left.protocol) == (NEAR, FAR.address, 6)
    until(lambda: exporter.counters["sent"] == 2)


def test_no_password_leaves(exporter: HepExporter, listening: socket.socket) -> None:
    exporter.sip(True, b"INVITE x\r\nAuthorization: Digest response=abc\r\n\r\n", FAR, 0.0)
    assert b"abc" not in listening.recv(65_535)


def test_reports_and_figures_go_as_json_with_their_call(
    exporter: HepExporter, listening: socket.socket
) -> None:
    compound = RtcpCompound((ReceiverReport(1, (ReportBlock(2, 25, 3, 4, 5, 6, 7),)),))
    exporter.rtcp(True, bytes(compound), NEAR, FAR.address, "id@x", 0.0)
    exporter.quality({"mos_in": 4.1}, NEAR, FAR.address, "id@x", 0.0)
    report, figures = (HepPacket.parse(listening.recv(65_535)) for _ in range(2))
    assert report.kind == HepPayload.RTCP
    assert json.loads(report.payload)["report_blocks"][0]["fraction_lost"] == 25
    assert (figures.kind, json.loads(figures.payload)) == (HepPayload.QOS, {"mos_in": 4.1})
    assert report.correlation == figures.correlation == "id@x"


def test_what_is_no_packet_is_counted_and_the_next_one_goes(
    exporter: HepExporter, listening: socket.socket
) -> None:
    exporter.rtcp(True, b"junk", NEAR, FAR.address, "", 0.0)
    exporter.sip(False, b"INVITE", Hop("no.address.example", 5060), 0.0)
    exporter.sip(False, b"x" * 70_000, FAR, 0.0)
    exporter.sip(False, b"INVITE", FAR, 0.0)
    assert HepPacket.parse(listening.recv(65_535)).payload == b"INVITE"
    assert exporter.counters["dropped: no packet"] == 3


def test_a_collector_that_is_not_there_costs_messages_and_nothing_else() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        exporter = HepExporter(Collector("tcp", "127.0.0.1", taken.getsockname()[1]))
        exporter.start()
        for _ in range(50):
            exporter.sip(True, b"INVITE", FAR, 0.0)
        until(lambda: exporter.counters["dropped: no collector"] == 50)
        exporter.close()


def test_the_queue_is_bounded_and_what_is_too_much_is_counted() -> None:
    exporter = HepExporter(Collector("udp", "127.0.0.1", 9))  # not started: nobody takes
    for _ in range(module.MOST_WAITING + 10):
        exporter.sip(True, b"INVITE", FAR, 0.0)
    assert exporter.counters["dropped: queue full"] == 10
    exporter.close()


def test_over_tcp_packets_follow_each_other_and_a_broken_connection_is_made_anew() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        exporter = HepExporter(Collector("tcp", "127.0.0.1", server.getsockname()[1]))
        exporter.local = NEAR
        exporter.start()
        exporter.sip(True, b"one", FAR, 0.0)
        exporter.sip(True, b"two", FAR, 0.0)
        first, _ = server.accept()
        first.settimeout(5)
        data = b""
        while b"two" not in data:
            data += first.recv(65_535)
        size = int.from_bytes(data[4:6], "big")
        assert HepPacket.parse(data[:size]).payload == b"one"
        assert HepPacket.parse(data[size:]).payload == b"two"
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        first.close()  # with a reset
        accepted: list[socket.socket] = []
        waiting = threading.Thread(target=lambda: accepted.append(server.accept()[0]))
        waiting.start()
        while not accepted:
            exporter.sip(True, b"again", FAR, 0.0)
            time.sleep(0.02)
        waiting.join(5)
        accepted[0].settimeout(5)
        assert b"again" in accepted[0].recv(65_535)
        accepted[0].close()
        exporter.close()
        exporter.close()


def test_extended_metrics_and_goodbyes_are_in_the_json() -> None:
    compound = RtcpCompound(
        (ReceiverReport(1), ExtendedReport(1, (VoipMetrics(2, r_factor=80),)), Goodbye((1,)))
    )
    found = rtcp_json(compound)
    assert found["type"] == 201
    assert found["report_blocks_xr"]["r_factor"] == 80
    assert found["bye"] == [1]
