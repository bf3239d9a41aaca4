"""Knowing a dead process from a living one, whatever its number."""

import os
import subprocess
import sys

import pytest

from trunkline.calls import processes
from trunkline.calls.processes import OTHER_STALE_SECONDS, identity, is_gone


def test_we_are_not_gone() -> None:
    assert not is_gone(identity(), heartbeat=0.0, now=1e9)


def test_a_killed_child_is_gone_even_before_it_is_reaped() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = identity(child.pid)
    assert not is_gone(name, 0.0, 0.0)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert is_gone(name, 0.0, 0.0)
    assert child.stdin is not None
    child.stdin.close()
    child.wait()
    assert is_gone(name, 0.0, 0.0)


def test_another_process_with_our_number_is_not_us() -> None:
    number, started, world = identity().split("/", 2)
    assert is_gone(f"{number}/{int(started) - 1}/{world}", 0.0, 0.0)


def test_after_a_reboot_or_in_another_container_the_heartbeat_decides() -> None:
    elsewhere = f"{os.getpid()}/1/another-boot/1"
    assert not is_gone(elsewhere, heartbeat=100.0, now=100.0 + OTHER_STALE_SECONDS)
    assert is_gone(elsewhere, heartbeat=100.0, now=101.0 + OTHER_STALE_SECONDS)


@pytest.mark.parametrize("name", ["", "x", "1", "/", "//", "x/y/z"])
def test_an_identity_nobody_has_is_gone(name: str) -> None:
    assert is_gone(name, heartbeat=0.0, now=1e9)


def test_a_name_with_no_number_in_our_world_is_gone() -> None:
    assert is_gone(f"x/1/{processes._world()}", 0.0, 0.0)
