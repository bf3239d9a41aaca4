import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media.echo_nlms import NlmsEcho

from .echo_calls import echo_of, erle_db, run, speechlike


def sample_by_sample(near, far, taps=1024, step=0.1, regularisation=1e-6):
    weights, past, out = np.zeros(taps), np.zeros(taps), np.empty(len(near))
    for at, (heard, sent) in enumerate(zip(near, far, strict=True)):
        past = np.concatenate([past[1:], [sent]])
        out[at] = heard - weights @ past
        weights += step * out[at] * past / (past @ past + regularisation)
    return out


def test_blocks_are_within_half_a_decibel_of_sample_by_sample():
    rng = np.random.default_rng(1)
    far = speechlike(rng, 3.0)
    near = echo_of(rng, far)
    out = run(NlmsEcho(8000), near[np.newaxis], far[np.newaxis])[0]
    exact = sample_by_sample(near, far)
    assert erle_db(near, out, 1, 3) > 5
    assert erle_db(near, out, 1, 3) == pytest.approx(erle_db(near, exact, 1, 3), abs=0.5)


def test_a_row_is_bit_for_bit_what_it_is_alone():
    rng = np.random.default_rng(2)
    far = np.stack([speechlike(rng, 0.5) for _ in range(10)])
    near = np.stack([echo_of(rng, one) for one in far])
    together = run(NlmsEcho(8000, capacity=1), near, far)
    alone = run(NlmsEcho(8000), near[3:4], far[3:4])
    assert together[3].tobytes() == alone[0].tobytes()


def test_frozen_rows_learn_nothing():
    rng = np.random.default_rng(3)
    far = speechlike(rng, 0.5)
    near = echo_of(rng, far)[np.newaxis]
    out = run(NlmsEcho(8000), near, far[np.newaxis], frozen=lambda number: np.array([True]))
    assert out.tobytes() == near.tobytes()


def test_garbage_is_counted_and_harms_no_neighbour():
    rng = np.random.default_rng(4)
    far = np.stack([speechlike(rng, 0.5) for _ in range(2)])
    near = np.stack([echo_of(rng, one) for one in far])
    clean = run(NlmsEcho(8000), near[:1], far[:1])
    far[1, 1000:1010] = np.nan
    bank = NlmsEcho(8000)
    out = run(bank, near, far)
    assert out[0].tobytes() == clean[0].tobytes()
    assert np.isfinite(out).all() and bank.faults[:2].tolist() == [0, 1]


@pytest.mark.parametrize(
    "wrong", [{"taps": 0}, {"step": 2.0}, {"step": 0.0}, {"regularisation": 0}]
)
def test_filters_that_cannot_work_are_refused(wrong):
    with pytest.raises(UsageError):
        NlmsEcho(8000, **wrong)
