"""A node meets RFC 4475 over real sockets, in a network namespace where nothing gets out."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("torture", HERE.parent / "sip" / "torture.py")
assert _spec is not None and _spec.loader is not None
torture = importlib.util.module_from_spec(_spec)
sys.modules.setdefault("torture", torture)
_spec.loader.exec_module(torture)

CONTROL = "17 198.51.100.99:9"


def namespaces_allowed() -> bool:
    """Whether this process may make a network namespace."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    command = [*_unshare(), "ip", "link", "add", "out0", "type", "veth", "peer", "name", "out1"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _unshare() -> list[str]:
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--net", *own]


@pytest.fixture(scope="module", params=["loopback", "wide"])
def run(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One node, all messages; ``wide`` listens everywhere and lets loopback in."""
    if not namespaces_allowed():
        if os.environ.get("CI"):
            pytest.fail("no network namespace can be made", pytrace=False)
        pytest.skip("no network namespace can be made")
    done = subprocess.run(
        [*_unshare(), sys.executable, str(HERE / "torture_node.py"), request.param],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("message", torture.MESSAGES, ids=lambda message: message.name)
def test_the_verdict_over_udp(run: dict[str, Any], message: Any) -> None:
    found = run["udp"][message.name]
    assert found["alive"]
    # A call that is taken is refused for its media: they may not go where it wants them.
    assert set(found["codes"]) <= message.verdicts | ({488} if 100 in found["codes"] else set())
    assert bool(found["codes"]) == bool(message.verdicts)


@pytest.mark.parametrize("message", torture.MESSAGES, ids=lambda message: message.name)
def test_the_verdict_over_tcp(run: dict[str, Any], message: Any) -> None:
    if not run["tcp"]:
        pytest.skip("nodes have no TCP")
    found = run["tcp"][message.name]
    assert found["alive"]
    if message.name == "dblreq":  # two messages there
        assert set(found["codes"]) <= message.verdicts | torture.ANSWERED
    elif not message.waits:
        allowed = message.verdicts | {400} if message.closes else message.verdicts
        assert set(found["codes"]) <= allowed | ({488} if 100 in found["codes"] else set())
        assert bool(found["codes"]) == bool(message.verdicts)


def test_nothing_leaves_the_machine(run: dict[str, Any]) -> None:
    assert CONTROL in run["left"], "the way out was not watched"
    assert set(run["left"]) == {CONTROL}
