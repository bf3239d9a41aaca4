"""``trunkline blocked``: who a running node does not listen to."""

import time
from typing import Annotated

from cyclopts import App, Parameter

from .arguments import Common
from .output import console, print_json, seconds, table, text
from .reload import asked

__all__ = ["app"]

app = App(name="blocked", help="Who a running node does not listen to, and why.")


@app.default
def blocked(
    *,
    common: Common | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """List the addresses and networks that are blocked, the newest last.

    Examples: `trunkline blocked`, `trunkline blocked --json`

    Parameters
    ----------
    json
        As JSON.
    """
    found = asked(common, "blocked")
    if json:
        print_json(found)
        return
    if not found["blocked"]:
        console().print("Nobody is blocked.")
        return
    listing = table("address", "why", "times", "dropped", "for")
    for one in found["blocked"]:
        left = seconds(max(0.0, one["until"] - time.time())) if one["until"] else "ever"
        listing.add_row(
            text(one["address"]), text(one["reason"]), str(one["strikes"]), str(one["hits"]), left
        )
    console().print(listing)


@app.command
def add(
    address: str,
    /,
    *,
    common: Common | None = None,
    minutes: float = 0.0,
    reason: str = "",
) -> None:
    """Block an address or network.

    Example: `trunkline blocked add 192.0.2.0/24 --minutes 60`

    Parameters
    ----------
    address
        An address, or a network.
    minutes
        For how long; 0 is for ever.
    reason
        Shown in the list.
    """
    done = asked(common, "block", address=address, seconds=minutes * 60, reason=reason)
    console().print(f"{done['address']} is blocked", markup=False)


@app.command
def remove(address: str, /, *, common: Common | None = None) -> int:
    """Listen to an address or network again, or let a key or trunk call out again.

    Examples: `trunkline blocked remove 192.0.2.7`, `trunkline blocked remove key:campaign`

    Parameters
    ----------
    address
        As the list shows it; or key:NAME, trunk:NAME.
    """
    was = asked(common, "unblock", address=address)
    word = "is no longer blocked" if was else "was not blocked"
    console().print(f"{address} {word}", markup=False)
    return 0 if was else 1


@app.command
def fraud(*, common: Common | None = None) -> None:
    """Print what keys and trunks have used of their caps, who may not call, and the alarms.

    Example: `trunkline blocked fraud`
    """
    print_json(asked(common, "fraud"))
