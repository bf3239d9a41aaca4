"""``trunkline demo``: its flags, and its status as the demo's."""

import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class DemoOptions:
    folder: Path
    voice: str
    json: bool
    log_level: str


@pytest.mark.parametrize("status", [0, 1])
def test_the_demo_decides_the_status(run, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    seen: list[DemoOptions] = []

    def run_demo(options: DemoOptions) -> int:
        seen.append(options)
        return status

    module = types.ModuleType("trunkline.server.demo")
    module.DemoOptions = DemoOptions  # type: ignore[attr-defined]
    module.run_demo = run_demo  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trunkline.server.demo", module)
    assert run("demo", "--folder", "out", "--voice", "espeak", "--json").status == status
    assert seen == [DemoOptions(Path("out"), "espeak", True, "error")]
