"""The engine shows the quality bank what lanes hear and send."""

import numpy as np
import pytest

from trunkline.media.engine import Engine
from trunkline.media.g711 import Law
from trunkline.media.lane import JitterInlet, Lane, StreamInlet
from trunkline.media.quality_bank import HEARD, LOOK_EVERY, SENT, QualityBank
from trunkline.media.testing import MemoryOutlet

from .engine_scene import noise, tone

TICK = 0.02


def packet_lane(engine: Engine, name: str = "leg") -> Lane:
    lane = Lane(name, inlet=JitterInlet(engine.jitter.open(Law.ULAW)), outlet=MemoryOutlet())
    engine.open(lane, 0)
    return lane


def stream_lane(engine: Engine) -> Lane:
    lane = Lane("stream", inlet=StreamInlet(8000, None), outlet=MemoryOutlet())
    engine.open(lane, 0)
    return lane


def bank(engine: Engine) -> QualityBank:
    assert engine.quality is not None
    return engine.quality.bank


def run(engine: Engine, lanes: list[Lane], ticks: int, lost: frozenset[int] = frozenset()) -> None:
    loud = bytes(range(160))
    for tick in range(ticks):
        for number, lane in enumerate(lanes):
            if isinstance(lane.inlet, JitterInlet):
                if tick not in lost:
                    engine.jitter.put(
                        lane.inlet.row, tick, tick * 160, number, False, loud, tick * TICK
                    )
            else:
                lane.inlet.push(noise(1, tick).tobytes())
        engine.tick(0, tick * TICK)


def test_every_lane_has_a_row_while_it_is_open() -> None:
    engine = Engine()
    one, other = packet_lane(engine), stream_lane(engine)
    assert len(bank(engine)) == 2
    assert {one.quality_row, other.quality_row} == {0, 1}
    engine.close(one)
    engine.close(one)
    assert (len(bank(engine)), one.quality_row) == (1, -1)


def test_an_engine_without_quality_has_no_bank() -> None:
    engine = Engine(quality=False)
    lane = packet_lane(engine)
    run(engine, [lane], 60)
    assert engine.quality is None
    assert lane.quality_row == -1


def test_losses_are_read_without_anybody_asking() -> None:
    engine = Engine()
    lanes = [packet_lane(engine, str(number)) for number in range(40)]
    run(engine, lanes, 400, frozenset((50, 51, 52, 90)))
    for lane in lanes:
        found = bank(engine).stream(lane.quality_row)
        assert (found.pattern.lost, found.pattern.losses) == (4, 2)
        # All but those of the last second, and those that others may overtake.
        assert found.pattern.packets >= 400 - 50 - 17
        assert found.runs[:3] == (1, 0, 1)


@pytest.mark.parametrize("kind", ["packets", "stream"])
def test_both_directions_are_looked_at_in_some_ticks(kind: str) -> None:
    engine = Engine()
    lane = packet_lane(engine) if kind == "packets" else stream_lane(engine)
    run(engine, [lane], 100)
    heard = bank(engine).levels(lane.quality_row, HEARD)
    sent = bank(engine).levels(lane.quality_row, SENT)
    assert heard.frames == 100 // LOOK_EVERY
    assert heard.level_dbov is not None
    assert heard.level_dbov > -30
    assert (sent.frames, sent.silence) == (100 // LOOK_EVERY, 1.0)


def test_what_is_said_is_measured_as_sent() -> None:
    engine = Engine()
    one, other = packet_lane(engine), packet_lane(engine)
    engine.push(one, tone(8192, 50), 0)
    run(engine, [one, other], 40)
    loud, silent = (bank(engine).levels(lane.quality_row, SENT) for lane in (one, other))
    assert loud.level_dbov == pytest.approx(-12, abs=0.6)
    assert silent.level_dbov is None


def test_a_lane_that_closes_is_told_while_its_rows_are_there() -> None:
    engine = Engine()
    lane = packet_lane(engine)
    seen: list[int] = []
    lane.on_close = lambda: seen.append(bank(engine).stream(lane.quality_row).pattern.packets)
    run(engine, [lane], 120)
    engine.close(lane)
    assert 40 < seen[0] <= 120
    assert engine.faults == 0


def test_a_watcher_that_fails_costs_no_frame() -> None:
    engine = Engine()
    lane = packet_lane(engine)

    def fail(*_: object) -> None:
        raise RuntimeError("second")

    lane.on_second = fail
    lane.on_close = fail
    run(engine, [lane], 60)
    engine.close(lane)
    assert engine.faults >= 2
    assert len(engine) == 0


def test_seconds_are_told() -> None:
    engine = Engine()
    lane = packet_lane(engine)
    told: list[float] = []
    lane.on_second = told.append
    run(engine, [lane], 200)
    assert len(told) == 4
    assert np.diff(told) == pytest.approx(1.0)
