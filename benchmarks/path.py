"""The whole audio path with every stage on: cost, density, memory and delay.

On for every call, both ways with audio: the jitter buffer with concealment, echo
cancellation (Kalman), noise suppression (log-MMSE), voice activity (Silero). The lines are
those of `_lines`: synthetic voices, made-up rooms, echoes 25 to 230 ms late.

    python benchmarks/path.py --costs          # each part without sockets, at 1, 100, 500 calls
    python benchmarks/path.py --beside         # the chain of other libraries, and the seed's
    python benchmarks/path.py --calls 250      # a node with real calls over SIP and RTP
    python benchmarks/path.py --search         # the most calls it holds
    python benchmarks/path.py --memory 200
    python benchmarks/path.py --delay          # end to end, measured in the audio

"µs" are CPU time a call and 20 ms of audio. Parts are run for several seconds of the lines'
time; given are the median second and the least. Arrivals jitter by 20 ms in the mean and lose
2 % of packets; the calls are in the engine's phases, where up to 128 calls are one block.
"""

import argparse
import os
import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _callers import sip_calls
from _harness import Child, load, percentiles, realtime
from _lines import LINES, SECONDS, lines
from _machine import describe
from _material import FRAME, RATE_HZ, room_tone
from _path_beside import beside
from _path_callers import Network, Party, Traffic
from _path_costs import LOSS, PARTS, costs, openings, whole
from trunkline.media.g711 import Law, decode

TARGETS = {"jitter": 3.6, "noise": 9.0, "echo": 20.0, "activity": 12.0}
NAMES = {
    "jitter": "jitter buffer with concealment",
    "noise": "chain without echo (log-MMSE, to µ-law)",
    "echo": "echo (Kalman)",
    "activity": "activity (Silero)",
    "gated": "activity (Silero behind its gate)",
    "whole": "everything, in the engine",
}


def show_costs(rows: list[int], seconds: int, only: tuple[str, ...]) -> None:
    """The table of parts."""
    material = lines()
    print(f"{LINES} lines of {SECONDS} s, {100 * LOSS:.0f} % lost; µs a call and 20 ms of audio")
    for count in rows:
        length = seconds if count > 1 else 3 * seconds
        found = costs(material, count, length, only)
        found["whole"] = whole(material, count, length)
        for name, spent in found.items():
            target = "" if count == 1 or name not in TARGETS else f"   at most {TARGETS[name]}"
            if (count, name) == (1, "whole"):
                target = "   at most 500"
            print(
                f"{count:4d} calls  {NAMES[name]:40} {statistics.median(spent[1:]):8.1f}"
                f"  least {min(spent[1:]):8.1f}{target}",
                flush=True,
            )
    print(load())


def show_beside(rows: list[int], seconds: int) -> None:
    """Echo and noise by other means."""
    material = lines()
    print("echo and noise: µs a call and 20 ms of audio")
    for count in rows:
        for name, found in beside(material, count, seconds):
            shown = found if isinstance(found, str) else f"{found:9.1f}"
            print(f"{count:4d} calls  {name:40} {shown}", flush=True)
    print(load())


# -- a node, with calls ---------------------------------------------------------------------


class Node:
    """A node in a process of its own, and calls to it."""

    def __init__(self, options: Any, *, returns: bool = False) -> None:
        self.chain = not options.off
        self.child = Child(
            "_path_node.py",
            {
                "transport": "sip",
                "records": True,
                "returns": returns,
                "chain": self.chain,
                "priority": not options.ordinary,
                "core": 0,
            },
        )
        self.port = int(self.child.hear()["port"])
        self.calls = 0

    def parties(self, count: int, *, echo: bool = True, logged: bool = False) -> list[Party]:
        """So many calls more."""
        rng, material = np.random.default_rng(self.calls), lines()
        self._sip, callers = sip_calls(self.port, [None] * count, self.calls)
        found = []
        for number, caller in enumerate(callers, self.calls):
            late = int(rng.uniform(0.02, 0.23) * RATE_HZ) if echo else 0
            gain = 10 ** (-rng.uniform(8, 17) / 20) if echo else 0.0
            log: list[Any] | None = [] if logged else None
            line = material[number % LINES]
            found.append(Party(caller.peer, line, late, gain, 37 * number, log=log))
        self.calls += count
        return found


