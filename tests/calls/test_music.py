"""Music on hold: over and over, a little ahead, from a file of any length, until stopped."""

import asyncio
import logging
from pathlib import Path

import numpy as np
import pytest

from trunkline.calls.call import Call
from trunkline.calls.music import AHEAD_SECONDS, Music, MusicSource
from trunkline.media.errors import WavError
from trunkline.media.hold_music import hold_music
from trunkline.media.wav import header, serialise_wav
from trunkline.transports.leg import Ended, HoldChanged

from .fakes import FakeMedia, HoldingLeg, turn


async def wait(seconds: float = 0.05) -> None:
    """Let threads and timers do their work."""
    await asyncio.sleep(seconds)
    await turn()


def tone(seconds: float, value: int = 1000, rate_hz: int = 8000) -> np.ndarray:
    return np.full(int(seconds * rate_hz), value, np.int16)


async def held() -> tuple[Call, HoldingLeg, FakeMedia]:
    media = FakeMedia()
    leg = HoldingLeg(media)
    call = Call("c", leg, media)  # type: ignore[arg-type]
    leg.observer = call.leg_event
    await call.answer()
    return call, leg, media


def heard(leg: HoldingLeg) -> np.ndarray:
    return np.frombuffer(b"".join(leg.outlet.sent), "<i2")


def test_our_own_music_is_played_and_no_further_ahead_than_it_must_be() -> None:
    async def main() -> None:
        call, leg, media = await held()
        await call.hold(music=True)
        await wait()
        assert leg.did[-1] == ("hold", False)
        assert leg.made.playout.queued_samples <= (AHEAD_SECONDS + 1) * 8000
        media.tick(50)
        np.testing.assert_array_equal(heard(leg), hold_music()[: len(heard(leg))])
        assert len(heard(leg)) == 8000
        await call.resume()
        leg.outlet.sent.clear()
        media.tick(5)
        assert not leg.outlet.sent, "what was queued is gone"

    asyncio.run(main())


@pytest.mark.parametrize("rate_hz", [8000, 16_000])
def test_a_file_is_played_over_and_over(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "tune.wav"
    time = np.arange(rate_hz // 2) / rate_hz
    path.write_bytes(
        serialise_wav(np.rint(5000 * np.sin(2 * np.pi * 400 * time)).astype(np.int16), rate_hz)
    )

    async def main() -> None:
        call, leg, media = await held()
        await call.hold(music=path)
        await wait(0.1)
        media.tick(75)
        pcm = heard(leg).astype(float)
        assert len(pcm) == 12_000
        for half in pcm[:8000].reshape(2, 4000):
            assert int(np.abs(np.fft.rfft(half)).argmax()) * 2 == 400
        call.stop_music()
        call.stop_music()

    asyncio.run(main())


def test_a_long_file_is_read_as_it_plays(tmp_path: Path) -> None:
    path = tmp_path / "hours.wav"
    with path.open("wb") as file:
        file.write(header(8000, 1, 8 * 3600 * 16_000))
        file.truncate(44 + 8 * 3600 * 16_000)  # eight hours, sparse

    async def main() -> None:
        source = MusicSource(path)
        source.check()
        pieces = source.pieces(8000)
        first = await anext(pieces)
        assert len(first) == 8000
        await pieces.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())


def test_a_file_that_cannot_be_played_is_refused_before_anybody_is_held(tmp_path: Path) -> None:
    bad, empty = tmp_path / "bad.wav", tmp_path / "empty.wav"
    bad.write_bytes(b"no music at all")
    empty.write_bytes(header(8000, 1, 0))

    async def main() -> None:
        call, leg, _ = await held()
        for path, error in ((bad, WavError), (empty, WavError), (tmp_path / "none", OSError)):
            with pytest.raises(error):
                await call.hold(music=path)
        assert not any(did[0] == "hold" for did in leg.did)

    asyncio.run(main())


def test_a_file_that_goes_bad_is_said_once_and_the_call_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        call, _, media = await held()
        music = Music(call, MusicSource(tmp_path / "gone.wav"))
        empty = Music(call, MusicSource(samples=np.zeros(0, np.int16)))
        await wait()
        music.stop()
        empty.stop()
        assert not call.is_over
        media.tick()

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    said = sorted(record.getMessage() for record in caplog.records)
    assert len(said) == 2
    assert "No such file" in said[0]
    assert said[1].endswith("it has no samples")


def test_the_end_of_the_call_is_the_end_of_the_music() -> None:
    async def main() -> None:
        call, leg, _ = await held()
        await call.hold(music=True)
        leg.tell(Ended("hangup", "them"))
        await turn()
        assert call._music is None
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("music")]

    asyncio.run(main())


def test_a_hold_that_is_refused_plays_nothing() -> None:
    async def main() -> None:
        call, leg, media = await held()
        leg.answers.append(HoldChanged(False, 488, "no"))
        with pytest.raises(Exception, match="488"):
            await call.hold(music=True)
        await wait()
        media.tick(3)
        assert not leg.outlet.sent

    asyncio.run(main())
