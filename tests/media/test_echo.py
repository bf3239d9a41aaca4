import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media import ECHO_CANCELLERS, EchoCanceller, KalmanEcho, create_echo

from .echo_calls import echo_of, erle_db, speechlike


@pytest.mark.parametrize("name", sorted(ECHO_CANCELLERS))
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_every_canceller_gives_back_the_type_it_was_given(name, dtype):
    canceller = EchoCanceller(8000, name)
    frame = np.full(160, 100, dtype) if dtype == np.int16 else np.full(160, 0.01, dtype)
    out = canceller.process(frame, frame)
    assert out.dtype == dtype and out.shape == (160,)
    assert canceller.statistics.engine == name


@pytest.mark.parametrize("samples", [0, 1, 100, 161, 1000])
def test_frames_of_another_length_are_padded_or_cut_and_counted(samples):
    canceller = EchoCanceller(8000, "off")
    out = canceller.process(np.zeros(160, np.int16), np.full(samples, 7, np.int16))
    assert out.tolist() == ([7] * 160)[:samples] + [0] * max(0, 160 - samples)
    assert canceller.statistics.padded + canceller.statistics.truncated == 1


def test_an_echo_in_int16_is_cancelled_and_reset_begins_anew():
    rng = np.random.default_rng(1)
    far = speechlike(rng, 4.0)
    near = echo_of(rng, far)
    canceller = EchoCanceller(8000)
    pcm_far, pcm_near = ((32767 * audio).astype(np.int16) for audio in (far, near))

    def play():
        return np.concatenate(
            [
                canceller.process(pcm_far[at : at + 160], pcm_near[at : at + 160])
                for at in range(0, len(far), 160)
            ]
        )

    first = play()
    assert erle_db(pcm_near / 32768, first / 32768, 2, 4) > 20
    statistics = canceller.statistics
    assert statistics.frames == 200 and statistics.erle_db > 10
    assert statistics.near_dbov > -60 and statistics.faults == 0
    canceller.reset()
    assert canceller.statistics.frames == 0
    assert play().tobytes() == first.tobytes()


def test_what_is_no_audio_is_counted_and_becomes_silence():
    canceller = EchoCanceller(8000)
    out = canceller.process(np.full(160, np.nan, np.float32), np.full(160, np.inf, np.float32))
    assert not out.any()
    assert canceller.statistics.faults == 1


@pytest.mark.parametrize("bad", [np.zeros((2, 160), np.int16), np.zeros(160, np.int32)])
def test_what_is_not_mono_pcm_is_refused(bad):
    with pytest.raises(UsageError, match="one row"):
        EchoCanceller(8000).process(bad, bad)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="kalman, nlms, off"):
        create_echo("magic")
    with pytest.raises(UsageError, match="16000 Hz, not 8000"):
        EchoCanceller(8000, KalmanEcho(16000))


def test_off_changes_no_bit():
    canceller = EchoCanceller(16000, "off")
    near = np.arange(320, dtype=np.int16)
    assert canceller.process(near, near).tobytes() == near.tobytes()
    canceller.close()
