"""A carrier's edge: kamailio as the registrar we register with and the proxy calls come through."""

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trunkline import Gateway, Trunk
from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.errors import DialError
from trunkline.calls.switchboard import Switchboard
from trunkline.settings import Outbound
from trunkline.sip import (
    Credentials,
    Registration,
    RegistrationRequest,
    RegistrationState,
)

from .conftest import Start
from .kit import RunningNode, until
from .programs import free_port

pytestmark = pytest.mark.program("kamailio")

CONFIGURATION = Path(__file__).with_name("kamailio.cfg")


class Kamailio:
    """One kamailio on loopback, ended by its process id."""

    def __init__(self, folder: Path, *, expires: int = 600) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        text = CONFIGURATION.read_text().replace("@PORT@", str(self.port))
        (folder / "kamailio.cfg").write_text(text.replace("@EXPIRES@", str(expires)))

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        command = ["kamailio", "-f", "kamailio.cfg", "-DD", "-E", "-m", "32", "-M", "4",
                   "-Y", str(self.folder), "-w", str(self.folder)]  # fmt: skip
        with (self.folder / "output.txt").open("a") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, stdout=output, stderr=output, start_new_session=True
            )
        try:
            until(self.answers, 10, f"kamailio does not answer: {self.trouble()}")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)

    def answers(self) -> bool:
        """Whether it speaks SIP by now."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.2)
            probe.bind(("127.0.0.1", 0))
            here = probe.getsockname()[1]
            probe.sendto(
                f"OPTIONS sip:x@127.0.0.1:{self.port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{here};"
                f"branch=z9hG4bK{time.monotonic_ns()}\r\nFrom: <sip:t@t>;tag=1\r\nTo: <sip:x@x>\r\n"
                f"Call-ID: {time.monotonic_ns()}\r\nCSeq: 1 OPTIONS\r\n\r\n".encode(),
                ("127.0.0.1", self.port),
            )
            try:
                return probe.recv(2000).startswith(b"SIP/2.0 404")
            except OSError:
                return False

    def trouble(self) -> str:
        """The end of what it wrote."""
        return (self.folder / "output.txt").read_text()[-1500:]

    def request(self, transport: str = "udp", password: str = "secret") -> RegistrationRequest:
        """A registration of 4711 with it."""
        return RegistrationRequest(
            "sip:carrier.example",
            "sip:4711@carrier.example",
            credentials=[Credentials("4711", password)],
            routes=[f"<sip:127.0.0.1:{self.port};lr;transport={transport}>"],
            destination=("127.0.0.1", self.port) if transport == "udp" else None,
        )


def register(node: RunningNode, request: RegistrationRequest) -> Registration:
    registration: Registration = node.on_media(lambda: node.endpoint.register(request))
    return registration


def test_a_registered_node_is_called_through_the_carrier(start: Start, tmp_path: Path) -> None:
    """Digest, Service-Route, Record-Route: ACK and BYE of both sides go through the proxy."""
    kamailio = Kamailio(tmp_path / "kamailio")
    with kamailio():
        node = start()
        registration = register(node, kamailio.request())
        until(lambda: registration.is_registered, 5, kamailio.trouble())
        assert registration.service_routes == (f"<sip:127.0.0.1:{kamailio.port};lr>",)
        callers = Switchboard()
        outside = start(callers)
        target = f"sip:4711@127.0.0.1:{kamailio.port}"
        for ends in ("caller", "callee"):
            call: Call = outside.run(callers.dial(target))
            (leg,) = node.endpoint.legs.values()
            dialog = leg.session._internals.dialog
            assert dialog is not None and f"127.0.0.1:{kamailio.port}" in dialog.route_set[0]
            heard = call._leg.statistics
            until(lambda heard=heard: outside.on_media(heard).get("received", 0) > 25)
            if ends == "caller":
                outside.run(call.hangup())
            else:
                node.run(node.calls[-1].hangup())
            outside.run(call.wait_ended())
            until(lambda: not node.endpoint.legs)
        node.assert_clean()
        outside.assert_clean()
    assert [record.end_reason for record in node.records()] == ["hangup", "hangup"]


def test_a_binding_is_refreshed_and_survives_the_registrars_death(
    start: Start, tmp_path: Path
) -> None:
    kamailio = Kamailio(tmp_path / "kamailio", expires=2)
    node = start()
    with kamailio():
        registration = register(node, kamailio.request())
        until(lambda: registration.is_registered, 5, kamailio.trouble())
        first = registration._sequence
        until(lambda: registration._sequence >= first + 2, 8)
        assert registration.state is RegistrationState.REGISTERED
    until(lambda: not registration.is_registered, 12)
    assert registration.failures and registration.next_at is not None
    with kamailio():
        node.on_media(
            lambda: node.endpoint.agent.registering.refresh(registration, node.endpoint.now())
        )
        node.on_media(node.endpoint.flush)
        until(lambda: registration.is_registered, 5, kamailio.trouble())


def test_a_wrong_password_is_told_and_not_repeated_at_once(start: Start, tmp_path: Path) -> None:
    kamailio = Kamailio(tmp_path / "kamailio")
    with kamailio():
        node = start()
        registration = register(node, kamailio.request(password="wrong"))
        until(lambda: registration.code == 401, 5, kamailio.trouble())
        assert registration.state is RegistrationState.WAITING
        assert registration._sequence <= 3


def test_a_trunk_registers_itself_and_is_called_and_calls_through_its_carrier(
    start: Start, tmp_path: Path
) -> None:
    kamailio = Kamailio(tmp_path / "kamailio")
    with kamailio():
        server = f"sip:127.0.0.1:{kamailio.port}"
        board = Switchboard()
        board.answer("*", trunk="carrier")(echo)
        board.trunks.add(
            Trunk(
                name="carrier",
                gateways=(Gateway(server),),
                username="4711",
                password="secret",
                domain="carrier.example",
                register=True,
            )
        )
        node = start(board, outbound=Outbound(allowed_prefixes=("+1",)))
        state = board.trunks.state("carrier")
        word = board.trunks.registrar
        assert word is not None
        until(lambda: word.state("carrier") == "registered", 5, kamailio.trouble())
        callers = Switchboard()
        outside = start(callers)
        call: Call = outside.run(callers.dial(f"sip:4711@127.0.0.1:{kamailio.port}"))
        until(lambda: len(node.endpoint.legs) == 1)
        (leg,) = node.endpoint.legs.values()
        assert leg.party.trunk == "carrier"
        outside.run(call.hangup())
        until(lambda: not node.endpoint.legs)
        # Out over it, back to ourselves: the carrier knows nobody else.
        with pytest.raises(DialError) as refused:
            node.run(board.dial("+15550100", trunk="carrier"))
        assert refused.value.code == 404
        assert state.figures.summary(time.time())["attempts_out"] == 1
        board.trunks.remove("carrier")
        until(lambda: not node.endpoint.agent.registering.registrations)
        node.assert_clean()


def test_a_node_that_stops_takes_its_binding_back(start: Start, tmp_path: Path) -> None:
    kamailio = Kamailio(tmp_path / "kamailio")
    with kamailio():
        node = start()
        registration = register(node, kamailio.request())
        until(lambda: registration.is_registered, 5, kamailio.trouble())
        node.stop()
        assert registration.state is RegistrationState.WITHDRAWN
