"""What a leg's record says of its chain."""

import numpy as np
import pytest

from trunkline.media import Bypass, ChainStages, Engine, Lane, StreamInlet
from trunkline.media.testing import MemoryOutlet
from trunkline.transports.chain_figures import chain_figures

COUNTS = {"chain_frames", "chain_faults", "chain_mended"}
ECHO = {"echo_delay_ms", "echo_drift_ppm", "erle_db"}


class Wild(Bypass):
    """Gives back what is no audio."""

    def process(self, block: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.full_like(block, np.nan)


def figures(stages: ChainStages | None, ticks: int = 30) -> dict[str, float]:
    engine = Engine()
    inlet = StreamInlet(8000, None)
    lane = Lane("one", inlet=inlet, outlet=MemoryOutlet(), chain=stages)
    engine.open(lane, 0)
    for tick in range(ticks):
        inlet.push(np.full(160, 50, np.int16).tobytes())
        engine.tick(0, 0.02 * (tick + 1))
    return chain_figures(engine, lane)


@pytest.mark.parametrize(
    ("stages", "names"),
    [
        (ChainStages(echo="kalman", noise="off"), COUNTS | ECHO),
        (ChainStages(echo="off", noise="logmmse"), COUNTS | {"noise_dbov"}),
        (ChainStages(), COUNTS | ECHO | {"noise_dbov"}),
        (ChainStages(echo="off", noise=Bypass), COUNTS),
        (None, set()),
    ],
)
def test_figures_are_those_of_the_stages_there_are(
    stages: ChainStages | None, names: set[str]
) -> None:
    found = figures(stages)
    assert set(found) == names
    assert all(type(value) is float for value in found.values())
    assert not names or found["chain_frames"] == 30


def test_what_a_stage_got_wrong_is_counted() -> None:
    assert figures(ChainStages(echo="off", noise=Wild), ticks=7)["chain_mended"] == 7


def test_a_leg_without_audio_has_none() -> None:
    assert chain_figures(Engine(), None) == {}
