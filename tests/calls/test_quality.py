"""A call's watch: what it tells, samples and sums up, on an engine in virtual time."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from trunkline.calls.quality import QualityWatch
from trunkline.calls.quality_alarms import Alarm, QualityLimits
from trunkline.calls.quality_snapshot import QualitySnapshot
from trunkline.media.engine import PHASES, Engine
from trunkline.media.g711 import Law, encode
from trunkline.media.jitter import JitterStatistics
from trunkline.media.lane import JitterInlet, Lane
from trunkline.media.rtcp_xr import VoipMetrics
from trunkline.media.testing import MemoryOutlet
from trunkline.transports.media_facts import MediaFacts, MonitoredLeg

TICK = 0.02
FACTS = MediaFacts(
    codec="PCMU", expecting=True, sending=True, packets_sent=0, refused=0, round_trip_ms=40.0,
    remote_deaf=0, remote_loss=0.0, remote_lost=0, remote_jitter_ms=2.0, remote_metrics=None,
    addresses=(("127.0.0.1", 4000), ("127.0.0.1", 5000)), ssrcs=(1, 2),
)  # fmt: skip
SPEECH = encode(
    np.rint(3000 * np.sin(np.arange(160) * 2 * np.pi / 16)).astype(np.int16), Law.ULAW
).tobytes()


@dataclass
class Scene:
    """A call of one leg."""

    limits: QualityLimits = field(default_factory=QualityLimits)
    sample_seconds: float = 2.0

    def __post_init__(self) -> None:
        self.engine = Engine()
        self.row = self.engine.jitter.open(Law.ULAW)
        self.lane = Lane("leg", inlet=JitterInlet(self.row), outlet=MemoryOutlet())
        self.engine.open(self.lane, 0)
        self.facts: dict[str, Any] = {}
        self.told: list[tuple[float, Alarm]] = []
        self.snapshots: list[QualitySnapshot] = []
        self.watch = QualityWatch(
            self,
            self.limits,
            started_at=0.0,
            tell=lambda alarm, now: self.told.append((now, alarm)),
            show=lambda snapshot, facts: self.snapshots.append(snapshot),
            sample_seconds=self.sample_seconds,
        )
        assert self.engine.quality is not None
        self.watch.open(self.lane, self.engine.quality.bank, 0.0)
        self.tick = 0
        self.number = 0

    def media_facts(self) -> MediaFacts | None:
        return FACTS._replace(**{"packets_sent": self.tick, **self.facts})

    def jitter_statistics(self) -> JitterStatistics | None:
        return self.engine.jitter.statistics(self.row)

    def run(
        self, seconds: float, *, sends: bool = True, every: int = 0, data: bytes = SPEECH
    ) -> None:
        """Time passes; of ``every`` so many packets one is lost."""
        for _ in range(round(seconds / TICK)):
            now = self.tick * TICK
            self.number += 1
            if sends and not (every and self.number % every == 0):
                stamp = self.number * 160
                self.engine.jitter.put(self.row, self.number, stamp, 2, False, data, now)
            for phase in range(PHASES):
                self.engine.tick(phase, now)
            self.tick += 1

    @property
    def now(self) -> float:
        return self.tick * TICK

    def kinds(self) -> list[tuple[str, str, bool]]:
        return [(alarm.kind, alarm.way, alarm.raised) for _, alarm in self.told]


def test_a_leg_is_asked_by_its_protocol() -> None:
    assert isinstance(Scene(), MonitoredLeg)


def test_a_good_call_tells_nothing_and_is_as_good_as_can_be() -> None:
    scene = Scene()
    scene.watch.answered(0.0)
    scene.run(12)
    assert scene.told == []
    last = scene.snapshots[-1]
    assert len(scene.snapshots) >= 5
    assert last.heard.loss == last.heard.late == 0
    assert last.heard.mos_listening == pytest.approx(4.41, abs=0.01)
    assert last.heard.level_dbov == pytest.approx(-24, abs=2)
    assert last.round_trip_ms == 40
    assert last.sent.mos == pytest.approx(last.heard.mos or 0, abs=0.05)


def test_silence_before_the_answer_and_on_hold_is_no_alarm() -> None:
    scene = Scene()
    scene.run(8, sends=False)
    scene.watch.answered(scene.now)
    scene.facts["expecting"] = False
    scene.facts["sending"] = False
    scene.run(40, sends=False)
    assert scene.told == []


@pytest.mark.parametrize("stop_after", [5.0, 5.2, 5.5, 5.98])
def test_a_dead_direction_is_told_of_within_three_seconds(stop_after: float) -> None:
    scene = Scene()
    scene.watch.answered(0.0)
    scene.run(stop_after)
    stopped = scene.now
    scene.run(4, sends=False)
    ((at, alarm),) = scene.told
    assert (alarm.kind, alarm.way, alarm.raised) == ("one-way", "in", True)
    assert 1.0 < at - stopped <= 3.0
    scene.run(2)
    # And what was lost meanwhile makes the stretch a poor one.
    assert ("one-way", "in", False) in scene.kinds()


def test_who_resumes_has_time_to_be_heard() -> None:
    scene = Scene()
    scene.watch.answered(0.0)
    scene.facts["expecting"] = False
    scene.run(30, sends=False)
    scene.facts["expecting"] = True
    scene.run(1.5, sends=False)
    assert scene.told == []
    scene.run(3, sends=False)
    assert scene.kinds() == [("one-way", "in", True)]


def test_a_far_end_that_said_it_pauses_may_pause() -> None:
    scene = Scene()
    scene.watch.answered(0.0)
    scene.run(3)
    scene.engine.jitter.put_other(scene.row, scene.number + 1, 2, scene.now)
    scene.run(6, sends=False)
    assert scene.kinds() == []


@pytest.mark.parametrize(
    ("facts", "dead"),
    [
        ({"packets_sent": 100}, True),
        ({"packets_sent": 100, "codec": "OPUS"}, False),
        ({"packets_sent": 100, "sending": False}, False),
        ({"remote_deaf": 2}, True),
        ({"remote_deaf": 1}, False),
    ],
)
def test_what_we_send_and_nobody_gets_is_told_of(facts: dict[str, Any], dead: bool) -> None:
    scene = Scene()
    scene.watch.answered(0.0)
    scene.facts |= facts
    scene.run(16)
    assert (("one-way", "out", True) in scene.kinds()) is dead


def test_packets_that_are_refused_mean_nobody_is_there() -> None:
    scene = Scene()
    scene.watch.answered(0.0)
    scene.run(3)
    refused_from = scene.now
    for refused in range(1, 5):
        scene.facts["refused"] = 50 * refused
        scene.run(1)
    (at,) = [at for at, alarm in scene.told if alarm.way == "out"]
    assert at - refused_from <= 3.0
    scene.run(2)
    assert scene.kinds()[-1] == ("one-way", "out", False)


def test_silence_that_lasts_is_told_of_though_packets_come() -> None:
    scene = Scene(QualityLimits(silence_seconds=5))
    scene.watch.answered(0.0)
    scene.run(3)
    scene.run(8, data=b"\xff" * 160)
    assert scene.kinds() == [("silence", "in", True)]
    scene.run(2)
    assert scene.kinds()[1:] == [("silence", "in", False)]


def test_clipping_is_told_of() -> None:
    scene = Scene()
    scene.watch.answered(0.0)
    scene.run(6, data=b"\x00" * 80 + b"\x80" * 80)
    assert ("clipping", "in", True) in scene.kinds()


def test_losses_make_a_stretch_poor_and_the_end_has_the_sums() -> None:
    scene = Scene()
    scene.watch.answered(0.0)
    scene.run(8)
    scene.run(8, every=3)
    assert ("poor", "in", True) in scene.kinds()
    scene.run(8)
    assert scene.kinds()[-1] == ("poor", "in", False)
    scene.engine.close(scene.lane)
    found, series = scene.watch.summary(), scene.watch.series()
    lost = sum(1 for number in range(401, 801) if number % 3 == 0)
    assert found["loss"] == pytest.approx(lost / scene.number, abs=1.5 / scene.number)
    assert found["mos_worst"] < found["mos"] < found["mos_listening"]
    assert found["alarms_poor"] == 1
    assert series["runs"]["1"] == pytest.approx(lost, abs=1)
    assert max(series["in"]["loss"]) == pytest.approx(1 / 3, abs=0.02)
    assert len(series["in"]["loss"]) == len(scene.snapshots)
    assert scene.lane.on_second is None
    assert scene.engine.faults == 0


def test_media_that_ends_before_the_call_is_in_the_sums() -> None:
    scene = Scene(QualityLimits(one_way_seconds=60))
    scene.watch.answered(0.0)
    scene.run(5)
    scene.run(7, sends=False)
    scene.engine.close(scene.lane)
    assert scene.watch.summary()["media_ended_early_seconds"] == pytest.approx(7, abs=1.1)


def test_what_the_far_end_says_is_in_the_sums() -> None:
    scene = Scene()
    scene.watch.answered(0.0)
    scene.facts |= {
        "remote_loss": 0.1,
        "remote_lost": 44,
        "remote_metrics": VoipMetrics(1, discard=0.25, r_factor=71, conversation_score=3.6),
    }
    scene.run(6)
    scene.engine.close(scene.lane)
    found = scene.watch.summary()
    assert (found["remote_r"], found["remote_mos"], found["remote_lost"]) == (71, 3.6, 44)
    assert found["mos_out"] < 3.6
    assert scene.snapshots[-1].sent.late == 0.25


def test_without_a_bank_nothing_is_watched_and_nothing_breaks() -> None:
    engine = Engine(quality=False)
    lane = Lane("x", inlet=JitterInlet(engine.jitter.open(Law.ULAW)), outlet=MemoryOutlet())
    engine.open(lane)
    watch = QualityWatch(
        object(), QualityLimits(), started_at=0.0, tell=lambda *_: None, show=lambda *_: None
    )
    watch.open(lane, None, 0.0)
    watch.second(1.0)
    watch.close()
    assert (watch.summary(), watch.series()) == ({}, {})
