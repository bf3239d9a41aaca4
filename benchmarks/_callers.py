"""Simulated callers: many media streams or RTP legs, paced in real time by one process.

Plain sockets and a schedule: caller *k* of *n* sends its frame at every 20 ms plus *k*/n of
20 ms, and what comes back carries the kernel's time of arrival, so that neither our
lateness at sending nor at reading is booked as the switchboard's: latencies are from the
moment a frame was really sent to the moment the first answering frame arrived.
"""

import random
import select
import socket
import struct
import time
from binascii import b2a_base64
from collections import deque
from typing import Protocol

from _material import FRAME, TONES, Clip, Scene, room_tone, scene, tone, ulaw
from streaming import Caller as SipPeer

__all__ = ["BargeIn", "Caller", "Manners", "Pace", "SipCaller", "Talk", "TwilioCaller", "sip_calls"]

FRAME_SECONDS = 0.020
SO_TIMESTAMPNS = 35  # Linux; not in Python's socket module
SILENCE = b"\xff" * FRAME
_PACKETS = {ulaw(tone(number))[0]: number for number in range(TONES)}
_REPLIES = {b2a_base64(frame, newline=False): number for frame, number in _PACKETS.items()}
_TIME = struct.Struct("qq")


class Manners(Protocol):
    """What a simulated caller says, and what it makes of what it hears."""

    def frame(self, now: float) -> bytes:
        """The next 20 ms to send."""

    def media(self, at: float, reply: int) -> None:
        """A frame of the agent's speech has arrived; ``reply`` is its number modulo `TONES`."""

    def cleared(self, at: float) -> None:
        """The agent has stopped in mid-reply."""


class Caller:
    """One leg; `step` is called at its turn, `receive` when something is there to read."""

    def __init__(self, number: int, manners: Manners) -> None:
        self.number = number
        self.manners = manners
        self.socket: socket.socket
        self.lost = False

    def step(self, now: float) -> None:
        """Send a frame."""
        raise NotImplementedError

    def receive(self, offset: float) -> None:
        """Read what is there. ``offset`` is monotonic time less wall time."""
        raise NotImplementedError

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def _read(self, offset: float) -> tuple[bytes, float] | None:
        """What came, and when the kernel had it; None when there is nothing."""
        try:
            data, ancillary, _, _ = self.socket.recvmsg(65_536, 128)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            self.lost = True
            return None
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = _TIME.unpack_from(value)
                return data, seconds + nanoseconds / 1e9 + offset
        return data, time.monotonic()


