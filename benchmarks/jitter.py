"""The jitter bank on generated networks: delay, what is never played, what is stretched, cost.

Networks have 40 ms of delay at least and lose 2 % of packets: "good" jitters by 3 ms, "wifi" by
a gamma distribution of 12 ms with spikes of 40 to 120 ms, "stalls" holds up 3 to 8 packets about
every 3 s. Speech is that of `_material`, in every row from another place on. Beside ours stand a
fixed buffer of 60 ms and the rule of RFC 3550 (three times its jitter), neither of which
changes its delay within a talkspurt, computed on the same arrivals.

    python benchmarks/jitter.py [--seed 1] [--seconds 60] [--cost]

"Delay" is from sending to playing, mean; "never played" of packets sent, those the network
lost included; "stretched" and "concealed" of frames played. Seeds below 100 are the dev set.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from _material import TURNS, room_tone, voices
from trunkline.media.g711 import Law, encode
from trunkline.media.jitter import JitterBank, JitterSettings, Kind

TICK, FRAME, LEAST_MS, LOSS, FIXED_MS = 0.02, 160, 40.0, 0.02, 60.0

Times = NDArray[np.float64]


def delays(network: str, count: int, rng: np.random.Generator) -> Times:
    """Milliseconds each packet takes."""
    if network == "wifi":
        delay = rng.gamma(1.2, 10, count)
        spike = 0.0
        for index in range(count):
            spike = spike * 0.6 + (rng.uniform(40, 120) if rng.random() < 0.01 else 0)
            delay[index] += spike
    else:
        delay = np.abs(rng.normal(0, 4 if network == "stalls" else 3, count))
    if network == "stalls":
        for index in np.flatnonzero(rng.random(count) < 0.006).tolist():
            size = min(count - index, int(rng.uniform(3, 9)))
            held = delay[index] + 20 * (size - np.arange(size))
            delay[index : index + size] = np.maximum(delay[index : index + size], held)
    return LEAST_MS + delay


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of all rows and frames."""

    delay_ms: float
    never_played: float
    concealed: float
    stretched: float
    us_per_frame: float = 0.0


