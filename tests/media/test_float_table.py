import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.float_table import FloatTable

SQUARE = FloatTable(lambda value: value**2, -4, 4)


@given(st.floats(2**-4, 15.5, width=32))
def test_a_value_is_within_half_a_step_of_the_function(value: float) -> None:
    found = SQUARE(np.array([value], np.float32))[0]
    assert abs(found / value**2 - 1) < 2 / 64


def test_beyond_its_ends_it_is_constant() -> None:
    low, lowest, high, highest = SQUARE(np.array([2**-4, 1e-30, 15.99, 1e30], np.float32))
    assert low == lowest
    assert high == highest


def test_nothing_at_all_is_the_lowest_value() -> None:
    nothing, least, lowest = SQUARE(np.array([0, 1e-45, 2**-4], np.float32))
    assert nothing == least == lowest


def test_more_bits_are_finer_steps() -> None:
    fine = FloatTable(np.sqrt, -2, 2, bits=12)
    values = np.linspace(0.25, 3.99, 1000, dtype=np.float32)
    assert np.abs(fine(values) / np.sqrt(values) - 1).max() < 1 / 8192


def test_any_shape_gives_that_shape_in_float32() -> None:
    found = SQUARE(np.ones((2, 3, 4), np.float32))
    assert found.shape == (2, 3, 4)
    assert found.dtype == np.float32


def test_an_element_is_the_same_alone_and_among_others() -> None:
    values = np.random.default_rng(1).uniform(0.01, 20, 1000).astype(np.float32)
    together = SQUARE(values)
    assert all(SQUARE(values[at : at + 1])[0] == together[at] for at in range(1000))
