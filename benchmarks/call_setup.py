"""How many calls a node sets up and ends for a second of its CPU time, and how quickly.

sipp calls, hears 180 and 200, acknowledges, stays a moment and hangs up; the node has an
application for each call, a detail record, RTP ports and a lane in its engine: nothing is
left out. Two phases: one at ``--rate`` calls a second, for the delays, and one as fast as
the node goes, for the CPU time of a call.

    python benchmarks/call_setup.py [--calls 20000] [--rate 100] [--digest] [--transport udp]
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _harness import Child, load, percentiles
from _machine import cpu_seconds, describe

PORT = 26_060
SCENARIO = """<?xml version="1.0" encoding="UTF-8" ?>
<scenario name="set up and end">
  <nop start_rtd="2" />
  <send retrans="500" start_rtd="1"><![CDATA[
{invite}
  ]]></send>
  {challenge}
  <recv response="100" optional="true" />
  <recv response="180" rtd="1" />
  <recv response="200" rtd="2" rrs="true" />
  <send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:bench@[local_ip]:[local_port]>;tag=[pid]a[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: {number} ACK
Max-Forwards: 70
Content-Length: 0

  ]]></send>
  <pause milliseconds="{hold_ms}" />
  <send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:bench@[local_ip]:[local_port]>;tag=[pid]a[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: {bye} BYE
Max-Forwards: 70
Content-Length: 0

  ]]></send>
  <recv response="200" />
</scenario>
"""
INVITE = """INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:bench@[local_ip]:[local_port]>;tag=[pid]a[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: {number} INVITE
Contact: <sip:bench@[local_ip]:[local_port];transport=[transport]>
Max-Forwards: 70
{authentication}Content-Type: application/sdp
Content-Length: [len]

v=0
o=bench 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8 0 101
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=ptime:20
"""
CHALLENGE = """<recv response="401" auth="true" />
  <send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
[last_Via:]
From: <sip:bench@[local_ip]:[local_port]>;tag=[pid]a[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
Content-Length: 0

  ]]></send>
  <send retrans="500"><![CDATA[
{again}
  ]]></send>"""


def scenario(digest: bool, hold_ms: int) -> str:
    """What sipp does."""
    challenge = ""
    if digest:
        again = INVITE.format(
            number=2, authentication="[authentication username=bench password=secret]\n"
        )
        challenge = CHALLENGE.format(again=again)
    first = INVITE.format(number=1, authentication="")
    number = 2 if digest else 1
    return SCENARIO.format(
        invite=first, challenge=challenge, number=number, bye=number + 1, hold_ms=hold_ms
    )


def run_sipp(
    folder: Path, text: str, *, calls: int, rate: int, limit: int, transport: str
) -> dict[str, Any]:
    """One run of sipp: delays, calls that failed, retransmissions."""
    folder.mkdir()
    (folder / "scenario.xml").write_text(text)
    mode = {"udp": "u1", "tcp": "t1"}[transport]
    command = [
        "sipp", "-sf", "scenario.xml", "-i", "127.0.0.1", "-p", str(PORT + 2), "-mi", "127.0.0.1",
        "-mp", str(PORT + 4), "-s", "100", "-t", mode, "-m", str(calls), "-r", str(rate),
        "-l", str(limit), "-nostdin", "-trace_stat", "-stf", "stat.csv", "-fd", "5",
        "-trace_rtt", "-rtt_freq", "1000", "-timeout", str(calls // rate + 120),
        f"127.0.0.1:{PORT}",
    ]  # fmt: skip
    began = time.monotonic()
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        while process.poll() is None:
            time.sleep(1)
            done = time.monotonic() - began
            if sys.stderr.isatty():
                print(f"\r  {done:.0f} s", end="", file=sys.stderr, flush=True)
    if not (folder / "stat.csv").exists():
        raise SystemExit(f"sipp did not run: {(folder / 'output.txt').read_text()[-1000:]}")
    lines = (folder / "stat.csv").read_text().splitlines()
    found = dict(zip(lines[0].split(";"), lines[-1].split(";"), strict=False))
    delays: dict[str, list[float]] = {"1": [], "2": []}
    for path in folder.glob("*rtt.csv"):
        with path.open() as file:
            for row in list(csv.reader(file, delimiter=";"))[1:]:
                delays.setdefault(row[2], []).append(float(row[1]) / 1000)
    return {
        "status": process.returncode,
        "seconds": time.monotonic() - began,
        "ok": int(found["SuccessfulCall(C)"]),
        "failed": int(found["FailedCall(C)"]),
        "repeated": int(found["Retransmissions(C)"]),
        "180": percentiles(delays["1"]),
        "200": percentiles(delays["2"]),
    }


def main() -> None:
    """Both phases, and what they came to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rate", type=int, default=100, help="calls a second, for the delays")
    parser.add_argument("--digest", action="store_true", help="every call proves a password")
    parser.add_argument("--transport", choices=("udp", "tcp"), default="udp")
    parser.add_argument("--no-records", action="store_true", help="without detail records")
    parser.add_argument("--no-fast", action="store_true", help="only the phase with delays")
    parser.add_argument("--hold-ms", type=int, default=0, help="how long a call is up")
    parser.add_argument("--profile", default="", help="a file for the node's cProfile")
    options = parser.parse_args()
    if shutil.which("sipp") is None:
        raise SystemExit("this benchmark needs sipp (Debian: sip-tester)")
    print(describe("uvloop"))
    child = {"digest": options.digest, "records": not options.no_records,
             "profile": options.profile}  # fmt: skip
    phases = [("delays", options.calls, options.rate)]
    if not options.no_fast:
        phases.append(("as fast as it goes", options.calls, 2000))
    with tempfile.TemporaryDirectory(prefix="trunkline-setup-") as temporary:
        for number, (name, calls, rate) in enumerate(phases):
            with Child("call_setup.py", child) as node:
                node.hear()
                before = node.ask("measure")["cpu"]
                text = scenario(options.digest, options.hold_ms)
                run = run_sipp(
                    Path(temporary) / str(number), text,
                    calls=calls, rate=rate, limit=400, transport=options.transport,
                )  # fmt: skip
                time.sleep(1)
                after = node.ask("measure")
            spent = after["cpu"] - before
            print(f"\n{name}: {calls} calls over {options.transport.upper()}"
                  f"{' with digest' if options.digest else ''}, {run['seconds']:.0f} s, "
                  f"{run['ok'] / run['seconds']:.0f} a second")  # fmt: skip
            print(f"  failed {run['failed']}, repeated by sipp {run['repeated']}, "
                  f"live afterwards {after['live']}")  # fmt: skip
            print(f"  CPU of the node {spent:.1f} s: {1000 * spent / calls:.2f} ms a call, "
                  f"{calls / spent:.0f} calls a CPU-second")  # fmt: skip
            for code in ("180", "200"):
                line = run[code]
                print(f"  INVITE to {code}: p50 {line['p50']:.1f} ms, p99 {line['p99']:.1f} ms, "
                      f"longest {line['max']:.1f} ms of {line['count']}")  # fmt: skip
    print(load())


