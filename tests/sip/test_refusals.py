"""The echo of a refused INVITE is no new call."""

import pytest

from trunkline.sip import Invited
from trunkline.sip.refusals import MEMORY_SECONDS, Refusals
from trunkline.sip.testing import OFFER

from .phone import Phone, said


def refused(phone: Phone) -> None:
    phone.request("INVITE", 1, body=OFFER, branch="first")
    phone.agent.reject(phone.last(Invited).session, 486, phone.now)  # type: ignore[union-attr]
    phone.take()
    phone.request("ACK", 1, branch="first")


@pytest.mark.parametrize("later", [0.0, 6.0, 30.0])
def test_the_same_invite_with_another_branch_is_no_new_call(later: float) -> None:
    phone = Phone()
    refused(phone)
    phone.wait(later)
    (answer,) = phone.request("INVITE", 1, body=OFFER, branch="second")
    assert said([answer]) == ["482 INVITE" if later < 5 else "486 INVITE"]
    phone.request("ACK", 1, branch="second", to_tag=answer.to.tag)
    assert phone.names() == ["Invited", "Terminated"]


def test_a_new_attempt_is_a_new_call() -> None:
    phone = Phone()
    refused(phone)
    phone.wait(6)
    phone.request("INVITE", 2, body=OFFER)
    assert phone.names().count("Invited") == 2


def test_after_a_while_it_is_forgotten() -> None:
    phone = Phone()
    refused(phone)
    phone.wait(MEMORY_SECONDS + 40)
    phone.request("INVITE", 1, body=OFFER, branch="later")
    assert phone.names().count("Invited") == 2


def test_only_refusals_are_remembered_and_not_too_many() -> None:
    refusals = Refusals(3)
    refusals.note(("ok",), 200, 0.0)
    assert len(refusals) == 0 and refusals.code_of(("ok",), 0.0) == 0
    for number in range(10):
        refusals.note((str(number),), 404, float(number))
    assert len(refusals) <= 4
    assert refusals.code_of(("9",), 10.0) == 404
    assert refusals.code_of(("9",), 9 + MEMORY_SECONDS) == 0
    assert len(refusals) == 0
