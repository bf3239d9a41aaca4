"""Which stages a call's audio goes through: by kind of call, trunk, route, and call.

An agent on a call must not hear itself, so a call with an agent on it has echo
cancellation; a call that is only passed on (a stream to a bot, an echo, a recording) is
left as it came. A trunk, a route and a call say otherwise, each over the one before:

    @board.answer("+49*", audio=AudioPath(noise="logmmse", strength=0.5))
    async def support(call):
        call.set_audio(AudioPath(echo="off"))  # noise is still as the route says
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from trunkline.errors import UsageError
from trunkline.media.chain_bank import ChainStages
from trunkline.media.echo import ECHO_CANCELLERS, EchoStage
from trunkline.media.noise import METHODS
from trunkline.media.stage import Stage
from trunkline.speech import create, names
from trunkline.transports.leg import Party

__all__ = ["AudioDefaults", "AudioPath", "CallAudio"]

_OFF = "off"
_RATE_HZ = 8000
_WITH_STRENGTH = ("noisereduce", "rnnoise", "webrtc")
"""Engines that take a strength; others get the sample rate alone."""


@dataclass(frozen=True, slots=True)
class _Engine:
    """Makes a stage of the speech registry; equal for equal names, so that calls share a bank."""

    kind: str
    name: str
    strength: float | None

    def __call__(self, rate_hz: int) -> Any:
        options = {} if self.strength is None else {"strength": self.strength}
        return create(self.kind, self.name, rate_hz=rate_hz, **options)


def _stage(kind: str, choice: Any, ours: Mapping[str, Any], strength: float | None) -> Any:
    """A choice as `ChainStages` takes it; raises where an engine cannot be made."""
    if choice is None:
        return _OFF
    if not isinstance(choice, str) or choice in ours:
        return choice
    return _tried(_Engine(kind, choice, strength if choice in _WITH_STRENGTH else None))


@cache
def _tried(engine: _Engine) -> _Engine:
    """An engine that was made once, so that what is missing shows before a call needs it."""
    engine(_RATE_HZ)
    return engine


def _check_name(what: str, choice: Any, ours: Mapping[str, Any], kind: str) -> None:
    if choice is None or callable(choice) or choice in ours:
        return  # without a look at what other packages have, which takes milliseconds
    known = sorted({*ours, *names(kind)})
    if choice not in known:
        raise UsageError(f"no {what} is called {choice!r}; there are {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class AudioPath:
    """What is done with a call's audio; None leaves it as the route, trunk or kind has it.

    Calls with equal paths are processed together. A function is equal to itself only, so
    give the same one to every call. Raises `UsageError` for a name or a strength there is not.
    """

    echo: str | Callable[[int], EchoStage] | None = None
    """A canceller: "kalman", "nlms", "off", an engine ("speex", "aec3"), or what makes one
    for a sample rate."""
    noise: str | Callable[[int], Stage] | None = None
    """A suppressor: "logmmse", "spectral", "off", an engine ("rnnoise", "webrtc",
    "noisereduce"), or what makes one."""
    strength: float | None = None
    """How much of the noise is taken out: 0 is nothing, 1 all that can be."""
    recogniser_noise: bool | None = None
    """Whether recognisers, too, hear audio without the noise; it costs them words."""

    def __post_init__(self) -> None:
        _check_name("echo canceller", self.echo, ECHO_CANCELLERS, "echo")
        _check_name("noise suppression", self.noise, METHODS, "noise")
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise UsageError(f"the strength of noise suppression is 0 to 1, not {self.strength!r}")

    def over(self, below: "AudioPath") -> "AudioPath":
        """This path; what it says nothing of is taken from another."""
        mine = {one.name: getattr(self, one.name) for one in fields(self)}
        return AudioPath(
            **{
                name: getattr(below, name) if value is None else value
                for name, value in mine.items()
            }
        )

    def stages(self) -> ChainStages | None:
        """It as a chain; None when everything is off, or nothing was said of it.

        Raises:
            MissingDependencyError: an engine's package is not installed; says what to run.
        """
        strength = 0.8 if self.strength is None else self.strength
        echo = _stage("echo", self.echo, ECHO_CANCELLERS, None)
        noise = _stage("noise", self.noise, METHODS, strength)
        if echo == noise == _OFF:
            return None
        # Strength and branch say nothing without noise suppression: such calls go together.
        return ChainStages(
            echo=echo,
            noise=noise,
            noise_strength=0.8 if noise == _OFF else strength,
            recogniser_noise=noise != _OFF and bool(self.recogniser_noise),
        )


_EVERYTHING_OFF = AudioPath(_OFF, _OFF, 0.8, False)


@dataclass(frozen=True, slots=True)
class AudioDefaults:
    """What a node's calls have where neither route nor call says otherwise.

    Raises `UsageError` for a trunk's name that is empty.
    """

    agent: AudioPath = field(default=AudioPath("kalman", _OFF, 0.8, False))
    """With an agent on the call."""
    relay: AudioPath = field(default=_EVERYTHING_OFF)
    """With anything else on it."""
    trunks: Mapping[str, AudioPath] = field(default_factory=dict)
    """Over these, by the trunk's name, the far end's account, address, or network
    ("203.0.113.0/24")."""

    def path(self, transport: str, party: Party, *, agent: bool) -> AudioPath:
        """What a call has; a browser cancels its own echo, and gets nothing of ours."""
        kind = self.agent if agent else self.relay
        if transport == "browser":
            kind = _EVERYTHING_OFF
        trunk = self.trunk(party)
        return kind if trunk is None else trunk.over(kind)

    def trunk(self, party: Party) -> AudioPath | None:
        """What is said of the trunk, of the far end's account, address, or nearest network."""
        for name in (party.trunk, party.account, party.host):
            if name and name in self.trunks:
                return self.trunks[name]
        try:
            address = ip_address(party.host)
        except ValueError:
            return None
        around = [
            (network.prefixlen, name)
            for name in self.trunks
            if (network := _network(name)) is not None and address in network
        ]
        return self.trunks[max(around)[1]] if around else None


class CallAudio:
    """What one call's audio goes through, as it stands."""

    def __init__(
        self,
        defaults: AudioDefaults,
        transport: str,
        party: Party,
        route: AudioPath | None = None,
    ) -> None:
        self._defaults, self._transport, self._party = defaults, transport, party
        self._route = route or AudioPath()
        self.asked: AudioPath | None = None
        """What was said of this call alone."""
        self.agent = False
        """Whether an agent is or was on it."""

    def follow(self, transport: str, party: Party) -> None:
        """The call has another leg."""
        self._transport, self._party = transport, party

    def path(self, asked: AudioPath | None) -> AudioPath:
        """What it would be if that were said of the call."""
        below = self._defaults.path(self._transport, self._party, agent=self.agent)
        return (asked or AudioPath()).over(self._route.over(below))

    def stages(self) -> ChainStages | None:
        """The chain it is now."""
        return self.path(self.asked).stages()


@cache
def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
