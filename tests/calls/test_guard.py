"""The gate: who may speak, what is asked of whom, which trunk it is."""

from collections.abc import Sequence

import pytest

from trunkline.calls.guard import GateSettings, TrunkGate
from trunkline.calls.guard_signs import SignSettings
from trunkline.calls.limits import LimitSettings
from trunkline.calls.trunk_receiving import Arrivals
from trunkline.calls.trunk_states import Trunks
from trunkline.calls.trunks import Trunk
from trunkline.sip.digest import Verdict
from trunkline.sip.hop import Hop
from trunkline.sip.message import Request

CARRIER = Hop("203.0.113.9", 5060)
STRANGER = Hop("192.0.2.66", 5060)
FEW = SignSettings(failures=2, numbers=3, requests=8, malformed=2)


class World:
    """A gate, its trunks, and a clock."""

    def __init__(self, *trunks: Trunk, **settings: object) -> None:
        self.trunks = Trunks(trunks)
        self.arrivals = Arrivals(self.trunks)
        self.at = 1_800_000_000.0
        self.proved: list[tuple[str, str]] = []
        self.gate = TrunkGate(
            GateSettings(signs=FEW, **settings),  # type: ignore[arg-type]
            self.trunks,
            self.arrivals,
            bytes(32),
            clock=lambda: self.at,
            proved=lambda account, host, at: self.proved.append((account, host)),
        )

    def channels(self, name: str = "carrier") -> int:
        return self.trunks.state(name).limits.channels


def invite(call_id: str = "1", account: str = "", number: str = "100") -> Request:
    headers = [("Call-ID", call_id), ("From", "<sip:a@b>;tag=1")]
    if account:
        headers.append(("Authorization", f'Digest username="{account}", realm="x"'))
    return Request("INVITE", f"sip:{number}@127.0.0.1", headers)


def carrier(**options: object) -> Trunk:
    options.setdefault("addresses", ("203.0.113.0/28",))
    return Trunk(name="carrier", **options)  # type: ignore[arg-type]


def test_a_trunk_is_known_by_its_address_and_asked_nothing() -> None:
    world = World(carrier())
    assert world.gate.may_speak(CARRIER)
    admission = world.gate.admit(invite(), CARRIER, 0.0)
    assert (admission.trunk, admission.challenger, admission.code) == ("carrier", None, 0)
    assert world.channels() == 1


@pytest.mark.parametrize("settings", [{}, {"allowed": ("203.0.113.0/24",)}])
def test_the_address_of_a_websocket_may_be_a_proxys_and_proves_nothing(
    settings: dict[str, object],
) -> None:
    world = World(carrier(accounts={"alice": "secret"}), **settings)
    over = CARRIER._replace(transport="WS", flow=1)
    assert world.gate.may_speak(over)
    assert world.gate.admit(invite(), over, 0.0).challenger is not None
    assert not World(carrier(), **settings).gate.may_speak(over)


def test_strangers_are_not_listened_to_where_only_addresses_are_known() -> None:
    assert not World(carrier()).gate.may_speak(STRANGER)
    assert not World(allowed=("203.0.113.0/24",)).gate.may_speak(STRANGER)
    assert World(allowed=("203.0.113.0/24",)).gate.may_speak(CARRIER)


def test_a_node_on_loopback_is_open() -> None:
    world = World(carrier(), is_open=True)
    assert world.gate.may_speak(STRANGER)
    assert world.gate.admit(invite(), STRANGER, 0.0).challenger is None


def test_strangers_prove_themselves_where_there_are_accounts() -> None:
    world = World(accounts={"alice": "x"}, allowed=("203.0.113.0/24",))
    assert world.gate.admit(invite(), STRANGER, 0.0).challenger is not None
    assert world.gate.admit(invite(), CARRIER, 0.0).challenger is None


def test_a_trunk_over_its_limit_gets_503_and_a_time() -> None:
    world = World(carrier(limits=LimitSettings(channels=2)))
    for call in ("1", "2"):
        assert not world.gate.admit(invite(call), CARRIER, 0.0).code
    refused = world.gate.admit(invite("3"), CARRIER, 0.0)
    assert (refused.code, refused.retry_after_seconds, refused.silent) == (503, 5, False)
    assert world.gate.counters["trunk at its limit: channels"] == 1
    assert world.trunks.summaries()[0]["codes"] == {"503": 1}


def test_a_channel_nobody_came_for_is_free_again() -> None:
    world = World(carrier(limits=LimitSettings(channels=1)))
    world.gate.admit(invite("1"), CARRIER, 0.0)
    assert world.gate.admit(invite("2"), CARRIER, 1.0).code == 503
    assert not world.gate.admit(invite("3"), CARRIER, 3.0).code


