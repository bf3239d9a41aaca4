"""Packets filed many at a time are filed as one by one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.media.jitter import JitterBank, JitterStatistics

FRAME, TICK, ROWS = 160, 0.02, 9
Sent = tuple[float, int, int, bytes]


def network(seed: int, jitter: float, *, loss: float, again: float, held: float) -> list[Sent]:
    """When packets of rows arrive, their row and number, and payload; in order of arrival."""
    rng = np.random.default_rng(seed)
    arrived: list[Sent] = []
    for row in range(ROWS):
        late = rng.exponential(jitter, 120)
        for index in range(120):
            if rng.random() < held:
                size = int(rng.integers(2, 45))
                stall = TICK * (size - np.arange(size))[: 120 - index]
                late[index : index + size] = np.maximum(late[index : index + size], stall)
            if rng.random() < loss:
                continue
            payload = rng.integers(0, 256, FRAME, np.uint8).tobytes()
            times = 1 + (rng.random() < again)
            for copy in range(times):
                came = float(index * TICK + late[index] + copy * rng.exponential(0.03))
                arrived.append((came, row, index, payload))
    return sorted(arrived)


def heard(
    arrived: list[Sent], *, singly: bool
) -> tuple[NDArray[np.int16], NDArray[np.uint8], list[JitterStatistics]]:
    """What is taken of all rows; packets are absorbed in blocks, or each as it is put."""
    bank = JitterBank()
    rows = np.array([bank.open() for _ in range(ROWS)])
    pcm, kinds, at = [], [], 0
    for tick in range(1, 140):
        now = tick * TICK
        while at < len(arrived) and arrived[at][0] <= now:
            came, row, index, payload = arrived[at]
            number = 65500 + index & 0xFFFF
            stamp = 0xFFFFFFFF - 2000 + index * FRAME & 0xFFFFFFFF
            bank.put(row, number, stamp, row, False, payload, came)
            at += 1
            if singly:
                # Whoever asks is told of everything that was put.
                bank.reception(row)
        taken = bank.take(rows, now)
        pcm.append(taken.pcm)
        kinds.append(taken.kind)
    return np.array(pcm), np.array(kinds), [bank.statistics(row) for row in range(ROWS)]


@pytest.mark.parametrize(
    ("jitter", "loss", "again", "held"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 0.1, 0.0, 0.0),
        (0.02, 0.02, 0.0, 0.0),
        (0.02, 0.02, 0.1, 0.0),
        (0.005, 0.02, 0.02, 0.02),
        (0.08, 0.2, 0.2, 0.05),
    ],
)
def test_blocks_do_to_rows_what_single_packets_do(
    jitter: float, loss: float, again: float, held: float
) -> None:
    for seed in range(3):
        arrived = network(seed, jitter, loss=loss, again=again, held=held)
        pcm, kinds, statistics = heard(arrived, singly=False)
        one_pcm, one_kinds, one_statistics = heard(arrived, singly=True)
        assert np.array_equal(kinds, one_kinds)
        assert np.array_equal(pcm, one_pcm)
        assert statistics == one_statistics


def test_networks_of_this_test_do_all_there_is_to_be_told_apart() -> None:
    _, _, statistics = heard(network(0, 0.02, loss=0.05, again=0.1, held=0.02), singly=False)
    for name in ("lost", "late", "duplicate", "reordered", "concealed_frames"):
        assert sum(getattr(one, name) for one in statistics) > 0


def test_a_flood_of_packets_of_one_row_is_counted_as_it_is() -> None:
    payload = bytes(FRAME)
    counts = []
    for singly in (False, True):
        bank = JitterBank()
        row, other = bank.open(), bank.open()
        for tick in range(10):
            for each in (row, other):
                bank.put(each, tick, tick * FRAME, 1, False, payload, tick * TICK)
            bank.take(np.array([row, other]), tick * TICK)
        for number in range(10, 200):
            bank.put(row, number, number * FRAME, 1, False, payload, 0.2)
            if singly:
                bank.reception(row)
        bank.put(other, 10, 10 * FRAME, 1, False, payload, 0.2)
        bank.take(np.array([row, other]), 0.2)
        counts.append((bank.statistics(row), bank.statistics(other)))
    assert counts[0] == counts[1]
    assert counts[0][0].overflow > 0
    assert counts[0][1].received == 11
