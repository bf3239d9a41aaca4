"""Our MOS against PESQ: do both put the same calls in the same order?

Speech in G.711 over a link with losses of a given share and mean length (`NetworkPattern`),
through the jitter buffer with its concealment, as a leg has it. The score is what the quality
bank makes of the packets, the E-model's MOS for listening; PESQ is of what was heard, against
what was sent at the same samples. The figure is Spearman's rank correlation over the grid.

    python benchmarks/quality.py [--quick]

Recorded prompts (`_recordings`), development and held out, where they are installed, or else
flite's voices. Needs the package pesq (0.0.4).
"""

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pesq import pesq

from _machine import describe
from _recordings import DEVELOPMENT, HELD_OUT, missing
from concealment import DEV_TEXTS, prompts, speak
from trunkline.media.g711 import Law, encode
from trunkline.media.jitter import JitterBank, Kind
from trunkline.media.network_pattern import NetworkPattern
from trunkline.media.quality_bank import QualityBank
from trunkline.media.quality_score import score

RATE_HZ, FRAME, TICK = 8000, 160, 0.02
SHARES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2)
BURSTS = (1.0, 1.5, 2.0, 3.0, 5.0)
LEAST_SECONDS = 8.0

Pcm = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Heard:
    """One call."""

    mos: float
    pesq: float
    loss: float
    """Of the packets, as measured."""


def call(pcm: Pcm, link: NetworkPattern) -> Heard:
    """Send speech over a link, and judge it both ways."""
    jitter = JitterBank(RATE_HZ, capacity=1)
    quality = QualityBank(RATE_HZ, jitter, capacity=1)
    row = jitter.open(Law.ULAW)
    own, rows = np.array([quality.open(row)]), np.array([row])
    coded = encode(pcm, Law.ULAW).tobytes()
    packets = len(pcm) // FRAME
    delays = link.delays_ms(packets)
    sent, heard = [], []
    for tick in range(packets + 10):
        now = tick * TICK
        if tick < packets and not np.isnan(delays[tick]):
            data = coded[tick * FRAME : (tick + 1) * FRAME]
            jitter.put(row, tick, tick * FRAME, 1, False, data, now)
        position = int(jitter.positions(rows)[0]) + first_sample(delays)
        taken = jitter.take(rows, now)
        if taken.kind[0] != Kind.SILENT and 0 <= position <= len(pcm) - FRAME:
            heard.append(taken.pcm[0].copy())
            sent.append(pcm[position : position + FRAME])
        if tick % 50 == 0:
            quality.settle(own, now)
    found = quality.stream(int(own[0]), last=True).pattern
    judged = score("PCMU", found.loss, found.burst_ratio, 0.0)
    value = float(pesq(RATE_HZ, np.concatenate(sent), np.concatenate(heard), "nb"))
    return Heard(judged.mos_listening, value, found.loss)


def first_sample(delays: NDArray[np.float64]) -> int:
    """Of the first packet that came: the bank's positions begin there."""
    return int(np.flatnonzero(~np.isnan(delays))[0]) * FRAME


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0; equal values share the mean of theirs."""
    found = np.empty(len(values))
    for value in np.unique(values):
        where = values == value
        found[where] = np.mean(np.flatnonzero(np.sort(values) == value))
    return found


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def material(names: tuple[str, ...], quick: bool) -> list[Pcm]:
    """Clips of 8 s and more, of prompts one after the other; synthetic ones without those."""
    clips: list[Pcm] = []
    pieces: list[Pcm] = []
    found = [speak("flite slt", text) for text in DEV_TEXTS] if missing() else prompts(names)
    for pcm in found:
        pieces.append(pcm)
        if sum(map(len, pieces)) >= LEAST_SECONDS * RATE_HZ:
            clips.append(np.concatenate(pieces))
            pieces = []
    return clips[:2] if quick else clips


def grid(clips: list[Pcm], seeds: int, seed: int) -> list[list[list[Heard]]]:
    """Calls by share and burst."""
    return [
        [
            [
                call(pcm, NetworkPattern(loss=share, burst=burst, seed=seed + 100 * n + each))
                for n, pcm in enumerate(clips)
                for each in range(seeds)
            ]
            for burst in BURSTS
        ]
        for share in SHARES
    ]


def show(name: str, found: list[list[list[Heard]]]) -> None:
    """One table, and the figures."""
    print(f"{name}: MOS of ours / PESQ, mean; a line a share, a column a mean burst of packets")
    print(f"{'':6}" + "".join(f"{burst:>12g}" for burst in BURSTS))
    mine, theirs = [], []
    for share, line in zip(SHARES, found, strict=True):
        cells = []
        for calls in line:
            mine.append(np.mean([one.mos for one in calls]))
            theirs.append(np.mean([one.pesq for one in calls]))
            cells.append(f"{mine[-1]:6.2f}/{theirs[-1]:.2f} ")
        print(f"{share:6.1%}" + " ".join(cells))
    every = [one for line in found for calls in line for one in calls]
    each = spearman(np.array([c.mos for c in every]), np.array([c.pesq for c in every]))
    print(
        f"rank correlation over the {len(mine)} points of the grid: "
        f"{spearman(np.array(mine), np.array(theirs)):.3f}; over {len(every)} calls: {each:.3f}",
        flush=True,
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two clips of the development set")
    options = parser.parse_args()
    print(describe())
    print(missing() or "recorded prompts by one speaker, -26 dBov, mu-law, 20 ms a packet")
    sets = (("development", DEVELOPMENT, 1),) + (
        () if options.quick or missing() else (("held out", HELD_OUT, 5000),)
    )
    for name, names, seed in sets:
        clips = material(names, options.quick)
        show(f"{name}, {len(clips)} clips", grid(clips, 1 if options.quick else 2, seed))


if __name__ == "__main__":
    main()
