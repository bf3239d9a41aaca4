"""What an import costs: in modules, which do not vary, and generously in time."""

import subprocess
import sys
import time

import pytest

HEAVY = ("numpy", "uvloop", "picows", "onnxruntime", "pocketsphinx", "httpx2", "rich")
"""What the bare package, and where it says so a command, does without."""


def modules_after(statement: str) -> set[str]:
    """The top-level modules a fresh interpreter has after a statement."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_package_by_itself_imports_nothing_heavy() -> None:
    assert not modules_after("import trunkline").intersection((*HEAVY, "asyncio", "msgspec"))


def test_listing_what_there_is_imports_nothing() -> None:
    assert "numpy" not in modules_after("import trunkline; dir(trunkline)")


def test_an_error_can_be_caught_without_importing_the_switchboard() -> None:
    assert "numpy" not in modules_after("from trunkline import DialError, UsageError")


def test_the_command_line_starts_without_what_only_a_node_needs() -> None:
    heavy = {"numpy", "uvloop", "picows", "onnxruntime", "pocketsphinx", "httpx2"}
    assert not modules_after("import trunkline.cli") & heavy


@pytest.mark.parametrize(
    "command", ["up", "call", "demo", "calls", "recordings", "config", "setup", "version"]
)
def test_a_command_that_is_only_asked_for_help_starts_without_numpy(command: str) -> None:
    asked = f"from trunkline.cli import main; main([{command!r}, '--help'])"
    assert "numpy" not in modules_after(asked)


def test_the_records_are_read_without_numpy() -> None:
    assert "numpy" not in modules_after("from trunkline.calls import CallRecord, RecordStore")


def test_the_package_is_imported_in_a_blink() -> None:
    # Measured: 1 ms on an idle machine. The promise is 150 ms; the best of three
    # is taken because the machine that runs this may be busy with something else.
    program = (
        "import time; began = time.perf_counter(); import trunkline\n"
        "print(time.perf_counter() - began)"
    )
    took = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
        )
        took.append(float(done.stdout))
        time.sleep(0.01)
    assert min(took) < 0.150
