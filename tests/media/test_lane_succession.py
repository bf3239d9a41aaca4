"""A lane that goes on where another one stops."""

import numpy as np

from trunkline.media.lane import Lane, StreamInlet
from trunkline.media.testing import MemoryOutlet

from .test_lane import Ear

FRAME = 160


def lane(name: str) -> Lane:
    return Lane(name, inlet=StreamInlet(8000), outlet=MemoryOutlet(), far_buffer_ms=60)


def frames(count: int) -> np.ndarray:
    return np.full(FRAME * count, 1000, np.int16)


def test_what_waits_is_played_by_the_new_one_and_begins_only_once() -> None:
    old, new, ear = lane("old"), lane("new"), Ear()
    old.ears.append(ear)
    old.playout.push(frames(3), 1)
    assert old.take(0.0) is not None and old.begins
    old.tell_started(0.0)
    new.succeed(old, 0.02)
    new.ears.append(ear)
    assert new.playout.queued_samples == 2 * FRAME and old.playout.queued_samples == 0
    assert new.take(0.04) is not None and not new.begins
    assert new.playout.sent_samples == 2 * FRAME
    assert [what for kind, what in ear.events if kind == "started"] == [1]


def test_a_beginning_that_was_not_told_is_told_by_the_new_one() -> None:
    old, new = lane("old"), lane("new")
    old.playout.push(frames(3), 1)
    old.take(0.0)
    new.succeed(old, 0.0)
    assert new.begins and not old.begins


def test_what_is_in_the_far_buffer_counts_as_heard() -> None:
    old, new, ear = lane("old"), lane("new"), Ear()
    old.ears.append(ear)
    old.playout.push(frames(1), 4)
    old.playout.finish(4)
    old.take(0.0)
    assert not ear.drains
    new.succeed(old, 0.02)
    (heard,) = ear.drains
    assert (heard.generation, heard.samples, heard.exact) == (4, FRAME, False)
    assert not old.draining and not new.draining
    old.drain(9.0)
    assert len(ear.drains) == 1


def test_what_was_cleared_stays_cleared() -> None:
    old, new = lane("old"), lane("new")
    old.clear(7)
    new.succeed(old, 0.0)
    assert new.playout.push(frames(1), 6) == 0
    assert new.playout.push(frames(1), 7) == FRAME
    heard = new.clear(8)
    assert heard.queued_samples == FRAME
