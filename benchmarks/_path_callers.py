"""Callers on telephone lines: they talk, send back the echo of what they hear, and jitter.

One process, plain sockets. A tenth of the calls is due every 2 ms and is made in one block:
what has come is decoded, its echo (a hybrid's 8 ms, at a delay and a level of its own) is
added to what the caller says, and the packets leave as late as their network makes them.
"""

import heapq
import random
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from _callers import SO_TIMESTAMPNS
from _lines import Line
from _material import FRAME, RATE_HZ
from streaming import Caller as SipPeer
from trunkline.media.g711 import DECODE, Law, encode

__all__ = ["Network", "Party", "Traffic"]

SLOTS = 10
FRAME_SECONDS = 0.020
SILENCE = b"\xff" * FRAME
_HYBRID = 64
_LONGEST = int(0.25 * RATE_HZ)
_TIME = struct.Struct("qq")
_HEADER = struct.Struct("!BBHII")


@dataclass(frozen=True, slots=True)
class Network:
    """What happens to a packet on its way to the node."""

    jitter_ms: float
    """Each is late by a random time from 0 to this."""
    loss: float


@dataclass(slots=True)
class Party:
    """One call."""

    peer: SipPeer
    line: Line
    echo_samples: int
    """How late its echo comes; 0 is none."""
    gain: float
    at: int
    """The frame of the line it says next."""
    waiting: list[bytes] = field(default_factory=list)
    """Payloads received and not played."""
    log: list[tuple[int, float, bytes]] | None = None
    """Of every packet received: its timestamp, its time of arrival, its payload."""
    due: list[float] = field(default_factory=list)
    """Of every frame said, with ``log``: when its first sample was."""
    sent: int = 0
    received: int = 0


class Traffic:
    """Drives the parties in real time; knows how late it was itself."""

    def __init__(self, parties: list[Party], network: Network, seed: int = 1) -> None:
        self.parties = parties
        self.network = network
        self.late: list[float] = []
        self._random = random.Random(seed)
        self._heap: list[tuple[float, int, socket.socket, bytes]] = []
        self._count = 0
        self._groups = [parties[slot::SLOTS] for slot in range(SLOTS)]
        self._heard = [
            np.zeros((len(group), _LONGEST + _HYBRID + FRAME), np.float32) for group in self._groups
        ]
        hybrid = np.random.default_rng(seed).standard_normal(_HYBRID) * 0.9 ** np.arange(_HYBRID)
        hybrid[0] = 1.0
        hybrid /= np.sqrt((hybrid**2).sum())
        self._spread = np.zeros((_HYBRID + FRAME - 1, FRAME), np.float32)
        for sample in range(FRAME):
            self._spread[sample : sample + _HYBRID, sample] = hybrid[::-1]
        for party in parties:
            if party.log is not None:
                party.peer.rtp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def run(self, seconds: float, say: Callable[[Party], NDArray[np.int16]] | None = None) -> None:
        """Talk for so long; ``say`` replaces what the lines say."""
        began = time.monotonic()
        for slot in range(round(seconds / FRAME_SECONDS) * SLOTS):
            due = began + slot * FRAME_SECONDS / SLOTS
            self._send_until(due)
            self.late.append(time.monotonic() - due)
            self._slot(slot % SLOTS, due, say)
        self._send_until(time.monotonic() + self.network.jitter_ms / 1000)

    def _send_until(self, due: float) -> None:
        """What the network lets through until then, each at its time."""
        while True:
            now = time.monotonic()
            while self._heap and self._heap[0][0] <= now:
                _, _, link, packet = heapq.heappop(self._heap)
                link.send(packet)
            if now >= due:
                return
            first = self._heap[0][0] if self._heap else due
            time.sleep(max(0.0, min(due, first) - time.monotonic()))

    def _slot(
        self, slot: int, due: float, say: Callable[[Party], NDArray[np.int16]] | None
    ) -> None:
        group = self._groups[slot]
        if not group:
            return
        own = np.stack([_next(party, due, say) for party in group])
        block = encode(self._echo(slot, group) + own, Law.ULAW)
        network, random_ = self.network, self._random
        for party, payload in zip(group, block, strict=True):
            peer = party.peer
            peer.sequence = peer.sequence + 1 & 0xFFFF
            peer.timestamp = peer.timestamp + FRAME & 0xFFFFFFFF
            party.sent += 1
            if random_.random() < network.loss:
                continue
            head = _HEADER.pack(0x80, 0, peer.sequence, peer.timestamp, peer.ssrc)
            self._count += 1
            late = random_.random() * network.jitter_ms / 1000
            heapq.heappush(
                self._heap, (due + late, self._count, peer.rtp, head + payload.tobytes())
            )

    def _echo(self, slot: int, group: list[Party]) -> NDArray[np.int16]:
        """Of what each has heard, (n, 160)."""
        for party in group:
            _receive(party)
        joined = b"".join([party.waiting.pop(0) if party.waiting else SILENCE for party in group])
        heard = self._heard[slot]
        heard[:, :-FRAME] = heard[:, FRAME:]
        heard[:, -FRAME:] = (
            DECODE[Law.ULAW].take(np.frombuffer(joined, np.uint8)).reshape(-1, FRAME)
        )
        size = _HYBRID + FRAME - 1
        played = np.stack(
            [
                row[len(row) - party.echo_samples - size :][:size] * np.float32(party.gain)
                for row, party in zip(heard, group, strict=True)
            ]
        )
        # Half the range is the caller's own voice's.
        return np.clip(np.rint(played @ self._spread), -16_000, 16_000).astype(np.int16)


def _next(
    party: Party, due: float, say: Callable[[Party], NDArray[np.int16]] | None
) -> NDArray[np.int16]:
    """What is said now, no louder than the echo leaves room for."""
    frame = party.line.near[party.at % len(party.line.near)] if say is None else say(party)
    party.at += 1
    if party.log is not None:
        # A frame leaves when its last sample has been said.
        party.due.append(due - FRAME_SECONDS)
    return np.clip(frame, -16_000, 16_000)


def _receive(party: Party) -> None:
    """Read what came; what nobody plays in time is dropped."""
    link = party.peer.rtp
    try:
        while True:
            if party.log is None:
                data = link.recv(2048)
            else:
                data, ancillary, _, _ = link.recvmsg(2048, 128)
                at = time.monotonic()
                for level, kind, value in ancillary:
                    if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                        seconds, nanoseconds = _TIME.unpack_from(value)
                        at += seconds + nanoseconds / 1e9 - time.time()
                party.log.append((_HEADER.unpack_from(data)[3], at, data[12:]))
            party.received += 1
            party.waiting.append(data[12:])
    except BlockingIOError:
        pass
    del party.waiting[:-4]