class TwilioCaller(Caller):
    """One media stream as Twilio sends it: JSON on a WebSocket; answers marks when played."""

    def __init__(self, number: int, port: int, manners: Manners, path: str) -> None:
        super().__init__(number, manners)
        self.sid = f"MZ{number:08d}"
        self._sequence = 1
        self._buffer = b""
        self._play_until = 0.0
        self._marks: deque[tuple[float, bytes]] = deque()
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = self.socket.recv(4096)
            if not more:
                raise SystemExit("the node closed the connection")
            answer += more
        if b" 101 " not in answer.partition(b"\r\n")[0]:
            raise SystemExit(f"no WebSocket: {answer[:60]!r}")
        self._buffer = answer.partition(b"\r\n\r\n")[2]
        self._say(b'{"event":"connected","protocol":"Call","version":"1.0.0"}')
        self._say(
            (
                f'{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"ACbench",'
                f'"streamSid":"{self.sid}","callSid":"CA{number:08d}","tracks":["inbound"],'
                f'"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},'
                f'"customParameters":{{}}}},"streamSid":"{self.sid}"}}'
            ).encode()
        )
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setblocking(False)
        self._head = b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"'
        self._tail = b'"},"streamSid":"' + self.sid.encode() + b'"}'

    def step(self, now: float) -> None:
        """Send 20 ms; answer the marks whose audio has been played."""
        while self._marks and self._marks[0][0] <= now:
            self._answer_mark(self._marks.popleft()[1])
        chunk = self._sequence
        self._sequence += 1
        payload = b2a_base64(self.manners.frame(now), newline=False)
        self._say(
            self._head % (chunk + 1)
            + b'%d","timestamp":"%d","payload":"%b' % (chunk, 20 * (chunk - 1), payload)
            + self._tail
        )

    def receive(self, offset: float) -> None:
        """Messages from the application."""
        found = self._read(offset)
        if found is None:
            return
        data, at = found
        if not data:
            self.lost = True
            return
        data = self._buffer + data
        position = 0
        while (message := _frame(data, position)) is not None:
            start, position, kind = message
            if kind == 1:
                self._message(data[start:position], at)
            elif kind == 8:
                self.lost = True
        self._buffer = data[position:]

    def close(self) -> None:
        """Say stop, then goodbye."""
        if not self.lost:
            stop = b'{"event":"stop","streamSid":"' + self.sid.encode() + b'","stop":{}}'
            try:
                self._say(stop)
                self.socket.send(b"\x88\x82\0\0\0\0\x03\xe8")
            except OSError:
                self.lost = True
        self.socket.close()

    def _message(self, text: bytes, at: float) -> None:
        if text.startswith(b'{"event":"media"'):
            self._play_until = max(at, self._play_until) + FRAME_SECONDS
            start = text.find(b'"payload":"') + 11
            self.manners.media(at, _REPLIES.get(text[start : text.find(b'"', start)], -1))
        elif text.startswith(b'{"event":"mark"'):
            name = text.partition(b'"name":"')[2].partition(b'"')[0]
            self._marks.append((self._play_until, name))
        elif text.startswith(b'{"event":"clear"'):
            self._play_until = at
            self.manners.cleared(at)
            while self._marks:
                self._answer_mark(self._marks.popleft()[1])

    def _answer_mark(self, name: bytes) -> None:
        self._say(b'{"event":"mark","mark":{"name":"' + name + b'"},"streamSid":"'
                  + self.sid.encode() + b'"}')  # fmt: skip

    def _say(self, text: bytes) -> None:
        """One text frame; masked, as it must be, with the mask 0."""
        size = len(text)
        head = b"\x81" + (bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big"))
        try:
            self.socket.send(head + b"\0\0\0\0" + text)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.lost = True


def _frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Where the next unmasked WebSocket frame's payload lies, and its opcode."""
    if len(data) < at + 2:
        return None
    size, start = data[at + 1] & 0x7F, at + 2
    if size == 126:
        if len(data) < at + 4:
            return None
        size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
    if len(data) < start + size:
        return None
    return start, start + size, data[at] & 0x0F


class SipCaller(Caller):
    """One SIP call's RTP; a frame that is not pure silence is the agent's speech."""

    def __init__(self, peer: SipPeer, manners: Manners) -> None:
        super().__init__(peer.number, manners)
        self.peer = peer
        self.socket = peer.rtp
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._spoke = False
        self._header = struct.Struct("!BBHII").pack

    def step(self, now: float) -> None:
        """Send a packet."""
        peer = self.peer
        peer.sequence = peer.sequence + 1 & 0xFFFF
        peer.timestamp = peer.timestamp + FRAME & 0xFFFFFFFF
        head = self._header(0x80, 0, peer.sequence, peer.timestamp, peer.ssrc)
        try:
            self.socket.send(head + self.manners.frame(now))
        except OSError:  # nobody is there any more: the node has ended the call
            self.lost = True

    def receive(self, offset: float) -> None:
        """Packets from the agent."""
        while (found := self._read(offset)) is not None:
            packet, at = found
            silent = packet[12:] == SILENCE
            if not silent:
                self.manners.media(at, _PACKETS.get(packet[12:], -1))
            elif self._spoke:
                self.manners.cleared(at)
            self._spoke = not silent


def sip_calls(
    port: int, manners: list[Manners], first: int = 0
) -> tuple[socket.socket, list[Caller]]:
    """Place a call for each, one after the other; ``first`` numbers them."""
    sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sip.bind(("127.0.0.1", 0))
    sip.settimeout(5)
    own, there = sip.getsockname()[1], ("127.0.0.1", port)
    callers: list[Caller] = []
    for number, one in enumerate(manners, first):
        peer = SipPeer(number)
        sip.sendto(peer.request("INVITE", 1, port, own), there)
        while True:
            text = sip.recv(4096).decode()
            if text.startswith("SIP/2.0 200") and f"-{number}\r\n" in text:
                break
        lines = text.split("\r\n")
        to = next(line for line in lines if line.lower().startswith("to:"))
        peer.to_tag = to.partition(";tag=")[2]
        media = next(line for line in lines if line.startswith("m=audio"))
        peer.rtp.connect(("127.0.0.1", int(media.split()[1])))
        sip.sendto(peer.request("ACK", 1, port, own), there)
        callers.append(SipCaller(peer, one))
    return sip, callers


class Pace:
    """Drives callers on a schedule and knows how late it was itself."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._poller = select.epoll()
        self._callers: dict[int, Caller] = {}

    def add(self, caller: Caller) -> None:
        """Read what this caller receives from now on."""
        self._callers[caller.socket.fileno()] = caller
        self._poller.register(caller.socket, select.EPOLLIN)

    def remove(self, caller: Caller) -> None:
        """Stop that; before it is closed."""
        self._callers.pop(caller.socket.fileno())
        self._poller.unregister(caller.socket)

    def close(self) -> None:
        """Read nothing any more."""
        self._poller.close()

    def run(self, callers: list[Caller], seconds: float) -> None:
        """Step every caller each 20 ms for so long."""
        gap = FRAME_SECONDS / len(callers)
        began = polled = time.monotonic()
        turn = 0
        total = round(seconds / FRAME_SECONDS) * len(callers)
        while turn < total:
            now = time.monotonic()
            due = began + turn * gap
            if now - polled > 0.0005:
                self._poll()
                polled = now = time.monotonic()
            if due > now:
                time.sleep(min(due - now, 0.0005))
                continue
            caller = callers[turn % len(callers)]
            if not caller.lost:
                caller.step(now)
                self.late.append(now - due)
            turn += 1

    def _poll(self) -> None:
        offset = time.monotonic() - time.time()
        for descriptor, _ in self._poller.poll(0):
            caller = self._callers[descriptor]
            caller.receive(offset)
            if caller.lost:
                self.remove(caller)


class Talk:
    """Says a sentence, is silent until the reply has been heard, in a fixed cycle."""

    def __init__(self, scenes: list[Scene], seed: int, silence_ms: int, cycle_ms: int) -> None:
        self._rng = random.Random(seed)
        self._scenes = scenes
        self._room = _room(seed)
        self._silence_seconds = silence_ms / 1000
        self._cycle = cycle_ms // 20
        self._at = self._rng.randrange(self._cycle)
        self._scene = self._rng.choice(scenes)
        self._index = 0
        self._asked: float | None = None
        self._cut_in = self._at != 0  # begun in mid-sentence: this one does not count
        self.latencies: list[float] = []
        self.asked = self.unanswered = self.cut_in = 0

    def reset(self) -> None:
        """Count from here; the turn that is going on is left out."""
        self.latencies.clear()
        self.asked = self.unanswered = self.cut_in = 0
        self._asked, self._cut_in = None, True

    def frame(self, now: float) -> bytes:
        """The sentence, or room tone."""
        if self._at >= self._cycle:
            self._begin_cycle()
        at, scene = self._at, self._scene
        self._at += 1
        if at == scene.last and not self._cut_in:
            self._asked = now
            self.asked += 1
        if at < len(scene.frames):
            return scene.frames[at]
        self._index = (self._index + 1) % len(self._room)
        return self._room[self._index]

    def media(self, at: float, reply: int) -> None:
        """The reply, or a reply in mid-sentence."""
        if self._asked is not None:
            self.latencies.append(at - self._asked - self._silence_seconds)
            self._asked = None
        elif self._at <= self._scene.last and not self._cut_in:
            self._cut_in = True
            self.cut_in += 1

    def cleared(self, at: float) -> None:
        """Nothing is interrupted here."""

    def _begin_cycle(self) -> None:
        if self._asked is not None:
            self.unanswered += 1
        self._at, self._asked, self._cut_in = 0, None, False
        self._scene = self._rng.choice(self._scenes)


class BargeIn:
    """Speaks into every reply a second after it began; says how long it took to stop."""

    def __init__(self, scenes: list[Scene], seed: int, silence_ms: int, barge_in_ms: int) -> None:
        self._rng = random.Random(seed)
        self._scenes = scenes
        self._room = _room(seed)
        self._index = 0
        self._barge_in_seconds = barge_in_ms / 1000
        self._silence_seconds = silence_ms / 1000
        self._scene: Scene | None = None
        self._at = 0
        self._due = time.monotonic() + self._rng.random() * 3
        self._reply_awaited = False
        self._spoke: float | None = None
        self._replying = self._cut_in = False
        self._reply = -1
        self.latencies: list[float] = []
        self.interrupted = self.missed = self.stale = self.unanswered = self.cut_in = 0

    def reset(self) -> None:
        """Count from here."""
        self.latencies.clear()
        self.interrupted = self.missed = self.stale = self.unanswered = self.cut_in = 0
        self._spoke = None

    def frame(self, now: float) -> bytes:
        """The interruption, or room tone."""
        scene = self._scene
        if scene is None and now >= self._due:
            if self._reply_awaited and not self._replying:
                self.unanswered += 1
            scene = self._scene = self._rng.choice(self._scenes)
            self._at, self._reply_awaited, self._cut_in = 0, False, False
        if scene is None:
            self._index = (self._index + 1) % len(self._room)
            return self._room[self._index]
        at = self._at
        self._at += 1
        if at == scene.first and self._replying:
            self._spoke = now
            self.interrupted += 1
        if self._at == len(scene.frames):
            self._end(now)
        return scene.frames[at]

    def media(self, at: float, reply: int) -> None:
        """The reply that is awaited, or one that was cleared, or one in mid-sentence."""
        if self._replying:
            self._reply = reply
        elif reply == self._reply or reply < 0:
            self.stale += 1
        elif self._scene is not None:
            if not self._cut_in:
                self._cut_in = True
                self.cut_in += 1
        else:
            self._replying, self._reply_awaited, self._reply = True, False, reply
            self._due = at + 1.0 + self._rng.random() * 0.2

    def cleared(self, at: float) -> None:
        """The reply has stopped."""
        self._replying = False
        if self._spoke is not None:
            self.latencies.append(at - self._spoke - self._barge_in_seconds)
            self._spoke = None

    def _end(self, now: float) -> None:
        """The sentence has been said; the reply to it is awaited."""
        self._scene = None
        if self._cut_in:  # a reply to half of the sentence is going on
            self._replying = True
        if self._spoke is not None:
            self.missed += 1
            self._spoke = None
        self._reply_awaited = True
        self._due = now + 3.0


def scenes(clips: list[Clip], shifts: int = 8) -> list[Scene]:
    """Every clip at several places within a frame, so that no alignment is favoured."""
    return [
        scene(clip, FRAME * step // shifts, seed=1000 * index + step)
        for index, clip in enumerate(clips)
        for step in range(shifts)
    ]


_ROOMS: list[list[bytes]] = []


def _room(seed: int) -> list[bytes]:
    """Two seconds of room tone; eight different ones for all callers."""
    if not _ROOMS:
        _ROOMS.extend(ulaw(room_tone(2 * 8000, one)) for one in range(8))
    return _ROOMS[seed % len(_ROOMS)]
