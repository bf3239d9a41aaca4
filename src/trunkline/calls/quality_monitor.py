"""The node's quality monitor: gives every call its watch, its ladder, and tells a collector."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from trunkline.transports.hep import HepExporter
from trunkline.transports.leg import Leg
from trunkline.transports.media_facts import MediaFacts
from trunkline.transports.sip import SipEndpoint
from trunkline.transports.sip_leg import SipLeg

from .call import Call
from .compound import each_leg, taken
from .ladder import Ladder, ladder_of
from .quality import SAMPLE_SECONDS, QualityWatch
from .quality_alarms import QualityLimits
from .quality_snapshot import QualitySnapshot

__all__ = ["QualityMonitor"]

LATE_SECONDS = 0.5


class QualityMonitor:
    """Made for a node; `watch` is what a switchboard asks for each call (media thread)."""

    def __init__(
        self,
        limits: QualityLimits | None = None,
        *,
        ladder: Ladder | None = None,
        hep: HepExporter | None = None,
        sample_seconds: float = SAMPLE_SECONDS,
        late: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> None:
        """``late`` is given the call's id and ladder where that comes after its end."""
        self._late = late
        self._waiting: dict[str, Call] = {}
        self._limits = limits
        self._sample_seconds = sample_seconds
        self.ladder = ladder
        """Keeps the messages of calls; None: nobody does."""
        self.hep = hep
        """Tells a collector; None: nobody does."""

    def watch(self, call: Call, leg: Leg) -> QualityWatch | None:
        """A call has a leg, its first or one to follow; all attempts of one that makes several."""
        each_leg(leg, partial(self._follow, call))
        hep = self.hep
        if self._limits is None:
            return None

        def show(snapshot: QualitySnapshot, facts: MediaFacts | None) -> None:
            call.quality_seen(snapshot)
            if hep is not None and facts is not None:
                near, far = facts.addresses
                figures = _figures(call, snapshot, facts)
                hep.quality(figures, near, far, _sip_call_id(taken(leg)), snapshot.at)

        return QualityWatch(
            leg,
            self._limits,
            started_at=call.started_monotonic,
            tell=call.quality_alarm,
            show=show,
            sample_seconds=self._sample_seconds,
        )

    def _follow(self, call: Call, leg: Leg) -> None:
        sip_call_id = _sip_call_id(leg)
        if self.ladder is not None and sip_call_id:
            self.ladder.claim(sip_call_id)
            call.sip_call_ids.append(sip_call_id)
        if self.hep is not None and isinstance(leg, SipLeg):
            leg.watch_reports(partial(_tell_rtcp, self.hep, sip_call_id))

    def ladder_of(self, call: Call) -> dict[str, Any]:
        """The messages of a call that is over; empty where they are not kept.

        What is refused is acknowledged a moment after its end: such a call's ladder comes
        late. On the application's loop.
        """
        if self.ladder is None or not call.sip_call_ids:
            return {}
        if call.answered_at is not None or self._late is None:
            return self._take(call)
        self._waiting[call.id] = call
        asyncio.get_running_loop().call_later(LATE_SECONDS, self._tell_late, call.id)
        return {}

    def attach(self, endpoint: SipEndpoint) -> None:
        """See an endpoint's messages from now on. Media thread only."""
        if self.ladder is not None:
            endpoint.watchers.append(self.ladder)
        if self.hep is not None:
            settings = endpoint.agent.settings
            self.hep.local = settings.host, endpoint.port
            endpoint.watchers.append(self.hep.sip)

    async def aclose(self) -> None:
        """Tell what still waits; the records are closed next."""
        for call_id in list(self._waiting):
            self._tell_late(call_id)
        if self.hep is not None:
            await asyncio.to_thread(self.hep.close)

    def _tell_late(self, call_id: str) -> None:
        call = self._waiting.pop(call_id, None)
        if call is not None and self._late is not None:
            self._late(call_id, self._take(call))

    def _take(self, call: Call) -> dict[str, Any]:
        assert self.ladder is not None
        taken = [self.ladder.take(each) for each in call.sip_call_ids]
        messages = sorted(one for found, _ in taken for one in found)
        return ladder_of(messages, sum(dropped for _, dropped in taken), call.started_monotonic)


def _sip_call_id(leg: Leg) -> str:
    return leg.session.call_id if isinstance(leg, SipLeg) else ""


def _tell_rtcp(
    hep: HepExporter,
    call_id: str,
    sent: bool,
    data: bytes,
    near: tuple[str, int],
    far: tuple[str, int],
    now: float,
) -> None:
    hep.rtcp(sent, data, near, far, call_id, now)


def _figures(call: Call, snapshot: QualitySnapshot, facts: MediaFacts) -> dict[str, Any]:
    """A stretch as flat figures."""
    heard, sent = snapshot.heard, snapshot.sent
    named = {
        "call": call.id,
        "codec": facts.codec,
        "ssrc_in": facts.ssrcs[1],
        "ssrc_out": facts.ssrcs[0],
        "delay_ms": snapshot.delay_ms,
        "rtt_ms": snapshot.round_trip_ms,
        "alarms": [f"{kind} {way}" for kind, way in snapshot.alarms],
    }
    for way, side in (("in", heard), ("out", sent)):
        named |= {
            f"loss_{way}": side.loss,
            f"late_{way}": side.late,
            f"jitter_ms_{way}": side.jitter_ms,
            f"mos_{way}": side.mos,
            f"mos_lq_{way}": side.mos_listening,
            f"r_{way}": side.r,
            f"level_dbov_{way}": side.level_dbov,
        }
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in named.items()
        if value is not None
    }
