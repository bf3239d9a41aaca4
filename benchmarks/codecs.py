"""Codecs: what each costs for 1, 100 and 500 calls, resampling too, and Opus under loss.

Costs are CPU time of one thread, the least of several repeats, in microseconds a call and
frame of 20 ms. G.711, L16, G.722's bank and resampling are done for all calls in one block;
Opus and G.722's other coders call after call, as on a node's calls.

Resampling and pauses: see ``_resampling`` and ``_pauses``. Complexity: what Opus's encoder
costs and gains, without loss and with 10 % of it, at 8 and at 16 kHz.

Loss: speech synthesised by flite at 16 kHz over room tone of -60 dBov, each voice with its
own patterns of random loss. A lost packet is recovered from the next one where that arrived
and carries a copy (in-band FEC, one packet ahead), else concealed by libopus. PESQ-NB
(ITU-T P.862) by the ``pesq`` package, which only this script needs.

    python benchmarks/codecs.py
    python benchmarks/codecs.py --only loss --complexity 9
"""

import argparse
import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _harness import load
from _machine import describe
from _pauses import report as pauses
from _resampling import report as resampling
from trunkline.errors import MissingDependencyError
from trunkline.media import g711, l16
from trunkline.media.codec import G722, Codec
from trunkline.media.g711 import Law
from trunkline.media.g722_bank import G722DecoderBank, G722EncoderBank
from trunkline.media.resample import Resampler, StreamResampler
from trunkline.media.resampled_codec import ResampledCodec
from trunkline.media.wav import parse_wav
from trunkline.speech.g722 import FFmpegG722, LibraryG722, SpandspG722, find_g722
from trunkline.speech.opus import OpusDecoder, OpusEncoder, OpusLibrary, OpusSettings, find_opus

PARTS = ("costs", "resampling", "complexity", "expected", "pauses", "loss")
CALLS = (1, 100, 500)
RATES = (8000, 16_000, 24_000, 48_000)
RATE_HZ, FRAME = 16_000, 320
VOICES = ("slt", "rms", "awb", "kal16")
TEXTS = (
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. "
    "It is easy to tell the depth of a well. These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls. The juice of lemons makes fine punch. "
    "The box was thrown beside the parked truck. The hogs were fed chopped corn and garbage.",
)
"""Sentences of the Harvard lists, which nothing here was tuned on."""

Work = Callable[[], object]


def cost_us(work: Work, calls: int) -> float:
    """Least CPU time of a frame of one of so many calls."""
    work()
    best = float("inf")
    for _ in range(5):
        count, begun = 0, time.thread_time()
        while (spent := time.thread_time() - begun) < 0.03:
            work()
            count += 1
        best = min(best, spent / count)
    return best * 1e6 / calls


def noise(rows: int, samples: int) -> NDArray[np.int16]:
    return np.random.default_rng(1).normal(0, 2000, (rows, samples)).astype(np.int16)


def batched(rows: int) -> dict[str, tuple[Work, Work]]:
    """Encoding and decoding one frame of all rows."""
    pcm8, pcm16, index = noise(rows, 160), noise(rows, 320), np.arange(rows)
    encoders, decoders = G722EncoderBank(rows), G722DecoderBank(rows)
    for _ in range(rows):
        encoders.open()
        decoders.open()
    ulaw, codes = g711.encode(pcm8, Law.ULAW), encoders.process(pcm16, index)
    linear = l16.encode(pcm16)
    return {
        "G.711": (lambda: g711.encode(pcm8, Law.ULAW), lambda: g711.decode(ulaw, Law.ULAW)),
        "L16, 16 kHz": (lambda: l16.encode(pcm16), lambda: l16.decode(linear)),
        "G.722, bank": (
            lambda: encoders.process(pcm16, index),
            lambda: decoders.process(codes, index),
        ),
    }


def singly() -> dict[str, Codec]:
    """G.722's coders of one call, those that are installed."""
    found: dict[str, Codec] = {}
    for name, make in (("FFmpeg", FFmpegG722), ("spandsp", SpandspG722)):
        with contextlib.suppress(MissingDependencyError):
            found[f"G.722, {name}"] = LibraryG722(make())
    return found | {"G.722, ours": G722()}


