"""RTP ports, the poller and the socket that lets the kernel sort, on loopback."""

import asyncio
import errno
import random
import socket
from collections.abc import Iterator

import pytest

from trunkline.errors import UsageError
from trunkline.transports import rtp_socket
from trunkline.transports.rtp_socket import (
    Address,
    NoFreePortError,
    RtpPoller,
    RtpPorts,
    RtpSocket,
)


def test_ports_come_in_pairs_an_even_one_first() -> None:
    ports = RtpPorts("127.0.0.1", 41_001, 41_005, random.Random(1))
    assert ports.capacity == 2
    first, second = ports.open(), ports.open()
    numbers = sorted(one.getsockname()[1] for one in first + second)
    assert numbers == [41_002, 41_003, 41_004, 41_005] and ports.open_pairs == 2
    with pytest.raises(NoFreePortError, match="all 2 RTP port pairs"):
        ports.open()
    ports.close(first)
    third = ports.open()
    ports.close(second)
    ports.close(third)
    assert ports.open_pairs == 0


def test_a_range_without_a_pair_is_refused() -> None:
    with pytest.raises(UsageError):
        RtpPorts("127.0.0.1", 41_001, 41_002, random.Random(1))


class World:
    """A port with its reader, and far ends to send from."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.loop = asyncio.new_event_loop()
        self.poller = RtpPoller(self.loop)
        self.bound = self.udp(host)
        self.here: Address = self.bound.getsockname()
        self.far, self.other = self.udp(host), self.udp(host)
        self.heard: list[bytes] = []
        self.strange: list[tuple[bytes, Address]] = []
        self.errors: list[OSError] = []
        self.socket = RtpSocket(
            self.bound,
            self.poller,
            lambda data, now: self.heard.append(data),
            lambda data, source, now: self.strange.append((data, source)),
            self.errors.append,
        )
        self.socket.open()

    @staticmethod
    def udp(host: str) -> socket.socket:
        one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((host, 0))
        one.setblocking(False)
        return one

    def read(self) -> None:
        """Everything that has come."""
        for _ in range(10):
            self.poller.read(1.0)

    def close(self) -> None:
        self.socket.close()
        self.poller.close()
        for one in (self.bound, self.far, self.other):
            one.close()
        self.loop.close()


@pytest.fixture(params=["127.0.0.1", "::1"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    try:
        world = World(request.param)
    except OSError:
        pytest.skip(f"{request.param} is not to be had here")
    yield world
    world.close()


def test_the_poller_reads_what_has_arrived_for_whichever_socket() -> None:
    world = World()
    world.far.sendto(b"one", world.here)
    world.other.sendto(b"two", world.here)
    for _ in range(10):
        world.loop.run_until_complete(asyncio.sleep(0.001))
    assert [data for data, _ in world.strange] == [b"one", b"two"]
    world.close()


def test_before_it_is_connected_every_datagram_has_a_source(world: World) -> None:
    world.far.sendto(b"one", world.here)
    world.other.sendto(b"two", world.here)
    world.read()
    assert world.strange == [
        (b"one", world.far.getsockname()),
        (b"two", world.other.getsockname()),
    ]
    world.socket.aim(world.other.getsockname())
    world.socket.send(b"three")
    assert world.other.recv(10) == b"three" and not world.socket.connected


def test_a_socket_that_aims_nowhere_says_so(world: World) -> None:
    with pytest.raises(OSError, match="the far end is not known"):
        world.socket.send(b"lost")


def test_connected_it_hears_the_far_end_apart_from_all_others(world: World) -> None:
    world.socket.connect(world.far.getsockname(), 0.0)
    assert world.socket.connected
    for number in range(3):
        world.far.sendto(b"far %d" % number, world.here)
        world.other.sendto(b"other %d" % number, world.here)
    world.read()
    assert world.heard == [b"far 0", b"far 1", b"far 2"]
    assert [data for data, _ in world.strange] == [b"other 0", b"other 1", b"other 2"]
    world.socket.send(b"back")
    data, source = world.far.recvfrom(10)
    assert (data, source) == (b"back", world.here), "the port is the same in both directions"


def test_what_was_waiting_when_it_was_connected_is_read_first_and_with_its_source(
    world: World,
) -> None:
    world.far.sendto(b"early", world.here)
    world.other.sendto(b"strange", world.here)
    world.socket.connect(world.far.getsockname(), 0.0)
    assert [data for data, _ in world.strange] == [b"early", b"strange"]
    world.far.sendto(b"later", world.here)
    world.read()
    assert world.heard == [b"later"]


def test_aiming_elsewhere_parts_from_the_far_end(world: World) -> None:
    world.socket.connect(world.far.getsockname(), 0.0)
    world.socket.aim(world.other.getsockname())
    assert not world.socket.connected
    world.far.sendto(b"still here", world.here)
    world.read()
    assert world.strange == [(b"still here", world.far.getsockname())] and not world.heard
    world.socket.connect(world.other.getsockname(), 0.0)
    world.other.sendto(b"now me", world.here)
    world.read()
    assert world.heard == [b"now me"]


def test_nobody_else_can_share_the_port_afterwards(world: World) -> None:
    world.socket.connect(world.far.getsockname(), 0.0)
    with socket.socket(world.bound.family, socket.SOCK_DGRAM) as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            thief.bind(world.here)


def test_a_refusal_is_told_and_reading_goes_on(world: World) -> None:
    there = world.far.getsockname()
    world.socket.connect(there, 0.0)
    world.far.close()
    world.socket.send(b"to nobody")
    world.read()
    assert [type(error) for error in world.errors] == [ConnectionRefusedError]
    world.far = World.udp(there[0])
    world.other.sendto(b"other", world.here)
    world.read()
    assert world.strange == [(b"other", world.other.getsockname())]


def test_where_a_port_cannot_be_shared_all_goes_through_one_socket(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("not here")

    monkeypatch.setattr(rtp_socket, "_join", refuse)
    world.socket.connect(world.far.getsockname(), 0.0)
    assert not world.socket.connected
    world.far.sendto(b"in", world.here)
    world.read()
    world.socket.send(b"out")
    assert [data for data, _ in world.strange] == [b"in"] and world.far.recv(10) == b"out"


def test_closing_leaves_the_port_to_its_owner_and_nothing_else(world: World) -> None:
    world.socket.connect(world.far.getsockname(), 0.0)
    world.socket.close()
    world.far.sendto(b"late", world.here)
    world.read()
    assert not world.heard and not world.strange
    assert world.bound.recv(10) == b"late", "no other socket is left on the port"


def sockets_run_out(monkeypatch: pytest.MonkeyPatch, after: int) -> list[socket.socket]:
    """The system gives so many sockets more; returns those it gave."""
    given: list[socket.socket] = []
    make = socket.socket

    def scarce(*arguments: int) -> socket.socket:
        if len(given) >= after:
            raise OSError(errno.EMFILE, "Too many open files")
        given.append(make(*arguments))
        return given[-1]

    monkeypatch.setattr(socket, "socket", scarce)
    return given


@pytest.mark.parametrize("after", [0, 1])
def test_no_more_files_is_no_more_ports(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    ports = RtpPorts("127.0.0.1", 41_001, 41_005, random.Random(1))
    given = sockets_run_out(monkeypatch, after)
    with pytest.raises(NoFreePortError, match="Too many open files"):
        ports.open()
    assert ports.open_pairs == 0
    assert all(one.fileno() == -1 for one in given), "what was opened is closed again"


def test_without_a_file_for_it_there_is_no_second_socket(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets_run_out(monkeypatch, 0)
    world.socket.connect(world.far.getsockname(), 0.0)
    assert not world.socket.connected
    world.socket.send(b"out")
    assert world.far.recv(10) == b"out"


def test_a_far_end_that_changes_while_it_is_being_connected_is_followed(world: World) -> None:
    """A packet that waits at the latch may lead elsewhere."""
    there = world.other.getsockname()

    def lead(data: bytes, source: Address, now: float) -> None:
        if data == b"lead" and not world.strange:
            world.strange.append((data, source))
            world.socket.connect(there, now)

    world.socket._on_other = lead
    for data in (b"lead", b"more"):
        world.far.sendto(data, world.here)
    world.socket.connect(world.far.getsockname(), 0.0)
    world.socket.send(b"to the other")
    assert world.other.recv(20) == b"to the other"
    assert not world.errors


def test_a_reader_that_fails_costs_the_others_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, whole = World(), World()
    heard: list[float] = []

    def fail(now: float) -> None:
        broken.bound.recv(10)
        raise RuntimeError("a bug")

    poller = RtpPoller(broken.loop)
    poller.add(broken.bound, fail)
    poller.add(whole.bound, heard.append)
    for world in (broken, whole):
        world.far.sendto(b"x", world.here)
    poller.read(1.0)
    assert heard == [1.0]
    assert [record.message for record in caplog.records] == ["reading RTP failed"]
    poller.close()
    broken.close()
    whole.close()


def test_ports_rest_before_another_call_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(rtp_socket.time, "monotonic", lambda: now)
    ports = RtpPorts("127.0.0.1", 28_400, 28_405, random.Random(1))
    used = []
    for _ in range(4):
        pair = ports.open()
        used.append(pair[0].getsockname()[1])
        ports.close(pair)
        now += 1.0
    # Three pairs: the fourth call takes the one that has rested longest.
    assert len(set(used[:3])) == 3 and used[3] == used[0]
    now += rtp_socket.REST_SECONDS
    pair = ports.open()
    assert pair[0].getsockname()[1] in used[:3]
    ports.close(pair)


def test_no_more_calls_than_are_allowed_get_ports() -> None:
    ports = RtpPorts("127.0.0.1", 28_410, 28_439, random.Random(1), most=2)
    pairs = [ports.open(), ports.open()]
    with pytest.raises(NoFreePortError, match="2 calls are all there may be"):
        ports.open()
    ports.close(pairs.pop())
    pairs.append(ports.open())
    for pair in pairs:
        ports.close(pair)
