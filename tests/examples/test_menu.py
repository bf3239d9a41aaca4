"""``examples/menu.py``: keys choose, and cut the question short."""

import pytest
from tests.interop.kit import until
from tests.interop.peer import found_in_order, noise, stream

from .conftest import NotedVoice, Run, Telephones


def test_a_key_pressed_during_the_question_is_answered_at_once(
    run: Run, telephone: Telephones, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NotedVoice, "letter_ms", 100)  # the question takes 9 s
    example = run("menu.py")
    phone = telephone(example)
    phone.dial()
    until(phone.sounds)
    phone.press("2")
    example.wait_said("You find us at", 5)
    phone.hang_up()


def test_a_key_with_nothing_behind_it_leads_back_to_the_question(
    run: Run, telephone: Telephones
) -> None:
    example = run("menu.py")
    phone = telephone(example)
    phone.dial()
    until(phone.sounds)
    phone.press("9")
    example.wait_said("There is nothing behind that key.")
    until(lambda: sum(text.startswith("For our") for text in example.said) == 2)
    phone.hang_up()


def test_zero_is_an_echo(run: Run, telephone: Telephones) -> None:
    example = run("menu.py")
    phone = telephone(example)
    phone.dial()
    until(phone.sounds)
    phone.press("0")
    said = noise(100)
    phone.media.play(phone.far, stream(said, sequence=2000, start=0.3))
    until(lambda: found_in_order(said, [one.payload for one in phone.media.received]) > 20)
    phone.hang_up()


def test_after_three_answers_it_says_goodbye(run: Run, telephone: Telephones) -> None:
    example = run("menu.py")
    phone = telephone(example)
    phone.dial()
    for turn in range(1, 4):
        until(lambda turn=turn: sum(text.startswith("For our") for text in example.said) == turn)
        phone.press("1")
        until(
            lambda turn=turn: sum(text.startswith("We are open") for text in example.said) == turn
        )
    phone.wait_hung_up()
    assert example.said[-1] == "Goodbye."


def test_a_caller_who_hangs_up_in_the_question_leaves_nothing_behind(
    run: Run, telephone: Telephones
) -> None:
    example = run("menu.py")
    phone = telephone(example)
    phone.dial()
    until(phone.sounds)
    phone.hang_up()
    example.node.assert_clean()
