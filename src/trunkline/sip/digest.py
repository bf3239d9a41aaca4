"""Digest authentication, both sides (RFC 7616, RFC 3261 section 22, RFC 8760).

`Authorizer` answers challenges for a client. `Challenger` makes and checks them
for a server: its nonces are signed with the time they were made, so that it need
not remember them; of those in use it remembers the counter, against replays.
"""

import base64
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from trunkline.errors import UsageError

from .errors import ParseError
from .headers import quote_string, split_outside_quotes, unquote_string
from .message import Message
from .uri import Uri

__all__ = ["Account", "Authorizer", "Challenge", "Challenger", "Credentials", "Verdict"]

_ALGORITHMS: dict[str, Callable[[bytes], "hashlib._Hash"]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False),
    "SHA-256": hashlib.sha256,
}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}[ \t]+[A-Za-z]")
_COUNTER = re.compile(r"[0-9A-Fa-f]{8}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to a server that asks."""

    username: str
    password: str = ""
    """In the clear; needed unless ``ha1`` is given."""
    ha1: str = ""
    """MD5 of user:realm:password in hex: a stored secret that fits one realm."""
    realm: str = ""
    """Answer this realm only; empty: any."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody a server knows."""

    password: str = ""
    """In the clear; needed for SHA-256."""
    ha1: str = ""
    """MD5 of user:realm:password in hex, instead of the password."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate or Proxy-Authenticate value."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    """``MD5``, ``SHA-256``, either with ``-sess``."""
    qop: str = ""
    """``auth``, ``auth-int`` or empty (RFC 2617's way without)."""
    opaque: str | None = None
    stale: bool = False
    """The nonce was too old, the password was right."""

    @classmethod
    def parse(cls, text: str) -> "Challenge":
        """Read one; raises ParseError for what we cannot answer."""
        pairs = _parse_digest(text)
        algorithm = (pairs.get("algorithm") or "MD5").upper()
        if _base(algorithm) not in _ALGORITHMS or "realm" not in pairs or "nonce" not in pairs:
            raise ParseError("Unusable challenge")
        offered = [option.strip().lower() for option in pairs.get("qop", "").split(",")]
        qop = next((option for option in ("auth", "auth-int") if option in offered), "")
        if not qop and any(offered):
            raise ParseError("Unusable challenge")
        return cls(
            pairs["realm"],
            pairs["nonce"],
            algorithm,
            qop,
            pairs.get("opaque"),
            pairs.get("stale", "").lower() == "true",
        )


def _base(algorithm: str) -> str:
    return algorithm.removesuffix("-SESS")


def _parse_digest(text: str) -> dict[str, str]:
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() != "digest":
        raise ParseError("Not digest authentication")
    pairs: dict[str, str] = {}
    for part in split_outside_quotes(rest, ","):
        name, equals, value = part.partition("=")
        if equals:
            pairs.setdefault(name.strip().lower(), unquote_string(value.strip()))
    return pairs


def digest_response(
    pairs: Mapping[str, str],
    method: str,
    body: bytes,
    *,
    username: str,
    password: str,
    ha1: str,
) -> str:
    """The ``response`` value, in hex (RFC 7616 section 3.4.1).

    ``pairs`` has realm, nonce, uri, algorithm, qop, nc and cnonce as they are on the
    wire. ``ha1`` is used instead of the password where it is given.
    """
    algorithm = pairs.get("algorithm", "MD5").upper()
    function = _ALGORITHMS[_base(algorithm)]

    def digest(*parts: str) -> str:
        return function(":".join(parts).encode("utf-8", "surrogateescape")).hexdigest()

    secret = ha1.lower() or digest(username, pairs["realm"], password)
    if algorithm.endswith("-SESS"):
        secret = digest(secret, pairs["nonce"], pairs.get("cnonce", ""))
    qop = pairs.get("qop", "")
    target = [method, pairs["uri"]]
    if qop == "auth-int":
        target.append(function(body).hexdigest())
    if qop:
        return digest(
            secret, pairs["nonce"], pairs["nc"], pairs.get("cnonce", ""), qop, digest(*target)
        )
    return digest(secret, pairs["nonce"], digest(*target))


class Authorizer:
    """One call's answers to the challenges it has met."""

    def __init__(self, credentials: Iterable[Credentials], cnonce: Callable[[], str]) -> None:
        self._credentials = tuple(credentials)
        self._cnonce = cnonce
        self._met: dict[tuple[str, str], Challenge] = {}
        self._counts: dict[str, int] = {}
        self._proven: set[tuple[str, str]] = set()

    def worked(self) -> None:
        """A request with these answers was taken: what refuses them later is a new nonce."""
        self._proven.update(self._met)

    def challenged(self, response: Message) -> bool:
        """Take in a 401 or 407; whether trying again makes sense.

        Of several challenges for one realm the first we can answer counts
        (RFC 3261 section 22.3). A realm that refused an answer is not asked again,
        unless it says that only the nonce was stale, or had taken the answer before:
        servers that restart, and some that do not, forget to say stale.
        """
        fresh = False
        seen: set[tuple[str, str]] = set()
        for name in ("www-authenticate", "proxy-authenticate"):
            for text in _challenges(response, name):
                try:
                    challenge = Challenge.parse(text)
                except ParseError:
                    continue
                key = (name, challenge.realm)
                if key in seen or self._for_realm(challenge) is None:
                    continue
                seen.add(key)
                known = self._met.get(key)
                tried = known is not None and not challenge.stale and key not in self._proven
                if tried or (known is not None and known.nonce == challenge.nonce):
                    continue
                self._met[key] = challenge
                self._proven.discard(key)
                fresh = True
        return fresh

    def headers(self, method: str, uri: str, body: bytes = b"") -> list[tuple[str, str]]:
        """Authorization and Proxy-Authorization for a request, for every realm met."""
        fields = []
        for (name, _), challenge in self._met.items():
            credentials = self._for_realm(challenge)
            if credentials is not None:
                title = "Authorization" if name == "www-authenticate" else "Proxy-Authorization"
                fields.append((title, self._answer(challenge, credentials, method, uri, body)))
        return fields

    def _for_realm(self, challenge: Challenge) -> Credentials | None:
        for credentials in self._credentials:
            usable = credentials.password or _base(challenge.algorithm) == "MD5"
            if credentials.realm in ("", challenge.realm) and usable:
                return credentials
        return None

    def _answer(
        self, challenge: Challenge, credentials: Credentials, method: str, uri: str, body: bytes
    ) -> str:
        pairs = {"realm": challenge.realm, "nonce": challenge.nonce, "uri": uri}
        pairs["algorithm"] = challenge.algorithm
        if challenge.qop or challenge.algorithm.endswith("-SESS"):
            pairs["cnonce"] = self._cnonce()
        if challenge.qop:
            count = self._counts[challenge.nonce] = self._counts.get(challenge.nonce, 0) + 1
            pairs |= {"qop": challenge.qop, "nc": f"{count:08x}"}
        ha1 = "" if credentials.password else credentials.ha1
        proof = digest_response(
            pairs,
            method,
            body,
            username=credentials.username,
            password=credentials.password,
            ha1=ha1,
        )
        text = f"Digest username={quote_string(credentials.username)}"
        for name in ("realm", "nonce", "uri", "cnonce"):
            if name in pairs:
                text += f", {name}={quote_string(pairs[name])}"
        text += f', response="{proof}", algorithm={challenge.algorithm}'
        if challenge.qop:
            text += f", qop={challenge.qop}, nc={pairs['nc']}"
        if challenge.opaque is not None:
            text += f", opaque={quote_string(challenge.opaque)}"
        return text


def _challenges(response: Message, name: str) -> Iterable[str]:
    """Every challenge; several may share one field, their parts split by commas too."""
    challenge: list[str] = []
    for text in response.all(name):
        for part in split_outside_quotes(text, ","):
            if _SCHEME.match(part) and challenge:
                yield ", ".join(challenge)
                challenge = []
            challenge.append(part)
    if challenge:
        yield ", ".join(challenge)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a `Challenger` thinks of a request."""

    outcome: Literal["accepted", "stale", "refused", "missing"]
    """Accepted, or why it has to be challenged."""
    username: str = ""
    """Who it is, if accepted; who it claims to be, if refused."""


class Challenger:
    """Asks clients who they are, and checks what they say.

    ``secret`` signs the nonces: at least 16 random bytes, kept for the life of the
    process. A request with RFC 2617's ``qop`` must count up; one without (RFC 2069
    phones) gets one use of each nonce.
    """

    MAX_COUNTERS = 8192
    """Nonces whose counters are remembered; the oldest go first."""

    def __init__(
        self,
        realm: str,
        accounts: Mapping[str, Account],
        secret: bytes,
        *,
        algorithms: tuple[str, ...] = ("MD5",),
        lifetime_seconds: float = 60.0,
    ) -> None:
        if len(secret) < 16:
            raise UsageError("the secret needs at least 16 bytes")
        if not set(algorithms) <= set(_ALGORITHMS) or not algorithms:
            raise UsageError(f"algorithms are some of {sorted(_ALGORITHMS)}")
        self.realm = realm
        self._accounts = accounts
        self._secret = secret
        self._algorithms = algorithms
        self._lifetime_seconds = lifetime_seconds
        self._counters: OrderedDict[str, int] = OrderedDict()
        self._serial = 0

    def nonce(self, now: float) -> str:
        """A new nonce: time, serial number and their signature, in base64."""
        self._serial = (self._serial + 1) & 0xFFFFFFFF
        stamp = int(now * 1000).to_bytes(8, "big", signed=True) + self._serial.to_bytes(4, "big")
        return base64.b64encode(stamp + self._sign(stamp)).decode()

    def _sign(self, stamp: bytes) -> bytes:
        return hmac.digest(self._secret, self.realm.encode() + stamp, "sha256")[:15]

    def headers(self, now: float, *, stale: bool = False) -> list[tuple[str, str]]:
        """WWW-Authenticate fields for a 401, the preferred algorithm first."""
        nonce = self.nonce(now)
        ending = ", stale=true" if stale else ""
        return [
            (
                "WWW-Authenticate",
                f'Digest realm={quote_string(self.realm)}, nonce="{nonce}", '
                f'algorithm={algorithm}, qop="auth"{ending}',
            )
            for algorithm in self._algorithms
        ]

    def check(
        self, method: str, uri: str, authorizations: Iterable[str], body: bytes, now: float
    ) -> Verdict:
        """Judge a request by its Authorization fields."""
        for text in authorizations:
            try:
                pairs = _parse_digest(text)
            except ParseError:
                continue
            if pairs.get("realm") == self.realm:
                return self._judge(pairs, method, uri, body, now)
        return Verdict("missing")

    def _judge(
        self, pairs: dict[str, str], method: str, uri: str, body: bytes, now: float
    ) -> Verdict:
        username = pairs.get("username", "")
        age = self._age(pairs.get("nonce", ""), now)
        if age is None or not self._well_formed(pairs, uri):
            return Verdict("refused" if age is not None else "stale", username)
        account = self._accounts.get(username)
        known = account if account is not None else Account(password=self.nonce(now))
        sha = pairs.get("algorithm", "MD5").upper() != "MD5"
        if sha and not known.password:
            return Verdict("refused", username)
        # An unknown user costs the same work as a wrong password.
        ha1 = "" if sha or known.password else known.ha1
        expected = digest_response(
            pairs, method, body, username=username, password=known.password, ha1=ha1
        )
        given = pairs.get("response", "").lower().encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(expected.encode(), given) or account is None:
            return Verdict("refused", username)
        if not 0 <= age <= self._lifetime_seconds or not self._counts_up(pairs):
            return Verdict("stale", username)
        return Verdict("accepted", username)

    def _age(self, nonce: str, now: float) -> float | None:
        """Seconds since we made it; None if we did not."""
        try:
            raw = base64.b64decode(nonce, validate=True)
        except ValueError:
            return None
        if len(raw) != 27 or not hmac.compare_digest(self._sign(raw[:12]), raw[12:]):
            return None
        return now - int.from_bytes(raw[:8], "big", signed=True) / 1000

    def _well_formed(self, pairs: dict[str, str], uri: str) -> bool:
        if pairs.get("algorithm", "MD5").upper() not in self._algorithms:
            return False
        if "qop" in pairs:
            counter = pairs.get("nc", "")
            if pairs["qop"] != "auth" or not _COUNTER.fullmatch(counter):
                return False
        return _same_target(pairs.get("uri", ""), uri)

    def _counts_up(self, pairs: dict[str, str]) -> bool:
        """Whether this use of the nonce is new (RFC 7616 section 3.4)."""
        nonce = pairs["nonce"]
        count = int(pairs["nc"], 16) if "qop" in pairs else 1
        if count <= self._counters.get(nonce, 0):
            return False
        self._counters[nonce] = count if "qop" in pairs else 2**32
        self._counters.move_to_end(nonce)
        if len(self._counters) > self.MAX_COUNTERS:
            self._counters.popitem(last=False)
        return True


def _same_target(claimed: str, actual: str) -> bool:
    """Whether a digest's uri is the Request-URI, as far as that can be asked.

    A proxy may have changed its host, and some clients name the server alone; SIP
    does not count it as a failure (RFC 3261 section 22.4 item 5).
    """
    if claimed == actual:
        return True
    try:
        return Uri.parse(claimed).user in (None, "", Uri.parse(actual).user)
    except ParseError:
        return False
