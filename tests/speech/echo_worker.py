"""A worker for tests: sends back what it gets, and can be told to misbehave."""

import os
import sys
import time

from trunkline.speech.pipes import HEADER, Kind, claim_stdio, pack, read


def main() -> None:
    behaviour = sys.argv[1] if len(sys.argv) > 1 else ""
    source, sink = claim_stdio()
    if behaviour == "die":
        return
    if behaviour == "missing":
        sink.write(pack(Kind.ERROR, 0, b"no engine here; run: this"))
        return
    sink.write(pack(Kind.READY, 0, b'{"pid": %d}' % os.getpid()))
    while (message := read(source)) is not None:
        if message.payload == b"crash":
            os._exit(3)
        if message.payload == b"babble":
            sink.write(HEADER.pack(1, 1, 2**31) + b"?")
            continue
        if message.payload == b"hang":
            time.sleep(60)
        sink.write(pack(Kind.RESULT, message.request, message.payload))


if __name__ == "__main__":
    main()