def density(calls: int, options: Any) -> bool:
    """CPU time and deadlines of one number of calls; whether all were met."""
    node = Node(options)
    with node.child as child:
        traffic = Traffic(node.parties(calls), Network(options.jitter_ms, LOSS))
        traffic.run(options.warm)
        traffic.late.clear()
        received = sum(party.received for party in traffic.parties)
        sent = sum(party.sent for party in traffic.parties)
        child.ask("measure")
        traffic.run(options.seconds)
        found = child.ask("report")
        received = sum(party.received for party in traffic.parties) - received
        sent = sum(party.sent for party in traffic.parties) - sent
    cpu_ms = 1000 * found["cpu_seconds"] / (found["seconds"] * calls)
    delays = np.asarray(found["delay_ms"] or [np.nan])
    client = percentiles(traffic.late)
    print(
        f"{calls:4d} calls  {cpu_ms:.2f} ms CPU a call-second ({1000 / cpu_ms:.0f} calls a core), "
        f"{1e6 * found['cpu_seconds'] / max(1, received):.0f} µs a frame returned  "
        f"ticks late p50 {found['late_p50_ms']:.1f} p99 {found['late_p99_ms']:.1f} "
        f"max {found['late_max_ms']:.1f} ms, missed {found['missed']}, "
        f"in ticks {100 * found['busy_ratio']:.0f} %\n"
        f"            returned {100 * received / max(1, sent):.1f} %  jitter buffers "
        f"{np.mean(delays):.0f} ms  {found['resident_bytes'] / 1e6:.0f} MB  "
        f"faults {found['faults']}  callers late p50 {client['p50']:.2f} p99 "
        f"{client['p99']:.2f} ms\n            {load()}",
        flush=True,
    )
    return bool(found["missed"] == 0 and found["late_p99_ms"] <= 10 and found["calls"] == calls)


def search(options: Any) -> None:
    """The most calls held without a missed deadline."""
    best, calls = 0, (options.calls or [150])[0]
    while density(calls, options):
        best, calls = calls, calls + 50
    print(f"held for {options.seconds} s: {best} calls")


def memory(calls: int, options: Any) -> None:
    """Resident memory of calls with everything on, talking."""
    node = Node(options)
    with node.child as child:
        Traffic(node.parties(20), Network(options.jitter_ms, LOSS)).run(4.0)
        before = child.ask("memory")["resident_bytes"]
        traffic = Traffic(node.parties(calls), Network(options.jitter_ms, LOSS))
        traffic.run(options.seconds)
        after = child.ask("memory")["resident_bytes"]
    print(
        f"{calls} calls more: {(after - before) / calls / 1000:.0f} kB a call, at most 200 "
        f"({before / 1e6:.1f} MB before, {after / 1e6:.1f} with them)\n            {load()}"
    )
    first, *others = openings().tolist()
    worst = max(others)
    print(
        f"opening the lines of {len(others) + 1} calls: {np.median(others):.2f} ms in the median, "
        f"99 % within {np.percentile(others, 99):.2f}, at most {worst:.2f} (line "
        f"{others.index(worst) + 2}); the first, with tables and model, {first:.0f} ms"
    )


# -- delay -----------------------------------------------------------------------------------


CHIRP_SAMPLES = 400


def chirp() -> NDArray[np.float64]:
    """50 ms from 400 to 3,000 Hz, with soft ends."""
    at = np.arange(CHIRP_SAMPLES) / RATE_HZ
    phase = 2 * np.pi * (400 * at + 2600 / (2 * at[-1]) * at**2)
    return 9000 * np.sin(phase) * np.hanning(CHIRP_SAMPLES)


