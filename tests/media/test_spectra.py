"""Spectra in single precision."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media import spectra
from trunkline.media.spectra import irfft, rfft

SIZES = [2, 160, 256, 320, 321, 960]
SHAPES: list[tuple[int, ...]] = [(), (1,), (7,), (2, 3)]


@pytest.fixture(params=["direct", "asked"])
def way(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of having it computed."""
    if request.param == "asked":
        monkeypatch.setattr(spectra, "_EVEN", None)
        monkeypatch.setattr(spectra, "_BACK", None)
    return str(request.param)


def noise(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_spectrum_is_that_of_double_precision(
    size: int, shape: tuple[int, ...], way: str
) -> None:
    audio = noise(*shape, size)
    expected = np.fft.rfft(audio.astype(np.float64))
    found = rfft(audio)
    assert found.dtype == np.complex64
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 3e-6 * np.abs(expected).max()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_audio_survives_the_way_there_and_back(size: int, shape: tuple[int, ...], way: str) -> None:
    audio = noise(*shape, size)
    found = irfft(rfft(audio), size)
    assert found.dtype == np.float32
    assert np.abs(found - audio).max() <= 3e-6 * np.abs(audio).max()


def test_the_size_is_even_unless_it_is_said(way: str) -> None:
    assert irfft(rfft(noise(3, 320))).shape == (3, 320)
    assert irfft(rfft(noise(3, 320)), 300).shape == (3, 300)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_row_has_the_same_bits_alone_and_among_others(rows: int, seed: int) -> None:
    audio = np.random.default_rng(seed).standard_normal((rows, 320)).astype(np.float32)
    together = rfft(audio)
    back = irfft(together)
    for row in range(rows):
        alone = rfft(audio[row : row + 1])
        assert np.array_equal(alone[0], together[row])
        assert np.array_equal(irfft(alone)[0], back[row])


def test_what_is_given_is_left_as_it_is(way: str) -> None:
    audio = np.ones((2, 320), np.float32)
    spectrum = rfft(audio)
    kept = spectrum.copy()
    irfft(spectrum)
    assert (audio == 1).all()
    assert np.array_equal(spectrum, kept)


def test_audio_that_does_not_lie_in_one_piece_is_transformed_too(way: str) -> None:
    audio = noise(4, 640)[:, ::2]
    spectrum = rfft(audio)
    assert np.array_equal(spectrum, rfft(audio.copy()))
    wide = np.repeat(spectrum, 2, axis=1)[:, ::2]
    assert np.array_equal(irfft(wide), irfft(spectrum))


def test_other_precisions_are_taken_too() -> None:
    audio = noise(2, 160)
    assert np.allclose(rfft(audio.astype(np.float64)), rfft(audio), atol=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
def test_orthonormal_transforms_keep_the_power_and_undo_each_other(size: int, way: str) -> None:
    audio = noise(3, size)
    found = rfft(audio, orthonormal=True)
    expected = np.fft.rfft(audio.astype(np.float64), norm="ortho")
    assert np.abs(found - expected).max() <= 3e-6 * np.abs(expected).max()
    np.testing.assert_allclose(irfft(found, size, orthonormal=True), audio, atol=3e-6)
