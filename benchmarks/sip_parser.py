"""How many INVITEs a second are read, and whether any datagram takes long or is too much.

First the speed: a carrier's INVITE with 20 header fields and a session description, read
to the point where a call can be decided on (Via, From, To, CSeq, Contact, the description
with its codecs), and the answer to it written. Then mutants: messages of every kind with
bytes changed, cut, doubled and spliced, through the parser and through a whole user agent,
each timed by the CPU time of its thread. One that takes longer than a millisecond is read
nine times again, and counts with the least: the machine's own pauses are not the parser's.

    python benchmarks/sip_parser.py [--mutants 10000000] [--seconds 5] [--processes 2]
"""

import argparse
import contextlib
import gc
import multiprocessing
import random
import sys
import time
from typing import Any

from _harness import load
from _machine import describe
from trunkline.server.node import GC_THRESHOLD
from trunkline.sip import (
    NameAddress,
    ParseError,
    Request,
    Send,
    SessionDescription,
    Settings,
    UserAgent,
    parse_message,
)
from trunkline.sip.testing import ANSWER

INVITE = (
    "INVITE sip:+15555550142@203.0.113.20:5060;user=phone SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 198.51.100.30:5060;branch=z9hG4bK6f1a0c77e3a84b02;rport\r\n"
    "Via: SIP/2.0/UDP 10.20.30.40:5060;received=198.51.100.77;branch=z9hG4bK0b9d1e\r\n"
    "Record-Route: <sip:198.51.100.30;lr;ftag=gK0c1e2d3a;did=52b.9f31>\r\n"
    "Max-Forwards: 67\r\n"
    'From: "Harper Quinn" <sip:+15555550199@198.51.100.30;user=phone>;tag=gK0c1e2d3a\r\n'
    "To: <sip:+15555550142@203.0.113.20;user=phone>\r\n"
    "Call-ID: 1073742098_40151926@198.51.100.30\r\n"
    "CSeq: 314159 INVITE\r\n"
    "Contact: <sip:+15555550199@198.51.100.30:5060;transport=udp>\r\n"
    "Allow: INVITE, ACK, CANCEL, BYE, REGISTER, REFER, INFO, SUBSCRIBE, NOTIFY, PRACK, UPDATE\r\n"
    "Supported: timer, 100rel, replaces, path, norefersub\r\n"
    "Session-Expires: 1800\r\nMin-SE: 90\r\n"
    "Accept: application/sdp, application/isup, application/dtmf, application/dtmf-relay\r\n"
    'P-Asserted-Identity: "Harper Quinn" <sip:+15555550199@198.51.100.30:5060>\r\n'
    "Privacy: none\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
    "Identity: " + "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0In0" * 8
    + ";info=<https://certificates.example/p.pem>;alg=ES256;ppt=\"shaken\"\r\n"
    "User-Agent: Session Border 7.2\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n"
)  # fmt: skip
SDP = (
    "v=0\r\no=border 20518 0 IN IP4 198.51.100.31\r\ns=-\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\n"
    "m=audio 16444 RTP/AVP 0 8 18 9 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:9 G722/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=maxptime:40\r\na=ptime:20\r\n"
    "a=sendrecv\r\n"
)
WHOLE = INVITE.format(len(SDP)).encode() + SDP.encode()
LIMIT_SECONDS = 0.001
SOURCE = ("198.51.100.30", 5060)


def read(data: bytes) -> Request:
    """As much as a call needs."""
    request = parse_message(data)
    assert isinstance(request, Request)
    _ = request.via.branch, request.from_.parsed_uri.number, request.to.parsed_uri.number
    _ = request.cseq.number, request.contact, request.parsed_uri, request.call_id
    description = SessionDescription.parse(request.body)
    for line in description.media:
        _ = line.codecs
    return request


def speed(seconds: float) -> dict[str, float]:
    """Messages a CPU-second, each way of using them."""

    def count(work: Any) -> float:
        began, rounds = time.process_time(), 0
        while time.process_time() - began < seconds:
            for _ in range(200):
                work()
            rounds += 200
        return rounds / (time.process_time() - began)

    def answered() -> bytes:
        request = read(WHOLE)
        response = request.response(
            200, to_tag="1", headers=[("Contact", "<sip:203.0.113.20>")], body=ANSWER
        )
        return bytes(response)

    return {
        "start line and header fields split": count(lambda: parse_message(WHOLE)),
        "read, with session description": count(lambda: read(WHOLE)),
        "read and answered with a 200": count(answered),
    }


