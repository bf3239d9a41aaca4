"""A call's quality in plain words, from the flat numbers of its record."""

from collections.abc import Iterator, Mapping

__all__ = ["quality_lines"]

FRAME_SECONDS = 0.02


def quality_lines(
    quality: Mapping[str, float | None], talked_seconds: float
) -> list[tuple[str, str]]:
    """What there is to say, as (name, words); numbers that are missing are passed over."""
    known = {name: value for name, value in quality.items() if value is not None}
    return list(_lines(known, talked_seconds))


def _lines(known: Mapping[str, float], talked_seconds: float) -> Iterator[tuple[str, str]]:
    if "mos" in known:
        yield "score", _score(known)
    yield from _alarms(known)
    if "received" in known:
        yield "packets", _packets(known)
    if known.get("bursts"):
        yield "bursts", _bursts(known)
    if "jitter_ms" in known:
        yield "jitter", f"{known['jitter_ms']:.1f} ms between packets"
    if "clock_drift_ppm" in known and abs(known["clock_drift_ppm"]) >= 10:
        fast = "fast" if known["clock_drift_ppm"] > 0 else "slow"
        yield "clock", f"theirs runs {abs(known['clock_drift_ppm']):.0f} ppm {fast}"
    for way, name in (("in", "their sound"), ("out", "our sound")):
        if f"silence_{way}" in known:
            yield name, _sound(known, way)
    if "rtt_ms" in known:
        yield "round trip", f"{known['rtt_ms']:.1f} ms to the other end and back"
    if "delay_ms" in known:
        aim = f"; it aims at {known['target_ms']:.0f} ms" if "target_ms" in known else ""
        yield "delay", f"{max(0.0, known['delay_ms']):.0f} ms in the jitter buffer{aim}"
    if "concealed_frames" in known:
        yield "concealed", _concealed(known["concealed_frames"] * FRAME_SECONDS, talked_seconds)
    if "erle_db" in known:
        yield "echo", _echo(known)
    if "noise_dbov" in known:
        yield "noise", f"{known['noise_dbov']:.0f} dBov on the line"
    if known.get("chain_mended"):
        yield "faults", f"a stage of the audio path began anew {known['chain_mended']:.0f} times"
    if "remote_loss" in known:
        yield "other end", _remote(known)


def _score(known: Mapping[str, float]) -> str:
    words = f"MOS {known['mos']:.1f} (R {known['r']:.0f})" if "r" in known else ""
    if "mos_worst" in known:
        words += f", {known['mos_worst']:.1f} at the worst"
    if "mos_out" in known:
        words += f"; what they heard: {known['mos_out']:.1f}"
    return words


ALARMS = {
    "one-way": "a direction was dead",
    "poor": "the quality was poor",
    "clipping": "the sound was clipped",
    "silence": "nothing but silence came",
}


def _alarms(known: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    told = []
    for kind, words in ALARMS.items():
        count = known.get(f"alarms_{kind}", 0)
        if count:
            told.append(words if count == 1 else f"{words} {count:.0f} times")
    early = known.get("media_ended_early_seconds")
    if early:
        told.append(f"media ended {early:.1f} s before the call")
    if told:
        yield "alarms", "; ".join(told)


def _bursts(known: Mapping[str, float]) -> str:
    count = known["bursts"]
    return (
        f"{count:.0f}, of {known.get('burst_ms', 0):.0f} ms, with"
        f" {known.get('burst_density', 0):.0%} lost in them and"
        f" {known.get('gap_density', 0):.1%} between them"
    )


def _sound(known: Mapping[str, float], way: str) -> str:
    words = []
    if f"speech_{way}_dbov" in known:
        words.append(f"speech at {known[f'speech_{way}_dbov']:.0f} dBov")
    if f"noise_{way}_dbov" in known:
        words.append(f"noise at {known[f'noise_{way}_dbov']:.0f}")
    words.append(f"{known[f'silence_{way}']:.0%} silence")
    if known.get(f"clipped_{way}"):
        words.append(f"{known[f'clipped_{way}']:.1%} clipped")
    return ", ".join(words)


def _packets(known: Mapping[str, float]) -> str:
    received = known["received"]
    words = [f"{received:,.0f} received"]
    for name, word in (("lost", "lost"), ("late", "too late")):
        if name in known:
            words.append(_share(known[name], received + known.get("lost", 0.0), word))
    words += [
        f"{known[name]:.0f} {word}"
        for name, word in (("duplicate", "twice"), ("reordered", "out of order"))
        if known.get(name)
    ]
    if "packets_sent" in known:
        words.append(f"{known['packets_sent']:,.0f} sent")
    return ", ".join(words)


def _share(count: float, of: float, word: str) -> str:
    if not count:
        return f"none {word}"
    return f"{count:.0f} {word} ({count / of:.1%})" if of else f"{count:.0f} {word}"


def _concealed(seconds: float, talked_seconds: float) -> str:
    if not seconds:
        return "nothing: no gap had to be filled"
    share = f" ({seconds / talked_seconds:.1%} of the call)" if talked_seconds else ""
    return f"{seconds:.2f} s of gaps were filled with made-up sound{share}"


def _echo(known: Mapping[str, float]) -> str:
    if known["erle_db"] < 3:  # less is chance
        return "none found"
    words = f"{known['erle_db']:.0f} dB taken out"
    if "echo_delay_ms" in known:
        words += f", {known['echo_delay_ms']:.0f} ms or more after it was sent"
    return words


def _remote(known: Mapping[str, float]) -> str:
    words = f"saw {known['remote_loss']:.1%} loss"
    if "remote_jitter_ms" in known:
        words += f" and {known['remote_jitter_ms']:.1f} ms of jitter"
    return words
