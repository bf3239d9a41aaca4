"""Asks the gateways of all trunks whether they are there, as often as they are to be.

The questions are OPTIONS; what comes of them is in each gateway's `GatewayHealth`.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from trunkline.sip.probing import OptionsAnswer
from trunkline.sip.uri import Uri
from trunkline.sip.user_agent import UserAgent

from .health import GatewayHealth
from .trunk_states import Trunks, TrunkState

__all__ = ["HealthProbes"]

LOOK_SECONDS: Final = 0.25
"""How often it is looked whether a question is due."""

log = logging.getLogger(__name__)


class Asks(Protocol):
    """The endpoint that questions are sent from."""

    agent: UserAgent

    def now(self) -> float:
        """The media clock."""

    def flush(self) -> None:
        """Send what there is to send."""


class HealthProbes:
    """The questions of one node. Media thread only."""

    def __init__(
        self,
        trunks: Trunks,
        endpoint: Asks,
        loop: asyncio.AbstractEventLoop,
        changed: Callable[[str, str, bool], None] | None = None,
    ) -> None:
        self._trunks = trunks
        self._endpoint = endpoint
        self._loop = loop
        self._changed = changed or (lambda trunk, server, up: None)
        self._timer: asyncio.TimerHandle | None = None
        self.asked = 0
        """Questions sent."""

    def start(self) -> None:
        """Look from now on."""
        self._look()

    async def stop(self) -> None:
        """Ask nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
        now = self._endpoint.now()
        for state in self._trunks.states:
            for server, health in list(state.health.items()):
                if health.due(now):
                    self.ask(state, server, health)

    def ask(
        self,
        state: TrunkState,
        server: str,
        health: GatewayHealth,
        told: Callable[[OptionsAnswer], None] | None = None,
    ) -> None:
        """Ask one gateway now; ``told`` hears what came of it."""
        name = state.trunk.name
        endpoint = self._endpoint

        def answered(answer: OptionsAnswer, now: float) -> None:
            was_up = health.up
            if answer.code:
                health.answered(
                    answer.code,
                    now,
                    round_trip_ms=answer.round_trip_seconds * 1000,
                    retry_after=answer.retry_after_seconds,
                )
            else:
                health.silent(now)
            if health.up is not was_up:
                log.warning("trunk %s: %s is %s", name, server, "up" if health.up else "down")
                self._changed(name, server, health.up)
            if told is not None:
                told(answer)

        self.asked += 1
        hop = Uri.parse(server).hop._replace(profile=name)
        timeout = health.settings.timeout_seconds
        endpoint.agent.ask_options(server, hop, answered, endpoint.now(), timeout)
        endpoint.flush()
