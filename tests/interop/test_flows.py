"""SIP over TCP and TLS with real programs: baresip, sipp, openssl."""

from pathlib import Path

import pytest
import trustme

from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.settings import Sip

from .conftest import Start
from .kit import RunningNode, until
from .programs import Baresip, Sipp
from .test_sipp import dial_many, ends


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class Papers:
    """The files of an authority and of one certificate for 127.0.0.1."""

    def __init__(self, authority: trustme.CA, folder: Path) -> None:
        issued = authority.issue_cert("127.0.0.1", "localhost", common_name="127.0.0.1")
        self.ca = folder / "ca.pem"
        self.certificate = folder / "node.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        issued.private_key_and_cert_chain_pem.write_to_path(str(self.certificate))

    def sip(self, **more: object) -> Sip:
        return Sip(
            t1_ms=100,
            tls_port=0,
            tls_certificate=str(self.certificate),
            tls_ca=str(self.ca),
            **more,  # type: ignore[arg-type]
        )


@pytest.fixture
def papers(authority: trustme.CA, tmp_path: Path) -> Papers:
    return Papers(authority, tmp_path)


def packets(node: RunningNode) -> float:
    legs = list(node.endpoint.legs.values())
    return node.on_media(legs[0].statistics).get("received", 0.0) if legs else 0.0


@pytest.mark.program("baresip")
@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_baresip_calls_and_hangs_up(
    start: Start, tmp_path: Path, papers: Papers, transport: str
) -> None:
    node = start(sip=papers.sip())
    port = node.node.ports.sip_tls if transport == "tls" else node.node.ports.sip_tcp
    phone = Baresip(
        tmp_path / "b", transport=transport, certificate=papers.certificate, authority=papers.ca
    )
    with phone():
        phone.command("dial", f"sip:100@127.0.0.1:{port};transport={transport}")
        until(lambda: packets(node) > 25, what=phone.output)
        (leg,) = node.endpoint.legs.values()
        assert leg.session.source is not None
        assert leg.session.source.transport == transport.upper()
        phone.command("hangup")
        node.assert_clean()
    assert ends(node) == [("hangup", "them")]


@pytest.mark.program("baresip")
@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("who", ["us", "them"])
def test_baresip_is_called(
    start: Start, tmp_path: Path, papers: Papers, transport: str, who: str
) -> None:
    node = start(sip=papers.sip())
    phone = Baresip(
        tmp_path / "b",
        answer="auto",
        transport=transport,
        certificate=papers.certificate,
        authority=papers.ca,
    )
    with phone():
        port = phone.port + (transport == "tls")
        target = f"sip:bare@127.0.0.1:{port};transport={transport}"
        call = node.run(node.board.dial(target, app=echo))
        until(lambda: packets(node) > 25, what=phone.output)
        if who == "us":
            node.run(call.hangup())
        else:
            phone.command("hangup")
        node.assert_clean()
    assert ends(node) == [("hangup", who)]


@pytest.mark.program("sipp")
@pytest.mark.parametrize("mode", ["t1", "tn"])
def test_callers_over_tcp(start: Start, tmp_path: Path, mode: str) -> None:
    node = start(sip=Sip())
    sipp = Sipp("uac_plain", tmp_path / "s", node_port=node.node.ports.sip_tcp, calls=60, rate=60)
    sipp.over_tcp(mode).run()
    node.assert_clean()
    assert ends(node) == [("hangup", "them")] * 60


@pytest.mark.program("sipp")
def test_callees_over_tcp(start: Start, tmp_path: Path) -> None:
    node = start(sip=Sip())
    sipp = Sipp("uas_answer", tmp_path / "s", calls=50).over_tcp()
    with sipp() as process:
        sipp.wait_bound()
        answered = node.run(dial_many(node, sipp.port, 50, transport="tcp"))
        assert all(isinstance(call, Call) for call in answered), answered
        assert node.on_media(lambda: len(node.endpoint._carrier.streams)) == 1
        for call in answered:
            assert isinstance(call, Call)
            node.run(call.hangup())
        sipp.finish(process)
    node.assert_clean()
    assert ends(node) == [("hangup", "us")] * 50