def material() -> list[bytes]:
    """A minute of speech with pauses, as frames."""
    pieces = []
    for clip in voices(TURNS):
        pieces += [clip.pcm, np.zeros(6400, np.int16)]
    audio = np.concatenate(pieces)[: sum(map(len, pieces)) // FRAME * FRAME]
    audio = np.clip(audio + room_tone(len(audio), 1), -32767, 32767).astype(np.int16)
    coded = encode(audio, Law.ULAW).tobytes()
    return [coded[at : at + FRAME] for at in range(0, len(coded), FRAME)]


def calls(network: str, rows: int, count: int, seed: int) -> tuple[Times, Times]:
    """When packets are sent and when they arrive (NaN: never), (rows, count), in seconds."""
    rng = np.random.default_rng(seed)
    sent = np.arange(count) * TICK + rng.uniform(0, TICK, (rows, 1))
    came = sent + np.array([delays(network, count, rng) for _ in range(rows)]) / 1000
    came[rng.random((rows, count)) < LOSS] = np.nan
    return sent, came


def ours(
    network: str,
    rows: int,
    seconds: int,
    seed: int,
    settings: JitterSettings | None = None,
    *,
    takes: int = 1,
) -> Outcome:
    """The jitter bank; every tick has so many takes, of an equal part of the rows each."""
    speech, count = material(), int(seconds / TICK)
    sent, came = calls(network, rows, count, seed)
    bank = JitterBank(settings=settings)
    those = np.array([bank.open(Law.ULAW) for _ in range(rows)])
    arrivals = sorted(
        (came[row, index], row, index) for row, index in np.argwhere(~np.isnan(came)).tolist()
    )
    first = np.nanargmin(came, axis=1)
    kinds, waits, at, spent = np.zeros(4, np.int64), [], 0, 0.0
    shards = np.array_split(those, takes)
    for turn in range(takes, (count + 20) * takes):
        now, shard = turn * TICK / takes, shards[turn % takes]
        began = time.process_time()
        while at < len(arrivals) and arrivals[at][0] <= now:
            arrived, row, index = arrivals[at]
            payload = speech[(index + 37 * row) % len(speech)]
            bank.put(row, index, index * FRAME, row, False, payload, arrived)
            at += 1
        kind = bank.take(shard, now).kind
        spent += time.process_time() - began
        if not 50 * takes < turn < count * takes:
            continue
        kinds += np.bincount(kind, minlength=4)
        playing = (kind == Kind.PLAYED).nonzero()[0]
        # Where the frame's first sample was in the stream.
        playing = shard[playing]  # rows are numbered as they were opened
        position = bank._state.read[playing] / FRAME - 1 + first[playing]
        waits.append(now - sent[playing, 0] - position * TICK)
    statistics = [bank.statistics(row) for row in those.tolist()]
    assert not sum(each.restarts + each.stray for each in statistics)
    never = sum(each.lost + each.late for each in statistics) / (rows * count)
    return Outcome(
        float(np.concatenate(waits).mean()) * 1000,
        never,
        float(kinds[Kind.CONCEALED] / kinds.sum()),
        float(kinds[Kind.STRETCHED] / kinds.sum()),
        spent / (rows * (count + 19)) * 1e6,
    )


def simple(network: str, rows: int, seconds: int, seed: int, *, fixed: bool) -> Outcome:
    """A buffer that plays a packet so long after it was sent as its first one's time says.

    ``fixed``: 60 ms; or else three times the interarrival jitter, set anew at talkspurts, of
    which there is one every 2.4 s.
    """
    count = int(seconds / TICK)
    sent, came = calls(network, rows, count, seed)
    late = played = 0
    total = 0.0
    for row in range(rows):
        transit = came[row] - sent[row]
        jitter, before, offset = 0.0, None, 0.0
        for index in range(count):
            if index % 120 == 0 or before is None:
                wanted = FIXED_MS if fixed else min(max(3000 * jitter, 40.0), 200.0)
                base = transit[index] if before is None else before
                if fixed and before is not None:
                    wanted, base = 0.0, offset
                offset = base + wanted / 1000 if not np.isnan(base) else offset
            if np.isnan(transit[index]):
                continue
            if before is not None:
                jitter += (abs(transit[index] - before) - jitter) / 16
            before = transit[index]
            late += transit[index] > offset
            played += 1
            total += offset + TICK / 2
    never = 1 - (played - late) / (rows * count)
    return Outcome(total / played * 1000, never, never, 0.0)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--networks", nargs="*", default=("good", "wifi", "stalls"))
    parser.add_argument("--cost", action="store_true", help="CPU time at 1, 100 and 500 calls")
    options = parser.parse_args()
    print(f"{options.rows} calls of {options.seconds} s, seed {options.seed}")
    print("network  buffer     delay ms  never played  concealed  stretched")
    for network in options.networks:
        size = (network, options.rows, options.seconds, options.seed)
        found = {
            "ours": ours(*size),
            "fixed 60": simple(*size, fixed=True),
            "RFC 3550": simple(*size, fixed=False),
        }
        for name, each in found.items():
            print(
                f"{network:8} {name:10} {each.delay_ms:8.1f}  {each.never_played:12.2%}"
                f"  {each.concealed:9.2%}  {each.stretched:9.2%}",
                flush=True,
            )
    if options.cost:
        print(
            "CPU time of put and take, µs a call and tick; xN: in N takes, as the engine's phases"
        )
        sizes = ((1, 1), (100, 1), (500, 1), (100, 4), (500, 4))
        print(f"{'':8} " + " ".join(f"{f'{rows}x{takes}':>8}" for rows, takes in sizes))
        for network in ("good", "wifi"):
            costs = [
                ours(network, rows, 10, options.seed, takes=takes).us_per_frame
                for rows, takes in sizes
            ]
            print(f"{network:8} " + " ".join(f"{cost:8.1f}" for cost in costs), flush=True)


if __name__ == "__main__":
    main()
