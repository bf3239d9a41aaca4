"""G.722 by libraries: the bits of our own coder, and no trouble with anything else."""

import gc
import sys
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.media.codec import G722, Codec
from trunkline.media.errors import MalformedAudioError
from trunkline.speech import g722 as module
from trunkline.speech.g722 import FFmpegG722, LibraryG722, SpandspG722, find_g722

FRAME = 320


def made(kind: Any) -> LibraryG722:
    try:
        return LibraryG722(kind())
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(params=[FFmpegG722, SpandspG722], ids=["FFmpeg", "spandsp"])
def codec(request: pytest.FixtureRequest) -> LibraryG722:
    return made(request.param)


@pytest.fixture
def spandsp() -> LibraryG722:
    return made(SpandspG722)


def sound(loudest: int = 9000, frames: int = 60) -> NDArray[np.int16]:
    """(frames, 20 ms) of everything: tones, noise, steps, silence."""
    rng, at = np.random.default_rng(1), np.arange(frames * FRAME)
    swept = loudest * np.sin(at * at * 2e-6) * np.abs(np.sin(at / 3000))
    noisy = swept + rng.normal(0, loudest / 10, at.size)
    noisy[5 * FRAME : 8 * FRAME] = 0
    noisy[9 * FRAME : 10 * FRAME] = loudest
    return noisy.clip(-32768, 32767).astype(np.int16).reshape(frames, FRAME)


def test_they_are_codecs_like_any_other(codec: LibraryG722) -> None:
    given: Codec = codec
    ours = G722()
    for what in ("name", "rate_hz", "rtp_clock_hz", "channels"):
        assert getattr(given, what) == getattr(ours, what)
    assert given.samples(bytes(160)) == 320
    assert codec == LibraryG722(type(codec.library)())  # so that an agreement is seen not to change
    assert codec.library.name.startswith(("FFmpeg", "spandsp"))


def test_their_bits_are_ours(codec: LibraryG722) -> None:
    theirs, ours = codec.encoder(), G722().encoder()
    there, here = codec.decoder(), G722().decoder()
    for frame in sound():
        payload = theirs.encode(frame)
        assert payload == ours.encode(frame)
        assert np.array_equal(there.decode(payload), here.decode(payload))


@settings(max_examples=60, deadline=None)
@given(payloads=st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=6))
def test_ffmpeg_hears_any_bytes_at_all_as_we_do(payloads: list[bytes]) -> None:
    there, here = made(FFmpegG722).decoder(), G722().decoder()
    for payload in payloads:
        assert np.array_equal(there.decode(payload), here.decode(payload))


def test_beyond_full_scale_ffmpeg_still_decodes_our_bits() -> None:
    loud = np.where(np.arange(FRAME * 20) // 40 % 2, 32767, -32768).astype(np.int16)
    encoder, here, there = G722().encoder(), G722().decoder(), made(FFmpegG722).decoder()
    for frame in loud.reshape(-1, FRAME):
        payload = encoder.encode(frame)
        assert np.array_equal(there.decode(payload), here.decode(payload))


def test_garbage_is_refused_or_decoded_and_the_call_goes_on(codec: LibraryG722) -> None:
    decoder, rng = codec.decoder(), np.random.default_rng(2)
    for _ in range(300):
        payload = rng.bytes(int(rng.integers(1, 960)))
        assert decoder.decode(payload).shape == (2 * len(payload),)
    for payload in (b"", bytes(961), bytes(100_000)):
        with pytest.raises(MalformedAudioError):
            decoder.decode(payload)
    assert decoder.decode(bytes(160)).shape == (320,)


def test_losses_are_the_jitter_buffers(codec: LibraryG722) -> None:
    decoder, encoder = codec.decoder(), codec.encoder()
    assert decoder.conceal(320) is None and decoder.recover(bytes(160), 320) is None
    encoder.expect_loss(30.0)
    assert len(encoder.encode(sound()[0])) == 160


@pytest.mark.parametrize(
    "wrong", [np.zeros(320), np.zeros((2, 160), np.int16), np.zeros(321, np.int16)], ids=str
)
def test_what_is_no_audio_is_refused(codec: LibraryG722, wrong: Any) -> None:
    with pytest.raises(UsageError, match="takes one row of int16"):
        codec.encoder().encode(wrong)


def test_audio_may_be_a_view_of_something_larger(codec: LibraryG722) -> None:
    spread = np.zeros(2 * FRAME, np.int16)
    spread[::2] = sound()[20]
    assert codec.encoder().encode(spread[::2]) == G722().encoder().encode(sound()[20])


def test_several_frames_at_once_are_those_frames(codec: LibraryG722) -> None:
    together = codec.encoder().encode(sound().reshape(-1))
    encoder = codec.encoder()
    assert together == b"".join(encoder.encode(frame) for frame in sound())


def test_legs_share_nothing(codec: LibraryG722) -> None:
    alone, first, second = (codec.encoder() for _ in range(3))
    expected = [alone.encode(frame) for frame in sound()]
    for frame, payload in zip(sound(), expected, strict=True):
        second.encode(frame[::-1].copy())
        assert first.encode(frame) == payload


def test_a_closed_coder_can_be_closed_again(codec: LibraryG722) -> None:
    for coder in (codec.encoder(), codec.decoder()):
        coder.close()
        coder.close()


def test_a_closed_spandsp_refuses_and_a_forgotten_one_is_freed(spandsp: LibraryG722) -> None:
    encoder: Any = spandsp.encoder()
    encoder.close()
    with pytest.raises(UsageError, match="closed"):
        encoder.encode(sound()[0])
    decoder: Any = spandsp.decoder()
    freed, gone = decoder._free, weakref.ref(decoder)
    del decoder
    gc.collect()
    assert gone() is None and not freed.alive


def test_ffmpeg_goes_before_spandsp_and_none_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made(FFmpegG722)
    made(SpandspG722)
    assert find_g722() == FFmpegG722()
    monkeypatch.setitem(sys.modules, "av", None)
    assert find_g722() == SpandspG722()
    monkeypatch.setattr(module.ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(module, "_LOADED", {})
    assert find_g722() is None


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match="PyAV"):
        FFmpegG722()
    monkeypatch.setattr(module.ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(module, "_LOADED", {})
    with pytest.raises(MissingDependencyError, match="libspandsp2"):
        SpandspG722()
    with pytest.raises(MissingDependencyError, match="nowhere"):
        SpandspG722("/nowhere/libspandsp.so")


def test_a_library_that_is_not_spandsp_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    found = module.ctypes.util.find_library("c")
    if found is None:
        pytest.skip("no C library to be mistaken for it")
    monkeypatch.setattr(module, "_LOADED", {})
    with pytest.raises(MissingDependencyError, match="g722_encode"):
        SpandspG722(found)
