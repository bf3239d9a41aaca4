"""What a trunk says of itself, and what it refuses to be."""

import pytest

from trunkline.calls.addresses import AddressTable, NetworkTable
from trunkline.calls.numbers import NumberPlan, NumberRule
from trunkline.calls.trunks import Gateway, Trunk, fails_over, source_of
from trunkline.errors import UsageError


@pytest.mark.parametrize(
    "server", ["", "203.0.113.9", "tel:+49", "sip:user@host", "http://x", "sip:", "sip:a b"]
)
def test_a_gateway_is_a_sip_address_without_a_user(server: str) -> None:
    with pytest.raises(UsageError):
        Gateway(server)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "my trunk"},
        {"addresses": ("nowhere",)},
        {"addresses": ("203.0.113.0/33",)},
        {"addresses": ("203.0.113.9:99999",)},
        {"register": True},
        {"callers": ("+49*",), "caller": "+1555"},
        {"failover_codes": frozenset((486,))},
    ],
)
def test_a_trunk_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Trunk(**{"name": "t", **wrong})  # type: ignore[arg-type]


def test_passwords_are_not_shown() -> None:
    trunk = Trunk(name="t", username="u", password="hunter2", accounts={"a": "hunter3"})
    assert "hunter" not in repr(trunk)


@pytest.mark.parametrize("code", [408, 500, 502, 503, 504, 599])
def test_a_gateways_failure_is_a_reason_to_try_the_next(code: int) -> None:
    assert fails_over(Trunk(name="t"), code, rang=False)


@pytest.mark.parametrize(
    "code",
    [None, 200, 302, 401, 403, 404, 407, 410, 422, 480, 484, 486, 487, 488, 491, 600, 603, 604],
)
def test_anything_else_is_none(code: int | None) -> None:
    assert not fails_over(Trunk(name="t"), code, rang=False)


def test_a_telephone_that_rang_and_was_not_answered_is_not_called_again() -> None:
    assert not fails_over(Trunk(name="t"), 408, rang=True)
    assert fails_over(Trunk(name="t"), 503, rang=True)


def test_a_trunk_may_add_codes_and_take_some_away() -> None:
    trunk = Trunk(name="t", failover_codes=frozenset((403, 480)), final_codes=frozenset((500,)))
    assert fails_over(trunk, 403, False) and fails_over(trunk, 480, False)
    assert not fails_over(trunk, 500, False) and fails_over(trunk, 503, False)


def test_a_caller_that_is_not_allowed_becomes_the_trunks_own() -> None:
    trunk = Trunk(name="t", callers=("+49305550*",), caller="+49305550", plan=NumberPlan("49"))
    assert trunk.caller_for("+493055501") == "+493055501"
    assert trunk.caller_for("030555011") == "+4930555011"
    assert trunk.caller_for("+1555") == trunk.caller_for("") == "+49305550"
    assert Trunk(name="t").caller_for("+1555") == "+1555"


def test_numbers_are_rewritten_both_ways() -> None:
    trunk = Trunk(name="t", plan=NumberPlan("49"), numbers_out=(NumberRule(form="national"),))
    assert trunk.incoming("030123456") == "+4930123456"
    assert trunk.outgoing("+4930123456") == "030123456"


@pytest.mark.parametrize(
    ("written", "source"),
    [
        ("203.0.113.9", ("203.0.113.9/32", 0)),
        ("203.0.113.9:5080", ("203.0.113.9/32", 5080)),
        ("203.0.113.0/28", ("203.0.113.0/28", 0)),
        ("203.0.113.5/28", ("203.0.113.0/28", 0)),
        ("2001:db8::/32", ("2001:db8::/32", 0)),
        ("[2001:db8::1]:5080", ("2001:db8::1/128", 5080)),
        ("[2001:db8::1]", ("2001:db8::1/128", 0)),
    ],
)
def test_where_a_trunk_calls_from(written: str, source: tuple[str, int]) -> None:
    assert source_of(written) == source


def test_the_nearest_network_and_the_port_tell_trunks_apart() -> None:
    table = AddressTable(
        [
            Trunk(name="wide", addresses=("203.0.0.0/8",)),
            Trunk(name="near", addresses=("203.0.113.0/24",)),
            Trunk(name="port", addresses=("203.0.113.9:5080",)),
            Trunk(name="six", addresses=("2001:db8::/32",)),
            Trunk(name="gateway", gateways=(Gateway("sip:198.51.100.7:5099"),)),
            Trunk(name="named", gateways=(Gateway("sip:gw.example"),)),
        ]
    )
    assert table.find("203.0.113.9", 5060) == "near"
    assert table.find("203.0.113.9", 5080) == "port"
    assert table.find("203.1.1.1", 5060) == "wide"
    assert table.find("2001:db8:1::5", 1) == "six"
    assert table.find("198.51.100.7", 5060) == "gateway", "whatever port it calls from"
    assert table.find("::ffff:203.0.113.9", 5060) == "near"
    assert table.find("192.0.2.1", 5060) == table.find("gw.example", 5060) == ""


def test_a_table_of_networks_knows_whether_it_is_empty() -> None:
    assert not NetworkTable(()) and NetworkTable([("0.0.0.0/0", "all")])
    assert NetworkTable([("0.0.0.0/0", "all")]).find("::1") is None
