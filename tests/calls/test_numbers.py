"""Numbers as people, carriers and E.164 write them, and rules that cannot take long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.calls.numbers import NumberPlan, NumberRule, bounded, is_number, rewrite
from trunkline.errors import UsageError

GERMANY = NumberPlan("49")
AMERICA = NumberPlan("1", "011", "1")


@pytest.mark.parametrize(
    "target",
    ["+4930123456", "030 123-456", "(030) 123456", "110", "*21#", "tel:+49-30-123", "0049 30/12"],
)
def test_a_number_is_told_from_an_address(target: str) -> None:
    assert is_number(target)


@pytest.mark.parametrize(
    "target",
    ["sip:100@127.0.0.1", "alice", "", "+", "100@host", "12a4567890", "1.2.3x"],
)
def test_an_address_is_no_number(target: str) -> None:
    assert not is_number(target)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("+4930123456", "+4930123456"),
        ("004930123456", "+4930123456"),
        ("030123456", "+4930123456"),
        ("030 123-456", "+4930123456"),
        ("tel:+49-30-123456;phone-context=x", "+4930123456"),
        ("4930123456", "+4930123456"),
        ("00331234567", "+331234567"),
        ("110", "110"),
        ("alice", "alice"),
    ],
)
def test_a_german_number_in_e164(written: str, meant: str) -> None:
    assert GERMANY.e164(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [("15551234567", "+15551234567"), ("0114930123", "+4930123"), ("+44207", "+44207")],
)
def test_an_american_number_in_e164(written: str, meant: str) -> None:
    assert AMERICA.e164(written) == meant


def test_without_a_country_a_number_stays_as_it_is() -> None:
    assert NumberPlan().e164("030123456") == "030123456"


@pytest.mark.parametrize(
    ("number", "national", "international"),
    [
        ("+4930123456", "030123456", "004930123456"),
        ("+33123456789", "0033123456789", "0033123456789"),
        ("110", "110", "110"),
    ],
)
def test_a_number_as_it_is_dialled(number: str, national: str, international: str) -> None:
    assert GERMANY.national(number) == national
    assert GERMANY.international(number) == international


@given(st.integers(1, 10**12).map(str).filter(lambda text: text[0] != "0"))
def test_what_is_dialled_at_home_means_the_same_number(digits: str) -> None:
    number = f"+49{digits}"
    assert GERMANY.e164(GERMANY.national(number)) == number
    assert GERMANY.e164(GERMANY.international(number)) == number


def test_abroad_is_another_country() -> None:
    assert GERMANY.is_abroad("+33123") and not GERMANY.is_abroad("+4930")
    assert not GERMANY.is_abroad("110")
    assert NumberPlan().is_abroad("+4930")


@pytest.mark.parametrize(
    ("rule", "number", "result"),
    [
        (NumberRule(form="digits"), "+4930123456", "4930123456"),
        (NumberRule(form="e164"), "030123456", "+4930123456"),
        (NumberRule(form="national"), "+4930123456", "030123456"),
        (NumberRule(strip=3, add="0"), "+4930123456", "030123456"),
        (NumberRule(prefix="+49", add="8#"), "+4930", "8#+4930"),
        (NumberRule(prefix="+49", add="8#"), "+3312", "+3312"),
        (NumberRule(match=r"\+49(\d+)", replace=r"0\1"), "+4930", "030"),
        (NumberRule(match=r"\+49(\d+)", replace=r"0\1"), "+3330", "+3330"),
        (NumberRule(match=r"(\d{3})(\d+)", replace=r"\2-\1"), "123456", "456-123"),
        (NumberRule(match=r".*", replace="x"), "1" * 49, "1" * 49),
    ],
)
def test_a_rule_does_one_step(rule: NumberRule, number: str, result: str) -> None:
    assert rule.apply(number, GERMANY) == result


def test_rules_are_done_in_order() -> None:
    rules = (NumberRule(form="international"), NumberRule(prefix="00", strip=2, add="011"))
    assert rewrite("+4930123456", rules, GERMANY) == "0114930123456"


@pytest.mark.parametrize(
    "expression",
    ["(", r"(\d+)+", r"(a|a)*", r"(\d)\1", r"(?=1).*", r".*.*.*.*", r"(?:\d*)*1", r"(x?){40}y"],
)
def test_an_expression_that_is_none_or_may_take_long_is_refused(expression: str) -> None:
    with pytest.raises(UsageError):
        NumberRule(match=expression)


@pytest.mark.parametrize(
    "expression", [r"\+?(\d*)0*(\d*)", r"(?:00|\+)(\d+)", r"\d{3,5}(\d*)", r"(0|1)?(\d{8,})"]
)
def test_an_expression_that_numbers_need_is_taken(expression: str) -> None:
    assert bounded(expression).groups >= 0


def test_the_worst_expression_that_is_taken_comes_to_an_end() -> None:
    assert bounded(r"1*1*1*x").fullmatch("1" * 48) is None
    assert NumberRule(match=r"1*1*1*x", replace="").apply("1" * 48, GERMANY) == "1" * 48


def test_a_replacement_needs_its_groups() -> None:
    with pytest.raises(UsageError):
        NumberRule(match=r"(\d+)", replace=r"\2")


@given(st.text(max_size=60))
def test_whatever_a_caller_writes_is_rewritten_without_an_error(number: str) -> None:
    rules = (
        NumberRule(form="e164"),
        NumberRule(match=r"(.*)0(.*)", replace=r"\2\1"),
        NumberRule(form="national", strip=2, add="9"),
    )
    assert isinstance(rewrite(number, rules, GERMANY), str)
