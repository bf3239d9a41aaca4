"""A virtual network for user agents: delay, loss, duplicates, reordering, one clock.

For tests of applications and of this package::

    network = VirtualNetwork(random.Random(1), loss=0.1)
    alice, bob = network.peer("192.0.2.1"), network.peer("192.0.2.2")
    alice.agent.invite(Invitation("sip:bob@192.0.2.2", "sip:alice@192.0.2.1", OFFER), network.now)
    network.run(seconds=5)
    assert bob.names() == ["Invited"]
"""

import heapq
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .admission import AccessPolicy
from .core import Randomness, Settings
from .errors import ParseError
from .events import Event, RegistrationEvent, Send
from .message import Response, parse_message
from .user_agent import UserAgent

__all__ = ["ANSWER", "HOLD", "OFFER", "Peer", "VirtualNetwork", "describe"]

OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 30000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
)
ANSWER = OFFER.replace(b"30000", b"40000").replace(b"0 8 101", b"0 101")
HOLD = OFFER.replace(b"a=sendrecv", b"a=sendonly").replace(b"o=- 1 1", b"o=- 1 2")

E = TypeVar("E")
Listener = Callable[["Peer", Any], None]
Filter = Callable[[bytes, str, str], bool]


def describe(data: bytes) -> str:
    """``INVITE``, ``200 INVITE``: what a datagram is."""
    try:
        message = parse_message(data)
    except ParseError:
        return "?"
    if isinstance(message, Response):
        return f"{message.code} {message.cseq.method}"
    return message.method


class VirtualNetwork:
    """Carries datagrams between user agents in virtual time.

    ``delay_seconds`` is one way, ``jitter_seconds`` the most that is added to it (so
    that datagrams overtake each other), ``loss`` and ``duplicates`` are shares of all.
    """

    def __init__(
        self,
        rng: Randomness,
        *,
        delay_seconds: float = 0.01,
        jitter_seconds: float = 0.0,
        loss: float = 0.0,
        duplicates: float = 0.0,
    ) -> None:
        self.rng = rng
        self.delay_seconds, self.jitter_seconds = delay_seconds, jitter_seconds
        self.loss, self.duplicates = loss, duplicates
        self.now = 1000.0
        """The one clock, in seconds."""
        self.peers: dict[str, Peer] = {}
        self.log: list[tuple[float, str, str, str]] = []
        """Every datagram sent: when, from whom, to whom, what."""
        self.drop: Filter = lambda data, sender, receiver: False
        """Says which datagrams get lost on purpose."""
        self._queue: list[tuple[float, int, str, str, bytes]] = []
        self._serial = 0

    def peer(
        self,
        host: str,
        *,
        on_event: Listener | None = None,
        access: AccessPolicy | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> "Peer":
        """A new user agent on the network; ``settings`` are fields of `Settings`."""
        peer = Peer(self, UserAgent(Settings(host, **(settings or {})), self.rng, access), on_event)
        self.peers[host] = peer
        return peer

    def send(self, data: bytes, sender: str, receiver: str) -> None:
        """Put a datagram on its way, or lose it."""
        self.log.append((self.now, sender, receiver, describe(data)))
        if self.drop(data, sender, receiver) or self.rng.random() < self.loss:
            return
        for _ in range(2 if self.rng.random() < self.duplicates else 1):
            due = self.now + self.delay_seconds + self.rng.random() * self.jitter_seconds
            self._serial += 1
            heapq.heappush(self._queue, (due, self._serial, sender, receiver, data))

    def said(self, sender: str) -> list[str]:
        """What a peer sent, in order."""
        return [what for _, who, _, what in self.log if who == sender]

    def run(self, seconds: float = 1.0) -> None:
        """Let that much time pass."""
        end = self.now + seconds
        while True:
            for peer in list(self.peers.values()):
                peer.flush()
            due = self._next_due()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            while self._queue and self._queue[0][0] <= self.now:
                _, _, sender, receiver, data = heapq.heappop(self._queue)
                if receiver in self.peers:
                    self.peers[receiver].agent.receive(data, (sender, 5060), self.now)
                    self.peers[receiver].flush()
            for peer in self.peers.values():
                peer.agent.tick(self.now)
        self.now = end

    def _next_due(self) -> float | None:
        times = [entry[0] for entry in self._queue[:1]]
        for peer in self.peers.values():
            timeout = peer.agent.next_timeout()
            if timeout is not None:
                times.append(timeout)
        return min(times, default=None)


class Peer:
    """A user agent on the network, with what it reported and how it reacts."""

    def __init__(
        self, network: VirtualNetwork, agent: UserAgent, on_event: Listener | None
    ) -> None:
        self.network = network
        self.agent = agent
        self.on_event = on_event
        """Called with each event as it comes."""
        self.events: list[Event | RegistrationEvent] = []
        """Everything reported so far."""

    @property
    def host(self) -> str:
        """Its address on the network."""
        return self.agent.settings.host

    def flush(self) -> None:
        """Send and note what the agent has to say."""
        while self.agent.outputs:
            output = self.agent.outputs.popleft()
            if isinstance(output, Send):
                self.network.send(output.data, self.host, output.destination[0])
            else:
                self.events.append(output)
                if self.on_event is not None:
                    self.on_event(self, output)

    def vanish(self) -> None:
        """Its process dies: nothing is answered any more."""
        del self.network.peers[self.host]

    def names(self) -> list[str]:
        """The events' names, in order."""
        return [type(event).__name__ for event in self.events]

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]
