"""The playout: order, generations, padding, limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.playout import HOLD_TICKS, Cleared, Playout

FRAME = 320


def pcm(samples: int, start: int = 1) -> np.ndarray:
    return (np.arange(start, start + samples) % 30_000 + 1).astype(np.int16)


def drain(playout: Playout, ticks: int = 10_000) -> bytes:
    out = b""
    for _ in range(ticks):
        frame, _begins, _ends = playout.take()
        if frame is not None:
            out += frame
        elif not playout:
            break
    return out


def test_nothing_queued_gives_nothing() -> None:
    assert Playout(8000).take() == (None, False, False)


def test_frames_come_out_in_order_and_whole() -> None:
    playout = Playout(8000)
    audio = pcm(480)
    assert playout.push(audio, 0) == 480
    frames = [playout.take() for _ in range(3)]
    assert b"".join(frame for frame, _, _ in frames if frame) == audio.tobytes()
    assert [begins for _, begins, _ in frames] == [True, False, False]
    assert playout.sent_samples == 480


@given(st.lists(st.integers(1, 700), min_size=1, max_size=20), st.integers(0, 3))
def test_any_chunking_gives_the_same_samples(sizes: list[int], generation: int) -> None:
    playout = Playout(8000)
    audio = pcm(sum(sizes))
    position = 0
    for size in sizes:
        playout.push(audio[position : position + size], generation)
        position += size
    playout.finish(generation)
    out = drain(playout)
    assert len(out) % FRAME == 0
    assert out[: len(audio) * 2] == audio.tobytes()
    assert not any(out[len(audio) * 2 :])
    assert playout.sent_samples == len(audio)
    assert playout.queued_samples == 0


def test_an_incomplete_frame_waits_for_its_rest_before_it_is_padded() -> None:
    playout = Playout(8000)
    playout.push(pcm(100), 0)
    for _ in range(HOLD_TICKS):
        assert playout.take()[0] is None
    playout.push(pcm(60, 101), 0)
    frame, _, _ = playout.take()
    assert frame == pcm(160).tobytes()


def test_an_incomplete_frame_is_padded_when_its_rest_never_comes() -> None:
    playout = Playout(8000)
    playout.push(pcm(100), 0)
    frames = [playout.take()[0] for _ in range(HOLD_TICKS + 1)]
    assert frames[:-1] == [None] * HOLD_TICKS
    assert frames[-1] == pcm(100).tobytes() + bytes(120)
    assert playout.sent_samples == 100


def test_the_end_of_a_generation_is_said_once_with_its_last_frame() -> None:
    playout = Playout(8000)
    playout.push(pcm(200), 0)
    playout.finish(0)
    assert [playout.take()[1:] for _ in range(3)] == [(True, False), (False, True), (False, False)]


def test_a_generation_without_audio_ends_all_the_same() -> None:
    playout = Playout(8000)
    playout.finish(0)
    assert playout.take() == (None, False, True)
    assert playout.take() == (None, False, False)


def test_a_finish_that_comes_after_the_last_frame_still_ends_it() -> None:
    playout = Playout(8000)
    playout.push(pcm(160), 0)
    assert playout.take()[2] is False
    playout.finish(0)
    assert playout.take() == (None, False, True)


def test_a_later_generation_waits_until_the_first_is_finished() -> None:
    playout = Playout(8000)
    playout.push(pcm(160), 0)
    playout.push(pcm(160, 500), 1)
    assert playout.take()[0] == pcm(160).tobytes()
    assert playout.take()[0] is None
    playout.finish(0)
    assert playout.take() == (None, False, True)
    frame, begins, _ = playout.take()
    assert frame == pcm(160, 500).tobytes()
    assert begins
    assert playout.playing == 1


def test_clear_reports_what_was_sent_and_what_was_dropped() -> None:
    playout = Playout(8000)
    playout.push(pcm(1600), 0)
    for _ in range(4):
        playout.take()
    cleared = playout.clear(1)
    assert (cleared.generation, cleared.sent_samples, cleared.dropped_samples) == (0, 640, 960)
    assert playout.take() == (None, False, False)


def test_clear_before_anything_left_reports_the_generation_that_was_next() -> None:
    playout = Playout(8000)
    playout.push(pcm(320), 0)
    drain(playout)
    playout.finish(0)
    playout.take()
    playout.push(pcm(320), 1)
    cleared = playout.clear(2)
    assert (cleared.generation, cleared.sent_samples) == (1, 0)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 400)), max_size=40))
def test_nothing_of_an_old_generation_leaves_after_a_clear(
    pushes: list[tuple[int, int]],
) -> None:
    playout = Playout(8000)
    for generation, samples in pushes[: len(pushes) // 2]:
        playout.push(np.full(samples, generation + 1, np.int16), generation)
    playout.take()
    playout.clear(5)
    for generation, samples in pushes[len(pushes) // 2 :]:
        playout.push(np.full(samples, generation + 1, np.int16), generation)
        playout.finish(generation)
    left = set(np.frombuffer(drain(playout, 200), np.int16).tolist()) - {0}
    assert all(value > 5 for value in left)


def test_stale_audio_is_counted() -> None:
    playout = Playout(8000)
    playout.clear(1)
    assert playout.push(pcm(50), 0) == 0
    assert playout.stale_samples == 50


def test_a_clear_must_move_forward() -> None:
    playout = Playout(8000)
    playout.clear(3)
    with pytest.raises(UsageError, match="cleared already"):
        playout.clear(3)


def test_a_full_queue_refuses_the_rest() -> None:
    playout = Playout(8000, limit_ms=100)
    assert playout.push(pcm(1000), 0) == 800
    assert playout.refused_samples == 200
    assert playout.push(pcm(10), 0) == 0
    assert drain(playout) == pcm(800).tobytes()


def test_a_live_queue_drops_its_oldest_audio() -> None:
    playout = Playout(8000, limit_ms=100, live=True)
    playout.push(pcm(600), 0)
    assert playout.push(pcm(600, 601), 0) == 600
    assert playout.overflow_samples == 400
    assert drain(playout) == pcm(800, 401).tobytes()


def test_a_chunk_larger_than_a_live_queue_keeps_its_newest_part_and_counts_the_rest() -> None:
    playout = Playout(8000, limit_ms=20, live=True)
    playout.push(pcm(50), 0)
    assert playout.push(pcm(1000), 0) == 160
    assert playout.overflow_samples == 890
    assert drain(playout) == pcm(160, 841).tobytes()


def test_a_long_chunk_is_cut_without_copying_its_rest() -> None:
    playout = Playout(8000)
    audio = pcm(8000 * 50)
    playout.push(audio, 0)
    assert drain(playout) == audio.tobytes()


@pytest.mark.parametrize(
    "wrong", [np.zeros(10, np.float32), np.zeros((2, 5), np.int16), "text", b"\0"]
)
def test_audio_of_another_kind_is_refused_with_a_message(wrong: object) -> None:
    with pytest.raises(UsageError):
        Playout(8000).push(wrong, 0)


def test_a_playout_holds_at_least_one_frame() -> None:
    with pytest.raises(UsageError):
        Playout(8000, limit_ms=10)


def test_a_finished_generation_takes_nothing_more_and_ends_once() -> None:
    playout = Playout(8000)
    playout.push(pcm(160), 0)
    playout.finish(0)
    assert playout.push(pcm(50), 0) == 0
    assert playout.take()[1:] == (True, True)
    playout.finish(0)
    assert playout.push(pcm(50), 0) == 0
    assert playout.stale_samples == 100
    assert playout.take() == (None, False, False)
    # What came too late does not stand in the way of the next one.
    playout.push(pcm(160, 500), 1)
    assert playout.take()[0] == pcm(160, 500).tobytes()


def test_generations_queued_in_the_wrong_order_are_played_in_the_right_one() -> None:
    playout = Playout(8000)
    for generation in (2, 0, 1):
        playout.push(np.full(160, generation + 1, np.int16), generation)
        playout.finish(generation)
    assert np.frombuffer(drain(playout), np.int16)[::160].tolist() == [1, 2, 3]


def test_after_an_underrun_an_incomplete_frame_waits_as_ever() -> None:
    playout = Playout(8000)
    playout.push(pcm(160), 0)
    for _ in range(10):
        playout.take()
    playout.push(pcm(100), 0)
    assert [playout.take()[0] for _ in range(HOLD_TICKS)] == [None] * HOLD_TICKS
    playout.push(pcm(60, 101), 0)
    assert playout.take()[0] == pcm(160).tobytes()


def test_it_says_whether_a_whole_frame_is_there() -> None:
    playout = Playout(8000)
    assert not playout.has_frame
    playout.push(pcm(159), 0)
    assert not playout.has_frame
    playout.push(pcm(1), 0)
    assert playout.has_frame
    playout.take()
    assert not playout.has_frame


def test_a_live_queue_of_several_utterances_drops_the_oldest_audio_and_tells_every_end() -> None:
    playout = Playout(8000, limit_ms=60, live=True)
    for generation in range(3):
        playout.push(np.full(160, generation + 1, np.int16), generation)
        playout.finish(generation)
    playout.push(np.full(320, 4, np.int16), 3)
    ends, values = 0, []
    for _ in range(10):
        frame, _begins, end = playout.take()
        ends += end
        if frame is not None:
            values.append(np.frombuffer(frame, np.int16)[0])
    assert values == [3, 4, 4]
    assert ends == 3
    assert playout.overflow_samples == 320


def test_before_anything_is_played_a_clear_finds_nothing() -> None:
    assert Playout(8000).clear(1) == Cleared(-1, 0, 0)


def test_an_empty_push_begins_no_generation() -> None:
    playout = Playout(8000)
    assert playout.push(pcm(0), 3) == 0
    assert not playout
    playout.push(pcm(160), 1)
    playout.finish(1)
    assert playout.take()[1:] == (True, True)


def test_a_push_that_does_not_fit_at_all_begins_no_generation() -> None:
    playout = Playout(8000, limit_ms=20)
    playout.push(pcm(160), 0)
    playout.finish(0)
    assert playout.push(pcm(10), 1) == 0
    assert playout.take()[1:] == (True, True)
    assert not playout


def test_audio_that_just_fits_is_taken_whole() -> None:
    playout = Playout(8000, limit_ms=20)
    assert playout.push(pcm(160), 0) == 160
    assert playout.refused_samples == 0
    assert playout.queued_samples == 160


def test_a_cleared_queue_has_all_its_room_again() -> None:
    playout = Playout(8000, limit_ms=40)
    playout.push(pcm(320), 0)
    playout.clear(1)
    assert playout.queued_samples == 0
    assert playout.push(pcm(320), 1) == 320
    playout.take()
    assert playout.queued_samples == 160


def test_a_clear_forgets_how_long_an_incomplete_frame_has_waited() -> None:
    playout = Playout(8000)
    playout.push(pcm(100), 0)
    for _ in range(HOLD_TICKS):
        playout.take()
    playout.clear(1)
    playout.push(pcm(100), 1)
    assert [playout.take()[0] for _ in range(HOLD_TICKS)] == [None] * HOLD_TICKS
    assert playout.take()[0] is not None


def test_each_incomplete_frame_waits_as_long_as_the_first() -> None:
    playout = Playout(8000)
    for _ in range(2):
        playout.push(pcm(100), 0)
        assert [playout.take() for _ in range(HOLD_TICKS)] == [(None, False, False)] * HOLD_TICKS
        assert playout.take()[0] == pcm(100).tobytes() + bytes(120)


def test_what_was_sent_is_counted_for_the_generation_that_plays_and_frames_for_all() -> None:
    playout = Playout(8000)
    for generation, samples in enumerate((320, 100)):
        playout.push(pcm(samples), generation)
        playout.finish(generation)
    assert (playout.frames_taken, playout.sent_samples) == (0, 0)
    drain(playout)
    assert (playout.frames_taken, playout.sent_samples) == (3, 100)


def test_whole_frames_after_an_odd_piece_are_cut_where_they_must_be() -> None:
    playout = Playout(8000)
    audio = pcm(580)
    for start, end in ((0, 100), (100, 260), (260, 420), (420, 580)):
        playout.push(audio[start:end], 0)
    playout.finish(0)
    assert drain(playout)[:1160] == audio.tobytes()


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["push", "push", "push", "finish", "clear", "take", "take"]),
        st.integers(0, 5),
        st.integers(0, 700),
    ),
    max_size=60,
)


@given(STEPS, st.booleans())
def test_every_sample_is_played_waiting_refused_dropped_or_stale_and_only_one_of_these(
    steps: list[Step], live: bool
) -> None:
    playout = Playout(8000, limit_ms=60, live=live)
    pushed = taken = played = dropped = 0
    for step, generation, samples in steps:
        if step == "push":
            pushed += samples
            taken += playout.push(np.ones(samples, np.int16), generation)
        elif step == "finish":
            playout.finish(generation)
        elif step == "clear" and generation > playout.floor:
            dropped += playout.clear(generation).dropped_samples
        elif step == "take":
            frame, _begins, _ends = playout.take()
            played += np.frombuffer(frame, np.int16).sum() if frame is not None else 0
        assert playout.queued_samples <= 480
    gone = dropped + playout.refused_samples + playout.overflow_samples + playout.stale_samples
    assert pushed == played + playout.queued_samples + gone
    assert taken <= pushed
    if not live:
        assert taken == pushed - playout.refused_samples - playout.stale_samples


@given(STEPS, st.booleans())
def test_generations_are_played_in_order_and_each_begins_and_ends_once(
    steps: list[Step], live: bool
) -> None:
    playout = Playout(8000, limit_ms=60, live=live)
    begun: list[int] = []
    ends = 0
    for step, generation, samples in steps:
        if step == "push":
            playout.push(np.full(samples, generation + 1, np.int16), generation)
        elif step == "finish":
            playout.finish(generation)
        elif step == "take":
            frame, begins, ended = playout.take()
            ends += ended
            if begins:
                begun.append(playout.playing)
            if frame is not None:
                assert set(np.frombuffer(frame, np.int16)) <= {0, begun[-1] + 1}
    assert begun == sorted(set(begun))
    assert ends <= len({generation for step, generation, _ in steps if step == "finish"})
