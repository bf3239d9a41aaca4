"""``examples/echo.py``: what is said comes back."""

from tests.interop.kit import until
from tests.interop.peer import found_in_order, noise, stream

from .conftest import Run, Telephones


def test_a_caller_hears_what_was_said(run: Run, telephone: Telephones) -> None:
    phone = telephone(run("echo.py"))
    phone.dial()
    said = noise(100)
    phone.media.play(phone.far, stream(said))
    until(lambda: found_in_order(said, [one.payload for one in phone.media.received]) >= 40)
    phone.hang_up()
