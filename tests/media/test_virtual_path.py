"""The audio path in virtual time: what goes in comes out, and it is told what happened."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media import g711
from trunkline.media.codec import G711, G722, L16
from trunkline.media.echo import create_echo
from trunkline.media.g711 import Law
from trunkline.media.jitter import JitterSettings, Kind
from trunkline.media.network_pattern import NetworkPattern
from trunkline.media.noise import NoiseSettings, noise_stage
from trunkline.media.stage import Bypass
from trunkline.media.virtual_path import CODECS, VirtualPath, codec_delay_samples, codec_named

from .echo_calls import echo_of, speechlike


def speech(seconds: float = 3.0, rate_hz: int = 8000, seed: int = 1):
    made = speechlike(np.random.default_rng(seed), seconds, rate_hz)
    return (np.clip(made, -0.9, 0.9) * 32767).astype(np.int16)


def test_a_good_network_gives_back_what_the_codec_leaves() -> None:
    pcm = speech()
    run = VirtualPath().run(pcm)
    through = g711.decode(g711.encode(pcm, Law.ULAW), Law.ULAW)
    played = np.repeat(run.kinds == Kind.PLAYED, run.frame_samples)
    np.testing.assert_array_equal(run.received[played], run.aligned(through)[played])
    assert np.count_nonzero(played) > 0.97 * len(pcm)
    np.testing.assert_array_equal(run.output, run.received)


def test_linear_audio_is_bit_exact_without_stages() -> None:
    pcm = speech(rate_hz=16000)
    run = VirtualPath(16000).run(pcm)
    played = np.repeat(run.kinds == Kind.PLAYED, run.frame_samples)
    np.testing.assert_array_equal(run.received[played], run.aligned(pcm)[played])


@pytest.mark.parametrize(("name", "rate_hz"), [("g722", 16000), ("l16", 16000)])
def test_a_codec_with_a_delay_is_compared_at_the_right_place(name: str, rate_hz: int) -> None:
    pcm = speech(rate_hz=rate_hz)
    run = VirtualPath(rate_hz, codec_named(name, rate_hz)).run(pcm)
    played = np.repeat(run.kinds == Kind.PLAYED, run.frame_samples)
    sent = run.aligned(pcm)[played].astype(np.float64)
    heard = run.received[played].astype(np.float64)
    alike = [float(np.roll(sent, shift) @ heard) for shift in (-2, -1, 0, 1, 2)]
    assert np.argmax(alike) == 2


def test_the_delay_of_codecs_is_measured() -> None:
    assert codec_delay_samples(G711()) == codec_delay_samples(L16(16000)) == 0
    assert codec_delay_samples(G722()) in (21, 22, 23)  # the two halves of its filter bank


class Marked:
    """A codec whose decoder tells a loss, and makes a tone of it."""

    name, rate_hz, rtp_clock_hz, channels = "MARKED", 8000, 48000, 1

    def samples(self, payload: bytes) -> int:
        return len(payload) // 2

    def quiet(self, payload: bytes) -> bool:
        return False

    def encoder(self):
        return L16(8000).encoder()

    def decoder(self):
        plain = L16(8000).decoder()

        class Decoder:
            decode, recover, close = plain.decode, plain.recover, plain.close

            def conceal(self, samples: int):
                return np.full(samples, 1234, np.int16)

        return Decoder()


def test_a_codec_conceals_what_it_lost_by_itself() -> None:
    run = VirtualPath(8000, Marked(), NetworkPattern(0.1, seed=2)).run(speech())
    lost = np.isnan(run.network_ms).sum() * run.frame_samples
    assert np.count_nonzero(run.received == 1234) >= 0.8 * lost > 0


def test_the_same_network_gives_the_same_bits() -> None:
    pcm = speech()
    path = VirtualPath(network=NetworkPattern(0.1, 2, 30))
    one, other = path.run(pcm), path.run(pcm)
    np.testing.assert_array_equal(one.output, other.output)
    np.testing.assert_array_equal(one.positions, other.positions)


def test_losses_are_concealed_and_counted() -> None:
    run = VirtualPath(network=NetworkPattern(0.2, seed=3)).run(speech())
    lost = int(np.isnan(run.network_ms).sum())
    assert lost > 10
    assert run.statistics.lost <= lost
    assert np.count_nonzero(run.kinds == Kind.CONCEALED) == run.statistics.concealed_frames
    # Once the delay was changed by a pitch period, a packet is in two frames.
    assert lost - 3 <= run.statistics.concealed_frames <= 2 * lost


def test_positions_go_on_to_the_end() -> None:
    pcm = speech()
    run = VirtualPath(network=NetworkPattern(0.1, jitter_ms=20)).run(pcm)
    playing = run.positions[run.kinds != Kind.SILENT]
    assert (playing >= 0).all()
    assert (np.diff(playing) >= 0).all()
    assert playing[-1] >= len(pcm) - 3 * run.frame_samples
    assert (run.positions[run.kinds == Kind.SILENT] == -1).all()


def test_a_network_that_loses_all_gives_silence_and_ends() -> None:
    run = VirtualPath(network=NetworkPattern(1.0)).run(speech(1))
    assert not run.output.any()
    assert (run.kinds == Kind.SILENT).all()
    assert not run.aligned(speech(1)).any()


def test_jitter_makes_the_delay_wanted_grow() -> None:
    calm = VirtualPath().run(speech())
    rough = VirtualPath(network=NetworkPattern(jitter_ms=40)).run(speech())
    assert rough.target_ms[-1] > calm.target_ms[-1] + 20
    assert rough.delay_ms[-1] > calm.delay_ms[-1]


def test_the_echo_of_the_far_end_is_taken_away() -> None:
    rng = np.random.default_rng(4)
    far = speechlike(rng, 6)
    near = echo_of(rng, far)
    path = VirtualPath(echo=create_echo("kalman", 8000, capacity=1))
    pcm, sent = ((audio * 32767).astype(np.int16) for audio in (near, far))
    run = path.run(pcm, sent)
    # The delay's first change moves the echo, which is found again by then.
    end = slice(40_000, 48_000)
    left = run.output_in_time()[end].astype(float)
    assert (left**2).sum() < 0.1 * (run.received[end].astype(float) ** 2).sum()
    np.testing.assert_array_equal(run.far[: len(sent)], sent)


def test_stages_delay_is_told_and_can_be_taken_out() -> None:
    noise = noise_stage(8000, NoiseSettings(strength=0.0), 1)
    run = VirtualPath(noise=noise).run(speech())
    assert run.delay_samples == noise.delay_samples > 0
    inside = slice(800, -800)
    difference = run.output_in_time()[inside].astype(int) - run.received[inside]
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("name", CODECS)
def test_every_codec_goes_through(name: str) -> None:
    rate_hz = 16000 if name in ("g722", "l16") else 8000
    codec = codec_named(name, rate_hz)
    run = VirtualPath(rate_hz, codec).run(speech(1, rate_hz))
    assert run.received.any()


def test_a_decoder_with_a_memory_never_sees_what_was_lost() -> None:
    pcm = speech(2, 16000)
    network = NetworkPattern(0.3, seed=2)
    run = VirtualPath(16000, codec_named("g722", 16000), network).run(pcm)
    whole = VirtualPath(16000, codec_named("g722", 16000)).run(pcm)
    lost = np.isnan(run.network_ms)
    first = int(lost.argmax())
    after = run.positions // run.frame_samples > first + 2
    played = after & (run.kinds == Kind.PLAYED)
    at = {int(one): tick for tick, one in enumerate(whole.positions.tolist())}
    same = [
        (run.received.reshape(-1, 320)[tick] == whole.received.reshape(-1, 320)[at[place]]).all()
        for tick, place in enumerate(run.positions.tolist())
        if played[tick] and place in at
    ]
    assert same
    assert not all(same)


def test_stages_begin_afresh_in_each_run() -> None:
    noise, echo = noise_stage(8000, capacity=1), create_echo("kalman", 8000, capacity=1)
    path = VirtualPath(echo=echo, noise=noise)
    one, other = (path.run(speech(1), speech(1, seed=2)) for _ in range(2))
    np.testing.assert_array_equal(one.output, other.output)


def test_a_codec_that_is_not_known_or_of_another_rate_is_refused() -> None:
    with pytest.raises(UsageError, match="pcmu, pcma, g722, l16"):
        codec_named("gsm", 8000)
    with pytest.raises(UsageError, match="8000"):
        codec_named("pcmu", 16000)
    with pytest.raises(UsageError):
        codec_named("l16", 11025)


@pytest.mark.parametrize(
    "parts", [{"codec": L16(16000)}, {"noise": Bypass(16000, 1)}, {"rate_hz": 16000, "noise": 1}]
)
def test_parts_of_another_rate_are_refused(parts: dict) -> None:
    if parts.get("noise") == 1:
        parts = {"rate_hz": 16000, "noise": Bypass(8000, 1)}
    with pytest.raises(UsageError, match="a part of the path"):
        VirtualPath(**parts)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros(0, np.int16), np.zeros(100, np.float32), np.zeros((2, 100), np.int16)],
)
def test_what_is_no_audio_is_refused(wrong) -> None:
    with pytest.raises(UsageError):
        VirtualPath().run(wrong)


def test_a_far_end_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError):
        VirtualPath().run(speech(1), np.zeros(100, np.float32))


@settings(max_examples=25)
@given(
    st.integers(1, 4000),
    st.floats(0, 1),
    st.floats(1, 20),
    st.floats(0, 300),
    st.integers(0, 99),
    st.sampled_from(["pitch", "simple", "silence"]),
)
def test_any_length_through_any_network_ends_and_keeps_its_books(
    length, loss, burst, jitter, seed, concealment
) -> None:
    pcm = np.full(length, -32768, np.int16)
    network = NetworkPattern(loss, burst, jitter, seed)
    run = VirtualPath(network=network, jitter=JitterSettings(concealment=concealment)).run(pcm)
    ticks = len(run.kinds)
    assert len(run.output) == len(run.received) == len(run.far) == ticks * run.frame_samples
    assert len(run.delay_ms) == len(run.target_ms) == len(run.positions) == ticks
    assert len(run.aligned(pcm)) == len(run.received)
