"""What a call out is made of: a trunk's word over the endpoint's."""

import pytest

from trunkline.errors import UsageError
from trunkline.sip.hop import Hop
from trunkline.transports.leg import DialOptions
from trunkline.transports.sip_dialling import first_host, invitation
from trunkline.transports.sip_options import SipOptions

NODE = SipOptions(username="node", password="secret", no_answer_seconds=90.0)


def test_a_trunk_says_where_as_whom_and_how_long() -> None:
    options = DialOptions(
        trunk="carrier", server="sip:203.0.113.9;transport=tls", username="u", password="p",
        contact_user="line7", replaces="a;to-tag=1;from-tag=2", no_answer_seconds=20.0,
    )  # fmt: skip
    made = invitation("sip:1@h", "<sip:2@h>", {"X": "1"}, options, NODE)
    assert made.destination == Hop("203.0.113.9", 5061, "TLS", profile="carrier")
    assert (made.contact_user, made.trunk, made.no_answer_seconds) == ("line7", "carrier", 20.0)
    assert made.credentials[0].username == "u"
    assert list(made.headers) == [("X", "1"), ("Replaces", "a;to-tag=1;from-tag=2")]
    assert first_host(made) == "203.0.113.9"


def test_without_a_trunk_the_node_says_it() -> None:
    made = invitation("sip:1@h.example", "<sip:2@h>", {}, DialOptions(), NODE)
    assert (made.destination, made.contact_user, made.no_answer_seconds) == (None, "", 90.0)
    assert made.credentials[0].username == "node"
    assert first_host(made) == "h.example"
    assert first_host(invitation("nonsense", "<sip:2@h>", {}, DialOptions(), NODE)) == ""


def test_a_server_that_is_no_address_is_refused() -> None:
    with pytest.raises(UsageError, match="trunk t"):
        invitation("sip:1@h", "x", {}, DialOptions(trunk="t", server="<<"), NODE)
