"""Session timers, in both roles (RFC 4028).

A session that both ends could forget expires: one of them, the refresher, shows at
half of the interval that it is still there, by UPDATE or re-INVITE; the other one
hangs up when nothing comes.
"""

from collections.abc import Callable
from functools import partial

from .core import Core
from .ending import Ending
from .errors import ParseError
from .headers import parse_parameters
from .in_dialog import seconds_of
from .message import Request, Response
from .pending import SHORTEST_INTERVAL
from .session import Session, SessionState

__all__ = ["SessionTimer"]

OPTION = "timer"
LONGEST_WARNING_SECONDS = 32.0
RETRY_SECONDS = 5.0
"""After a refresh that was refused for a reason that passes."""

Fields = list[tuple[str, str]]


class SessionTimer:
    """Agrees on an interval, refreshes in time, and ends what is not refreshed."""

    def __init__(self, core: Core, ending: Ending) -> None:
        self._core = core
        self._ending = ending
        self.refresh_by_update: Callable[[Session, float], bool] = lambda session, now: False
        """Sends a refresh; False where that is not possible now."""
        self.refresh_by_reinvite: Callable[[Session, float], bool] = lambda session, now: False
        core.supported.append(OPTION)

    # As the side that asks.

    def begin(self, session: Session, wanted_seconds: int) -> None:
        """A session begins; ``wanted_seconds`` of 0: what the settings say."""
        interval, settings = session._internals.interval, self._core.settings
        interval.wanted_seconds = wanted_seconds or settings.session_expires_seconds
        interval.least_seconds = max(settings.min_se_seconds, 1)
        if interval.wanted_seconds:
            interval.wanted_seconds = max(interval.wanted_seconds, interval.least_seconds)

    def request_headers(self, session: Session) -> Fields:
        """For an INVITE or UPDATE of ours (sections 7.1, 7.4)."""
        interval = session._internals.interval
        seconds = interval.seconds or interval.wanted_seconds
        if not seconds:
            return []
        role = ""
        if interval.seconds:  # who refreshes goes on to
            role = ";refresher=uac" if interval.we_refresh else ";refresher=uas"
        fields = [("Session-Expires", f"{seconds}{role}")]
        if interval.least_seconds != SHORTEST_INTERVAL:
            fields.append(("Min-SE", str(interval.least_seconds)))
        return fields

    def is_too_small(self, session: Session, response: Response) -> bool:
        """Whether a 422 asks for a longer interval, which is then taken (section 7.3)."""
        interval = session._internals.interval
        least = seconds_of(response.get("min-se"))
        if response.code != 422 or least is None or least <= interval.least_seconds:
            return False
        interval.least_seconds = least
        interval.wanted_seconds = max(interval.wanted_seconds, least)
        interval.seconds = max(interval.seconds, least) if interval.seconds else 0
        return True

    def answered(self, session: Session, response: Response, now: float) -> None:
        """A 2xx to an INVITE or UPDATE of ours (section 7.2)."""
        interval = session._internals.interval
        value = response.get("session-expires")
        seconds = seconds_of(value)
        if seconds:
            ours = _refresher(value) != "uas"
        else:  # they know no session timers: what we want we do
            seconds, ours = interval.wanted_seconds, True
        self._agree(session, seconds, ours, now)

    # As the side that is asked.

    def refusal(self, request: Request) -> Fields:
        """The Min-SE of a 422, where they ask for too short an interval (section 9)."""
        value = request.get("session-expires")
        if value is None:
            return []
        seconds, least = seconds_of(value), self._core.settings.min_se_seconds
        if seconds is None or seconds >= least or OPTION not in request.values("supported"):
            return []  # a proxy that asks for who cannot refresh gets what it asks
        return [("Min-SE", str(least))]

    def answer(self, session: Session, request: Request, now: float) -> Fields:
        """Agree to what an INVITE or UPDATE of theirs asks; for our 2xx (section 9)."""
        interval = session._internals.interval
        value = request.get("session-expires")
        if value is None and not interval.wanted_seconds and not interval.seconds:
            return []  # as in nearly every call
        asked, knows = seconds_of(value), OPTION in request.values("supported")
        least = max(seconds_of(request.get("min-se")) or 0, interval.least_seconds)
        seconds = max(interval.wanted_seconds, least) if interval.wanted_seconds else 0
        if asked:
            seconds = min(asked, seconds or asked)
        if not seconds:
            self._agree(session, 0, False, now)
            return []
        theirs = knows and _refresher(value) != "uas"
        if not asked and knows and interval.seconds:
            theirs = not interval.we_refresh  # nothing said: as it was
        self._agree(session, seconds, not theirs, now)
        if not knows:
            return []  # they could not make anything of it
        fields = [("Session-Expires", f"{seconds};refresher={'uac' if theirs else 'uas'}")]
        return [*fields, ("Require", OPTION)] if theirs else fields

    # What holds.

    def _agree(self, session: Session, seconds: int, ours: bool, now: float) -> None:
        internals = session._internals
        interval = internals.interval
        interval.seconds, interval.we_refresh = seconds, ours
        internals.stop_timer("session-refresh")
        internals.stop_timer("session-expiry")
        if not seconds:
            return
        warning = min(LONGEST_WARNING_SECONDS, seconds / 3)
        interval.expires_at = now + seconds - warning
        self._start(session, "session-expiry", interval.expires_at, self._expired)
        if ours:
            self._start(session, "session-refresh", now + seconds / 2, self._refresh)

    def _start(
        self, session: Session, name: str, due: float, step: Callable[[Session, float], None]
    ) -> None:
        session._internals.timers[name] = self._core.timers.start(due, partial(step, session))

    def _refresh(self, session: Session, now: float) -> None:
        """Half of the interval is over (section 10)."""
        if session.state is SessionState.CONFIRMED:
            by_update = "UPDATE" in (session._internals.allowed or "")
            sent = by_update and self.refresh_by_update(session, now)
            if not sent and not by_update:
                self.refresh_by_reinvite(session, now)
        # A change of the application's that is on its way refreshes as well: a 2xx begins
        # the interval anew, and this timer with it.
        self.again_later(session, now)

    def again_later(self, session: Session, now: float) -> None:
        """Try a refresh again, if there is time, unless a 2xx comes before."""
        interval = session._internals.interval
        wait = max(RETRY_SECONDS, interval.seconds / 8)
        session._internals.stop_timer("session-refresh")
        if session.is_confirmed and interval.we_refresh and now + wait < interval.expires_at:
            self._start(session, "session-refresh", now + wait, self._refresh)

    def no_update(self, session: Session, now: float) -> None:
        """They refuse UPDATE after all: by re-INVITE then."""
        session._internals.allowed = "INVITE"
        self._refresh(session, now)

    def _expired(self, session: Session, now: float) -> None:
        """Nobody refreshed it: the other one is gone (section 10)."""
        self._core.counters["session-expired"] += 1
        if session.state is SessionState.CONFIRMED:
            self._ending.hang_up(session, now, reason="timeout", by="them", code=408)


def _refresher(value: str | None) -> str:
    """The role that a Session-Expires names; "" if none."""
    _, _, parameters = (value or "").partition(";")
    try:
        return (parse_parameters(parameters).get("refresher") or "").lower()
    except ParseError:
        return ""
