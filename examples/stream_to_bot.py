"""Send every call to a bot of your own; bot.py beside this is one.

.venv/bin/python examples/bot.py &
trunkline up examples/stream_to_bot.py
"""

import os

from trunkline import Switchboard, stream

board = Switchboard()
board.answer("*")(stream(os.environ.get("BOT_URL", "ws://127.0.0.1:9000"), dialect="l16"))