def node(options: dict[str, Any]) -> None:
    """The measured process."""
    import asyncio
    import threading

    import uvloop

    from trunkline.calls.call import Call
    from trunkline.calls.switchboard import Switchboard
    from trunkline.server.node import Node
    from trunkline.settings import Audio, Http, Media, Records, Secret, Settings, Sip

    board = Switchboard()

    @board.answer("*", early=True)
    async def answers(call: Call) -> None:
        await call.ring()
        await call.answer()
        await call.wait_ended()

    folder = Path(tempfile.mkdtemp(prefix="trunkline-bench-"))
    accounts = {"bench": Secret("secret")} if options["digest"] else {}
    settings = Settings(
        sip=Sip(port=PORT, accounts=accounts),
        media=Media(first_port=30_000, last_port=39_998),
        records=Records(path=folder / "calls.db"),
        http=Http(enabled=False),
        audio=Audio(agent_echo="off"),
    )
    running = Node(settings, board, streams=False, keep_records=options["records"])

    def words(loop: asyncio.AbstractEventLoop) -> None:
        for word in sys.stdin:
            if word.strip() == "stop":
                break
            live = running.sip.agent.live if running.sip else {}
            print(json.dumps({"cpu": cpu_seconds(), "live": live["sessions"]}), flush=True)
        loop.call_soon_threadsafe(running.stop)

    async def serve() -> None:
        served = asyncio.create_task(running.run())
        await running.ready.wait()
        if options["profile"]:
            running.media.loop.call_soon_threadsafe(profile)
        print(json.dumps({"ready": True}), flush=True)
        loop = asyncio.get_running_loop()
        threading.Thread(target=words, args=(loop,), daemon=True).start()
        await served
        if options["profile"]:
            kept[0].dump_stats(options["profile"])

    kept: list[Any] = []

    def profile() -> None:
        import cProfile

        kept.append(cProfile.Profile())
        kept[0].enable()

    uvloop.run(serve())
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].startswith("{"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        node(json.loads(sys.argv[1]))
    else:
        main()
