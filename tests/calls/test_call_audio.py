"""A call's chain: when it has one, and what a switchboard and an app say of it."""

import asyncio
import logging
from typing import Any

import numpy as np
import pytest

from trunkline.calls import AudioDefaults, AudioPath
from trunkline.calls.apps import echo
from trunkline.calls.audio import CallAudio
from trunkline.calls.call import Call
from trunkline.calls.switchboard import Switchboard
from trunkline.errors import MissingDependencyError
from trunkline.media import Bypass, ChainStages
from trunkline.speech import register
from trunkline.transports.leg import EarlyMedia

from .fakes import FakeLeg, FakeMedia

ECHO_ALONE = ChainStages(echo="kalman", noise="off")


def make(audio: AudioPath | None = None, **options: Any) -> tuple[Call, FakeLeg, FakeMedia]:
    media = FakeMedia()
    leg = FakeLeg(media, **options)
    path = CallAudio(AudioDefaults(), leg.transport, leg.party, audio)
    call = Call("call_1", leg, media, audio=path)  # type: ignore[arg-type]
    leg.observer = call.leg_event
    return call, leg, media


def test_a_call_has_a_chain_from_when_an_agent_is_on_it() -> None:
    async def main() -> None:
        call, leg, media = make()
        await call.answer()
        assert leg.made.chain is None
        call.agent_host()
        assert leg.made.chain == ECHO_ALONE
        assert media.engine.chains.metrics(leg.made) is not None
        await call.hangup()

    asyncio.run(main())


def test_an_agent_that_comes_before_the_audio_has_its_chain_with_the_audio() -> None:
    async def main() -> None:
        call, leg, media = make()
        call.agent_host()
        assert leg.made.chain is None
        leg.lane = leg.made
        media.engine.open(leg.made)
        leg.tell(EarlyMedia())
        assert leg.made.chain == ECHO_ALONE

    asyncio.run(main())


def test_what_is_said_of_a_call_is_done_and_taken_back() -> None:
    async def main() -> None:
        call, leg, _ = make(AudioPath(noise="spectral"))
        await call.answer()
        assert leg.made.chain == ChainStages(echo="off", noise="spectral")
        call.set_audio(AudioPath(echo="nlms", noise="off"))
        assert leg.made.chain == ChainStages(echo="nlms", noise="off")
        call.set_audio(None)
        assert leg.made.chain == ChainStages(echo="off", noise="spectral")

    asyncio.run(main())


def missing(rate_hz: int) -> Bypass:
    raise MissingDependencyError("run: pip install nothing")


register("noise", "not-installed-for-a-test", missing)


def test_what_cannot_be_is_told_to_whoever_asks_and_changes_nothing() -> None:
    async def main() -> None:
        call, leg, _ = make()
        call.agent_host()
        await call.answer()
        with pytest.raises(MissingDependencyError, match="pip install nothing"):
            call.set_audio(AudioPath(noise="not-installed-for-a-test"))
        assert leg.made.chain == ECHO_ALONE

    asyncio.run(main())


def test_a_stage_that_cannot_be_made_leaves_the_call_as_it_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made: list[int] = []

    def once(rate_hz: int) -> Bypass:
        made.append(rate_hz)
        raise MissingDependencyError("gone meanwhile")

    async def main() -> None:
        call, leg, _ = make(AudioPath(noise=once))
        with caplog.at_level(logging.ERROR):
            await call.answer()
        assert leg.made.chain is None
        assert "gone meanwhile" in caplog.text

    asyncio.run(main())


def test_a_route_says_what_is_done_with_its_calls() -> None:
    async def main() -> None:
        media = FakeMedia()
        board = Switchboard()
        board.answer("1*", audio=AudioPath(noise="logmmse", strength=0.5))(echo)
        board.answer("*")(echo)
        defaults = AudioDefaults(relay=AudioPath(echo="nlms"))
        board.connect(media, audio=defaults)  # type: ignore[arg-type]
        found = []
        for callee in ("100", "200"):
            leg = FakeLeg(media, callee=callee)
            leg.observer = board.receive(leg, 0.0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            found.append(leg.made.chain)
        assert found == [
            ChainStages(echo="nlms", noise="logmmse", noise_strength=0.5),
            ChainStages(echo="nlms", noise="off"),
        ]

    asyncio.run(main())


def test_a_change_after_the_end_is_nothing() -> None:
    async def main() -> None:
        call, leg, media = make()
        await call.answer()
        media.engine.close(leg.made)
        await call.hangup()
        call.set_audio(AudioPath(echo="kalman"))
        assert leg.made.chain is None
        assert len(media.engine.chains) == 0
        assert np.array_equal(media.engine.jitter.positions(np.zeros(0, np.intp)), [])

    asyncio.run(main())
