"""Trunks that are changed while they are used."""

import threading
import time

import pytest

from trunkline.calls.limits import Lease, LimitSettings
from trunkline.calls.routing import Rate, RateTable, RoutingRule
from trunkline.calls.trunk_states import Trunks
from trunkline.calls.trunks import Gateway, Trunk
from trunkline.errors import UsageError


def trunk(name: str = "a", *servers: str, **options: object) -> Trunk:
    gateways = tuple(Gateway(f"sip:{server}") for server in servers or ("127.0.0.1",))
    return Trunk(name=name, gateways=gateways, **options)  # type: ignore[arg-type]


def test_they_are_a_mapping_by_name() -> None:
    trunks = Trunks([trunk("a"), trunk("b")])
    assert list(trunks) == ["a", "b"] and len(trunks) == 2 and "a" in trunks
    assert trunks["a"].name == "a"
    with pytest.raises(UsageError, match="there are: a, b"):
        trunks.state("c")


def test_a_name_is_there_once() -> None:
    trunks = Trunks([trunk()])
    with pytest.raises(UsageError):
        trunks.add(trunk())
    with pytest.raises(UsageError):
        trunks.set_all([trunk("x"), trunk("x")])
    with pytest.raises(UsageError):
        trunks.replace(trunk("c"))
    with pytest.raises(UsageError):
        trunks.remove("c")


def test_an_account_is_one_trunks() -> None:
    trunks = Trunks([trunk("a", accounts={"carl": "x"})])
    assert trunks.accounts == {"carl": "a"}
    with pytest.raises(UsageError, match="carl"):
        trunks.add(trunk("b", accounts={"carl": "y"}))
    assert list(trunks) == ["a"], "nothing has changed"


def test_who_replaces_a_trunk_keeps_its_calls_and_gateways() -> None:
    trunks = Trunks([trunk("a", "127.0.0.1", "127.0.0.2")])
    state = trunks.state("a")
    lease = state.limits.acquire("outbound", 0)
    for _ in range(3):
        state.health["sip:127.0.0.1"].silent(1)
    trunks.replace(trunk("a", "127.0.0.1", "127.0.0.3", limits=LimitSettings(channels=1)))
    assert trunks.state("a") is state
    assert state.limits.channels == 1 and not state.health["sip:127.0.0.1"].up
    assert set(state.health) == {"sip:127.0.0.1", "sip:127.0.0.3"}
    assert not isinstance(state.limits.acquire("outbound", 0), Lease)
    assert isinstance(lease, Lease)
    lease.release()
    assert state.limits.channels == 0


def test_a_trunk_that_is_removed_and_comes_back_has_the_calls_and_figures_it_had() -> None:
    trunks = Trunks([trunk("a"), trunk("b")])
    state = trunks.state("a")
    state.figures.attempted("inbound", 1.0)
    lease = state.limits.acquire("inbound", 0)
    trunks.remove("a")
    assert list(trunks) == ["b"] and trunks.find("a") is None
    for number in range(100):
        trunks.add(trunk(f"other-{number}"))
        trunks.remove(f"other-{number}")
    assert "a" in trunks.retired, "a call is up on it"
    assert len(trunks.retired) < 20, "of others only the last few are remembered"
    trunks.add(trunk("a", limits=LimitSettings(channels=1)))
    assert trunks.state("a") is state and "a" not in trunks.retired
    assert not isinstance(state.limits.acquire("inbound", 0), Lease), "its one channel is taken"
    assert isinstance(lease, Lease)


def test_a_change_is_told_and_makes_a_new_table() -> None:
    trunks = Trunks()
    told: list[int] = []
    trunks.watchers.append(lambda: told.append(len(trunks)))
    before = trunks.table
    trunks.add(trunk("a", addresses=("192.0.2.0/24",)))
    trunks.route(RateTable([Rate("a", "", 1)]), [RoutingRule("+49", ("a",))], "priority")
    trunks.change("a", priority=7)
    assert told == [1, 1, 1] and trunks.table is not before
    assert trunks.table.trunks["a"].priority == 7 and len(trunks.table.rules) == 1
    assert trunks.addresses.find("192.0.2.1", 5060) == "a"


def test_changes_from_many_threads_lose_none() -> None:
    trunks = Trunks()
    threads = [threading.Thread(target=lambda n=n: trunks.add(trunk(f"t{n}"))) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(trunks) == len(trunks.table.trunks) == 50


class Registrar:
    def state(self, trunk: str) -> str:
        return "failed"

    def routes(self, trunk: str) -> tuple[str, ...]:
        return ()

    def contact_user(self, trunk: str) -> str:
        return ""


def test_a_summary_says_what_state_it_is_in() -> None:
    trunks = Trunks(
        [
            trunk("up"),
            trunk("down"),
            Trunk(name="in", addresses=("192.0.2.1",)),
            trunk("reg", register=True, username="u"),
        ]
    )
    for _ in range(3):
        trunks.state("down").health["sip:127.0.0.1"].silent(time.monotonic())
    words = {one["name"]: one["state"] for one in trunks.summaries()}
    assert words == {"up": "up", "down": "down", "in": "inbound only", "reg": "not registered"}
    trunks.registrar = Registrar()
    assert trunks.summaries()[-1]["registration"] == "failed"
    assert trunks.summaries()[0]["registration"] == ""
