"""Hear yourself: whatever is said comes back, later by what the jitter buffer holds.

trunkline up examples/echo.py
"""

from trunkline import Switchboard, echo

board = Switchboard()
board.answer("*")(echo)
