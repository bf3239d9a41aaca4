"""Streaming density: G.711 calls to and from WebSockets, in one process.

Three processes. The *switchboard* (measured) takes SIP calls and streams each to
a bot over a WebSocket of its own, binary 16-bit or µ-law, both ways. The *bots*
echo what they get. The *callers* place the calls over SIP and send a packet of
G.711 every 20 ms on each, on sockets of their own; they count what comes back.

On in the switchboard: SIP, jitter buffer, concealment, RTCP, statistics, detail
records, and, but for ``--without-quality``, the quality monitor and SIP ladders. Off:
recording, voice activity, and without ``--chain`` the audio chain; with it every call
has echo cancellation and noise suppression, and the callers talk (the lines of `path.py`)
instead of sending noise.

    python benchmarks/streaming.py --calls 300 --seconds 60
    python benchmarks/streaming.py --search --seconds 60
    python benchmarks/streaming.py --bare

With ``--bare`` the switchboard is measured beside the least that could be in its place:
a socket and a WebSocket for each call, and what comes from one handed to the other by
two callbacks. No SIP, no jitter buffer, no RTCP, no clock: what such a machine can do.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _harness import load, realtime
from _machine import cpu_seconds, describe, resident_bytes, system_seconds

FRAME_SECONDS = 0.020


# -- the bots ---------------------------------------------------------------------------


def run_bots(ordinary: bool) -> None:
    """Echo every binary message, on a free port that is printed."""
    if not ordinary:
        realtime(os.SCHED_RR, 10, core=1)
    import uvloop
    from picows import WSListener, WSMsgType, ws_create_server

    class Bot(WSListener):
        def on_ws_connected(self, transport):
            self.transport = transport

        def on_ws_frame(self, transport, frame):
            if frame.msg_type == WSMsgType.BINARY:
                transport.send(WSMsgType.BINARY, frame.get_payload_as_bytes())

    async def serve():
        server = await ws_create_server(lambda request: Bot(), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Event().wait()

    uvloop.run(serve())


# -- the switchboard -----------------------------------------------------------------------


def run_switchboard(
    bot_port: int, dialect: str, calls: int, ordinary: bool, chain: bool, quality: bool = True
) -> None:
    """A node whose only app streams; obeys words on standard input."""
    if not ordinary:
        realtime(os.SCHED_RR, 10, core=0)
    import uvloop

    from trunkline.calls.apps import stream
    from trunkline.calls.switchboard import Switchboard
    from trunkline.server.node import Node
    from trunkline.settings import Audio, Media, Quality, Records, Settings, Sip, Streams

    echo, noise = ("kalman", "logmmse") if chain else ("off", "off")
    board = Switchboard()
    board.answer("*")(stream(f"ws://127.0.0.1:{bot_port}/", dialect=dialect))
    folder = Path(tempfile.mkdtemp(prefix="trunkline-bench-"))
    settings = Settings(
        sip=Sip(port=0),
        media=Media(first_port=20_000, last_port=20_000 + 2 * calls + 200),
        streams=Streams(enabled=False),
        records=Records(path=folder / "calls.db"),
        audio=Audio(relay_echo=echo, relay_noise=noise),
        quality=Quality(enabled=quality, ladder=quality),
    )
    node = Node(settings, board)

    async def obey():
        await node.ready.wait()
        print(node.ports.sip, flush=True)
        loop = asyncio.get_running_loop()
        while True:
            word = (await loop.run_in_executor(None, sys.stdin.readline)).strip()
            if word == "measure":
                await node.media.run(node.media.clock.reset)
                began, cpu, system = time.monotonic(), cpu_seconds(), system_seconds()
            elif word == "report":
                lateness = await node.media.run(node.media.clock.lateness)
                print(
                    json.dumps(
                        {
                            "seconds": time.monotonic() - began,
                            "cpu_seconds": cpu_seconds() - cpu,
                            "system_seconds": system_seconds() - system,
                            "calls": len(board.calls),
                            "ticks": lateness.ticks,
                            "missed": lateness.missed,
                            "p50_ms": lateness.p50_ms,
                            "p99_ms": lateness.p99_ms,
                            "max_ms": lateness.max_ms,
                            "resident_bytes": resident_bytes(),
                            "faults": node.media.engine.faults,
                        }
                    ),
                    flush=True,
                )
            else:
                node.stop()
                return

    async def main():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(obey())
            await node.run()

    uvloop.run(main())


# -- the least that could be in its place ---------------------------------------------------


def run_bare(bot_port: int, calls: int, ordinary: bool) -> None:
    """As many sockets as calls, on printed ports, joined to WebSockets; obeys words."""
    if not ordinary:
        realtime(os.SCHED_RR, 10, core=0)
    import numpy as np
    import uvloop
    from picows import WSListener, WSMsgType, ws_connect

    from trunkline.media.g711 import DECODE, ENCODE, Law

    decode, encode = DECODE[Law.ULAW], ENCODE[Law.ULAW]
    header = struct.Struct("!BBHII").pack

    class Bridge(asyncio.DatagramProtocol, WSListener):
        def __init__(self):
            self.far = None
            self.sequence = self.timestamp = 0

        def connection_made(self, transport):
            self.udp = transport

        def on_ws_connected(self, transport):
            self.bot = transport

        def datagram_received(self, data, far):
            self.far = far
            pcm = decode.take(np.frombuffer(data, np.uint8, offset=12))
            self.bot.send(WSMsgType.BINARY, pcm.tobytes())

        def on_ws_frame(self, transport, frame):
            pcm = np.frombuffer(frame.get_payload_as_bytes(), np.uint16)
            self.sequence = self.sequence + 1 & 0xFFFF
            self.timestamp = self.timestamp + 160 & 0xFFFFFFFF
            packet = header(0x80, 0, self.sequence, self.timestamp, 1) + encode.take(pcm).tobytes()
            self.udp.sendto(packet, self.far)

    async def main():
        loop = asyncio.get_running_loop()
        ports = []
        for _ in range(calls):
            _, bridge = await ws_connect(lambda *_: Bridge(), f"ws://127.0.0.1:{bot_port}/")
            here = ("127.0.0.1", 0)
            udp, _ = await loop.create_datagram_endpoint(lambda one=bridge: one, local_addr=here)
            ports.append(udp.get_extra_info("sockname")[1])
        print(json.dumps(ports), flush=True)
        while True:
            word = (await loop.run_in_executor(None, sys.stdin.readline)).strip()
            if word == "measure":
                began, cpu, system = time.monotonic(), cpu_seconds(), system_seconds()
            elif word == "report":
                found = {
                    "seconds": time.monotonic() - began,
                    "cpu_seconds": cpu_seconds() - cpu,
                    "system_seconds": system_seconds() - system,
                    "calls": calls,
                }
                print(json.dumps(found), flush=True)
            else:
                return

    uvloop.run(main())


# -- the callers -----------------------------------------------------------------------------


class Caller:
    """One SIP call with its RTP, as small as it can be."""

    def __init__(self, number: int) -> None:
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind(("127.0.0.1", 0))
        self.rtp.setblocking(False)
        self.port = self.rtp.getsockname()[1]
        self.number = number
        self.ssrc = random.getrandbits(32)
        self.sequence = random.getrandbits(16)
        self.timestamp = random.getrandbits(32)
        self.received = 0
        self.sent = 0
        self.frames = [bytes(random.choices(range(256), k=160))]
        """What it sends, over and over."""
        self.to_tag = ""

    def request(self, method: str, cseq: int, sip_port: int, own_port: int) -> bytes:
        """One request of this caller's dialog."""
        body = ""
        if method == "INVITE":
            body = (
                f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                f"m=audio {self.port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
            )
        to_tag = f";tag={self.to_tag}" if self.to_tag else ""
        branch = f"z9hG4bK{self.number}-{cseq}-{method}"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} sip:bot@127.0.0.1:{sip_port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{own_port};branch={branch};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:bench@127.0.0.1>;tag=f{self.number}\r\n"
            f"To: <sip:bot@127.0.0.1>{to_tag}\r\nCall-ID: bench-{os.getpid()}-{self.number}\r\n"
            f"CSeq: {cseq} {method}\r\nContact: <sip:bench@127.0.0.1:{own_port}>\r\n"
            f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


def place_calls(calls: int, sip_port: int) -> tuple[socket.socket, list[Caller]]:
    """Set up every call, one after the other."""
    sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sip.bind(("127.0.0.1", 0))
    sip.settimeout(5)
    own = sip.getsockname()[1]
    callers = []
    for number in range(calls):
        caller = Caller(number)
        sip.sendto(caller.request("INVITE", 1, sip_port, own), ("127.0.0.1", sip_port))
        while True:
            text = sip.recv(4096).decode()
            if text.startswith("SIP/2.0 200") and f"-{number}\r\n" in text:
                break
        lines = text.split("\r\n")
        to = next(line for line in lines if line.lower().startswith("to:"))
        caller.to_tag = to.partition(";tag=")[2]
        media = next(line for line in lines if line.startswith("m=audio"))
        caller.rtp.connect(("127.0.0.1", int(media.split()[1])))
        sip.sendto(caller.request("ACK", 1, sip_port, own), ("127.0.0.1", sip_port))
        callers.append(caller)
    return sip, callers


def talk(callers: list[Caller]) -> None:
    """Have them send speech, each from another place on."""
    from _lines import lines

    material = [line.coded for line in lines()]
    for caller in callers:
        coded, start = material[caller.number % len(material)], 37 * caller.number
        caller.frames = coded[start % len(coded) :] + coded[: start % len(coded)]


def stream_audio(callers: list[Caller], seconds: float) -> None:
    """A packet every 20 ms on each call, spread over the 20 ms; count what comes back."""
    header = struct.Struct("!BBHII").pack
    slots = 10
    began = time.monotonic()
    tick = 0
    groups = [callers[slot::slots] for slot in range(slots)]
    while True:
        at = began + tick * FRAME_SECONDS / slots
        wait = at - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        if time.monotonic() - began > seconds:
            return
        for caller in groups[tick % slots]:
            caller.sequence = caller.sequence + 1 & 0xFFFF
            caller.timestamp = caller.timestamp + 160 & 0xFFFFFFFF
            payload = caller.frames[caller.sent % len(caller.frames)]
            caller.rtp.send(
                header(0x80, 0, caller.sequence, caller.timestamp, caller.ssrc) + payload
            )
            caller.sent += 1
            try:
                while True:
                    caller.rtp.recv(2048)
                    caller.received += 1
            except BlockingIOError:
                pass
        tick += 1


# -- one run -----------------------------------------------------------------------------------


def child(*words: object, pipe: bool = False) -> subprocess.Popen:
    """This file in another role."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, words)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE if pipe else None,
        text=True,
        env=environment,
    )


def run(calls: int, seconds: float, options: argparse.Namespace, warm: float = 5.0) -> dict:
    """Measure one number of calls."""
    ordinary = options.ordinary
    bots = child("bots", int(ordinary))
    switchboard = None
    try:
        bot_port = int(bots.stdout.readline())
        switchboard = child(
            *("switchboard", bot_port, options.dialect, calls, int(ordinary), int(options.chain)),
            int(not options.without_quality),
            pipe=True,
        )
        sip_port = int(switchboard.stdout.readline())
        _, callers = place_calls(calls, sip_port)
        if options.chain:
            talk(callers)
        stream_audio(callers, warm)
        sent, received = sum(c.sent for c in callers), sum(c.received for c in callers)
        say(switchboard, "measure")
        stream_audio(callers, seconds)
        say(switchboard, "report")
        found = json.loads(switchboard.stdout.readline())
        found["sent"] = sum(c.sent for c in callers) - sent
        found["received"] = sum(c.received for c in callers) - received
        found["cpu_ms_per_call_second"] = (
            1000 * found["cpu_seconds"] / (found["seconds"] * max(1, found["calls"]))
        )
        say(switchboard, "stop")
        return found
    finally:
        for process in (switchboard, bots):
            if process is not None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


def run_beside(calls: int, seconds: float, ordinary: bool, warm: float = 2.0) -> float:
    """CPU milliseconds a call-second of the bare sockets."""
    bots = child("bots", int(ordinary))
    bare = None
    try:
        bot_port = int(bots.stdout.readline())
        bare = child("bare", bot_port, calls, int(ordinary), pipe=True)
        callers = [Caller(number) for number in range(calls)]
        for caller, port in zip(callers, json.loads(bare.stdout.readline()), strict=True):
            caller.rtp.connect(("127.0.0.1", port))
        stream_audio(callers, warm)
        say(bare, "measure")
        stream_audio(callers, seconds)
        say(bare, "report")
        found = json.loads(bare.stdout.readline())
        say(bare, "stop")
        received = sum(caller.received for caller in callers)
        assert received > 0.9 * sum(caller.sent for caller in callers), "it lost calls"
        return 1000 * found["cpu_seconds"] / (found["seconds"] * calls)
    finally:
        for process in (bare, bots):
            if process is not None:
                process.send_signal(signal.SIGTERM)
                process.wait(10)


def say(process: subprocess.Popen, word: str) -> None:
    process.stdin.write(word + "\n")
    process.stdin.flush()


def show(calls: int, found: dict) -> None:
    returned = 100 * found["received"] / max(1, found["sent"])
    print(
        f"{calls:5d} calls  {found['cpu_ms_per_call_second']:.3f} ms CPU a call-second "
        f"({1000 / found['cpu_ms_per_call_second']:.0f} calls a core, "
        f"{100 * found['system_seconds'] / found['cpu_seconds']:.0f} % in the kernel)  "
        f"late p50 {found['p50_ms']:.1f} p99 {found['p99_ms']:.1f} max {found['max_ms']:.1f} ms  "
        f"missed {found['missed']}  returned {returned:.2f} %  "
        f"{found['resident_bytes'] / 1e6:.0f} MB\n{load()}",
        flush=True,
    )


def compare(options: argparse.Namespace, rounds: int = 3) -> None:
    """The switchboard and bare sockets, one after the other, a few times."""
    ratios, calls, seconds = [], options.calls, options.seconds / rounds
    for _ in range(rounds):
        bare = run_beside(calls, seconds, options.ordinary)
        found = run(calls, seconds, options)
        show(calls, found)
        ratios.append(found["cpu_ms_per_call_second"] / bare)
        print(f"{calls:5d} calls  {bare:.3f} ms by bare sockets; {ratios[-1]:.2f} times that")
    print(f"median {sorted(ratios)[rounds // 2]:.2f} times what bare sockets take")


def held(found: dict, calls: int) -> bool:
    """No missed deadline, punctual, and every call still there."""
    return found["missed"] == 0 and found["p99_ms"] <= 10 and found["calls"] == calls


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "bots":
        return run_bots(sys.argv[2] == "1")
    if len(sys.argv) > 1 and sys.argv[1] == "bare":
        return run_bare(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1")
    if len(sys.argv) > 1 and sys.argv[1] == "switchboard":
        port, dialect, calls, *flags = sys.argv[2:8]
        ordinary, chain, quality = (flag == "1" for flag in flags)
        return run_switchboard(int(port), dialect, int(calls), ordinary, chain, quality)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--dialect", choices=("l16", "ulaw"), default="l16")
    parser.add_argument("--search", action="store_true", help="find the most calls that hold")
    parser.add_argument("--chain", action="store_true", help="echo and noise out of every call")
    parser.add_argument(
        "--without-quality", action="store_true", help="without the quality monitor, the ladder"
    )
    parser.add_argument("--bare", action="store_true", help="beside bare sockets, in turns")
    parser.add_argument(
        "--ordinary", action="store_true", help="no real-time class, no core of its own"
    )
    options = parser.parse_args()
    print(describe("picows", "uvloop"))
    material = "speech with echo (flite)" if options.chain else "random"
    print(f"material: {material}, G.711 µ-law, {options.dialect} to the bots, both ways")
    print(f"the audio chain is {'on: Kalman echo, log-MMSE noise' if options.chain else 'off'}")
    if not options.ordinary:
        # The callers are a load, not the thing measured: they must be punctual.
        print(f"callers: {realtime(os.SCHED_FIFO, 20, core=1)}; switchboard on core 0, bots on 1")
    if options.bare:
        return compare(options)
    if not options.search:
        found = run(options.calls, options.seconds, options)
        return show(options.calls, found)
    best, calls = 0, options.calls
    while True:
        found = run(calls, options.seconds, options)
        show(calls, found)
        if not held(found, calls):
            break
        best, calls = calls, calls + 50
    print(f"held for {options.seconds:.0f} s: {best} calls")
    return None


if __name__ == "__main__":
    main()
