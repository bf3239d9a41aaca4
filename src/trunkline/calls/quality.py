"""Watches the quality of one call, on the media thread.

Once a second the alarms that must not wait are looked at, every few seconds a sample is
taken: figures of the stretch since the last one, R and MOS of each direction. What costs
time is the engine's (`media.quality_bank`) and done for many calls at once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.media.burst_gap import BurstGapStatistics
from trunkline.media.jitter import JitterStatistics
from trunkline.media.lane import JitterInlet, Lane
from trunkline.media.quality_bank import HEARD, SENT, QualityBank
from trunkline.media.quality_levels import Levels, levels_of
from trunkline.media.quality_score import one_way_ms, score
from trunkline.transports.media_facts import MediaFacts, MonitoredLeg

from .quality_alarms import Alarm, QualityAlarms, QualityLimits, Way
from .quality_series import QualitySeries
from .quality_snapshot import DirectionQuality, QualitySnapshot
from .quality_summary import summary_figures

__all__ = ["SAMPLE_SECONDS", "QualityWatch"]

SAMPLE_SECONDS = 5.0
_STEADY_SECONDS = 10.0
"""For so long we must have sent before the far end's reports may say that it is deaf."""
_TICK_SECONDS = 0.02
_WAYS: tuple[Way, Way] = ("in", "out")
_NOTHING = BurstGapStatistics(0, 0, 0, 0, 0, 0)

_Histogram = tuple[NDArray[np.uint32], int]


@dataclass(slots=True)
class _Before:
    """What the last sample saw."""

    pattern: BurstGapStatistics = _NOTHING
    late: int = 0
    levels: tuple[_Histogram | None, _Histogram | None] = (None, None)


@dataclass(slots=True)
class _Sending:
    """Whether packets of ours leave."""

    packets: int = -1
    refused: int = 0
    since: float | None = None
    """From when on we are to send."""
    dead_since: float | None = None


@dataclass(slots=True)
class Whole:
    """Sums over a call's samples."""

    mos: list[float] = field(default_factory=lambda: [0.0, 0.0])
    worst: list[float | None] = field(default_factory=lambda: [None, None])
    samples: list[int] = field(default_factory=lambda: [0, 0])
    round_trip_most_ms: float | None = None

    def add(self, way: int, mos: float | None) -> None:
        """One sample of a direction."""
        if mos is not None:
            self.mos[way] += mos
            self.samples[way] += 1
            worst = self.worst[way]
            self.worst[way] = mos if worst is None else min(worst, mos)


