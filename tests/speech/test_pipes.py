import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.speech.pipes import HEADER, MAX_BYTES, Kind, Piped, pack, read

KINDS = st.sampled_from([kind for kind in Kind if kind < Kind.DIED])


@given(st.lists(st.tuples(KINDS, st.integers(0, 2**32 - 1), st.binary(max_size=200)), max_size=8))
def test_what_is_packed_is_read(messages: list[tuple[Kind, int, bytes]]) -> None:
    stream = io.BytesIO(b"".join(pack(*message) for message in messages))
    assert [read(stream) for _ in messages] == [Piped(*message) for message in messages]
    assert read(stream) is None


@pytest.mark.parametrize("length", [0, 1, HEADER.size - 1, HEADER.size, HEADER.size + 3])
def test_a_message_cut_short_is_the_end(length: int) -> None:
    assert read(io.BytesIO(pack(Kind.CHUNK, 7, b"four")[:length])) is None


def test_a_length_that_cannot_be_is_the_end() -> None:
    assert read(io.BytesIO(HEADER.pack(1, 1, MAX_BYTES + 1) + b"x" * 100)) is None


@given(st.binary(max_size=100))
def test_rubbish_is_a_message_or_the_end(data: bytes) -> None:
    stream = io.BytesIO(data)
    while (message := read(stream)) is not None:
        assert len(message.payload) <= 100


def test_what_a_worker_prints_does_not_reach_the_pipe() -> None:
    code = (
        "import subprocess\n"
        "from trunkline.speech.pipes import Kind, claim_stdio, pack\n"
        "source, sink = claim_stdio()\n"
        "print('printed', flush=True); subprocess.run(['echo', 'echoed'])\n"
        "sink.write(pack(Kind.READY, 0, source.read()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=b"given",
        capture_output=True,
        check=True,
        env={"PYTHONPATH": str(sys.modules[read.__module__].__file__).rsplit("/trunkline/", 1)[0]},
    )
    assert read(io.BytesIO(done.stdout)) == Piped(Kind.READY, 0, b"given")
    assert done.stderr.count(b"printed") == done.stderr.count(b"echoed") == 1
