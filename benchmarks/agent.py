"""Agent density and latency: Twilio callers who talk with an agent, in one process.

Two processes. The *node* (measured) has real Twilio WebSockets, Silero batched over calls,
turn-taking, conversations and barge-in; its recogniser, language model and voice are
stand-ins that answer at once (`_node.py`). The *callers* send 20 ms of mu-law every 20 ms
each: a sentence of about two seconds, then room tone until the reply of one second has
been heard, five seconds in all (`_callers.py`).

Added latency is from the moment the frame with the caller's last sample of speech was sent
to the arrival of the first frame of the reply, less the configured silence. It includes
waiting for the tick, recognising where speech ended, thinking, and the way out. With
``--chain`` the node takes echo and noise out of what every caller sends, which is 10 ms later.

    python benchmarks/agent.py --calls 100 --seconds 60
    python benchmarks/agent.py --search --seconds 60
"""

import argparse
import os

from _callers import Pace, Talk, TwilioCaller, scenes
from _harness import Child, load, percentiles, realtime
from _machine import describe
from _material import TURNS, describe_clips, voices

SILENCE_MS = 200
CYCLE_MS = 5000
TARGET_P50_MS, TARGET_P99_MS, TARGET_CPU_MS = 30.0, 60.0, 1000 / 350


def run(calls: int, material: list, asked: argparse.Namespace, warm: float = 7.0) -> dict:
    """Measure one number of calls."""
    options = {
        "transport": "twilio",
        "chain": asked.chain,
        "silence_ms": SILENCE_MS,
        "barge_in_ms": 240,
        "reply_seconds": 1.0,
        "records": True,
        "priority": not asked.ordinary,
        "core": 0,
    }
    with Child("_node.py", options) as node:
        opened = node.hear()
        pace = Pace()
        talks = [Talk(material, number, SILENCE_MS, CYCLE_MS) for number in range(calls)]
        callers = []
        for number, talk in enumerate(talks):
            caller = TwilioCaller(number, opened["port"], talk, "/streams/twilio")
            pace.add(caller)
            callers.append(caller)
        pace.run(callers, warm)
        pace.late.clear()
        for talk in talks:
            talk.reset()
        node.ask("measure")
        pace.run(callers, asked.seconds)
        found = node.ask("report")
        latencies = [value for talk in talks for value in talk.latencies]
        found |= {
            "asked": sum(talk.asked for talk in talks),
            "unanswered": sum(talk.unanswered for talk in talks),
            "cut_in": sum(talk.cut_in for talk in talks),
            "added": percentiles(latencies),
            "client_late": percentiles(pace.late),
            "lost": sum(caller.lost for caller in callers),
            "scheduling": opened["scheduling"],
            "cpu_ms": 1000 * found["cpu_seconds"] / (found["seconds"] * calls),
        }
        for caller in callers:
            caller.close()
        return found


def show(calls: int, found: dict) -> None:
    added, client = found["added"], found["client_late"]
    threads = ", ".join(
        f"{name} {1000 * seconds / (found['seconds'] * calls):.2f}"
        for name, seconds in sorted(found["threads"].items())
    )
    print(
        f"{calls:4d} calls: {found['cpu_ms']:.2f} ms CPU a call-second "
        f"({1000 / found['cpu_ms']:.0f} calls a core)  added p50 {added['p50']:.1f} "
        f"p95 {added['p95']:.1f} p99 {added['p99']:.1f} max {added['max']:.1f} ms "
        f"(of {added['count']} turns; {found['unanswered']} unanswered, {found['cut_in']} cut in)\n"
        f"            ticks late p50 {found['late_p50_ms']:.1f} p99 {found['late_p99_ms']:.1f} "
        f"max {found['late_max_ms']:.1f} ms, missed {found['missed']}, "
        f"in ticks {100 * found['busy_ratio']:.0f} %  "
        f"callers late p50 {client['p50']:.2f} p99 {client['p99']:.2f} ms (not booked)  "
        f"{found['resident_bytes'] / 1e6:.0f} MB  lost {found['lost']}  faults {found['faults']}\n"
        f"            CPU ms a call-second by thread: {threads}\n            {load()}",
        flush=True,
    )


def held(found: dict) -> bool:
    """Punctual, no missed deadline, nothing unanswered."""
    return (
        found["missed"] == 0
        and found["unanswered"] == 0
        and found["lost"] == 0
        and found["added"]["p99"] <= TARGET_P99_MS
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, nargs="+", default=[100])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--search", action="store_true", help="find the most calls that hold")
    parser.add_argument("--chain", action="store_true", help="echo and noise out of every call")
    parser.add_argument("--ordinary", action="store_true", help="no real-time scheduling")
    options = parser.parse_args()
    clips = voices(TURNS)
    material = scenes(clips)
    print(describe("onnxruntime", "picows", "uvloop"))
    print(f"material: {describe_clips(clips)}; cycle {CYCLE_MS / 1000:.0f} s, reply 1 s")
    print(
        f"on: Twilio WebSockets, Silero (batched), turns (silence {SILENCE_MS} ms), barge-in, "
        "marks, detail records; stand-ins for the three models; off: recording; "
        f"the audio chain is {'on: Kalman echo, log-MMSE noise' if options.chain else 'off'}"
    )
    if not options.ordinary:
        print(f"callers: {realtime(os.SCHED_FIFO, 20, 1)}")
    best, numbers = 0, list(options.calls)
    while numbers:
        calls = numbers.pop(0)
        found = run(calls, material, options)
        if not best:
            print(f"node: {found['scheduling']}")
        show(calls, found)
        if held(found):
            best = max(best, calls)
        elif options.search:
            break
        if options.search and not numbers:
            numbers = [calls + 50]
    print(f"held for {options.seconds:.0f} s: {best} calls")


if __name__ == "__main__":
    main()
