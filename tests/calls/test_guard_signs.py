"""When a stranger is a scanner, and when an account is not looked at."""

import pytest

from trunkline.calls.guard_signs import Signs, SignSettings, is_scanner
from trunkline.sip.message import Request

NOW = 1000.0
FEW = SignSettings(
    failures=3, account_failures=5, numbers=4, requests=10, malformed=3, most_addresses=100
)


def request(method: str = "INVITE", user: str = "100", *headers: tuple[str, str]) -> Request:
    return Request(method, f"sip:{user}@127.0.0.1", headers)


@pytest.mark.parametrize(
    "agent",
    ["friendly-scanner", "SIPVicious", "pplsip", "sipcli/v1.8", "VaxSIPUserAgent/3.1", "sundayddr"],
)
def test_tools_are_known_by_what_they_call_themselves(agent: str) -> None:
    assert is_scanner(request("OPTIONS", "100", ("User-Agent", agent)))


@pytest.mark.parametrize(
    "agent", ["", "Asterisk PBX 20", "FreeSWITCH", "Linphone/5", "Trunkline", "Yealink SIP-T46S"]
)
def test_telephones_and_switches_are_not(agent: str) -> None:
    assert not is_scanner(request("INVITE", "100", ("User-Agent", agent)))


def test_a_scanner_is_known_by_its_name_too() -> None:
    assert is_scanner(request("OPTIONS", "100", ("From", '"sipvicious"<sip:100@1.1.1.1>')))


def test_different_numbers_are_counted_and_the_same_one_is_not() -> None:
    signs = Signs(FEW)
    for _ in range(3):
        for number in range(2):
            assert not signs.requested("a", request(user=str(number)), NOW)
    signs.forget("a")
    reasons = [signs.requested("a", request(user=f"9{number}"), NOW) for number in range(5)]
    assert reasons == ["", "", "", "", "dials number after number"]
    assert not signs.requested("b", request(user="91"), NOW)


def test_a_flood_of_requests_is_counted() -> None:
    signs = Signs(FEW)
    reasons = [signs.requested("a", request("OPTIONS"), NOW) for _ in range(11)]
    assert reasons[:10] == [""] * 10 and reasons[10]


def test_a_server_that_asks_once_in_a_while_may_go_on_for_ever() -> None:
    signs = Signs(FEW)
    for number in range(500):
        assert not signs.requested("a", request("OPTIONS"), NOW + number * 10)


def test_a_telephone_that_has_proved_itself_may_ask_as_often_as_it_likes() -> None:
    signs = Signs(FEW)
    signs.proved("a", "alice")
    for number in range(100):
        assert not signs.requested("a", request(user=str(number)), NOW)
    signs.forget("a")
    assert any(signs.requested("a", request(user=str(number)), NOW) for number in range(100))


def test_what_was_long_ago_does_not_count() -> None:
    signs = Signs(FEW)
    for number in range(20):
        assert not signs.failed("a", "alice", NOW + number * 601)
        assert not signs.malformed("b", NOW + number * 601)


def test_wrong_passwords_and_nonsense_are_enough_at_some_time() -> None:
    signs = Signs(FEW)
    assert [bool(signs.failed("a", "alice", NOW)) for _ in range(3)] == [False, False, True]
    assert [bool(signs.malformed("b", NOW)) for _ in range(3)] == [False, False, True]


def test_the_right_password_clears_an_address() -> None:
    signs = Signs(FEW)
    signs.failed("a", "alice", NOW)
    signs.failed("a", "alice", NOW)
    signs.proved("a", "alice")
    assert not signs.failed("a", "alice", NOW)


def test_an_account_that_is_guessed_from_everywhere_is_closed_but_not_at_home() -> None:
    signs = Signs(FEW)
    signs.proved("home", "alice")
    for number in range(5):
        signs.failed(f"bot{number}", "alice", NOW)
    assert signs.account_blocked("alice", "bot9", NOW + 1)
    assert not signs.account_blocked("alice", "home", NOW + 1)
    assert not signs.account_blocked("bob", "bot9", NOW + 1)
    assert not signs.account_blocked("alice", "bot9", NOW + 61)


def test_the_next_time_it_is_closed_for_longer() -> None:
    signs = Signs(FEW)
    at, lengths = NOW, []
    for _ in range(3):
        for number in range(5):
            signs.failed(f"bot{number}", "alice", at)
        length = next(
            seconds for seconds in range(1, 2000)
            if not signs.account_blocked("alice", "x", at + seconds)
        )  # fmt: skip
        lengths.append(length)
        at += length + 1
    assert lengths == [60, 300, 1500]


def test_memory_is_bounded_under_a_million_addresses_and_accounts() -> None:
    signs = Signs(FEW)
    for number in range(200_000):
        signs.failed(f"10.0.{number}", f"user{number}", NOW)
    assert len(signs) == 100 and len(signs._accounts) == 100
