"""Lanes that hear each other: what came on one at its tick is what another sends in it.

No queue and no task lies between the two sides of a bridge, and nothing is encoded,
decoded or resampled for it that the two lanes do not do anyway: all lanes of a `Joint`
are in one phase, their frames are taken together, and the frame that the jitter buffer
gave for one goes out on the other before the tick is over. So a bridge adds no delay to
the jitter buffer's, and loss is concealed once.

Two sides at their plain level pass frames on as they are. Levels, a third listener or a
whispering one go through `mixing.Mixer`, for those who hear more than one voice; when
they leave, it is frames as they are again. What a lane's own playout holds goes before
what it would hear of a joint: an announcement, music on hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .lane import Frame, Lane
from .mixing import GAIN_ONE, Mixer, fixed_gain

__all__ = ["Feeds", "Joint", "Joints"]


class Joint:
    """A few lanes, and who of them hears whom; two that hear each other to begin with.

    `Engine.join` makes it work, and is called again after a change.
    """

    def __init__(self, *lanes: Lane) -> None:
        self.lanes: list[Lane] = []
        """Who takes part, in the order they came."""
        self._gains: dict[Lane, dict[Lane, int]] = {}
        for lane in lanes:
            self.add(lane)
        for lane in lanes:
            for other in lanes:
                if other is not lane:
                    self.hear(lane, other)

    def add(self, lane: Lane) -> None:
        """One lane more, that hears nobody yet; raises `UsageError` if it is in already."""
        if lane in self._gains:
            raise UsageError(f"lane {lane.id} takes part already")
        self.lanes.append(lane)
        self._gains[lane] = {}

    def remove(self, lane: Lane) -> None:
        """One lane less. Legal more than once."""
        if self._gains.pop(lane, None) is None:
            return
        self.lanes.remove(lane)
        for heard in self._gains.values():
            heard.pop(lane, None)

    def hear(self, listener: Lane, speaker: Lane, level_db: float | None = 0.0) -> None:
        """Have one hear another, at a level; None not at all.

        Raises `UsageError` for a lane that does not take part, or one to hear itself.
        """
        if listener is speaker:
            raise UsageError(f"lane {listener.id} shall not hear itself")
        if listener not in self._gains or speaker not in self._gains:
            raise UsageError("only lanes that take part hear each other")
        if level_db is None:
            self._gains[listener].pop(speaker, None)
        else:
            self._gains[listener][speaker] = fixed_gain(level_db)

    def heard_by(self, listener: Lane) -> dict[Lane, int]:
        """Whom a lane hears, with the gain (`mixing.GAIN_ONE` is 0 dB)."""
        return dict(self._gains.get(listener, {}))

    @property
    def is_plain(self) -> bool:
        """Whether nothing is mixed: everybody hears one other at most, as they are."""
        return all(
            len(heard) <= 1 and all(gain == GAIN_ONE for gain in heard.values())
            for heard in self._gains.values()
        )


@dataclass(slots=True)
class _Mixes:
    """Those of a phase who hear more than one voice, or one at a level."""

    lanes: list[Lane]
    voices: list[int]
    """Whose frames are needed, as places in the phase."""
    speakers: NDArray[np.intp]
    gains: NDArray[np.int32]
    starts: NDArray[np.intp]
    rows: NDArray[np.intp]


@dataclass(slots=True)
class Feeds:
    """What the joints of one phase do in a tick."""

    plain: list[tuple[int, Lane]]
    """The place of a speaker among the lanes of the phase, and who sends the same."""
    mixes: _Mixes | None


class Joints:
    """The joints of an engine."""

    def __init__(self, frame_samples: int) -> None:
        self._frame = frame_samples
        self._silence = np.zeros(frame_samples, np.int16)
        self._of: dict[Lane, Joint] = {}
        self._mixer = Mixer(frame_samples)
        self._rows: dict[Lane, int] = {}

    def __len__(self) -> int:
        return len(self._of)

    def of(self, lane: Lane) -> Joint | None:
        """The joint that a lane is in."""
        return self._of.get(lane)

    def enter(self, joint: Joint) -> None:
        """Its lanes hear each other from the next tick on; also after a change of who is in.

        Raises `UsageError` if one is in another joint.
        """
        for lane in joint.lanes:
            if self._of.get(lane, joint) is not joint:
                raise UsageError(f"lane {lane.id} is joined to others already")
        for lane in [lane for lane, other in self._of.items() if other is joint]:
            if lane not in joint.lanes:
                self._drop(lane)
        for lane in joint.lanes:
            self._of[lane] = joint

    def leave(self, lane: Lane) -> Joint | None:
        """A lane hears nobody any more and nobody hears it; returns the joint it was in."""
        joint = self._of.get(lane)
        if joint is not None:
            joint.remove(lane)
            self._drop(lane)
        return joint

    def _drop(self, lane: Lane) -> None:
        del self._of[lane]
        if lane in self._rows:
            self._mixer.close(self._rows.pop(lane))

    def plan(self, lanes: Sequence[Lane]) -> Feeds | None:
        """What there is to do for the lanes of a phase; None if none of them is joined."""
        places = {lane: place for place, lane in enumerate(lanes) if lane in self._of}
        if not places:
            return None
        plain: list[tuple[int, Lane]] = []
        mixed: list[tuple[Lane, dict[Lane, int]]] = []
        for lane in places:
            heard = {
                other: gain
                for other, gain in self._of[lane].heard_by(lane).items()
                if other in places
            }
            if list(heard.values()) == [GAIN_ONE]:
                plain.append((places[next(iter(heard))], lane))
            elif heard:
                mixed.append((lane, heard))
        for lane in self._rows.keys() & {lane for _, lane in plain}:
            self._mixer.close(self._rows.pop(lane))
        return Feeds(plain, self._plan_mixes(mixed, places) if mixed else None)

    def _plan_mixes(
        self, mixed: list[tuple[Lane, dict[Lane, int]]], places: dict[Lane, int]
    ) -> _Mixes:
        voices = sorted({places[other] for _, heard in mixed for other in heard})
        within = {place: index for index, place in enumerate(voices)}
        speakers: list[int] = []
        gains: list[int] = []
        starts: list[int] = []
        rows: list[int] = []
        for lane, heard in mixed:
            if lane not in self._rows:
                self._rows[lane] = self._mixer.open()
            rows.append(self._rows[lane])
            starts.append(len(speakers))
            speakers += [within[places[other]] for other in heard]
            gains += heard.values()
        return _Mixes(
            [lane for lane, _ in mixed],
            voices,
            np.array(speakers, np.intp),
            np.array(gains, np.int32),
            np.array(starts, np.intp),
            np.array(rows, np.intp),
        )

    def feed(self, feeds: Feeds, heard: Sequence[Frame | None]) -> dict[Lane, bytes]:
        """What each joined lane is to send in this tick, of what came in it."""
        fed: dict[Lane, bytes] = {}
        for place, lane in feeds.plain:
            frame = heard[place]
            if frame is not None:
                fed[lane] = frame.tobytes()
        mixes = feeds.mixes
        if mixes is not None:
            block = np.array(
                [self._silence if (one := heard[place]) is None else one for place in mixes.voices]
            )
            out = self._mixer.mix(block, mixes.speakers, mixes.gains, mixes.starts, mixes.rows)
            for lane, frame in zip(mixes.lanes, out, strict=True):
                fed[lane] = frame.tobytes()
        return fed
