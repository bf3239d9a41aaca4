import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.speech import SpeechError
from trunkline.speech import worker as workers
from trunkline.speech.pipes import Kind
from trunkline.speech.worker import Worker


class Inbox:
    """What one request heard."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()

    def __call__(self, kind: int, payload: bytes) -> None:
        self.queue.put_nowait((kind, payload))

    async def get(self) -> tuple[int, bytes]:
        async with asyncio.timeout(10):
            return await self.queue.get()


@pytest.fixture(autouse=True)
def _tests_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def use(test: Callable[[Worker], Awaitable[None]], *options: str) -> None:
    async def run() -> None:
        worker = Worker("echo_worker", options)
        try:
            await test(worker)
        finally:
            await worker.aclose()

    asyncio.run(run())


def gone(pid: int) -> bool:
    """Not there, and not a zombie either."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def ask(worker: Worker, payload: bytes) -> tuple[int, bytes]:
    inbox = Inbox()
    request = worker.open(inbox)
    worker.send(Kind.SPEAK, request, payload)
    try:
        return await inbox.get()
    finally:
        worker.forget(request)


def test_nothing_runs_until_it_is_needed() -> None:
    async def test(worker: Worker) -> None:
        await asyncio.sleep(0)
        assert worker.pid is None
        assert worker.started == 0

    use(test)


def test_requests_are_answered_each_to_its_own() -> None:
    async def test(worker: Worker) -> None:
        inboxes = [Inbox() for _ in range(20)]
        for number, inbox in enumerate(inboxes):
            worker.send(Kind.SPEAK, worker.open(inbox), b"%d" % number)
        for number, inbox in enumerate(inboxes):
            assert await inbox.get() == (Kind.RESULT, b"%d" % number)
        assert worker.started == 1

    use(test)


def test_ready_tells_what_the_process_says_of_itself() -> None:
    async def test(worker: Worker) -> None:
        first, second = await asyncio.gather(worker.ready(), worker.ready())
        assert first == second == {"pid": worker.pid}

    use(test)


def test_a_forgotten_request_hears_nothing() -> None:
    async def test(worker: Worker) -> None:
        inbox = Inbox()
        request = worker.open(inbox)
        worker.send(Kind.SPEAK, request, b"x")
        worker.forget(request)
        await ask(worker, b"y")
        assert inbox.queue.empty()

    use(test)


def test_a_process_that_dies_tells_those_who_wait_and_starts_again_when_needed() -> None:
    async def test(worker: Worker) -> None:
        assert (await ask(worker, b"crash"))[0] == Kind.DIED
        assert await ask(worker, b"again") == (Kind.RESULT, b"again")
        assert worker.started == 2

    use(test)


def test_a_process_that_loses_its_framing_is_ended_and_replaced() -> None:
    async def test(worker: Worker) -> None:
        assert (await ask(worker, b"babble"))[0] == Kind.DIED
        assert await ask(worker, b"again") == (Kind.RESULT, b"again")

    use(test)


def test_a_process_that_dies_too_often_is_left_dead() -> None:
    async def test(worker: Worker) -> None:
        for _ in range(5):
            with pytest.raises(SpeechError, match="before it was ready"):
                await worker.ready()
        with pytest.raises(SpeechError, match="died 5 times"):
            worker.send(Kind.SPEAK, 1, b"x")
        assert worker.started == 5

    use(test, "die")


def test_a_process_that_cannot_run_here_says_what_to_install_and_is_not_tried_again() -> None:
    async def test(worker: Worker) -> None:
        with pytest.raises(MissingDependencyError, match="run: this"):
            await worker.ready()
        with pytest.raises(MissingDependencyError, match="run: this"):
            worker.send(Kind.SPEAK, 1, b"x")
        assert worker.started == 1

    use(test, "missing")


def test_a_module_that_does_not_exist_is_an_error_and_no_hang() -> None:
    async def run() -> None:
        worker = Worker("there_is_no_such_module")
        with pytest.raises(SpeechError):
            await worker.ready()
        await worker.aclose()

    asyncio.run(run())


def test_closing_leaves_no_process_behind() -> None:
    pids: list[int] = []

    async def test(worker: Worker) -> None:
        pids.append((await worker.ready())["pid"])

    use(test)
    assert gone(pids[0])


def test_closing_while_it_starts_leaves_no_process_behind() -> None:
    async def run() -> None:
        worker = Worker("echo_worker")
        inbox = Inbox()
        worker.send(Kind.SPEAK, worker.open(inbox), b"x")
        await worker.aclose()
        assert (await inbox.get())[0] in (Kind.DIED, Kind.RESULT)
        assert worker.pid is None

    asyncio.run(run())


def test_closing_ends_a_process_that_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_END_SECONDS", 0.05)

    async def run() -> int:
        worker = Worker("echo_worker")
        pid = (await worker.ready())["pid"]
        worker.send(Kind.SPEAK, worker.open(Inbox()), b"hang")
        await asyncio.sleep(0.02)
        await worker.aclose()
        return pid

    assert gone(asyncio.run(run()))


def test_a_closed_worker_is_not_used_again() -> None:
    async def run() -> None:
        worker = Worker("echo_worker")
        await worker.aclose()
        with pytest.raises(UsageError, match="closed"):
            worker.send(Kind.SPEAK, 1)
        with pytest.raises(UsageError, match="closed"):
            await worker.ready()

    asyncio.run(run())


def test_audio_for_a_full_pipe_is_dropped_and_other_messages_are_not() -> None:
    async def test(worker: Worker) -> None:
        inbox = Inbox()
        request = worker.open(inbox)
        taken = [worker.send(Kind.AUDIO, request, bytes(1 << 20)) for _ in range(6)]
        assert taken == [True, True, True, False, False, False]
        assert worker.send(Kind.FINISH, request, b"end")
        while (await inbox.get())[1] != b"end":
            pass

    use(test)


def test_the_process_ends_when_its_parent_is_killed() -> None:
    """The parent is a process of its own here, killed like by the kernel."""
    code = (
        "import asyncio, sys\n"
        "from trunkline.speech.worker import Worker\n"
        "async def run():\n"
        "    worker = Worker('echo_worker')\n"
        "    print((await worker.ready())['pid'], flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(run())\n"
    )

    async def run() -> int:
        path = os.pathsep.join((str(Path(workers.__file__).parents[2]), os.environ["PYTHONPATH"]))
        parent = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            code,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert parent.stdout is not None
        pid = int(await parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
        await parent.wait()
        for _ in range(500):
            if gone(pid) or _is_zombie(pid):
                break
            await asyncio.sleep(0.01)
        return pid

    pid = asyncio.run(run())
    assert gone(pid) or _is_zombie(pid)  # an orphan's zombie is init's to reap


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False