@pytest.mark.parametrize(("outcome", "left"), [("accepted", 1), ("refused", 0), ("stale", 0)])
def test_an_accounts_trunk_has_its_channel_only_if_the_password_was_right(
    outcome: str, left: int
) -> None:
    world = World(carrier(addresses=(), accounts={"carl": "x"}))
    admission = world.gate.admit(invite("1", "carl"), STRANGER, 0.0)
    assert admission.trunk == "carrier" and admission.challenger is not None
    verdict = Verdict(outcome, "carl")  # type: ignore[arg-type]
    world.gate.on_digest(invite("1", "carl"), STRANGER, verdict, 0.0)
    assert world.channels() == left


def test_a_trunk_that_is_added_brings_its_accounts_and_takes_them_away() -> None:
    world = World()
    assert not world.gate.may_speak(STRANGER)
    world.trunks.add(carrier(accounts={"carl": "x"}))
    assert world.gate.may_speak(STRANGER)
    world.trunks.remove("carrier")
    assert not world.gate.may_speak(STRANGER)


def test_wrong_passwords_block_an_address_and_a_right_one_is_told() -> None:
    world = World(accounts={"alice": "x"})
    world.gate.on_digest(invite(), STRANGER, Verdict("accepted", "alice"), 0.0)
    assert world.proved == [("alice", STRANGER.host)]
    for _ in range(2):
        assert world.gate.may_speak(STRANGER)
        world.gate.on_digest(invite(), STRANGER, Verdict("refused", "alice"), 0.0)
    assert not world.gate.may_speak(STRANGER)
    assert world.gate.may_speak(Hop("192.0.2.67", 5060))
    world.at += 61
    assert world.gate.may_speak(STRANGER)


def test_an_account_that_is_guessed_is_not_looked_at() -> None:
    world = World(accounts={"alice": "x"})
    for last in range(30):
        source = Hop(f"198.51.100.{last}", 5060)
        world.gate.on_digest(invite(), source, Verdict("refused", "alice"), 0.0)
    assert world.gate.admit(invite("1", "alice"), STRANGER, 0.0).silent
    assert not world.gate.admit(invite("1", "bob"), STRANGER, 0.0).silent


def floods(world: World, source: Hop, times: int = 20) -> Sequence[bool]:
    return [world.gate.ignores(invite(str(n), number=f"9{n}"), source, 0.0) for n in range(times)]


def test_a_stranger_who_dials_around_is_blocked() -> None:
    world = World(accounts={"alice": "x"})
    assert floods(world, STRANGER, 4) == [False, False, False, True]
    assert not world.gate.may_speak(STRANGER)


@pytest.mark.parametrize(
    ("source", "settings"),
    [
        (CARRIER, {}),
        (STRANGER, {"allowed": ("192.0.2.0/24",)}),
        (STRANGER, {"never_blocked": ("192.0.2.0/24",)}),
        (Hop("127.0.0.1", 9), {}),
        (STRANGER, {"protect": False}),
    ],
)
def test_trunks_allowed_networks_and_this_machine_are_never_blocked(
    source: Hop, settings: dict[str, object]
) -> None:
    world = World(carrier(), accounts={"alice": "x"}, **settings)
    assert not any(floods(world, source))
    for _ in range(10):
        world.gate.on_malformed(source, 0.0)
        world.gate.on_digest(invite(), source, Verdict("refused", "alice"), 0.0)
    scanner = Request("OPTIONS", "sip:x@y", [("User-Agent", "friendly-scanner")])
    assert not world.gate.ignores(scanner, source, 0.0)
    assert world.gate.may_speak(source)


def test_a_trunk_speaks_even_if_its_network_was_blocked_before() -> None:
    world = World(accounts={"alice": "x"})
    world.gate.blocks.strike(CARRIER.host, "scans", world.at)
    assert not world.gate.may_speak(CARRIER)
    world.trunks.add(carrier())
    assert world.gate.may_speak(CARRIER)


def test_a_scanner_is_blocked_for_hours_at_its_first_word_even_where_all_may_call() -> None:
    world = World(is_open=True)
    scanner = Request("REGISTER", "sip:x@y", [("User-Agent", "sipvicious")])
    assert world.gate.ignores(scanner, STRANGER, 0.0)
    world.at += 3 * 3600
    assert not world.gate.may_speak(STRANGER)


def test_nonsense_blocks_at_some_time() -> None:
    world = World(accounts={"alice": "x"})
    for _ in range(2):
        world.gate.on_malformed(STRANGER, 0.0)
    assert not world.gate.may_speak(STRANGER)
    assert world.gate.counters["malformed"] == 2
