"""What the commands say of a running node's trunks; the node is a socket with answers."""

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from trunkline.calls.trunk_states import Trunks
from trunkline.calls.trunks import Gateway, Trunk
from trunkline.server.control_socket import ControlSocket


class Node:
    """Commands that were given, and what they are answered with."""

    def __init__(self, path: Path) -> None:
        self.given: list[tuple[str, Mapping[str, Any]]] = []
        self.trunks = Trunks(
            [
                Trunk(name="carrier", gateways=(Gateway("sip:203.0.113.9"),)),
                Trunk(name="in", addresses=("192.0.2.1",)),
            ]
        )
        self.code = 200
        self.blocked: list[dict[str, Any]] = []
        names = ("trunks", "trunk", "trunk-test", "trunk-set", "blocked", "block", "unblock",
                 "fraud", "reload")  # fmt: skip
        self.control = ControlSocket(path, {name: self._answer(name) for name in names})
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        assert asyncio.run_coroutine_threadsafe(self.control.start(), self.loop).result(5)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.control.close(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def _answer(self, name: str) -> Any:
        def answer(given: Mapping[str, Any]) -> Any:
            self.given.append((name, given))
            return self._result(name, given)

        return answer

    def _result(self, name: str, given: Mapping[str, Any]) -> Any:
        if name == "trunks":
            return self.trunks.summaries()
        if name == "trunk":
            self.trunks.state(given["name"])
            return {**self.trunks.summaries()[0], "limits": {"channels": 30}, "caps": {},
                    "prefixes": ["", "+49"], "callers": ["+49*"], "caller": "+491"}  # fmt: skip
        if name == "trunk-test":
            return [{"server": "sip:203.0.113.9", "code": self.code, "round_trip_ms": 1.5}]
        if name == "blocked":
            return {"blocked": self.blocked, "dropped": 0, "counters": {}}
        return {"address": given.get("address")} if name == "block" else name == "unblock" or []


@pytest.fixture
def node(run, tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "trunkline.toml").write_text(f'[control]\npath = "{tmp_path}/c.sock"\n')
    node = Node(tmp_path / "c.sock")
    yield node
    node.close()


def test_without_a_node_it_says_what_to_do(run) -> None:
    for command in (("trunks",), ("blocked",), ("reload",)):
        ran = run(*command)
        assert ran.status == 2 and "trunkline up" in ran.err and not ran.out


def test_trunks_are_listed_for_people_and_machines(run, node: Node) -> None:
    shown = run("trunks").out
    assert "carrier" in shown and "up" in shown and "inbound only" in shown and "ASR" in shown
    assert [one["name"] for one in run("trunks", "--json").data] == ["carrier", "in"]
    for code in (503, 486, 486, None):
        node.trunks.state("carrier").figures.refused(code, time.time())
    assert "486: 2, none: 1, 503: 1" in run("trunks").out
    node.trunks.set_all([])
    assert "no trunks" in run("trunks").out


def test_one_trunk_is_shown_in_full(run, node: Node) -> None:
    shown = run("trunks", "show", "carrier").out
    assert "sip:203.0.113.9" in shown and "channels 30" in shown and "+49*" in shown
    assert run("trunks", "show", "carrier", "--json").data["name"] == "carrier"
    ran = run("trunks", "show", "nobody")
    assert ran.status == 2 and "carrier, in" in ran.err


def test_a_trunk_is_tested_and_the_status_says_how_it_went(run, node: Node) -> None:
    ran = run("trunks", "test", "carrier")
    assert ran.status == 0 and "200" in ran.out and "1.5 ms" in ran.out
    node.code = 0
    ran = run("trunks", "test", "carrier", "--json")
    assert ran.status == 1 and ran.data[0]["code"] == 0


def test_a_trunk_is_changed(run, node: Node) -> None:
    assert run("trunks", "set", "carrier", "channels=20", "priority=3").status == 0
    assert node.given[-1] == (
        "trunk-set", {"name": "carrier", "changes": {"channels": "20", "priority": "3"}}
    )  # fmt: skip
    assert run("trunks", "set", "carrier", "channels").status == 2


def test_the_settings_are_read_again(run, node: Node) -> None:
    ran = run("reload")
    assert ran.status == 0 and "none" in ran.out and node.given[-1][0] == "reload"


def test_who_is_blocked_is_listed_added_and_removed(run, node: Node) -> None:
    assert "Nobody" in run("blocked").out
    node.blocked = [
        {"address": "192.0.2.7", "reason": "guesses\x1b[31m", "strikes": 2, "hits": 9, "until": 0}
    ]
    shown = run("blocked").out
    assert "192.0.2.7" in shown and "ever" in shown and "\x1b[31m" not in shown
    assert run("blocked", "--json").data["blocked"][0]["hits"] == 9
    assert run("blocked", "add", "192.0.2.0/24", "--minutes", "5").status == 0
    assert node.given[-1] == (
        "block", {"address": "192.0.2.0/24", "seconds": 300.0, "reason": ""}
    )  # fmt: skip
    assert run("blocked", "remove", "192.0.2.7").status == 0
    assert run("blocked", "fraud").status == 0
