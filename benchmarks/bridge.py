"""Bridged pairs a core: G.711 calls joined two by two, in one process.

Two processes. The *switchboard* (measured) takes SIP calls and bridges each with the one
before. The *callers* place them over SIP and send a packet of G.711 every 20 ms on each, on
sockets of their own; they count what comes from the other side.

On in the switchboard: SIP, jitter buffer, concealment, RTCP, statistics, detail records. Off:
recording, voice activity, the audio chain.

    python benchmarks/bridge.py --pairs 200 --seconds 30
    python benchmarks/bridge.py --ladder 50,100,200,300,400
    python benchmarks/bridge.py --pairs 200 --laws mixed     # µ-law to A-law
    python benchmarks/bridge.py --pairs 200 --through ears   # as an application would do it
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _harness import load, realtime
from _machine import cpu_seconds, describe, resident_bytes, system_seconds
from streaming import Caller, place_calls, say, stream_audio


def run_switchboard(calls: int, ordinary: bool, through: str) -> None:
    """A node that joins every second call to the one before; obeys words."""
    if not ordinary:
        realtime(os.SCHED_RR, 10, core=0)
    import uvloop

    from trunkline.calls.bridge import bridge
    from trunkline.calls.ears import QuietEar
    from trunkline.calls.switchboard import Switchboard
    from trunkline.server.node import Node
    from trunkline.settings import Media, Records, Settings, Sip, Streams

    board = Switchboard()
    waiting = []

    class Across(QuietEar):
        def __init__(self, other):
            self.other, self.generation = other, other.generation

        def hear(self, frame, windows, now):
            self.other.push(frame, self.generation)

    @board.answer("*")
    async def join(call):
        if not waiting:
            waiting.append(call)
            await call.wait_ended()
            return
        other = waiting.pop()
        if through == "engine":
            await bridge(other, call)
            return
        call.listen(Across(other), activity=False)
        other.listen(Across(call), activity=False)
        await call.wait_ended()

    folder = Path(tempfile.mkdtemp(prefix="trunkline-bench-"))
    settings = Settings(
        sip=Sip(port=0),
        media=Media(first_port=24_000, last_port=24_000 + 2 * calls + 200),
        streams=Streams(enabled=False),
        records=Records(path=folder / "calls.db"),
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
                found = {
                    "seconds": time.monotonic() - began,
                    "cpu_seconds": cpu_seconds() - cpu,
                    "system_seconds": system_seconds() - system,
                    "calls": len(board.calls),
                    "missed": lateness.missed,
                    "p50_ms": lateness.p50_ms,
                    "p99_ms": lateness.p99_ms,
                    "max_ms": lateness.max_ms,
                    "resident_bytes": resident_bytes(),
                    "faults": node.media.engine.faults,
                }
                print(json.dumps(found), flush=True)
            else:
                node.stop()
                return

    async def main():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(obey())
            await node.run()

    uvloop.run(main())


class AlawCaller(Caller):
    """A caller of another law than the one it is bridged with."""

    payload_type = 8

    def request(self, method: str, cseq: int, sip_port: int, own_port: int) -> bytes:
        """The same request, with PCMA in place of PCMU."""
        text = super().request(method, cseq, sip_port, own_port).decode()
        return text.replace("RTP/AVP 0", "RTP/AVP 8").replace("0 PCMU", "8 PCMA").encode()


def run(pairs: int, seconds: float, options: argparse.Namespace, warm: float = 4.0) -> dict:
    """Measure one number of pairs."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    words = ["switchboard", str(2 * pairs), str(int(options.ordinary)), options.through]
    switchboard = subprocess.Popen(
        [sys.executable, __file__, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        sip_port = int(switchboard.stdout.readline())
        kinds = [Caller, AlawCaller if options.laws == "mixed" else Caller]
        _, callers = place_calls(2 * pairs, sip_port, kinds)
        stream_audio(callers, warm)
        sent, received = sum(c.sent for c in callers), sum(c.received for c in callers)
        say(switchboard, "measure")
        stream_audio(callers, seconds)
        say(switchboard, "report")
        found = json.loads(switchboard.stdout.readline())
        found["sent"] = sum(c.sent for c in callers) - sent
        found["received"] = sum(c.received for c in callers) - received
        found["ms_per_pair_second"] = 1000 * found["cpu_seconds"] / (found["seconds"] * pairs)
        say(switchboard, "stop")
        return found
    finally:
        switchboard.send_signal(signal.SIGTERM)
        try:
            switchboard.wait(10)
        except subprocess.TimeoutExpired:
            switchboard.kill()


def show(pairs: int, found: dict) -> None:
    """One line of figures, and how busy the machine was."""
    print(
        f"{pairs:5d} pairs  {found['ms_per_pair_second']:.3f} ms CPU a pair-second "
        f"({1000 / found['ms_per_pair_second']:.0f} pairs a core, "
        f"{100 * found['system_seconds'] / found['cpu_seconds']:.0f} % in the kernel)  "
        f"late p50 {found['p50_ms']:.1f} p99 {found['p99_ms']:.1f} max {found['max_ms']:.1f} ms  "
        f"missed {found['missed']}  passed {100 * found['received'] / found['sent']:.2f} %  "
        f"{found['resident_bytes'] / 1e6:.0f} MB\n{load()}",
        flush=True,
    )


def main() -> None:
    """Measure what the command line says."""
    if len(sys.argv) > 1 and sys.argv[1] == "switchboard":
        return run_switchboard(int(sys.argv[2]), sys.argv[3] == "1", sys.argv[4])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--calls", default="", help="a ladder of numbers of calls, as 100,200,400")
    parser.add_argument("--ladder", default="", help="a ladder of numbers of pairs, as 50,100,200")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--laws", choices=("same", "mixed"), default="same")
    parser.add_argument("--through", choices=("engine", "ears"), default="engine")
    parser.add_argument(
        "--ordinary", action="store_true", help="no real-time class, no core of its own"
    )
    options = parser.parse_args()
    print(describe("uvloop"))
    print(f"material: random, G.711, laws {options.laws}; joined through {options.through}")
    if not options.ordinary:
        print(f"callers: {realtime(os.SCHED_FIFO, 20, core=1)}; switchboard on core 0")
    steps = [int(one) for one in options.ladder.split(",") if one]
    steps += [int(one) // 2 for one in options.calls.split(",") if one]
    for pairs in steps or [options.pairs]:
        show(pairs, run(pairs, options.seconds, options))
    return None


if __name__ == "__main__":
    main()