class Mutants:
    """Endless wrong messages, the same for the same seed."""

    PIECES = (b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b",", b";", b":", b'"', b"<", b">", b"@",
              b"=", b"%", b"\\", b"\xff", b"\xc3", b"SIP/2.0", b"sip:", b"tag=", b"branch=",
              b"99999999999999999999", b"-1", b"\r\n ", b"()" * 40, b'"' * 60, b"\\" * 60,
              b"<" * 50, b";" * 200, b"," * 200, b"a=rtpmap:", b"m=audio ", b"[::1]",
              b"Via: ", b"Content-Length: ", b"%" * 50, b" " * 200, b"\t\t \t" * 30)  # fmt: skip

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        options = WHOLE.replace(b"INVITE", b"OPTIONS")
        ok = b"SIP/2.0 200 OK\r\n" + WHOLE.partition(b"\r\n")[2]
        auth = WHOLE.replace(
            b"Privacy: none",
            b'Authorization: Digest username="a", realm="b", nonce="c", uri="sip:x", '
            b'response="0000000000000000", algorithm=SHA-256, qop=auth, nc=00000001',
        )
        refer = WHOLE.replace(b"INVITE", b"REFER").replace(
            b"Privacy: none", b"Refer-To: <sip:b@h?Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2>"
        )
        self.seeds = [WHOLE, WHOLE, options, ok, auth, refer]

    def next(self) -> bytes:
        """One more."""
        rng = self.rng
        data = bytearray(rng.choice(self.seeds))
        for _ in range(rng.choice((1, 1, 2, 3, 8))):
            at = rng.randrange(len(data) + 1)
            kind = rng.randrange(6)
            if kind == 0 and at < len(data):
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at : at + rng.choice((1, 2, 8, 64, 400))]
            elif kind == 2:
                data[at:at] = rng.choice(self.PIECES)
            elif kind == 3:
                data[at:at] = data[at : at + rng.choice((4, 40, 400))] * rng.choice((1, 2, 10))
            elif kind == 4:
                other = rng.choice(self.seeds)
                cut = rng.randrange(len(other))
                data[at:] = other[cut:]
            else:
                data[at : at + 4] = rng.choice(self.PIECES)
            if not data:
                data = bytearray(b"\r\n")
        return bytes(data[:65_507])


def through_parser(data: bytes) -> None:
    """What reading may raise, and nothing else."""
    with contextlib.suppress(ParseError):
        message = parse_message(data)
        for name in ("contact", "route", "record-route", "refer-to", "p-asserted-identity"):
            for value in message.values(name):
                with contextlib.suppress(ParseError):
                    _ = NameAddress.parse(value).parsed_uri
        for line in SessionDescription.parse(message.body).media:
            _ = line.codecs


def mutate(job: tuple[int, int, int]) -> dict[str, float]:
    """Read so many mutants; every ``agents``-th goes through a whole user agent."""
    seed, count, agents = job
    mutants, rng = Mutants(seed), random.Random(seed)
    agent, now = UserAgent(Settings("203.0.113.20"), rng), 0.0
    clock = time.thread_time
    slow = 0
    longest = 0.0
    for number in range(count):
        data = mutants.next()
        whole = agents and number % agents == 0
        before = clock()
        if whole:
            now += 0.01
            agent.receive(data, SOURCE, now)
        else:
            through_parser(data)
        took = clock() - before
        if took > LIMIT_SECONDS and not whole:
            again = []
            for _ in range(9):
                before = clock()
                through_parser(data)
                again.append(clock() - before)
            took = min(again)
        if not whole:
            longest = max(longest, took)
            slow += took > LIMIT_SECONDS
        else:
            agent.tick(now)
            for output in agent.drain():
                if not isinstance(output, Send) and hasattr(output, "offer"):
                    agent.end(output.session, now)
            agent.outputs.clear()
    return {"count": count, "slow": slow, "longest": longest}


def main() -> None:
    """Both parts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutants", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each speed")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--agents", type=int, default=20, help="every so many through an agent")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)  # as in a node
    print(describe())
    print(f"\nan INVITE of {len(WHOLE)} bytes, 20 header fields, 5 codecs; one core")
    for name, figure in speed(options.seconds).items():
        print(f"  {name}: {figure:,.0f} a second, {1e6 / figure:.1f} µs each")
    piece = 20_000
    jobs = [
        (options.seed + number, min(piece, options.mutants - number * piece), options.agents)
        for number in range(-(-options.mutants // piece))
    ]
    done, slow, longest, began = 0, 0, 0.0, time.monotonic()
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for part in pool.imap_unordered(mutate, jobs):
            done += int(part["count"])
            slow += int(part["slow"])
            longest = max(longest, part["longest"])
            if sys.stderr.isatty():
                print(f"\r  {done:,} mutants", end="", file=sys.stderr, flush=True)
    print(f"\n{done:,} mutants in {time.monotonic() - began:.0f} s: no exception, {slow} over "
          f"{1000 * LIMIT_SECONDS:.0f} ms, the longest {1000 * longest:.2f} ms of CPU time "
          f"(every {options.agents}th through a whole user agent)")  # fmt: skip
    print(load())


if __name__ == "__main__":
    main()
