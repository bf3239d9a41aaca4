"""Calls with echo for the tests: modulated noise through a short room."""

import numpy as np

FRAME = 160


def speechlike(rng, seconds, rate_hz=8000):
    """Coloured noise that comes in syllables of 100 to 300 ms, about -20 dBov."""
    samples = int(seconds * rate_hz)
    noise = rng.standard_normal(samples + 1)
    noise = noise[1:] + 0.7 * noise[:-1]
    gain = np.zeros(samples)
    at = 0
    while at < samples:
        on = int(rng.uniform(0.1, 0.3) * rate_hz)
        gain[at : at + on] = rng.uniform(0.5, 1.5)
        at += on + int(rng.uniform(0.03, 0.15) * rate_hz)
    return (0.08 * gain * noise).astype(np.float32)


def echo_of(rng, far, delay_ms=40, gain=0.5, rate_hz=8000, drift_ppm=0.0):
    """What comes back: a direct path and 60 ms of decaying room."""
    tail = rng.standard_normal(rate_hz * 6 // 100) * np.exp(-np.arange(rate_hz * 6 // 100) / 100)
    path = np.concatenate([np.zeros(delay_ms * rate_hz // 1000), 0.15 * tail])
    path[delay_ms * rate_hz // 1000] = 1.0
    echo = gain * np.convolve(far, path)[: len(far)]
    if drift_ppm:
        finer = 16
        fine = np.fft.irfft(np.fft.rfft(echo), len(echo) * finer) * finer
        at = np.arange(len(echo)) * (1 - drift_ppm * 1e-6) * finer
        echo = np.interp(at, np.arange(len(fine)), fine)
    return (echo + 0.0005 * rng.standard_normal(len(far))).astype(np.float32)


def run(bank, near, far, rows=None, frozen=None):
    """All frames of (n, samples) through a bank."""
    frame = bank.frame_samples
    if rows is None:
        rows = np.array([bank.open() for _ in near], np.intp)
    blocks = []
    for number, at in enumerate(range(0, near.shape[1], frame)):
        mask = None if frozen is None else frozen(number)
        part = slice(at, at + frame)
        blocks.append(bank.process(near[:, part].copy(), far[:, part].copy(), rows, mask))
    return np.concatenate(blocks, axis=1)


def erle_db(near, out, begin, end, rate_hz=8000):
    part = slice(int(begin * rate_hz), int(end * rate_hz))
    return 10 * np.log10((near[..., part] ** 2).sum() / ((out[..., part] ** 2).sum() + 1e-12))
