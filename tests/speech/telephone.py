"""Speech as a telephone delivers it: 8 kHz, mu-law there and back, a little noise."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray

from trunkline.media import g711
from trunkline.speech import create

Pcm = NDArray[np.int16]


async def gather(chunks: AsyncIterator[Pcm]) -> Pcm:
    heard = [chunk async for chunk in chunks]
    return np.concatenate(heard) if heard else np.zeros(0, np.int16)


def said(texts: list[str], engine: str = "flite", **options: object) -> list[Pcm]:
    """Each text as heard on a telephone line, with 300 ms before it and 500 after."""

    async def speak() -> list[Pcm]:
        voice = create("tts", engine, rate_hz=8000, **options)
        try:
            return [await gather(voice.speak(text)) for text in texts]
        finally:
            await voice.aclose()

    return [on_telephone(audio, seed) for seed, audio in enumerate(asyncio.run(speak()))]


def on_telephone(audio: Pcm, seed: int = 0, level_dbov: float = -26.0) -> Pcm:
    voice = audio.astype(np.float64) / 32768
    loud = voice[np.abs(voice) > 0.02 * np.abs(voice).max()]
    voice *= 10 ** (level_dbov / 20) / np.sqrt(np.mean(loud**2))
    voice = np.concatenate([np.zeros(2400), voice, np.zeros(4000)])
    voice += np.random.default_rng(seed).standard_normal(voice.size) * 1e-3
    pcm = (voice * 32768).clip(-32768, 32767).astype(np.int16)
    return g711.decode(g711.encode(pcm, g711.Law.ULAW), g711.Law.ULAW)
