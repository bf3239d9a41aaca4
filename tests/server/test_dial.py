"""Placing one call from the command line, on real sockets."""

import socket
from pathlib import Path

import pytest

from trunkline.calls import OutboundDeniedError
from trunkline.errors import UsageError
from trunkline.server.dial import place_call
from trunkline.settings import Records, Settings, Sip

APP = """
from trunkline import Switchboard
board = Switchboard()
@board.answer()
async def nothing(call): ...
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(APP)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(sip=Sip(port=0, t1_ms=10), records=Records(path=tmp_path / "calls.db"))


def test_a_target_that_is_not_allowed_is_one_error_and_no_group(
    settings: Settings, app: Path
) -> None:
    with pytest.raises(OutboundDeniedError, match=r"outbound\.allowed_prefixes"):
        place_call(settings, "sip:1@198.51.100.1", app_path=app)


def test_an_address_that_is_none_is_the_callers_mistake(settings: Settings, app: Path) -> None:
    with pytest.raises(UsageError):
        place_call(settings, "sip:@127.0.0.1:", app_path=app)


def test_a_call_that_nobody_answers_leaves_a_record(settings: Settings, app: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        target = f"sip:nobody@127.0.0.1:{deaf.getsockname()[1]}"
        record = place_call(settings, target, app_path=app, ring_seconds=0.2)
    assert (record.state, record.answered_at, record.callee) == ("ended", None, "nobody")


def test_a_file_without_an_app_is_said_so(settings: Settings, tmp_path: Path) -> None:
    empty = tmp_path / "empty.py"
    empty.write_text("from trunkline import Switchboard\nboard = Switchboard()\n")
    with pytest.raises(UsageError, match=r"has no app: decorate one with @board\.answer"):
        place_call(settings, "sip:1@127.0.0.1", app_path=empty)
