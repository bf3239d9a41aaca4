"""sipp and baresip, started, watched and ended by their process id."""

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

SCENARIOS = Path(__file__).parent / "scenarios"


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port, UDP unless told otherwise, that nobody has just now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], folder: Path, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive the test."""
    with (folder / "output.txt").open("a") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(3)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.wait(5)
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()


def free_sip_port() -> int:
    """A port free for UDP and for TCP, with the next one free for TLS."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for number in (port, port + 1):
                probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                probe.bind(("127.0.0.1", number))
            return port


class Sipp:
    """One run of sipp with a scenario of ours."""

    def __init__(
        self,
        scenario: str,
        folder: Path,
        *,
        node_port: int = 0,
        calls: int = 1,
        rate: int = 10,
        code: int = 486,
    ) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        # sipp takes no variable for the status of a response.
        text = (SCENARIOS / f"{scenario}.xml").read_text().replace("SIP/2.0 486", f"SIP/2.0 {code}")
        self.transport = "udp"
        (folder / "scenario.xml").write_text(text)
        self.port = free_sip_port()
        self.command = [
            "sipp", "-sf", "scenario.xml", "-i", "127.0.0.1",
            "-p", str(self.port), "-mi", "127.0.0.1", "-mp", str(free_port() & ~1),
            "-m", str(calls), "-r", str(rate), "-l", str(max(calls, 10)),
            "-timeout", "40", "-timeout_error", "-nostdin",
            "-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_err",
        ]  # fmt: skip
        if node_port:
            self.command.append(f"127.0.0.1:{node_port}")

    def with_options(self, *options: str) -> "Sipp":
        """More of sipp's options."""
        self.command[1:1] = options
        return self

    @contextlib.contextmanager
    def __call__(self) -> Iterator[subprocess.Popen[str]]:
        with running(self.command, self.folder) as process:
            yield process

    def run(self, seconds: float = 45) -> None:
        """To its end; every call must have gone as the scenario says."""
        with self() as process:
            status = process.wait(seconds)
        assert status == 0, f"sipp ended with {status}: {self.trouble()}"

    def finish(self, process: "subprocess.Popen[str]", seconds: float = 20) -> None:
        """Wait for a run that is under way."""
        status = process.wait(seconds)
        assert status == 0, f"sipp ended with {status}: {self.trouble()}"

    def over_tcp(self, mode: str = "t1") -> "Sipp":
        """One connection for all calls, or ``tn``: one for each."""
        self.transport = "tcp"
        return self.with_options("-t", mode, "-max_socket", "500")

    def wait_bound(self, seconds: float = 5) -> None:
        """Until it listens."""
        deadline = time.monotonic() + seconds
        wanted = f"{self.port:04X} "
        while not any(
            f":{wanted}" in line
            for line in Path(f"/proc/net/{self.transport}").read_text().splitlines()
        ):
            assert time.monotonic() < deadline, f"sipp does not listen: {self.trouble()}"
            time.sleep(0.01)

    def statistics(self) -> dict[str, str]:
        """The last line of its statistics."""
        lines = (self.folder / "stat.csv").read_text().splitlines()
        return dict(zip(lines[0].split(";"), lines[-1].split(";"), strict=False))

    def trouble(self) -> str:
        """What it says went wrong."""
        errors = [path.read_text()[-2000:] for path in self.folder.glob("*errors.log")]
        return "\n".join(errors) or (self.folder / "output.txt").read_text()[-1500:]


class Baresip:
    """A headless baresip with one account, driven through its TCP control port."""

    MODULE_PATH = "/usr/lib/baresip/modules"

    def __init__(
        self,
        folder: Path,
        *,
        answer: str = "manual",
        source: str = "ausine,440",
        codec: str = "",
        transport: str = "udp",
        certificate: Path | None = None,
        authority: Path | None = None,
        encryption: str = "",
    ) -> None:
        self.folder = folder
        self.port = free_sip_port()
        self.control_port = free_port(socket.SOCK_STREAM)
        folder.mkdir(exist_ok=True)
        (folder / "sounds").mkdir(exist_ok=True)
        (folder / "config").write_text(
            f"""poll_method epoll
sip_listen 127.0.0.1:{self.port}
{f"sip_certificate {certificate}" if certificate else ""}
{f"sip_cafile {authority}" if authority else ""}
sip_verify_server {"yes" if authority else "no"}
net_interface 127.0.0.1
call_local_timeout 60
call_max_calls 4
audio_path {folder / "sounds"}
audio_source {source}
audio_player none,
audio_alert none,
ausrc_srate 48000
{"" if codec else "auplay_srate 8000"}
ausrc_channels 2
auplay_channels {2 if codec.startswith("opus") else 1}
rtp_stats yes
jitter_buffer_delay 2-5
module_path {self.MODULE_PATH}
module g711.so
{f"module {codec.partition('/')[0].lower()}.so" if codec else ""}
module ausine.so
{"module srtp.so" if encryption else ""}
module sndfile.so
module ctrl_tcp.so
module_tmp account.so
module_app menu.so
ctrl_tcp_listen 127.0.0.1:{self.control_port}
snd_path {folder}
"""
        )
        (folder / "accounts").write_text(
            f"<sip:bare@127.0.0.1:{self.port};transport={transport}>;regint=0;answermode={answer};"
            f"audio_codecs={codec or 'PCMU/8000/1,PCMA/8000/1'};ptime=20"
            f"{f';mediaenc={encryption}' if encryption else ''}\n"
        )
        (folder / "contacts").write_text("")

    @contextlib.contextmanager
    def __call__(self) -> Iterator["Baresip"]:
        with running(["baresip", "-4", "-f", str(self.folder)], self.folder):
            self._connect()
            try:
                yield self
            finally:
                self._control.close()

    def _connect(self) -> None:
        deadline = time.monotonic() + 8
        while True:
            try:
                self._control = socket.create_connection(("127.0.0.1", self.control_port), 1)
                return
            except OSError:
                assert time.monotonic() < deadline, self.output
                time.sleep(0.02)

    def command(self, name: str, parameters: str = "") -> None:
        """Have it do something (a netstring of JSON)."""
        text = f'{{"command":"{name}","params":"{parameters}"}}'
        self._control.sendall(f"{len(text)}:{text},".encode())

    def told(self) -> str:
        """Everything its control port has said since the last time."""
        self._control.settimeout(0.05)
        parts = []
        with contextlib.suppress(TimeoutError):
            while data := self._control.recv(65536):
                parts.append(data)
        return b"".join(parts).decode(errors="replace")

    @property
    def heard(self) -> Path:
        """What it heard, as it decoded it."""
        return next(self.folder.glob("dump-*-dec.wav"))

    @property
    def output(self) -> str:
        """What it printed, without colours."""
        text = (self.folder / "output.txt").read_text(errors="replace")
        return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
