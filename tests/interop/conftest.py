"""Every test here meets the node from outside, through real sockets."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trunkline.calls.apps import echo
from trunkline.calls.switchboard import Switchboard

from .kit import RunningNode


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "program(name): skipped where it is not installed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.interop)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("program"):
        for name in mark.args:
            if shutil.which(name) is None:
                if os.environ.get("CI"):
                    pytest.fail(f"{name} is not installed", pytrace=False)
                pytest.skip(f"{name} is not installed")


@pytest.fixture(autouse=True)
def no_exception_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a peer does, no traceback is ever logged."""
    with caplog.at_level(logging.INFO):
        yield
    raised = [record.getMessage() for record in caplog.records if record.exc_info]
    assert not raised, raised


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningNode]]:
    """Start a node with a board (of one echo app, if none is given); it ends with the test."""
    nodes: list[RunningNode] = []

    def begin(board: Switchboard | None = None, **options: Any) -> RunningNode:
        if board is None:
            board = Switchboard()
            board.answer("*")(echo)
        folder = tmp_path / f"node{len(nodes)}"
        folder.mkdir()
        node = RunningNode(board, folder, **options)
        nodes.append(node)
        return node.__enter__()

    yield begin
    for node in nodes:
        node.stop()


Start = Callable[..., RunningNode]