class QualityWatch:
    """One call's monitor. Media thread only, but for what the call was told.

    ``tell`` gets alarms, ``show`` a snapshot every few seconds.
    """

    def __init__(
        self,
        leg: object,
        limits: QualityLimits,
        *,
        started_at: float,
        tell: Callable[[Alarm, float], None],
        show: Callable[[QualitySnapshot, MediaFacts | None], None],
        sample_seconds: float = SAMPLE_SECONDS,
    ) -> None:
        self._leg = leg if isinstance(leg, MonitoredLeg) else None
        self._tell = tell
        self._show = show
        self._started_at = started_at
        self._every = sample_seconds
        self._alarms = QualityAlarms(limits)
        self._series = QualitySeries(sample_seconds)
        self._lane: Lane | None = None
        self._bank: QualityBank | None = None
        self._answered_at: float | None = None
        self._expecting_since: float | None = None
        self._received = 0
        self._alive_at = started_at
        self._sampled_at = started_at
        self._before = _Before()
        self._sending = _Sending()
        self._whole = Whole()
        self._facts: MediaFacts | None = None
        self._seen_at = started_at
        self._summary: dict[str, float] = {}
        self._shapes: dict[str, Any] = {}

    # -- what the call says --------------------------------------------------------------

    def open(self, lane: Lane, bank: QualityBank | None, now: float) -> None:
        """The leg has media; legal more than once. Other media than before begins anew."""
        if self._lane is lane or bank is None or lane.quality_row < 0:
            return
        self.close()
        self._lane, self._bank = lane, bank
        self._sampled_at = self._alive_at = now
        self._received = 0
        self._expecting_since = None
        self._before, self._sending, self._whole = _Before(), _Sending(), Whole()
        lane.on_second = self.second
        lane.on_close = self.close

    def succeed(self, before: "QualityWatch") -> None:
        """It is of the leg that took another's place: the call's time series goes on."""
        self._series = before._series

    def answered(self, now: float) -> None:
        """From now on both sides are to be heard."""
        self._answered_at = now

    @property
    def alarms(self) -> QualityAlarms:
        """What stands and what there was."""
        return self._alarms

    def summary(self) -> dict[str, float]:
        """Figures of the whole call, once its media is closed."""
        return self._summary

    def series(self) -> dict[str, Any]:
        """How it was over time, and how losses and delays were spread."""
        plain = self._series.plain()
        return {**plain, **self._shapes} if plain or self._shapes else {}

    # -- what the engine says ------------------------------------------------------------

    def second(self, now: float) -> None:
        """A second has passed."""
        lane, bank = self._lane, self._bank
        if lane is None or bank is None:
            return
        self._seen_at = now
        self._facts = facts = self._leg.media_facts() if self._leg is not None else None
        for alarm in self._heard(lane, bank, facts, now):
            self._tell(alarm, now)
        if facts is not None:
            for alarm in self._alarms.dead("out", self._unsent(facts, now)):
                self._tell(alarm, now)
        if now - self._sampled_at >= self._every - 0.5:
            self._sample(now)

    def close(self) -> None:
        """The lane is about to go: the last sample, and the sums."""
        lane, bank = self._lane, self._bank
        if lane is None or bank is None or lane.quality_row < 0:
            return
        now = self._seen_at
        if self._leg is not None:
            self._facts = self._leg.media_facts() or self._facts
        row = lane.quality_row
        statistics = self._leg.jitter_statistics() if self._leg is not None else None
        came = bank.stream(row, last=True)
        levels = bank.levels(row, HEARD), bank.levels(row, SENT)
        self._summary, self._shapes = summary_figures(
            came, statistics, levels, self._facts, self._whole, self._alarms
        )
        self._summary |= self._early_end(bank, row, now)
        self._lane = self._bank = None
        lane.on_second = lane.on_close = None

    def _early_end(self, bank: QualityBank, row: int, now: float) -> dict[str, float]:
        """How long nothing had come any more when the call ended, if it should have."""
        since = self._expecting_since
        if self._facts is None or since is None or bank.received(row) != self._received:
            return {}
        silent = now - max(self._alive_at, since)
        return {"media_ended_early_seconds": round(silent, 1)} if silent > 1.0 else {}

    # -- alarms --------------------------------------------------------------------------

    def _heard(
        self, lane: Lane, bank: QualityBank, facts: MediaFacts | None, now: float
    ) -> Iterable[Alarm]:
        """What is wrong with what we hear."""
        expecting = self._answered_at is not None and (facts is None or facts.expecting)
        if not expecting:
            # What is held, or not answered yet, has nothing to say.
            self._expecting_since = None
        elif self._expecting_since is None:
            self._expecting_since = now
        since = self._expecting_since
        if since is None:
            yield from self._alarms.dead("in", 0.0)
            yield from self._alarms.silent("in", 0.0)
            return
        dead = 0.0
        if isinstance(lane.inlet, JitterInlet):
            received = bank.received(lane.quality_row)
            if received != self._received or bank.pauses(lane.quality_row):
                self._received, self._alive_at = received, now
            # An answer is when media begins, and what came before is not too old for it.
            dead = now - max(self._alive_at, since)
        else:
            dead = min(lane.idle_ticks * _TICK_SECONDS, now - since)
        yield from self._alarms.dead("in", dead)
        loud = bank.loud_at.item(lane.quality_row, HEARD)
        silent = 0.0 if dead > 1.0 else now - max(loud, since)
        yield from self._alarms.silent("in", silent)

    def _unsent(self, facts: MediaFacts, now: float) -> float:
        """For how long nothing of ours has arrived, as far as can be known."""
        before = self._sending
        if not facts.sending or self._answered_at is None:
            self._sending = _Sending(facts.packets_sent, facts.refused)
            return 0.0
        if before.since is None:
            before.since = now
        stuck = facts.packets_sent == before.packets and facts.codec != "OPUS"
        refused = facts.refused > before.refused
        steady = now - before.since >= _STEADY_SECONDS
        limit = self._alarms.limits.remote_reports
        deaf = steady and bool(limit) and facts.remote_deaf >= limit
        before.packets, before.refused = facts.packets_sent, facts.refused
        if not (stuck or refused or deaf):
            before.dead_since = None
            return 0.0
        if before.dead_since is None:
            before.dead_since = now - 1.0
        return now - before.dead_since

    # -- samples -------------------------------------------------------------------------

    def _sample(self, now: float) -> None:
        lane, bank, facts = self._lane, self._bank, self._facts
        assert lane is not None
        assert bank is not None
        self._sampled_at = now
        statistics = self._leg.jitter_statistics() if self._leg is not None else None
        delay_ms = max(0.0, statistics.delay_ms) if statistics is not None else 0.0
        round_trip = facts.round_trip_ms if facts is not None else None
        if round_trip is not None:
            most = self._whole.round_trip_most_ms
            self._whole.round_trip_most_ms = max(round_trip, most or 0.0)
        levels = self._levels(bank, lane.quality_row)
        heard = self._heard_now(bank, lane.quality_row, statistics, facts, levels[0])
        sent = _sent_now(facts, delay_ms, levels[1])
        for way, direction in enumerate((heard, sent)):
            self._whole.add(way, direction.mos)
            for alarm in (
                *self._alarms.rated(_WAYS[way], direction.mos),
                *self._alarms.clipped(_WAYS[way], direction.clipped or 0.0),
            ):
                self._tell(alarm, now)
        self._series.add(
            now - self._started_at,
            {**heard.columns(), "delay": delay_ms},
            {**sent.columns(), "rtt": round_trip},
        )
        alarms = dict(self._alarms.raised)
        self._show(QualitySnapshot(now, heard, sent, round_trip, delay_ms, alarms), facts)

    def _levels(self, bank: QualityBank, row: int) -> tuple[Levels, Levels]:
        """Of the stretch, heard and sent."""
        found = bank.histogram(row, HEARD), bank.histogram(row, SENT)
        before, self._before.levels = self._before.levels, found
        return _stretch(found[0], before[0]), _stretch(found[1], before[1])

    def _heard_now(
        self,
        bank: QualityBank,
        row: int,
        statistics: JitterStatistics | None,
        facts: MediaFacts | None,
        levels: Levels,
    ) -> DirectionQuality:
        if statistics is None or facts is None:
            return DirectionQuality(
                level_dbov=levels.level_dbov, silence=levels.silence, clipped=levels.clipped
            )
        pattern, before = bank.stream(row).pattern, self._before
        packets = pattern.packets - before.pattern.packets
        missed = pattern.lost - before.pattern.lost
        runs = pattern.losses - before.pattern.losses
        late = min(missed, statistics.late - before.late)
        before.pattern, before.late = pattern, statistics.late
        common = {
            "jitter_ms": statistics.jitter_ms,
            "level_dbov": levels.level_dbov,
            "silence": levels.silence,
            "clipped": levels.clipped,
        }
        if packets <= 0:
            return DirectionQuality(**common)
        share = missed / packets
        ratio = max(1.0, missed / runs * (1 - share)) if runs > 0 and share < 1 else 1.0
        delay = one_way_ms(facts.round_trip_ms, max(0.0, statistics.delay_ms))
        judged = score(facts.codec, share, ratio, delay)
        return DirectionQuality(
            loss=(missed - late) / packets,
            late=late / packets,
            burst_ratio=ratio,
            mos_listening=judged.mos_listening,
            mos=judged.mos,
            r=judged.r,
            **common,
        )


def _sent_now(facts: MediaFacts | None, delay_ms: float, levels: Levels) -> DirectionQuality:
    """What the far end hears: their own score where they say it, or one of their losses."""
    common = {
        "level_dbov": levels.level_dbov,
        "silence": levels.silence,
        "clipped": levels.clipped,
    }
    if facts is None or facts.remote_loss is None:
        return DirectionQuality(**common)
    jitter = facts.remote_jitter_ms
    metrics = facts.remote_metrics
    # Their buffer is not known, so it is taken to be like ours.
    delay = one_way_ms(facts.round_trip_ms, delay_ms)
    judged = score(facts.codec, facts.remote_loss, 1.0, delay)
    return DirectionQuality(
        loss=facts.remote_loss,
        late=metrics.discard if metrics is not None else None,
        jitter_ms=jitter,
        mos_listening=judged.mos_listening,
        mos=judged.mos,
        r=judged.r,
        **common,
    )


def _stretch(found: _Histogram, before: _Histogram | None) -> Levels:
    if before is None:
        return levels_of(*found)
    return levels_of(found[0] - before[0], found[1] - before[1])
