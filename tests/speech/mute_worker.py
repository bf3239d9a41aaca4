"""A synthesis worker for tests that is ready, and then never says anything."""

from trunkline.speech.pipes import Kind, claim_stdio, pack, read

if __name__ == "__main__":
    source, sink = claim_stdio()
    sink.write(pack(Kind.READY, 0, b"{}"))
    while read(source) is not None:
        pass