class Chirps:
    """Says room tone with a chirp now and then, and finds the chirps in what comes back."""

    def __init__(self, seed: int, seconds: float) -> None:
        rng = np.random.default_rng(seed)
        audio = room_tone(int((seconds + 1) * RATE_HZ), seed).astype(np.float64)
        self.said: list[int] = []
        at = int(rng.uniform(0.5, 1.5) * RATE_HZ)
        while at + CHIRP_SAMPLES < len(audio):
            audio[at : at + CHIRP_SAMPLES] += chirp()
            self.said.append(at)
            at += int(rng.uniform(0.7, 1.3) * RATE_HZ)
        self.frames = np.rint(audio[: len(audio) // FRAME * FRAME]).astype(np.int16)

    def frame(self, number: int) -> NDArray[np.int16]:
        """The next one."""
        at = number * FRAME % len(self.frames)
        return self.frames[at : at + FRAME]

    def delays(self, party: Party, first: int) -> list[float]:
        """Seconds from when a chirp's first sample was said to when it is heard again.

        A sample that came in a packet is heard so much after its arrival as it is in it.
        """
        heard, arrived = _joined(party)
        template = chirp() / np.sqrt((chirp() ** 2).sum())
        found = np.correlate(heard, template, "valid")
        power = np.sqrt(np.convolve(heard**2, np.ones(CHIRP_SAMPLES), "valid")) + 3000
        likeness = found / power
        delays = []
        for at in self.said:
            frame, inside = divmod(at, FRAME)
            if not first <= frame < len(party.due) - 25:
                continue
            began = party.due[frame] + inside / RATE_HZ
            window = np.flatnonzero((arrived > began) & (arrived < began + 0.5))
            window = window[window < len(likeness)]
            if len(window) and likeness[window].max() > 0.5:
                delays.append(float(arrived[window[likeness[window].argmax()]] - began))
        return delays


def _joined(party: Party) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What came back in the order it was sent, and when each sample can be heard."""
    assert party.log is not None
    pieces = sorted(party.log)
    coded = np.stack([np.frombuffer(payload, np.uint8) for _, _, payload in pieces])
    times = np.array([at for _, at, _ in pieces])[:, np.newaxis] + np.arange(FRAME) / RATE_HZ
    return decode(coded.reshape(-1), Law.ULAW).astype(np.float64), times.reshape(-1)


def delay(calls: int, options: Any) -> None:
    """End to end, in the audio."""
    node = Node(options, returns=True)
    with node.child as child:
        parties = node.parties(calls, echo=False, logged=True)
        for party in parties:
            party.at = 0
        chirps = {id(one): Chirps(number, options.seconds + options.warm)
                  for number, one in enumerate(parties)}  # fmt: skip
        traffic = Traffic(parties, Network(options.network_ms, 0.0))
        total = options.warm + options.seconds
        traffic.run(total, lambda one: chirps[id(one)].frame(one.at))
        time.sleep(0.1)
        found = child.ask("report")
    first = int(options.warm / 0.02)
    delays = [each for one in parties for each in chirps[id(one)].delays(one, first)]
    last = int((total - 0.5) / 0.02)
    said = sum(first <= at // FRAME < last for one in chirps.values() for at in one.said)
    shown, client = percentiles(delays), percentiles(traffic.late)
    buffers = np.mean(found["delay_ms"] or [np.nan])
    print(
        f"{calls} calls, packets late by 0 to {options.network_ms:.0f} ms: chirp in to chirp out "
        f"p50 {shown['p50']:.0f} p95 {shown['p95']:.0f} p99 {shown['p99']:.0f} max "
        f"{shown['max']:.0f} ms, less than 200 wanted; {len(delays)} of {said} chirps found\n"
        f"            from its first sample said to heard, so 20 ms of it making a packet; jitter "
        f"buffers {buffers:.0f} ms at the end; no buffer at the far end\n"
        f"            ticks late p99 {found['late_p99_ms']:.1f} max {found['late_max_ms']:.1f} ms, "
        f"missed {found['missed']}  "
        f"callers late p99 {client['p99']:.1f} max {client['max']:.1f} ms\n            {load()}"
    )


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--costs", action="store_true")
    parser.add_argument("--beside", action="store_true")
    parser.add_argument("--search", action="store_true", help="find the most calls that hold")
    parser.add_argument("--memory", type=int, metavar="CALLS")
    parser.add_argument("--delay", action="store_true")
    parser.add_argument("--calls", type=int, nargs="+")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--warm", type=float, default=8.0, help="seconds before it is measured")
    parser.add_argument("--jitter-ms", type=float, default=20.0, help="of the callers' network")
    parser.add_argument("--network-ms", type=float, default=60.0, help="the same, for the delay")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--off", action="store_true", help="without echo and noise")
    parser.add_argument("--ordinary", action="store_true", help="no real-time scheduling")
    options: Any = parser.parse_args()
    print(describe("onnxruntime", "uvloop"))
    if options.costs:
        return show_costs(options.calls or [1, 100, 500], options.seconds, tuple(options.only))
    if options.beside:
        return show_beside(options.calls or [1, 100, 500], options.seconds)
    if not options.ordinary:
        print(f"callers: {realtime(os.SCHED_FIFO, 20, 1)}; the node on core 0")
    if options.search:
        search(options)
    elif options.delay:
        delay((options.calls or [20])[0], options)
    elif options.memory:
        memory(options.memory, options)
    else:
        for calls in options.calls or [250]:
            density(calls, options)
    return None


if __name__ == "__main__":
    main()
