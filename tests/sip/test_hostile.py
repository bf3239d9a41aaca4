"""Hostile input: nothing a peer sends may raise, stall or stay."""

import random

import pytest

from trunkline.sip import (
    Accepted,
    Admission,
    Challenger,
    Confirmed,
    Credentials,
    Invitation,
    Invited,
    ReInvited,
    Send,
    Settings,
    UserAgent,
)
from trunkline.sip.digest import Account
from trunkline.sip.testing import ANSWER, HOLD, OFFER

SOURCE = ("203.0.113.5", 5060)

TOKENS = [
    b"\r\n", b"\n", b";", b",", b'"', b"<", b">", b":", b"=", b" ", b"\t", b"%", b"%zz", b"@", b"[",
    b"]", b"\x00", b"\xff", b"\\", b"SIP/2.0", b"z9hG4bK", b"4294967296", b"-1", b"9" * 5000,
    b"a" * 300, b";" * 200, b"," * 200, b"\r\n " * 20, b"\r\nContent-Length: 5", b"\xc2\xb2",
    b"tel:1", b"\r\nm=audio 0 RTP/AVP 0", b"0.0.0.0", b"*", b"sip:", b"INVITE", b"ACK", b"BYE",
    b"CANCEL", b"multipart/mixed;boundary=x", b"\r\nRequire: 100rel", b"\r\nContact: *", b";tag=",
    b"\r\nAuthorization: Digest username=x", b"\r\nRecord-Route: <sip:h;lr>", b"\xed\xa0\x80",
]  # fmt: skip


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The same datagram with one to eight accidents."""
    text = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((1, 2, 5, 30)))
        match rng.randrange(7):
            case 0:
                text[start:start] = rng.choice(TOKENS)
            case 1:
                del text[start:end]
            case 2 if start < len(text):
                text[start] = rng.randrange(256)
            case 3:
                text[start:start] = text[start:end] * rng.choice((2, 50))
            case 4:
                del text[start:]
            case 5:
                lines = bytes(text).split(b"\r\n")
                one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
                lines[one], lines[other] = lines[other], lines[one]
                text = bytearray(b"\r\n".join(lines))
            case _:
                text[start:end] = rng.choice(TOKENS)
    return bytes(text)


class Victim:
    """A user agent in the middle of calls with a sane one, shot at in between."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        guard = Challenger("r", {"u": Account("p")}, b"0123456789abcdef")
        self.agent = UserAgent(Settings("10.0.0.2"), self.rng)
        self.other = UserAgent(
            Settings(SOURCE[0]),
            self.rng,
            lambda *_: Admission(challenger=guard if self.rng.random() < 0.3 else None),
        )
        self.seen: list[bytes] = []

    def act(self, agent: UserAgent, event: object) -> None:
        chance, now = self.rng.random(), self.now
        if isinstance(event, Invited):
            agent.ring(event.session, now)
            if chance < 0.6:
                agent.accept(event.session, ANSWER, now)
            elif chance < 0.8:
                agent.reject(event.session, 486, now)
        elif isinstance(event, ReInvited) and chance < 0.8:
            agent.answer_reinvite(event.session, ANSWER, now)
        elif isinstance(event, Accepted) and event.offer:
            agent.acknowledge(event.session, ANSWER, now)
        elif isinstance(event, Confirmed) and chance < 0.6:
            agent.reinvite(event.session, HOLD, now)

    def step(self) -> None:
        if self.rng.random() < 0.05:
            caller, host = self.rng.choice(((self.agent, SOURCE[0]), (self.other, "10.0.0.2")))
            sdp = OFFER if self.rng.random() < 0.8 else None
            caller.invite(
                Invitation(f"sip:x@{host}", "sip:y@h", sdp, credentials=[Credentials("u", "p")]),
                self.now,
            )
        for agent, peer, source in (
            (self.agent, self.other, ("10.0.0.2", 5060)),
            (self.other, self.agent, SOURCE),
        ):
            for output in agent.drain():
                if not isinstance(output, Send):
                    self.act(agent, output)
                    continue
                self.seen = [*self.seen[-80:], output.data]
                if self.rng.random() < 0.8:
                    peer.receive(output.data, source, self.now)
        if self.seen:
            self.agent.receive(mutated(self.rng.choice(self.seen), self.rng), SOURCE, self.now)
        if self.agent.sessions and self.rng.random() < 0.05:
            self.agent.end(self.rng.choice(list(self.agent.sessions.values())), self.now)
        self.now += self.rng.random() * 0.1
        self.agent.tick(self.now)
        self.other.tick(self.now)

    def rest(self) -> None:
        for agent in (self.agent, self.other):
            for session in list(agent.sessions.values()):
                agent.end(session, self.now)
        for _ in range(1000):
            self.now += 1
            self.agent.tick(self.now)
            self.agent.drain()


@pytest.mark.parametrize("seed", range(8))
def test_three_thousand_mutated_datagrams_raise_nothing_and_leave_nothing(seed: int) -> None:
    victim = Victim(seed)
    for _ in range(3000):
        victim.step()
    victim.rest()
    assert not any(victim.agent.live.values()), victim.agent.live


HEAD = (
    "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
    "Call-ID: x\r\nCSeq: 1 {method}\r\n"
)


