"""``trunkline trunks``: the trunks of a running node, live."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.live import Live
from rich.table import Table
from rich.text import Text

from trunkline.errors import UsageError

from .arguments import Common
from .output import console, print_json, seconds, table, text
from .reload import asked

__all__ = ["app"]

app = App(name="trunks", help="The trunks of a running node: state and figures.")

Shown = Mapping[str, Any]
_STYLES = {"up": "bold green", "registered": "bold green", "down": "bold red", "paused": "yellow"}
WATCH_SECONDS = 1.0


@app.default
def trunks(
    *,
    common: Common | None = None,
    watch: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """List the trunks: state, channels, and the figures of the last 24 hours.

    Examples: `trunkline trunks`, `trunkline trunks --watch`, `trunkline trunks --json`

    Parameters
    ----------
    watch
        Go on showing them, every second, until Ctrl-C.
    json
        As JSON.
    """
    found = asked(common, "trunks")
    if json:
        print_json(found)
    elif not found:
        console().print("There are no trunks; the guide says how to write one.")
    elif watch:
        with Live(_listing(found), console=console(), auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_SECONDS)
                live.update(_listing(asked(common, "trunks")), refresh=True)
    else:
        console().print(_listing(found))


@app.command
def show(
    name: str,
    /,
    *,
    common: Common | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Show one trunk: gateways, limits, answers by code.

    Example: `trunkline trunks show carrier`

    Parameters
    ----------
    name
        The trunk's name.
    json
        As JSON.
    """
    found = asked(common, "trunk", name=name)
    if json:
        print_json(found)
        return
    facts = table()
    for key, value in _facts(found):
        facts.add_row(text(key, "dim"), value)
    out = console()
    out.print(facts)
    out.print(_gateways(found["gateways"]))


@app.command(name="test")
def probe(
    name: str,
    /,
    *,
    common: Common | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Ask every gateway of a trunk now (OPTIONS), and say what it answers.

    Example: `trunkline trunks test carrier`

    Parameters
    ----------
    name
        The trunk's name.
    json
        As JSON.
    """
    found = asked(common, "trunk-test", name=name)
    if json:
        print_json(found)
    else:
        listing = table("gateway", "answer", "round trip")
        for one in found:
            code = one["code"]
            answer = text(str(code), "bold green") if code else text("none", "bold red")
            trip = f"{one['round_trip_ms']:.1f} ms" if code else "–"
            listing.add_row(text(one["server"]), answer, trip)
        console().print(listing)
    return 0 if found and all(one["code"] for one in found) else 1


@app.command(name="set")
def set_(name: str, /, *changes: str, common: Common | None = None) -> None:
    """Change limits, priority, weight or caller of a trunk at once, without its file.

    The change holds until the settings are read again.

    Example: `trunkline trunks set carrier channels=20 calls_per_second=5`

    Parameters
    ----------
    name
        The trunk's name.
    changes
        Each as setting=value.
    """
    pairs = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"a change is written setting=value, not {change!r}")
        pairs[key.strip()] = value.strip()
    asked(common, "trunk-set", name=name, changes=pairs)
    console().print(f"Trunk {name} is changed until the settings are read again.", markup=False)


def _listing(found: Sequence[Shown]) -> Table:
    listing = table(*(heading for heading, _ in _COLUMNS))
    listing.columns[-1].no_wrap, listing.columns[-1].overflow = True, "ellipsis"
    listing.caption = "in and out are attempts; all but state and channels is of the last 24 hours"
    listing.caption_justify = "left"
    for one in found:
        listing.add_row(*(shown(one) for _, shown in _COLUMNS))
    return listing


def _gateways(found: Sequence[Shown]) -> Table:
    listing = table("gateway", "priority", "weight", "state", "last answer", "round trip")
    for one in found:
        listing.add_row(
            text(one["server"]),
            str(one["priority"]),
            str(one["weight"]),
            _state(one["state"]),
            str(one["last_code"] or "–"),
            f"{one['round_trip_ms']:.1f} ms" if one["last_code"] else "–",
        )
    return listing


def _state(word: str) -> Text:
    return text(word, _STYLES.get(word, ""))


def _channels(one: Shown) -> str:
    most = f"/{one['channels_limit']}" if one["channels_limit"] else ""
    return f"{one['channels']}{most}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms"


def _answers(one: Shown) -> str:
    """Codes, the most frequent first; of calls out, and of calls in what they were refused with."""
    most = sorted(one["codes"].items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{_answer(code)}: {count}" for code, count in most)


def _answer(code: str) -> str:
    return "none" if code == "0" else code


def _facts(one: Shown) -> list[tuple[str, Text]]:
    lines = [
        ("trunk", text(one["name"], "bold")),
        ("state", _state(one["state"])),
        ("registration", _state(one["registration"])),
        ("channels", text(f"{_channels(one)}, in {one['channels_in']}, out {one['channels_out']}, "
                          f"peak {one['channels_peak']}")),
        ("calls per second", text(f"{one['calls_per_second']}, "
                                  f"peak {one['calls_per_second_peak']}")),
        ("refused by limit", text(str(one["refused_by_limit"] or ""))),
        ("attempts", text(f"in {one['attempts_in']}, out {one['attempts_out']}")),
        ("answered", text(f"in {one['answered_in']}, out {one['answered_out']}")),
        ("answer-seizure ratio", text(_share(one["answer_seizure_ratio"]))),
        ("network effectiveness", text(_share(one["network_effectiveness"]))),
        ("average duration", text(seconds(one["average_seconds"]))),
        ("post-dial delay", text(f"p50 {_milliseconds(one['post_dial_delay_p50_ms'])}, "
                                 f"p95 {_milliseconds(one['post_dial_delay_p95_ms'])}")),
        ("answers by code", text(_answers(one))),
        ("numbers", text(", ".join(prefix for prefix in one["prefixes"] if prefix))),
        ("callers", text(", ".join(one["callers"]))),
        ("caller", text(one["caller"])),
    ]  # fmt: skip
    limits = {name: value for name, value in one["limits"].items() if value}
    caps = {name: value for name, value in one["caps"].items() if value}
    for heading, values in (("limits", limits), ("caps", caps)):
        written = ", ".join(f"{name} {value:g}" for name, value in values.items())
        lines.append((heading, text(written)))
    return [(key, value) for key, value in lines if value.plain]


_COLUMNS: Sequence[tuple[str, Callable[[Shown], str | Text]]] = (
    ("trunk", lambda one: text(one["name"], "bold")),
    ("state", lambda one: _state(one["state"])),
    ("channels", _channels),
    ("peak", lambda one: str(one["channels_peak"])),
    ("in", lambda one: str(one["attempts_in"])),
    ("out", lambda one: str(one["attempts_out"])),
    ("ASR", lambda one: _share(one["answer_seizure_ratio"])),
    ("NER", lambda one: _share(one["network_effectiveness"])),
    ("ACD", lambda one: seconds(one["average_seconds"])),
    ("PDD", lambda one: _milliseconds(one["post_dial_delay_p50_ms"])),
    ("answers", lambda one: text(_answers(one))),
)
