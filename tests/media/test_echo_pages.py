import gc
import weakref

import numpy as np
import pytest

from trunkline.media.echo_bank import KalmanEcho
from trunkline.media.echo_kalman import KalmanFilter
from trunkline.media.echo_pages import FilterState, Page, aligned

from .echo_calls import FRAME, echo_of, run, speechlike


def filters(rows, partitions=3):
    kalman = KalmanFilter(FRAME, partitions)
    return kalman, kalman.state(rows)


@pytest.mark.parametrize("shape", [(1,), (3, 5), (10, 48, 161)])
def test_what_is_worked_on_begins_where_a_cache_line_begins(shape):
    array = aligned(*shape)
    assert array.shape == shape and array.dtype == np.float32 and not array.any()
    assert array.ctypes.data % 64 == 0


def test_a_row_is_found_on_whatever_page_it_is():
    kalman, state = filters(2)
    kalman.grow(state, 2 * kalman.page_rows)
    assert state.rows >= 2 * kalman.page_rows and len(state.pages) > 1
    for row in (0, 1, 2, state.rows - 1):
        state.h_re[row] = row + 1
        page, index = state.at(row)
        assert (page.h_re[:, index] == row + 1).all()
    assert (state.h_re[1] == 2).all()


def test_rows_side_by_side_are_worked_on_in_place_and_others_put_back():
    kalman, state = filters(2)
    kalman.grow(state, kalman.page_rows)
    for rows in (np.array([0, 1]), np.array([1, 3, 5]), np.array([1, 2, 3])):
        part = state.part(rows)
        for row in range(len(rows)):
            part.h_im[row] = part.h_im[row] + 1
        state.put(rows, part)
    counts = [int(state.h_im[row][0, 0]) for row in range(7)]
    assert counts == [1, 3, 1, 2, 0, 1, 0]


def test_rows_on_two_pages_change_places_whole():
    kalman, state = filters(2)
    kalman.grow(state, kalman.page_rows)
    state.h_re[0] = 1
    state.uncertainty[5] = 2
    state.swap(0, 5)
    assert (state.h_re[5] == 1).all() and (state.uncertainty[0] == 2).all()
    assert not state.h_re[0].any()


def test_no_uncertainty_falls_below_nothing_however_loud_the_far_end():
    kalman, state = filters(1)
    rng = np.random.default_rng(1)
    frozen = np.zeros(1, np.bool_)
    for level in (1e-3, 500.0, 1.0, 1e-3, 500.0) * 4:
        far = (level * rng.standard_normal((1, FRAME))).astype(np.float32)
        kalman.step(state, far, 0.5 * far, frozen)
        assert (state.uncertainty[0] >= 0).all()
        assert np.isfinite(state.h_re[0]).all()


def test_rows_that_learn_are_not_moved_by_those_that_rest():
    rng = np.random.default_rng(2)
    far, near = (0.1 * rng.standard_normal((2, 30, 2, FRAME))).astype(np.float32)
    kalman, both = filters(2)
    _, alone = filters(1)
    for number in range(30):
        frozen = np.array([number % 3 == 0, False])
        echo, expected = kalman.step(both, far[number], near[number], frozen)
        one, one_expected = kalman.step(alone, far[number, :1], near[number, :1], frozen[:1])
        assert echo[0].tobytes() == one[0].tobytes()
        assert expected[0].tobytes() == one_expected[0].tobytes()
        if frozen[0]:
            assert both.h_re[0].tobytes() == alone.h_re[0].tobytes()


def test_calls_that_end_leave_holes_that_are_filled_and_nobody_hears_it():
    rng = np.random.default_rng(3)
    far = np.stack([speechlike(rng, 1.2) for _ in range(8)])
    near = np.stack([echo_of(rng, one) for one in far])
    bank = KalmanEcho(8000, capacity=8)
    rows = np.array([bank.open() for _ in range(8)])
    out = np.zeros_like(near)
    left = rows
    for at in range(0, near.shape[1], FRAME):
        part = slice(at, at + FRAME)
        if at == 20 * FRAME:
            for row in (0, 3, 5):
                bank.close(row)
            left = np.array([7, 1, 2, 6, 4])
        out[left, part] = bank.process(near[left, part], far[left, part], left)
    for row in left:
        alone = run(KalmanEcho(8000), near[row : row + 1], far[row : row + 1])
        assert out[row].tobytes() == alone[0].tobytes()
    places = np.sort(bank._places[left])
    assert np.array_equal(places, np.arange(places[0], places[0] + 5))


def test_filters_that_are_dropped_are_gone_without_the_cyclic_collector() -> None:
    collecting = gc.isenabled()
    gc.disable()
    try:
        page = Page.empty(2, 4, 3, 1)
        ended = weakref.ref(page.h_re)
        state = FilterState([page])
        state.h_re[1] = 2.0
        assert page.h_re[:, 1].min() == 2.0
        del page, state
        assert ended() is None
    finally:
        if collecting:
            gc.enable()