@pytest.mark.parametrize(
    ("start", "headers", "codes"),
    [
        # Odd, and good.
        ("OPTIONS sip:b@h SIP/2.0", "X-%s: \x00\x01\r\n", [200]),
        ("OPTIONS sip:b@h sip/2.0", "", [200]),
        ("OPTIONS sip:sip%3Auser%40x@h;x=%20 SIP/2.0", "", [200]),
        ("OPTIONS sip:sip%3Auser%40x@h;x=%20?a=%0d%0a SIP/2.0", "", [400]),
        ("OPTIONS sip:[2001:db8::9]:5070 SIP/2.0", "Date: whenever\r\n", [200]),
        ("OPTIONS sip:b@h SIP/2.0", "Accept: \r\nWarning: nonsense\r\nSubject:\r\n", [200]),
        ("OPTIONS sip:b@h SIP/2.0", "Contact: \xe9 <sip:x>;q=9;;;;\r\n", [200]),
        # Bad.
        ("OPTIONS  sip:b@h SIP/2.0", "", [400]),
        ("OPTIONS sip:b@h SIP/2.0 ", "", [400]),
        ("OPTIONS sip:b@h", "", []),
        ("OPTIONS sip:b@h HTTP/1.1", "", []),
        ("OPTIONS sip:b@h SIP/2.00", "", [505]),
        ("OPTIONS sip:b@h SIP/", "", [505]),
        ("OPTIONS sip:b@h SIP/2.0", "From: <sip:c@h>;tag=2\r\n", [400]),
        ("OPTIONS sip:b@h SIP/2.0", ": empty name\r\n", [400]),
        ("OPTIONS sip:b@h SIP/2.0", "Max-Forwards: 0x10\r\n", [400]),
        ("OPTIONS sip:b@h SIP/2.0", "Content-Length: 1e9\r\n", [400]),
        ("OPTIONS sip:b@h SIP/2.0", "Content-Length: 10\r\n", [400]),
        ("OPTIONS , SIP/2.0", "", [400]),
        ("OPTIONS sip:%@%:% SIP/2.0", "", [400]),
        ("INVITE sip:b@h SIP/2.0", "", [100]),  # RFC 2543 had no Contact
        ("INVITE sip:b@h SIP/2.0", "Contact: <sip:%00@h>,,,\r\nContact: <\r\n", [400]),
        ("INVITE sip:b@h SIP/2.0", "Contact: <sips:>\r\n", [400]),
    ],
)
def test_odd_and_bad_requests_are_told_apart(start: str, headers: str, codes: list[int]) -> None:
    agent = UserAgent(Settings("192.0.2.1"), random.Random(1))
    method = start.split()[0]
    data = f"{start}\r\n{HEAD.format(method=method)}{headers}\r\n".encode()
    agent.receive(data, SOURCE, 0.0)
    sent = [output.data for output in agent.drain() if isinstance(output, Send)]
    assert [int(answer[8:11]) for answer in sent] == codes


def test_a_response_full_of_lies_is_survived() -> None:
    agent = UserAgent(Settings("192.0.2.1"), random.Random(1))
    agent.invite(Invitation("sip:b@h", "sip:a@h", OFFER), 0.0)
    (invite,) = agent.drain()
    assert isinstance(invite, Send)
    head = b"\r\n".join(
        line
        for line in invite.data.split(b"\r\n")
        if line.startswith((b"Via", b"From", b"Call-ID", b"CSeq"))
    )
    for number, lie in enumerate(
        [b"Contact: <tel:1>", b"Record-Route: <x", b"Contact: *", b"Record-Route: <sip:h;lr>," * 90,
         b"Content-Type: application/sdp", b"Content-Type: x/y", b"WWW-Authenticate: Digest"]
    ):  # fmt: skip
        for code in (180, 183, 199):
            agent.receive(
                b"SIP/2.0 %d x\r\n%b\r\nTo: <sip:b@h>;tag=%d\r\n%b\r\n\r\nlies"
                % (code, head, number, lie), SOURCE, 0.0,
            )  # fmt: skip
    agent.receive(
        b"SIP/2.0 200 x\r\n%b\r\nTo: <sip:b@h>;tag=z\r\nRecord-Route: <x\r\n\r\n" % head,
        SOURCE,
        0.0,
    )
    assert [type(output).__name__ for output in agent.drain()][-2:] == ["Rejected", "Terminated"]
    agent.tick(1e4)
    assert not any(agent.live.values())


def test_forks_without_end_are_not_followed() -> None:
    agent = UserAgent(Settings("192.0.2.1"), random.Random(1))
    agent.invite(Invitation("sip:b@h", "sip:a@h", OFFER), 0.0)
    (invite,) = agent.drain()
    assert isinstance(invite, Send)
    head = b"\r\n".join(line for line in invite.data.split(b"\r\n")[1:]
                        if line.startswith((b"Via", b"From", b"Call-ID", b"CSeq")))  # fmt: skip
    for code in (180, 200):
        for number in range(500):
            agent.receive(
                b"SIP/2.0 %d x\r\n%b\r\nTo: <sip:b@h>;tag=%d\r\n\r\n" % (code, head, number),
                SOURCE, 0.0,
            )  # fmt: skip
    assert agent.live["client transactions"] < 40
