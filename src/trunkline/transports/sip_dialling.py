"""What a call out is made of: the endpoint's settings, and a trunk's over them."""

from collections.abc import Mapping, Sequence

from trunkline.errors import UsageError
from trunkline.sip.digest import Credentials
from trunkline.sip.errors import ParseError
from trunkline.sip.headers import NameAddress
from trunkline.sip.hop import Hop
from trunkline.sip.outbound import Invitation

from .leg import DialOptions
from .sip_options import SipOptions

__all__ = ["first_host", "invitation"]


def invitation(
    target: str,
    caller: str,
    headers: Mapping[str, str],
    options: DialOptions,
    node: SipOptions,
) -> Invitation:
    """The invitation to a call, without its offer.

    Raises UsageError for a trunk's server that is no address.
    """
    username, password = options.username, options.password
    if not username:
        username, password = node.username, node.password
    return Invitation(
        target=target,
        from_=caller,
        headers=(*headers.items(), *_replacing(options)),
        credentials=(Credentials(username, password),) if username else (),
        destination=_hop(options) if options.server else None,
        route=options.routes,
        trunk=options.trunk,
        contact_user=options.contact_user,
        no_response_seconds=options.no_response_seconds,
        session_expires_seconds=options.session_expires_seconds,
        no_answer_seconds=(options.no_answer_seconds or node.no_answer_seconds or None),
    )


def first_host(invitation: Invitation) -> str:
    """The host it is sent to first; empty where there is none."""
    if invitation.destination is not None:
        return invitation.destination[0]
    try:
        return NameAddress.parse((*invitation.route, invitation.target)[0]).parsed_uri.hop.host
    except ParseError:
        return ""


def _replacing(options: DialOptions) -> Sequence[tuple[str, str]]:
    return [("Replaces", options.replaces)] if options.replaces else ()


def _hop(options: DialOptions) -> Hop:
    """Where a trunk's calls are sent."""
    try:
        # Without brackets everything is the address's, as a person means it.
        text = options.server if "<" in options.server else f"<{options.server}>"
        hop = NameAddress.parse(text).parsed_uri.hop
    except ParseError as error:
        raise UsageError(f"trunk {options.trunk}: {options.server!r} is no address") from error
    return hop._replace(profile=options.trunk)
