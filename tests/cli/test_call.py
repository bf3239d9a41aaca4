"""``trunkline call``: flags become settings, the record becomes the answer."""

import sys
import types
from typing import Any

import pytest

from trunkline.calls.record import CallRecord
from trunkline.settings import Settings

ANSWERED = CallRecord(
    id="call-1", callee="sip:a@127.0.0.1", state="ended", answered_at=1.0, ended_at=2.0
)
REFUSED = CallRecord(id="call-2", state="ended", end_reason="busy", end_by="them", end_code=486)


class Dialled:
    def __init__(self) -> None:
        self.answer = ANSWERED
        self.calls: list[tuple[Settings, str, dict[str, Any]]] = []

    def place_call(self, settings: Settings, target: str, **options: Any) -> CallRecord:
        self.calls.append((settings, target, options))
        return self.answer


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> Dialled:
    dialled = Dialled()
    module = types.ModuleType("trunkline.server.dial")
    module.place_call = dialled.place_call  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trunkline.server.dial", module)
    return dialled


def test_an_answered_call_is_shown_and_status_0(run, dialled: Dialled) -> None:
    ran = run("call", "sip:a@127.0.0.1", "--caller", "100", "--ring", "5")
    assert ran.status == 0
    assert "call-1" in ran.out
    ((settings, target, options),) = dialled.calls
    assert target == "sip:a@127.0.0.1"
    assert options == {"app_path": None, "caller": "100", "ring_seconds": 5.0}
    assert settings.sip.port == 0, "a node may be running on the usual port"


def test_a_call_nobody_answers_is_status_1(run, dialled: Dialled) -> None:
    dialled.answer = REFUSED
    ran = run("call", "sip:a@127.0.0.1")
    assert ran.status == 1
    assert "busy by them (486)" in ran.out


def test_the_record_as_json(run, dialled: Dialled) -> None:
    data = run("call", "sip:a@127.0.0.1", "--json", "--record").data
    assert data["id"] == "call-1"
    assert data["talked_seconds"] == 1.0
    assert dialled.calls[0][0].recording.enabled


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("100",), "sip:user@host"),
        (("sip:a@127.0.0.1", "--app", "none.py"), "there is no file none.py"),
        (("sip:a@127.0.0.1", "-s", "sip.host=0.0.0.0"), "sip.allowed_addresses"),
    ],
)
def test_mistakes_are_told_before_anything_is_dialled(
    run, dialled: Dialled, arguments: tuple[str, ...], said: str
) -> None:
    ran = run("call", *arguments)
    assert ran.status == 2
    assert said in ran.err
    assert not dialled.calls
