"""Memory: what an idle call holds, and what calls leave behind.

Idle: legs that are answered, with an agent listening and room tone arriving every 20 ms;
resident memory of the node with so many of them less what it was before, by their number.
A first batch is set up and hung up before, so that models, pools and code are loaded.

Growth: thousands of calls of about a second each, many at once; each says a few words, is
answered, and hangs up. Resident memory is read between batches, with no call up. Given are
the growth a call over everything, and over the last half, which tells a leak from warming up.

    python benchmarks/memory.py --idle 200
    python benchmarks/memory.py --transport sip --idle 200
    python benchmarks/memory.py --churn 5000
"""

import argparse
import itertools
import time
from typing import Any

import numpy as np

from _callers import Caller, Pace, SipCaller, TwilioCaller, scenes, sip_calls
from _harness import Child, load
from _machine import describe
from _material import ABRUPT, FRAME, Scene, room_tone, ulaw, voices

OPTIONS = {
    "silence_ms": 200,
    "barge_in_ms": 240,
    "reply_seconds": 1.0,
    "records": True,
    "priority": False,
    "core": None,
}
PARALLEL = 50
CALL_SECONDS = 1.3


_batches = itertools.count(0, 1000)


class Quiet:
    """A caller who says nothing."""

    def __init__(self) -> None:
        self._room = ulaw(room_tone(FRAME * 50, 1))
        self._at = 0

    def frame(self, now: float) -> bytes:
        """Room tone."""
        self._at = (self._at + 1) % len(self._room)
        return self._room[self._at]

    def media(self, at: float, reply: int) -> None:
        """Nobody speaks to a silent caller."""

    def cleared(self, at: float) -> None:
        """Nothing."""


class Brief(Quiet):
    """A caller who says a few words at once."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._frames = iter(scene.frames[:25])
        self.answered = False

    def frame(self, now: float) -> bytes:
        """Half a second of speech, then room tone."""
        return next(self._frames, None) or super().frame(now)

    def media(self, at: float, reply: int) -> None:
        """The reply."""
        self.answered = True


class Calls:
    """A batch of calls at a node."""

    def __init__(self, transport: str, port: int, manners: list[Any], pace: Pace) -> None:
        self.pace, self.port = pace, port
        self.signalling = None
        self.callers: list[Caller]
        if transport == "sip":
            self.signalling, self.callers = sip_calls(port, manners, next(_batches))
        else:
            self.callers = [
                TwilioCaller(number, port, one, "/streams/twilio")
                for number, one in enumerate(manners)
            ]
        for caller in self.callers:
            pace.add(caller)

    def end(self) -> None:
        """Hang up, all of them."""
        for caller in self.callers:
            if not caller.lost:
                self.pace.remove(caller)
            if isinstance(caller, SipCaller):
                own = self.signalling.getsockname()[1]
                bye = caller.peer.request("BYE", 2, self.port, own)
                self.signalling.sendto(bye, ("127.0.0.1", self.port))
            caller.close()
        if self.signalling is not None:
            self.signalling.close()


def settled(node: Child, calls: int) -> int:
    """Resident bytes once so many calls are up."""
    for _ in range(100):
        found = node.ask("memory")
        if found["calls"] == calls:
            return int(found["resident_bytes"])
        time.sleep(0.1)
    raise SystemExit(f"the node has {found['calls']} calls, not {calls}")


def idle(transport: str, calls: int, chain: bool) -> None:
    """Resident memory of idle calls."""
    with Child("_node.py", {"transport": transport, "chain": chain, **OPTIONS}) as node:
        port, pace = node.hear()["port"], Pace()
        for count in (20, 20):
            batch = Calls(transport, port, [Quiet() for _ in range(count)], pace)
            pace.run(batch.callers, 3.0)
            batch.end()
            settled(node, 0)
        before = settled(node, 0)
        batch = Calls(transport, port, [Quiet() for _ in range(calls)], pace)
        pace.run(batch.callers, 5.0)
        up = settled(node, calls)
        batch.end()
        after = settled(node, 0)
    print(
        f"{transport}, chain {'on' if chain else 'off'}: {calls} idle calls: "
        f"{(up - before) / calls / 1000:.0f} kB a call "
        f"({before / 1e6:.1f} MB before, {up / 1e6:.1f} with them, {after / 1e6:.1f} after)\n"
        f"            {load()}"
    )


def churn(transport: str, total: int) -> None:
    """Resident memory over many short calls."""
    material = scenes(voices(ABRUPT), shifts=1)
    taken: list[tuple[int, int]] = []
    answered = lost = 0
    with Child("_node.py", {"transport": transport, **OPTIONS}) as node:
        port, done = node.hear()["port"], 0
        while done < total:
            pace = Pace()
            manners = [Brief(material[one % len(material)]) for one in range(PARALLEL)]
            batch = Calls(transport, port, manners, pace)
            pace.run(batch.callers, CALL_SECONDS)
            lost += sum(caller.lost for caller in batch.callers)
            batch.end()
            pace.close()
            done += PARALLEL
            answered += sum(one.answered for one in manners)
            taken.append((done, settled(node, 0)))
            if done % 500 == 0:
                print(f"    {done:5d} calls: {taken[-1][1] / 1e6:.1f} MB", flush=True)
    numbers, sizes = np.array(taken, float).T
    half = len(numbers) // 2
    slope = np.polyfit(numbers[half:], sizes[half:], 1)[0]
    growth = (sizes[-1] - sizes[0]) / (numbers[-1] - numbers[0])
    print(
        f"{transport}: {total} calls, {answered} answered, {lost} lost: "
        f"{growth / 1000:.2f} kB a call over all "
        f"after the first {PARALLEL}, {slope / 1000:.2f} kB a call over the last half "
        f"({sizes[0] / 1e6:.1f} MB, then {sizes[half] / 1e6:.1f}, at last {sizes[-1] / 1e6:.1f})\n"
        f"            {load()}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transport", choices=("twilio", "sip"), default="twilio")
    parser.add_argument("--idle", type=int, metavar="CALLS")
    parser.add_argument("--chain", action="store_true", help="echo and noise out of idle calls")
    parser.add_argument("--churn", type=int, metavar="CALLS")
    options = parser.parse_args()
    print(describe("onnxruntime", "picows", "uvloop"))
    print("on: Silero (batched), turns, barge-in, detail records; stand-ins for the three models")
    if options.idle or not options.churn:
        idle(options.transport, options.idle or 200, options.chain)
    if options.churn:
        churn(options.transport, options.churn)


if __name__ == "__main__":
    main()