def single_work(codec: Codec) -> tuple[Work, Work]:
    """One frame of noise, again and again."""
    encoder, decoder = codec.encoder(), codec.decoder()
    pcm = noise(1, codec.rate_hz // 50)[0]
    payload = encoder.encode(pcm)
    return lambda: encoder.encode(pcm), lambda: decoder.decode(payload)


def opus_work(library: OpusLibrary, rate_hz: int, settings: OpusSettings) -> tuple[Work, Work]:
    """A hundred frames of speech-like sound in turn, one a call."""
    encoder, decoder = OpusEncoder(library, rate_hz, settings), OpusDecoder(library, rate_hz)
    frames = np.tile(spoken(VOICES[0], TEXTS[0]), 4)[: 100 * FRAME]
    resampler = StreamResampler(RATE_HZ, rate_hz)
    pcm = np.concatenate([resampler.push(frames), resampler.flush()]).reshape(100, -1)
    payloads = [encoder.encode(frame) for frame in pcm]
    at = iter(np.tile(np.arange(100), 1_000_000 // 100))
    return lambda: encoder.encode(pcm[next(at)]), lambda: decoder.decode(payloads[next(at)])


def costs(library: OpusLibrary | None, settings: OpusSettings) -> None:
    print("\nmicroseconds of CPU a call and 20 ms, encode / decode")
    found: dict[str, list[str]] = {}
    for rows in CALLS:
        for name, (encode, decode) in batched(rows).items():
            found.setdefault(name, []).append(
                f"{cost_us(encode, rows):.2f} / {cost_us(decode, rows):.2f}"
            )
    for name, cells in found.items():
        row = ", ".join(f"{n}: {cell}" for n, cell in zip(CALLS, cells, strict=True))
        print(f"  {name:24} {row}")
    for name, codec in singly().items():
        for each, on in ((codec, ""), (ResampledCodec(codec), " at 8 kHz")):
            encode, decode = single_work(each)
            print(f"  {name + on:24} any: {cost_us(encode, 1):.1f} / {cost_us(decode, 1):.1f}")
    if library is not None:
        for rate_hz in (8000, 16_000, 48_000):
            encode, decode = opus_work(library, rate_hz, settings)
            name = f"Opus, {rate_hz // 1000} kHz"
            print(f"  {name:24} any: {cost_us(encode, 1):.1f} / {cost_us(decode, 1):.1f}")
    print("resampling")
    for from_hz in RATES:
        for to_hz in RATES:
            if from_hz != to_hz:
                print(f"  {from_hz // 1000:2} to {to_hz // 1000:2} kHz", end="")
                print("".join(f"  {n}: {resampling_us(from_hz, to_hz, n):.2f}" for n in CALLS))


def resampling_us(from_hz: int, to_hz: int, rows: int) -> float:
    bank = Resampler(from_hz, to_hz, capacity=rows)
    index = np.array([bank.open() for _ in range(rows)])
    block = noise(rows, bank.frame_in)
    return cost_us(lambda: bank.process(block, index), rows)


@cache
def spoken(voice: str, text: str) -> NDArray[np.int16]:
    """Speech at 16 kHz, -26 dBov while it lasts, with room tone, in whole frames."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        command = ["flite", "-voice", voice, "-t", text, "-o", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        wav = parse_wav(path.read_bytes())
    resampler = StreamResampler(wav.rate_hz, RATE_HZ)
    pcm = np.concatenate([resampler.push(wav.mono()), resampler.flush()]).astype(np.float64)
    active = pcm[np.abs(pcm) > 300]
    pcm *= 32768 * 10 ** (-26 / 20) / np.sqrt(np.mean(active**2))
    pcm = np.pad(pcm, (FRAME * 10, FRAME * 10 + -pcm.size % FRAME))
    pcm += np.random.default_rng(7).normal(0, 32768 * 10 ** (-60 / 20), pcm.size)
    return np.clip(np.rint(pcm), -32768, 32767).astype(np.int16)


def relayed(
    pcm: NDArray[np.int16],
    lost: NDArray[np.bool_],
    library: OpusLibrary,
    settings: OpusSettings,
    *,
    copies: bool,
) -> tuple[NDArray[np.int16], float]:
    """What is heard of it, and bits a second; ``lost`` has one for each 20 ms."""
    frame = pcm.size // lost.size
    encoder = OpusEncoder(library, 50 * frame, settings)
    decoder = OpusDecoder(library, 50 * frame)
    payloads = [encoder.encode(part) for part in pcm.reshape(-1, frame)]
    heard = []
    for number, payload in enumerate(payloads):
        if not lost[number]:
            heard.append(decoder.decode(payload))
            continue
        after = number + 1
        there = copies and after < len(payloads) and not lost[after]
        copy = decoder.recover(payloads[after], frame) if there else None
        heard.append(decoder.conceal(frame) if copy is None else copy)
    return np.concatenate(heard), 400 * float(np.mean([len(payload) for payload in payloads]))


def loss(library: OpusLibrary, settings: OpusSettings, rates: list[float], seeds: int) -> None:
    from pesq import pesq

    clips = [spoken(voice, text) for voice in VOICES for text in TEXTS]
    seconds = sum(clip.size for clip in clips) / RATE_HZ
    print(f"\nOpus under random loss: {library.version}, 16 kHz, {settings}")
    print(f"material: {len(clips)} clips, {seconds:.0f} s, flite {'/'.join(VOICES)}, synthetic,")
    print(f"  -26 dBov, room tone -60 dBov; {seeds} patterns each; PESQ-NB, mean (least)")
    for percent in rates:
        for copies in (False, True):
            scores, bitrates = [], []
            for index, clip in enumerate(clips):
                for seed in range(seeds):
                    rng = np.random.default_rng(1000 * seed + index)
                    lost = rng.random(clip.size // FRAME) < percent / 100
                    heard, bitrate = relayed(clip, lost, library, settings, copies=copies)
                    scores.append(pesq(RATE_HZ, clip, heard, "nb"))
                    bitrates.append(bitrate)
            how = "FEC, one packet ahead" if copies else "its concealment alone"
            print(
                f"  {percent:4.0f} % lost, {how:22} {np.mean(scores):.2f} ({min(scores):.2f}), "
                f"{np.mean(bitrates) / 1000:.1f} kbit/s"
            )


def quality(library: OpusLibrary, rate_hz: int, settings: OpusSettings, percent: float) -> float:
    """Mean PESQ-NB of the clips at a rate, under random loss, with FEC one packet ahead."""
    from pesq import pesq

    scores = []
    for index, clip in enumerate(spoken(voice, text) for voice in VOICES for text in TEXTS):
        resampler = StreamResampler(RATE_HZ, rate_hz)
        pcm = np.concatenate([resampler.push(clip), resampler.flush()])
        chance = np.random.default_rng(index).random(pcm.size // (rate_hz // 50))
        heard = relayed(pcm, chance < percent / 100, library, settings, copies=True)[0]
        scores.append(pesq(rate_hz, pcm, heard, "nb"))
    return float(np.mean(scores))


def complexity(library: OpusLibrary, bitrate: int, levels: list[int]) -> None:
    """What the encoder costs and gains, by complexity."""
    print(f"\nOpus by complexity: {library.version}, {bitrate} bit/s, the clips of the loss table;")
    print("  encoder us / decoder us a frame, PESQ-NB without loss / with 10 %, FEC one ahead")
    for rate_hz in (8000, RATE_HZ):
        for level in levels:
            plain = OpusSettings(bitrate=bitrate, complexity=level, expected_loss_percent=0)
            spent = [cost_us(work, 1) for work in opus_work(library, rate_hz, plain)]
            nothing = quality(library, rate_hz, plain, 0)
            some = quality(library, rate_hz, replace(plain, expected_loss_percent=10), 10)
            print(
                f"  {rate_hz // 1000:2} kHz, {level:2}: {spent[0]:4.0f} / {spent[1]:.0f}, "
                f"{nothing:.2f} / {some:.2f}"
            )


def expected(library: OpusLibrary, settings: OpusSettings) -> None:
    """What it is worth to know how much is lost: the steps that ``fec = "auto"`` follows."""
    print(f"\nOpus by the loss it expects: {library.version}, the clips of the loss table;")
    print("  PESQ-NB at 0 / 2 / 10 % of random loss, FEC one ahead")
    for rate_hz in (8000, RATE_HZ):
        for percent in (0, 2, 10, 20):
            told = replace(settings, expected_loss_percent=percent)
            found = [f"{quality(library, rate_hz, told, lost):.2f}" for lost in (0, 2, 10)]
            print(f"  {rate_hz // 1000:2} kHz, {percent:2} % expected: {' / '.join(found)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--opus", default="", help="path of a libopus")
    parser.add_argument("--bitrate", type=int, default=24_000)
    parser.add_argument("--complexity", type=int, default=5)
    parser.add_argument("--complexities", type=int, nargs="+", default=[1, 3, 5, 9, 10])
    parser.add_argument("--expected-loss", type=int, default=10, help="percent, for the encoder")
    parser.add_argument("--loss", type=float, nargs="+", default=[0.0, 10.0], help="percent")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    print(describe())
    print(load())
    library = find_opus(options.opus)
    print("opus:", library.version if library else "no libopus found")
    g722 = find_g722()
    print("g722:", g722.name if g722 else "no library found")
    settings = OpusSettings(
        bitrate=options.bitrate,
        complexity=options.complexity,
        expected_loss_percent=options.expected_loss,
    )
    parts = (options.only,) if options.only else PARTS
    if "costs" in parts:
        costs(library, settings)
    if "resampling" in parts:
        resampling()
    if "complexity" in parts and library is not None:
        complexity(library, options.bitrate, options.complexities)
    if "expected" in parts and library is not None:
        expected(library, settings)
    if "pauses" in parts and library is not None:
        clip = np.concatenate([spoken(VOICES[0], text) for text in TEXTS])
        pauses(StreamResampler(RATE_HZ, 8000).push(clip), library, replace(settings, dtx=True))
    if "loss" in parts and library is not None:
        loss(library, settings, options.loss, options.seeds)


if __name__ == "__main__":
    main()
