"""A node's quality monitor, as the settings have it."""

from trunkline.calls.ladder import Ladder
from trunkline.calls.quality_alarms import QualityLimits
from trunkline.calls.quality_monitor import QualityMonitor
from trunkline.calls.records import RecordStore
from trunkline.settings import Quality
from trunkline.transports.hep import Collector, HepExporter

__all__ = ["quality_monitor"]


def quality_monitor(settings: Quality, records: RecordStore | None) -> QualityMonitor:
    """What looks at calls, keeps their messages and tells a collector."""
    limits = QualityLimits(
        poor_mos=settings.poor_mos,
        good_mos=settings.good_mos,
        one_way_seconds=settings.one_way_seconds,
        silence_seconds=settings.silence_seconds,
        clipped=settings.clipped,
    )
    hep = None
    if settings.hep:
        hep = HepExporter(
            Collector.parse(settings.hep),
            agent=settings.hep_id,
            password=settings.hep_password.reveal(),
        )
        hep.start()
    keeps = settings.ladder and records is not None
    return QualityMonitor(
        limits if settings.enabled else None,
        ladder=Ladder(settings.ladder_messages, settings.ladder_bytes) if keeps else None,
        hep=hep,
        sample_seconds=settings.sample_seconds,
        late=None if records is None else lambda id, ladder: records.update(id, ladder=ladder),
    )
