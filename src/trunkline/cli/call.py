"""``trunkline call``: place one call."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from trunkline.errors import ConfigError

from .arguments import Common, app_file, settled
from .calls import plain, show_record
from .output import console, print_json

__all__ = ["call"]


def call(
    target: str,
    /,
    *,
    common: Common | None = None,
    app: Path | None = None,
    caller: str = "",
    ring: float = 30.0,
    sip_port: int = 0,
    record: bool | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Place one call and say how it went.

    An agent talks, or an app of yours. Calls beyond this machine need
    outbound.allowed_prefixes. Exit status 1 if it was not answered.

    Examples: `trunkline call sip:echo@127.0.0.1:5062`,
    `trunkline call sip:+49301234@pbx.example --app hello.py`

    Parameters
    ----------
    target
        Who to call: sip:user@host[:port].
    app
        A Python file with a `Switchboard`; its first app gets the call. Without,
        the agent of the settings.
    caller
        Who calls, as the far end is told.
    ring
        Give up when nobody answers for this many seconds.
    sip_port
        The UDP port to call from; any free one, as a node may be on the usual one.
    record
        Record the call (recording.enabled).
    json
        The call's record as JSON.
    """
    if not target.startswith(("sip:", "sips:")):
        raise ConfigError(f"who to call is written sip:user@host, not {target!r}")
    app = app_file(app)
    with settled(common, {"recording.enabled": record, "sip.port": sip_port}) as settings:
        from trunkline.server.dial import place_call

        done = place_call(settings, target, app_path=app, caller=caller, ring_seconds=ring)
    if json:
        print_json(plain(done))
    else:
        show_record(done, console())
    return 0 if done.answered_at is not None else 1
