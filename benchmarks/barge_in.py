"""Barge-in: how long the agent goes on after the caller has begun to speak.

The same node and callers as in `agent.py`; the agent's replies are long, and about a second
into each the caller begins a sentence. Counted is from the moment the frame with the first
sample of speech was sent to the arrival of ``clear`` (Twilio) or of the first packet of
silence (RTP), less the configured `barge_in_ms`; and, after that, every frame of the old
reply that still arrives. Both kinds of beginning are measured: abrupt ones (a vowel or a
stop) and soft ones (a fricative that grows out of nothing).

Over RTP the jitter buffer's delay is part of it; the median of what the legs' own
statistics say (``delay_ms``) is given beside it.

    python benchmarks/barge_in.py --calls 100 --seconds 60
    python benchmarks/barge_in.py --transport sip --calls 100 --seconds 60
"""

import argparse
import os
import statistics

from _callers import BargeIn, Pace, TwilioCaller, scenes, sip_calls
from _harness import Child, load, percentiles, realtime
from _machine import describe
from _material import ABRUPT, SOFT, Scene, describe_clips, voices

SILENCE_MS, BARGE_IN_MS = 200, 240
TARGET_P99_MS = 60.0


def run(transport: str, calls: int, seconds: float, material: list[Scene], priority: bool) -> dict:
    """Measure one number of calls with one kind of clip."""
    options = {
        "transport": transport,
        "silence_ms": SILENCE_MS,
        "barge_in_ms": BARGE_IN_MS,
        "reply_seconds": 8.0,
        "records": True,
        "priority": priority,
        "core": 0,
    }
    with Child("_node.py", options) as node:
        opened = node.hear()
        pace = Pace()
        manners = [BargeIn(material, one, SILENCE_MS, BARGE_IN_MS) for one in range(calls)]
        signalling = None
        if transport == "sip":
            signalling, callers = sip_calls(opened["port"], manners)
        else:
            callers = [
                TwilioCaller(number, opened["port"], one, "/streams/twilio")
                for number, one in enumerate(manners)
            ]
        for caller in callers:
            pace.add(caller)
        pace.run(callers, 8.0)
        pace.late.clear()
        for one in manners:
            one.reset()
        node.ask("measure")
        pace.run(callers, seconds)
        found = node.ask("report")
        found["missed_ticks"] = found.pop("missed")
        found |= {
            name: sum(getattr(one, name) for one in manners)
            for name in ("interrupted", "missed", "stale", "unanswered", "cut_in")
        }
        found |= {
            "beyond": percentiles([value for one in manners for value in one.latencies]),
            "client_late": percentiles(pace.late),
            "cpu_ms": 1000 * found["cpu_seconds"] / (found["seconds"] * calls),
            "scheduling": opened["scheduling"],
        }
        for caller in callers:
            caller.close()
        if signalling is not None:
            signalling.close()
        return found


def show(transport: str, kind: str, calls: int, found: dict) -> None:
    beyond, client = found["beyond"], found["client_late"]
    delays = found["delay_ms"]
    buffer = f", jitter buffer {statistics.median(delays):.0f} ms of it" if delays else ""
    print(
        f"{transport} {kind:6s} {calls:4d} calls: beyond {BARGE_IN_MS} ms: "
        f"p50 {beyond['p50']:.1f} p95 {beyond['p95']:.1f} p99 {beyond['p99']:.1f} "
        f"max {beyond['max']:.1f} ms{buffer}; {found['interrupted']} interruptions, "
        f"{found['missed']} not noticed, {found['stale']} old frames after the clear, "
        f"{found['unanswered']} unanswered, {found['cut_in']} cut in\n"
        f"            {found['cpu_ms']:.2f} ms CPU a call-second; ticks late p99 "
        f"{found['late_p99_ms']:.1f}, missed {found['missed_ticks']}; callers late p99 "
        f"{client['p99']:.2f} ms (not booked)\n            {load()}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--transport", choices=("twilio", "sip"), default="twilio")
    parser.add_argument("--onset", choices=("abrupt", "soft", "both"), default="both")
    parser.add_argument("--ordinary", action="store_true", help="no real-time scheduling")
    options = parser.parse_args()
    print(describe("onnxruntime", "picows", "uvloop"))
    print(
        f"on: {'SIP, RTP, jitter buffer, RTCP' if options.transport == 'sip' else 'Twilio'}, "
        f"Silero (batched), turns (silence {SILENCE_MS} ms), barge-in ({BARGE_IN_MS} ms), detail "
        "records; stand-ins for the three models; off: recording"
    )
    if not options.ordinary:
        print(f"callers: {realtime(os.SCHED_FIFO, 20, 1)}")
    for kind, texts in (("abrupt", ABRUPT), ("soft", SOFT)):
        if options.onset not in (kind, "both"):
            continue
        clips = voices(texts)
        print(f"material: {kind}: {describe_clips(clips)}")
        found = run(
            options.transport, options.calls, options.seconds, scenes(clips), not options.ordinary
        )
        show(options.transport, kind, options.calls, found)


if __name__ == "__main__":
    main()
