"""The ring of decoded samples, against a plain dictionary."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.media.sample_ring import HOLE, SampleRing

FRAME, SPAN = 8, 40


def frame(seed: int) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-32767, 32768, (1, FRAME)).astype(np.int16)


def opened(rows: int, frame: int, span: int) -> SampleRing:
    ring = SampleRing(rows, frame, span)
    for row in range(rows):
        ring.open(row)
    return ring


def at(position: int) -> NDArray[np.int64]:
    return np.array([position], np.int64)


ROW = np.array([1])


def test_what_was_never_filed_is_holes() -> None:
    ring = opened(2, FRAME, SPAN)
    assert (ring.read(ROW, at(12345)) == HOLE).all()


def test_frames_come_back_wherever_they_lie_in_the_ring() -> None:
    for position in range(-SPAN, 2 * SPAN):
        ring = opened(2, FRAME, SPAN)
        ring.write(ROW, at(position), frame(position + SPAN))
        assert np.array_equal(ring.read(ROW, at(position)), frame(position + SPAN))
        ring.clear(ROW, at(position))
        assert ring.next_present(1, position - 5, position + 20) == position + 20


def test_any_stretch_up_to_the_span_is_seen_as_it_is() -> None:
    ring = opened(2, FRAME, SPAN)
    audio = np.arange(1, SPAN + 1, dtype=np.int16)
    for position in range(SPAN):
        ring.write_piece(1, position, audio)
        seen = ring.look(np.array([1, 0]), np.array([position + 3, 5], np.int64), 3 * FRAME)
        assert np.array_equal(seen[0], audio[3 : 3 + 3 * FRAME])
        assert (seen[1] == HOLE).all()


def test_several_rows_are_written_and_read_at_once() -> None:
    ring = opened(3, FRAME, SPAN)
    rows, positions = np.array([0, 1, 2]), np.array([0, 35, 79], np.int64)
    block = np.concatenate([frame(1), frame(2), frame(3)])
    ring.write(rows, positions, block)
    assert np.array_equal(ring.read(rows, positions), block)
    ring.clear(rows[:2], positions[:2])
    assert (ring.read(rows, positions)[:2] == HOLE).all()
    assert np.array_equal(ring.read(rows, positions)[2], block[2])


def test_growing_keeps_samples_and_adds_empty_rows() -> None:
    ring = opened(2, FRAME, SPAN)
    ring.write(ROW, at(4), frame(1))
    ring.grow(5)
    ring.open(4)
    assert np.array_equal(ring.read(ROW, at(4)), frame(1))
    assert (ring.read(np.array([4]), at(4)) == HOLE).all()


def test_samples_are_counted_across_the_end_of_the_ring() -> None:
    ring = opened(2, FRAME, SPAN)
    ring.write(ROW, at(SPAN - 3), frame(1))
    assert ring.count(1, SPAN - 5, SPAN + 1) == 4
    assert ring.count(1, 0, SPAN) == ring.count(1, 7, 3 * SPAN) == FRAME
    assert ring.count(0, 0, SPAN) == ring.count(1, 7, 7) == ring.count(1, 7, 3) == 0


def test_there_is_nothing_in_an_empty_stretch() -> None:
    assert opened(2, FRAME, SPAN).next_present(1, 7, 7) == 7


steps = st.lists(
    st.tuples(st.sampled_from(["write", "piece", "clear", "span"]), st.integers(0, SPAN - 1)),
    max_size=30,
)


@given(steps, st.integers(-200, 200), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_the_ring_is_a_mapping_from_positions_to_samples(
    steps: list[tuple[str, int]], base: int, seed: int
) -> None:
    ring, model = opened(2, FRAME, SPAN), dict.fromkeys(range(base, base + SPAN), HOLE)
    rng = np.random.default_rng(seed)
    for what, offset in steps:
        start = base + min(offset, SPAN - FRAME)
        size = int(rng.integers(1, base + SPAN - start + 1))
        values = rng.integers(-32767, 32768, size).astype(np.int16)
        if what == "write":
            values = values[:1].repeat(FRAME)
            ring.write(ROW, at(start), values[np.newaxis])
        elif what == "piece":
            ring.write_piece(1, start, values)
        elif what == "clear":
            values = np.full(FRAME, HOLE)
            ring.clear(ROW, at(start))
        else:
            values = np.full(size, HOLE)
            ring.clear_span(1, start, start + size)
        model.update(zip(range(start, start + len(values)), values.tolist(), strict=True))
    for start in range(base, base + SPAN - FRAME + 1):
        expected = [model[start + index] for index in range(FRAME)]
        assert ring.read(ROW, at(start))[0].tolist() == expected
        present = [index for index in range(start, base + SPAN) if model[index] != HOLE]
        stop = base + SPAN
        assert ring.next_present(1, start, stop) == (present[0] if present else stop)
    assert (ring.read(np.array([0]), at(base)) == HOLE).all()


def test_a_piece_of_a_row_is_seen_wherever_it_lies_and_cleared_there_alone() -> None:
    audio = np.arange(1, SPAN + 1, dtype=np.int16)
    for start in range(-SPAN, SPAN):
        ring = SampleRing(2, FRAME, SPAN)
        ring.write_piece(1, start, audio)
        assert np.array_equal(ring.piece(1, start + 7, start + 7 + 3 * FRAME), audio[7:31])
        assert ring.piece(1, start, start - 5).size == 0
        ring.clear_span(1, start + 7, start + 12)
        assert (ring.piece(1, start + 7, start + 12) == HOLE).all()
        assert ring.count(1, start, start + SPAN) == SPAN - 5
        assert not ring.piece(0, start, start + SPAN).any()  # not begun, and left alone
