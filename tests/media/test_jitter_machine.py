"""A jitter buffer through everything a network, a sender and we ourselves do to it.

Whatever happened, two things hold: nothing raises or leaves its range while it happens, and
half a minute of a good network later everything is played, at a delay like any other call's.
"""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.typing import NDArray

from trunkline.media.jitter import Kind
from trunkline.media.jitter_buffer import JitterBuffer

TICK, FRAME = 0.02, 160
MOST_HELD = 60
"""Packets that a socket keeps for a process that stands still."""
SOURCES = (1, 2, 0xFFFFFFFF)
RECOVERY_SECONDS = 22.0
"""Of a good network until delay is usual again. What the worst network was like, in which every
tenth of a second had a packet late, is below the quantile (5 %) of a histogram that keeps
0.983 of itself each tenth after 17.5 s; a packet may be late by 1 s; and noise, which
nowhere repeats itself, is cut by some 8 ms each 0.12 s, from 200 ms."""
_NOISE = np.random.default_rng(3).integers(-9000, 9000, 8000).astype(np.int16)


class JitterMachine(RuleBasedStateMachine):
    """A sender, a network and a process, all of which may do what they like."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = JitterBuffer()
        self.now = 1000.0
        self.sequence = self.timestamp = 0
        self.packet_ms, self.source, self.pace = 20, 1, 1.0
        self.due = self.now
        self.network: list[tuple[float, int, int, int, NDArray[np.int16]]] = []
        self.seen = self.buffer.statistics

    # -- the world ---------------------------------------------------------------------------

    def send(self, delay: float | None, copies: int = 1) -> None:
        """The next packet leaves, and comes so much later or never."""
        size = self.packet_ms * 8
        begin = self.timestamp % (len(_NOISE) - size)
        audio = _NOISE[begin : begin + size]
        packet = (self.sequence, self.timestamp, self.source, audio)
        if delay is not None:
            self.network += [(self.due + delay + 0.003 * copy, *packet) for copy in range(copies)]
        self.sequence, self.timestamp = self.sequence + 1, self.timestamp + size
        self.due += self.packet_ms / 1000 * self.pace

    def deliver(self, until: float) -> None:
        """What has arrived by then is put."""
        self.network.sort(key=lambda packet: packet[0])
        while self.network and self.network[0][0] <= until:
            _, sequence, timestamp, source, audio = self.network.pop(0)
            # A socket is read when we run: that is when it came.
            self.buffer.put(
                audio, sequence & 0xFFFF, until, timestamp=timestamp & 0xFFFFFFFF, source=source
            )

    def live(self, seconds: float, delay: float | None = 0.0, jitter: float = 0.0) -> list[Kind]:
        """Time goes on; gives what was taken."""
        rng, kinds = np.random.default_rng(self.sequence & 0xFFFF), []
        for _ in range(round(seconds / TICK)):
            self.now += TICK
            while self.due <= self.now:
                self.send(None if delay is None else delay + jitter * rng.random())
            self.deliver(self.now)
            frame = self.buffer.take(self.now)
            assert frame.shape == (FRAME,)
            assert frame.dtype == np.int16
            assert frame.min() > -32768
            kinds.append(self.buffer.kind)
        return kinds

    # -- what happens ------------------------------------------------------------------------

    @initialize(sequence=st.integers(0, 0xFFFF), timestamp=st.integers(0, 0xFFFFFFFF))
    def begin(self, sequence: int, timestamp: int) -> None:
        self.sequence, self.timestamp = sequence, timestamp

    @rule(seconds=st.sampled_from([0.1, 0.5]), jitter=st.sampled_from([0.0, 0.01, 0.06]))
    def go_on(self, seconds: float, jitter: float) -> None:
        self.live(seconds, 0.0, jitter)

    @rule(packet_ms=st.sampled_from([10, 20, 30, 40, 60]))
    def change_packet_time(self, packet_ms: int) -> None:
        self.packet_ms = packet_ms

    @rule(pace=st.sampled_from([1 - 200e-6, 1.0, 1 + 200e-6]))
    def change_clock(self, pace: float) -> None:
        self.pace = pace

    @rule(count=st.integers(1, 12))
    def lose(self, count: int) -> None:
        for _ in range(count):
            self.send(None)

    @rule(copies=st.integers(2, 3), late=st.sampled_from([0.0, 0.03, 0.3]))
    def duplicate_or_delay(self, copies: int, late: float) -> None:
        self.send(late, copies)

    @rule(seconds=st.sampled_from([0.05, 0.3, 3.0]), says_so=st.booleans())
    def pause(self, seconds: float, says_so: bool) -> None:
        """The sender is silent; its timestamps go on, or do not."""
        self.due += seconds
        self.timestamp += round(seconds * 8000) * says_so

    @rule(seconds=st.sampled_from([0.05, 0.3, 2.0, 10.0]))
    def stand_still(self, seconds: float) -> None:
        """We do; the sender does not, and the socket keeps what it has room for."""
        self.now += seconds
        while self.due <= self.now:
            self.send(0.0)
        arrived = [packet for packet in self.network if packet[0] <= self.now]
        self.network = arrived[:MOST_HELD] + [
            packet for packet in self.network if packet[0] > self.now
        ]

    @rule(seconds=st.sampled_from([0.1, 0.5]))
    def hold_up(self, seconds: float) -> None:
        """The network does, and then gives everything at once."""
        release = self.due + seconds
        while self.due < release:
            self.send(release - self.due)

    @rule(source=st.sampled_from(SOURCES), anew=st.booleans(), at=st.integers(0, 0xFFFFFFFF))
    def change_source(self, source: int, anew: bool, at: int) -> None:
        self.source = source
        if anew:
            self.sequence, self.timestamp = at & 0xFFFF, at

    @rule(sequence=st.integers(0, 0xFFFF), timestamp=st.integers(0, 0xFFFFFFFF))
    def stray(self, sequence: int, timestamp: int) -> None:
        self.buffer.put(_NOISE[:FRAME], sequence, self.now, timestamp=timestamp, source=99)

    @rule(value=st.sampled_from([np.nan, np.inf, -np.inf, 1e30]), size=st.integers(0, 3000))
    def put_garbage(self, value: float, size: int) -> None:
        audio = np.full(size, value, np.float32)
        number, stamp = self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF
        self.buffer.put(audio, number, self.now, timestamp=stamp, source=self.source)
        self.buffer.put(_NOISE[:0], number, self.now, timestamp=stamp, source=self.source)

    @invariant()
    def counts_only_grow(self) -> None:
        before, after = self.seen, self.buffer.statistics
        for name in ("received", "late", "duplicate", "reordered", "overflow", "concealed_frames"):
            assert getattr(after, name) >= getattr(before, name) >= 0
        assert 30 <= after.target_ms <= 200
        assert 0 <= after.jitter_ms < float("inf")
        self.seen = after

    # -- and afterwards ----------------------------------------------------------------------

    def teardown(self) -> None:
        """A good network for a while: as if nothing had ever been."""
        self.pace, self.packet_ms = 1.0, 20
        self.live(max(self.due - self.now, 0.0))
        self.due = max(self.due, self.now)
        self.network = [packet for packet in self.network if packet[0] <= self.now + 1]
        self.live(RECOVERY_SECONDS)
        kinds = self.live(1.0)
        statistics = self.buffer.statistics
        assert set(kinds) <= {Kind.PLAYED, Kind.STRETCHED}
        assert statistics.delay_ms <= statistics.target_ms + 85


TestJitterMachine = JitterMachine.TestCase
TestJitterMachine.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
